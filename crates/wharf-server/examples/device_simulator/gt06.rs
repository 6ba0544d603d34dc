//! A binary tracker of the GT06 kind: `78 78`, a length, what it is, its content, a serial number, a checksum, `0d 0a`.

/// The IMEI of the tracker with this number: 15 digits.
pub fn imei(number: u32) -> String {
    format!("8675{number:011}")
}

/// CRC-16/X-25, bit by bit; the protocol's document calls it CRC-ITU.
fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0xffff_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 };
        }
    }
    !crc
}

/// A whole frame. The length counts what it is, its content, the serial number and the checksum.
pub fn frame(kind: u8, content: &[u8], serial: u16) -> Vec<u8> {
    let mut counted = vec![(content.len() + 5) as u8, kind];
    counted.extend_from_slice(content);
    counted.extend_from_slice(&serial.to_be_bytes());
    let crc = crc(&counted);
    [&b"\x78\x78"[..], &counted, &crc.to_be_bytes(), b"\r\n"].concat()
}

/// A login: the IMEI, two digits a byte behind one zero.
pub fn login(imei: &str, serial: u16) -> Vec<u8> {
    let digits: Vec<u8> = format!("0{imei}").bytes().map(|digit| digit - b'0').collect();
    let packed: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    frame(0x01, &packed, serial)
}

/// A position of 2026-11-28 10:00:00; its speed is the message's number, so that whoever reads it knows which it is.
pub fn position(number: u8, serial: u16) -> Vec<u8> {
    let mut content = vec![26, 11, 28, 10, 0, 0, 0xc9];
    content.extend_from_slice(&0x026c_1b65_u32.to_be_bytes()); // Latitude.
    content.extend_from_slice(&0x0a2f_9d60_u32.to_be_bytes()); // Longitude.
    content.extend_from_slice(&[number, 0x14, 0x8f]); // Speed, course and status.
    content.extend_from_slice(&[0x01, 0xcc, 0x00, 0x28, 0x7d, 0x00, 0x1f, 0xb8]); // The cell.
    frame(0x12, &content, serial)
}

/// That it lives, and how it does.
pub fn heartbeat(serial: u16) -> Vec<u8> {
    frame(0x13, &[0x45, 0x06, 0x04, 0x00, 0x02], serial)
}

/// The answer to a command: the command's own number, and text. The length counts these two.
pub fn answer(number: [u8; 4], text: &str, serial: u16) -> Vec<u8> {
    let mut content = vec![(4 + text.len()) as u8];
    content.extend_from_slice(&number);
    content.extend_from_slice(text.as_bytes());
    content.extend_from_slice(&[0, 1]); // The language.
    frame(0x15, &content, serial)
}

/// The number in a command of the server's, if that is what this frame is.
pub fn command(frame: &[u8]) -> Option<[u8; 4]> {
    match frame {
        [0x78, 0x78, _, 0x80, _, a, b, c, d, ..] => Some([*a, *b, *c, *d]),
        _ => None,
    }
}

/// Takes the first whole frame off the front of what was heard; panics at what is none, since a server that says that
/// is broken.
pub fn take_frame(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(*heard.get(2)?) + 5;
    if heard.len() < length {
        return None;
    }
    let rest = heard.split_off(length);
    let frame = std::mem::replace(heard, rest);
    let body = &frame[2..length - 4];
    let is_right = frame.starts_with(b"\x78\x78") && frame.ends_with(b"\r\n");
    assert!(is_right && crc(body).to_be_bytes() == frame[length - 4..length - 2], "no frame: {frame:02x?}");
    Some(frame)
}
