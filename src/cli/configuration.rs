//! `check` and `config`: what the configuration says, without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::{self, Loaded, Origin, Setting, Sources, Transport};

use super::admin::{self, Remote};
use super::exit;
use super::words::{fail, print, say};

/// Where a command finds the configuration.
#[derive(Debug, Default, Args)]
pub struct Check {
    /// The configuration file; otherwise the one that the gateway would take.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print every setting in force as TOML, credentials hidden.
    Show {
        #[command(flatten)]
        from: Check,
        /// Say behind each setting where it came from.
        #[arg(long)]
        origin: bool,
    },
    /// Print what is in force in the running gateway, credentials hidden.
    Live {
        #[command(flatten)]
        remote: Remote,
    },
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Print the reference of all keys, in Markdown.
    Reference,
}

/// Checks the configuration, and says what is wrong or what was found.
pub fn check(arguments: Check, before: Option<PathBuf>) -> ExitCode {
    match load(arguments.config.or(before)) {
        Ok(loaded) => {
            print(&summary(&loaded));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Runs one of the `config` commands.
pub fn config(command: Config, before: Option<PathBuf>) -> ExitCode {
    match command {
        Config::Show { from, origin } => match load(from.config.or(before)) {
            Ok(loaded) => print(&shown(&loaded.settings, origin)),
            Err(code) => return code,
        },
        Config::Live { remote } => return admin::live(remote, before),
        Config::Schema => print(&config::schema()),
        Config::Reference => print(&config::reference()),
    }
    ExitCode::SUCCESS
}

fn load(file: Option<PathBuf>) -> Result<Loaded, ExitCode> {
    let sources = Sources::of_process(file, Vec::new())
        .map_err(|error| fail(exit::FAILURE, &format!("cannot find out where this program is: {error}")))?;
    config::load(sources).map_err(|faults| {
        say(&faults.to_string());
        ExitCode::from(exit::CONFIGURATION)
    })
}

fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut text = format!("the configuration is right: {}\n", config.origin);
    if let Origin::File(file) = &config.origin {
        // The last path is the folder of the drop-ins.
        let drop_ins = loaded.paths.iter().filter(|path| *path != file);
        let drop_ins: Vec<_> = drop_ins.take(loaded.paths.len().saturating_sub(2)).collect();
        text += &drop_ins.iter().map(|path| format!("  and {}\n", path.display())).collect::<String>();
    }
    let set = loaded.settings.iter().filter(|setting| is_set(setting)).count();
    text += &format!("  {set} settings, the others as by default\n");
    text += &format!("  listens on {}\n", config.gateway.listen);
    for server in &config.servers {
        let what = match &server.transport {
            Transport::Stdio { command, .. } => format!("starts {command}"),
            Transport::Http { url, .. } => format!("connects to {url}"),
        };
        let state = if server.enabled { "" } else { " (not enabled)" };
        text += &format!("  server {}: {what}{state}\n", server.name);
    }
    text
}

fn is_set(setting: &Setting) -> bool {
    setting.origin != "default" && !setting.origin.starts_with("computed")
}

/// The settings as TOML, those of one table together.
fn shown(settings: &[Setting], origin: bool) -> String {
    let lines = settings.iter().map(|setting| {
        let line = format!("{} = {}", setting.key, setting.value);
        if origin { format!("{line}  # {}\n", setting.origin) } else { format!("{line}\n") }
    });
    lines.collect()
}
