//! `wharf check` of devices: what a kind of device means, and how sample bytes of one are cut and read.

use std::{fmt::Write as _, io::Write as _, path::PathBuf};

use anyhow::{Context, bail, ensure};
use wharf::settings::DeviceListener;
use wharf_proto::device::unhex;

use super::super::output;
use crate::config::{Configuration, device::spell_device};

/// The longest sample, in bytes. LIMITS.md, `SAMPLE_BYTES`.
const SAMPLE_BYTES: u64 = 1024 * 1024;

/// Sample bytes of a device.
#[derive(Debug, clap::Args)]
pub struct SampleFlags {
    /// Try sample bytes on this kind of device.
    #[arg(long, value_name = "NAME", requires = "bytes")]
    pub device: Option<String>,
    #[command(flatten)]
    bytes: Sample,
}

#[derive(Debug, clap::Args)]
#[group(id = "bytes", multiple = false, requires = "device")]
struct Sample {
    /// The bytes in hexadecimal digits, as '78 78 0d'.
    #[arg(long, value_name = "DIGITS")]
    hex: Option<String>,
    /// The bytes as text; \r, \n, \t, \\ and \x1b mean what they mean elsewhere.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// The bytes are in this file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Sample {
    fn read(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.hex, &self.text, &self.file) {
            (Some(digits), ..) => {
                unhex(digits).with_context(|| format!("--hex: {digits:?} is not pairs of hexadecimal digits"))
            }
            (_, Some(text), _) => {
                unescaped(text).with_context(|| format!("--text: {text:?} ends within an escape"))
            }
            (.., Some(file)) => {
                let bytes =
                    std::fs::metadata(file).with_context(|| format!("--file: {}", file.display()))?.len();
                ensure!(bytes <= SAMPLE_BYTES, "--file: {bytes} bytes are too many; at most {SAMPLE_BYTES}");
                std::fs::read(file).with_context(|| format!("--file: {}", file.display()))
            }
            _ => bail!("no sample is given"),
        }
    }
}

/// Text with escapes as bytes; none where an escape is none.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (letter, after) = escape.split_at_checked(1)?;
        rest = after;
        match letter {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "\\" => bytes.push(b'\\'),
            "x" => {
                let (digits, after) = after.split_at_checked(2)?;
                bytes.extend(unhex(digits).filter(|found| found.len() == 1)?);
                rest = after;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Prints how the bytes are read. An error, after all of it, if a device that sends them would not be understood.
pub fn run(flags: &SampleFlags, configuration: &Configuration) -> anyhow::Result<()> {
    let devices = &configuration.settings.devices;
    let name = flags.device.as_deref().unwrap_or_default();
    let Some(device) = devices.iter().find(|device| *device.name == *name) else {
        let known: Vec<_> = devices.iter().map(|device| &*device.name).collect();
        bail!("--device: no [[device]] is called {name:?}; there are: {}", known.join(", "));
    };
    let bytes = flags.bytes.read()?;
    let steps = device.profile.try_bytes(&bytes);
    let mut text = String::new();
    for step in &steps {
        for line in step.to_string().lines() {
            let _ = writeln!(text, "{}", output::visible(line.as_bytes()));
        }
    }
    std::io::stdout().write_all(text.as_bytes())?;
    let bad = steps.iter().filter(|step| !step.is_good()).count();
    ensure!(bad == 0 && !steps.is_empty(), "{bad} of {} parts are not understood", steps.len());
    Ok(())
}

/// A kind of device in words, a line for each subject.
pub fn explain(device: &DeviceListener) -> String {
    let addresses: Vec<_> = device.listen.iter().map(spell_device).collect();
    let second = if device.replaces { "replaces the first" } else { "is refused" };
    let tls = match device.tls.as_ref().map(|tls| tls.clients.as_ref()) {
        Some(Some(clients)) if clients.name_is_device => ", devices show a certificate with their id",
        Some(Some(_)) => ", devices show a certificate",
        _ => "",
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{:>12}  {}, at {}; at most {} connections, a device's second {second}{tls}",
        "device",
        device.name,
        addresses.join(", "),
        device.connections
    );
    for (what, words) in device.profile.explain() {
        let _ = writeln!(text, "{what:>12}  {words}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_hold_escapes() {
        assert_eq!(unescaped(r"a\r\n\t\\\x1b\x00").unwrap(), b"a\r\n\t\\\x1b\x00");
        assert_eq!(unescaped("*HQ#").unwrap(), b"*HQ#");
        for text in ["\\", r"\q", r"\x1", r"\xzz", r"\x1 2", "\\\u{fc}"] {
            assert_eq!(unescaped(text), None, "{text}");
        }
    }
}
