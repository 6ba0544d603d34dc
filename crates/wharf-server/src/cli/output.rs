//! What commands print: one line at a time, at once.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write},
};

use serde::Serialize;

/// Prints a value as one line of JSON. A reader that went away (`| head -1`) ends the process quietly, as it ends
/// other tools.
pub fn print_line(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    print(&line)
}

/// Prints bytes as they are; see [`print_line`].
pub fn print(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome,
    }
}

/// Bytes as text on one line. What would steer the terminal is escaped.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            control if control.is_control() => {
                let _ = write!(text, "{}", control.escape_default());
            }
            printable => text.push(printable),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row 100.
    #[test]
    fn what_would_steer_the_terminal_is_escaped() {
        assert_eq!(visible("a\u{1b}[2Jb\nü".as_bytes()), "a\\u{1b}[2Jb\\nü");
    }
}
