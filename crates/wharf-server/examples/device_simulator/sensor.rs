//! An industrial sensor that sends lines over UDP: `press-7;P=10.25;T=-3.5;N=42`.

/// The name of the sensor with this number.
pub fn name(number: u32) -> String {
    format!("press-{number}")
}

/// Who it is, and what proves it.
pub fn login(name: &str, key: &str) -> Vec<u8> {
    format!("{name};LOGIN;{key}").into_bytes()
}

/// What it measures; N is the message's number.
pub fn reading(name: &str, number: u32) -> Vec<u8> {
    format!("{name};P=10.25;T=-3.5;N={number}").into_bytes()
}

/// That it lives.
pub fn alive(name: &str) -> Vec<u8> {
    format!("{name};ALIVE").into_bytes()
}
