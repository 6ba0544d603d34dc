//! An ASCII tracker of the H02 kind, which many vendors sell: `*HQ,id,command,...#`, and every frame names the device.

/// The id of the tracker with this number.
pub fn id(number: u32) -> String {
    format!("41{number:08}")
}

/// A position; the speed is the message's number, so that whoever reads it knows which it is.
pub fn position(id: &str, number: u32) -> Vec<u8> {
    format!(
        "*HQ,{id},V1,224434,A,1827.3855,N,06705.7577,W,{number},000,281126,FFFFFBFF,310,260,49101,1753,5#"
    )
    .into_bytes()
}

/// That it lives, and how full its battery is.
pub fn heartbeat(id: &str) -> Vec<u8> {
    format!("*HQ,{id},HTBT,87#").into_bytes()
}
