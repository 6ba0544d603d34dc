#![no_main]

#[path = "../bodies/device.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _outcome = body::run(data);
});
