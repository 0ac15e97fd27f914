//! `trunkline config live`.

use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;

use crate::cli::exit;
use crate::cli::words::print;
use crate::http::api::shape::Configuration;

use super::client::{Client, Remote};
use super::run::in_runtime;

/// Prints what is in force in the running gateway. `before` is the configuration file that was named before.
pub fn live(remote: Remote, before: Option<PathBuf>) -> ExitCode {
    in_runtime(async move {
        let client = Client::find(&remote, before)?;
        if remote.json {
            print(&format!("{}\n", client.text(Method::GET, "/config").await?));
            return Ok(exit::OK);
        }
        print(&told(&client.get("/config").await?));
        Ok(exit::OK)
    })
}

fn told(configuration: &Configuration) -> String {
    let mut text = format!("# {}\n", configuration.origin);
    for setting in &configuration.settings {
        text.push_str(&format!("{} = {}  # {}\n", setting.key, setting.value, setting.origin));
    }
    text
}
