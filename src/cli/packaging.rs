//! What packages carry beside the program, made from the same description of its arguments: the manual page, and the
//! completions of shells.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::arguments::Arguments;
use super::exit;
use super::words::{fail, print};

/// Prints what a shell needs to complete our arguments.
pub fn completions(shell: Shell) -> ExitCode {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut out);
    print(&String::from_utf8_lossy(&out));
    ExitCode::SUCCESS
}

/// Prints the manual page.
pub fn manual() -> ExitCode {
    let mut out = Vec::new();
    match clap_mangen::Man::new(Arguments::command()).render(&mut out) {
        Ok(()) => {
            print(&String::from_utf8_lossy(&out));
            ExitCode::SUCCESS
        }
        Err(error) => fail(exit::FAILURE, &error.to_string()),
    }
}
