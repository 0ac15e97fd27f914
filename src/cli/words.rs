//! The two ways of saying something: what was asked for goes to standard output, everything else to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// Prints what was asked for. A reader that has gone away is no error.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> io::Result<String> {
    serde_json::to_string(value).map_err(io::Error::other)
}

/// Says why not.
pub fn fail(code: u8, message: &str) -> ExitCode {
    say(&format!("error: {message}\n"));
    ExitCode::from(code)
}

/// Says something to the person at the terminal.
#[expect(clippy::print_stderr, reason = "this is the room that talks to the person at the terminal")]
pub fn say(text: &str) {
    eprint!("{text}");
    if !text.ends_with('\n') {
        eprintln!();
    }
}
