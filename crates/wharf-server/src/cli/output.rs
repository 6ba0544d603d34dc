//! What commands print: one line at a time, at once.

use std::io::{self, ErrorKind, Write};

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
