//! API keys, by the program's own command.

use std::process::{Command, Output};

use super::Gateway;
use super::servers::PROGRAM;

/// Runs `trunkline key …` for a gateway's files.
pub fn key_command(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("key").args(arguments).arg("--config").arg(gateway.folder().join("gateway.toml"));
    command.arg("--data-dir").arg(gateway.folder().join("data"));
    command.output().expect("the command ran")
}

/// Makes a key for a gateway and returns it.
pub fn new_key(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = key_command(gateway, &[&["new"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
