//! `trunkline key`: making, listing and revoking API keys.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use crate::app::keys::{self, NewKey};
use crate::config::{self, Config};
use crate::guard::spoken_of;
use crate::http::api::shape::Key as Shown;
use crate::store::StoredKey;

use super::exit;
use super::words::{fail, print, say};

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make an API key and print it. It is shown this once; only its hash is kept.
    New {
        /// Whose key it is. Log, limits and policy know its holder as key:NAME.
        name: String,
        /// After how long it is void, such as 90d; without this, never.
        #[arg(long, value_name = "TIME", value_parser = expiry)]
        expires: Option<Duration>,
        /// What it is good for; may be given several times. `admin` lets it administer the gateway.
        #[arg(long, value_name = "SCOPE", value_parser = scope)]
        scope: Vec<String>,
        /// Make another key for a NAME that has one, so that its holder can change over without a gap.
        #[arg(long)]
        another: bool,
        #[command(flatten)]
        place: Place,
    },
    /// List the keys; of each one only its beginning is known.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Revoke all keys of a name, or the one that begins with what `key list` shows. A running gateway refuses them within
    /// a second.
    Revoke {
        /// The name, or the beginning of one key.
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Which gateway's keys.
#[derive(Debug, Args)]
pub struct Place {
    /// The configuration file, which says where the gateway keeps its files; looked for as `serve` does.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the gateway's own files (gateway.data_dir).
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

fn expiry(text: &str) -> Result<Duration, String> {
    let length =
        config::parse_duration(text).map_err(|why| format!("{why}; write for instance 90d or 12h"))?;
    if length.is_zero() { Err("a key that has expired is of no use".to_owned()) } else { Ok(length) }
}

fn scope(text: &str) -> Result<String, String> {
    let legal = config::is_scope(text);
    legal.then(|| text.to_owned()).ok_or_else(|| "a scope is one word of visible characters".to_owned())
}

/// Runs the command. `before` is what stood before it.
pub fn run(command: Key, before: super::arguments::Serve) -> ExitCode {
    let place = match &command {
        Key::New { place, .. } | Key::List { place, .. } | Key::Revoke { place, .. } => place,
    };
    let file = place.config.clone().or(before.config);
    let folder = place.data_dir.clone().or(before.data_dir);
    let config = match super::load::configuration(file, folder, None) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match act(command, &config) {
        Ok(code) => code,
        Err(error) => fail(exit::FAILURE, &error),
    }
}

fn act(command: Key, config: &Config) -> Result<ExitCode, String> {
    let folder = &config.gateway.data_dir;
    match command {
        Key::New { name, expires, scope, another, .. } => {
            let wanted = NewKey { name, scopes: scope, life: expires, another };
            let minted = keys::new(folder, wanted).map_err(|error| error.to_string())?;
            say("This key is shown once; keep it as you keep a password:\n");
            print(&format!("{}\n", minted.key.expose()));
        }
        Key::List { json, .. } => {
            let keys = keys::list(folder).map_err(|error| error.to_string())?;
            let now = SystemTime::now();
            print(&if json { as_json(&keys, now) } else { as_table(&keys, now) });
        }
        Key::Revoke { name, .. } => {
            let name = spoken_of(&name);
            match keys::revoke(folder, name).map_err(|error| error.to_string())? {
                0 => {
                    return Err(format!(
                        "there is no key in force that is called or shown as '{name}'; see `trunkline key list`"
                    ));
                }
                1 => say("1 key revoked\n"),
                many => say(&format!("{many} keys revoked\n")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_table(keys: &[StoredKey], now: SystemTime) -> String {
    if keys.is_empty() {
        return "There is no key yet; make one with `trunkline key new NAME`.\n".to_owned();
    }
    let mut rows = vec![["NAME", "KEY", "SCOPES", "MADE", "EXPIRES", "STATE"].map(str::to_owned)];
    for key in keys {
        let scopes = if key.scopes.is_empty() { "-".to_owned() } else { key.scopes.join(" ") };
        let expires = key.expires_at.map_or("never".to_owned(), |end| relative(end, now));
        let state = Shown::of(key, now).state.replace('_', " ");
        rows.push([
            key.name.clone(),
            format!("{}…", key.hint),
            scopes,
            relative(key.created_at, now),
            expires,
            state,
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn as_json(keys: &[StoredKey], now: SystemTime) -> String {
    // Texts and numbers can always be written.
    let line = |key: &StoredKey| serde_json::to_string(&Shown::of(key, now)).unwrap_or_default() + "\n";
    keys.iter().map(line).collect()
}

/// A time as people say it, in its largest unit.
fn relative(time: SystemTime, now: SystemTime) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let (distance, future) = match time.duration_since(now) {
        Ok(ahead) => (ahead, true),
        Err(error) => (error.duration(), false),
    };
    let seconds = distance.as_secs();
    let (unit, length) = UNITS.into_iter().find(|(_, length)| seconds >= *length).unwrap_or(("s", 1));
    let text = format!("{}{unit}", (seconds + length / 2) / length);
    match (future, seconds) {
        (_, 0) => "now".to_owned(),
        (true, _) => format!("in {text}"),
        (false, _) => format!("{text} ago"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn times_are_told_from_here() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds, text) in [(0, "now"), (59, "59s"), (60, "1m"), (7_200, "2h"), (200_000, "2d")] {
            let step = Duration::from_secs(seconds);
            let expected = if seconds == 0 {
                ("now".to_owned(), "now".to_owned())
            } else {
                (format!("in {text}"), format!("{text} ago"))
            };
            assert_eq!((relative(now + step, now), relative(now - step, now)), expected);
        }
    }
}
