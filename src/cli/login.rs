//! `login` and `logout`: a person lets the gateway act for them at a server.

use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use crate::app;
use crate::base::ServerName;
use crate::config::Server;
use crate::credentials::{Callback, Login, LoginOptions, Loopback, Record, Vault};

use super::arguments::Serve;
use super::exit;
use super::load;
use super::words::{fail, print, say};

/// `trunkline login`.
#[derive(Debug, Args)]
pub struct LoginArguments {
    /// The server's name in the configuration.
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// Open no browser; print the address only.
    #[arg(long)]
    pub no_browser: bool,
    /// The configuration file, as for `serve`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder for the gateway's own files (gateway.data_dir).
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// `trunkline logout`.
#[derive(Debug, Args)]
pub struct LogoutArguments {
    /// The server's name in the configuration.
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// The configuration file, as for `serve`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder for the gateway's own files (gateway.data_dir).
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// A person needs no longer than this for a page, a password and a second factor.
const PATIENCE: Duration = Duration::from_secs(600);

/// What opens a browser on this system.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Logs a person in to a server.
pub fn login(arguments: LoginArguments, before: Serve) -> ExitCode {
    let serve = Serve { config: arguments.config, listen: None, data_dir: arguments.data_dir };
    let place = match Place::find(&arguments.server, serve.over(before)) {
        Ok(place) => place,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILURE, &error.to_string()),
    };
    let outcome = runtime.block_on(log_in(&place, !arguments.no_browser));
    // A read of standard input that nobody ends must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(record) => {
            say(&done(&place.server.name, &record));
            ExitCode::SUCCESS
        }
        Err(why) => fail(exit::FAILURE, &why),
    }
}

/// Forgets a login.
pub fn logout(arguments: LogoutArguments, before: Serve) -> ExitCode {
    let serve = Serve { config: arguments.config, listen: None, data_dir: arguments.data_dir };
    let place = match Place::find(&arguments.server, serve.over(before)) {
        Ok(place) => place,
        Err(code) => return code,
    };
    let name = &place.server.name;
    match place.vault.remove(name) {
        Ok(true) => {
            say(&format!(
                "The login to '{name}' is forgotten; a running gateway forgets it within seconds. The authorization server is \
                 not told: what it gave out stays good there until it expires or is revoked."
            ));
            ExitCode::SUCCESS
        }
        Ok(false) => {
            say(&format!("There was no login to '{name}'."));
            ExitCode::SUCCESS
        }
        Err(error) => fail(exit::FAILURE, &error.to_string()),
    }
}

/// The server, and where its login is kept.
struct Place {
    server: Server,
    vault: Vault,
}

impl Place {
    fn find(name: &str, serve: Serve) -> Result<Place, ExitCode> {
        let config = load::configuration(serve.config, serve.data_dir, None)?;
        let Some(server) = config.servers.iter().find(|server| server.name.as_str() == name) else {
            let names: Vec<&str> = config.servers.iter().map(|server| server.name.as_str()).collect();
            let why =
                format!("there is no server '{name}' in {}; there are: {}", config.origin, names.join(", "));
            return Err(fail(exit::USAGE, &why));
        };
        let data_dir = &config.gateway.data_dir;
        let key = app::seal_key(data_dir).map_err(|failure| fail(exit::FAILURE, &failure.to_string()))?;
        // What another user writes here the gateway cannot read.
        let owner = std::fs::metadata(data_dir).map(|folder| folder.uid()).unwrap_or_default();
        if owner != rustix::process::geteuid().as_raw() {
            let why = format!(
                "{} belongs to another user (id {owner}), as whom the gateway runs; run this as that user, \
                 such as: sudo -u '#{owner}' trunkline login {name}",
                data_dir.display()
            );
            return Err(fail(exit::FAILURE, &why));
        }
        Ok(Place { server: server.clone(), vault: Vault::new(data_dir, key) })
    }
}

async fn log_in(place: &Place, browser: bool) -> Result<Record, String> {
    let name = &place.server.name;
    let port = place.server.oauth.as_ref().map_or(0, |oauth| oauth.redirect_port);
    let mut loopback = Loopback::bind(port)
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port} for the end of the login: {error}"))?;
    // One that does not open is replaced by this login.
    let before = place.vault.read(name).unwrap_or_default();
    let options = LoginOptions { server: &place.server, before, redirect_uri: loopback.redirect_uri() };
    let about = |why: String| format!("server '{name}' {why}");
    let login = Box::pin(Login::begin(options)).await.map_err(|trouble| about(trouble.to_string()))?;
    say(&format!(
        "Everybody who may use this gateway will act at '{name}' as the person who logs in now: the server sees one \
         identity for all of them. Log in at {}:",
        login.issuer()
    ));
    print(&format!("{}\n", login.url()));
    say(
        "The browser comes back to this machine. If yours is on another one, it ends on a page that cannot be reached: \
         paste the address of that page here.",
    );
    if browser {
        open(login.url());
    }
    let code = tokio::time::timeout(PATIENCE, code(&login, &mut loopback))
        .await
        .map_err(|_| format!("nobody has logged in within {PATIENCE:?}"))??;
    let record = Box::pin(login.finish(code)).await.map_err(|trouble| about(trouble.to_string()))?;
    place.vault.write(name, &record).map_err(|error| error.to_string())?;
    Ok(record)
}

/// Waits until somebody comes back with a code, by the browser or by the terminal.
async fn code(login: &Login, loopback: &mut Loopback) -> Result<String, String> {
    let mut pasted = lines();
    loop {
        let (query, visit) = tokio::select! {
            visit = loopback.visit() => (visit.query.clone(), Some(visit)),
            Some(line) = pasted.recv() => match line.split_once('?') {
                Some((_, query)) => (query.split('#').next().unwrap_or_default().trim().to_owned(), None),
                None => {
                    say("That is not the address of the last page; it has a `?` and a code in it.");
                    continue;
                }
            },
        };
        let callback = login.judge(&query);
        if let Some(visit) = visit {
            let text = match &callback {
                Callback::Code(_) => {
                    "The gateway is logged in when its terminal says so. This page can be closed."
                }
                Callback::Stranger => "This is no part of the login that is under way.",
                Callback::Refused(_) => {
                    "The login has failed; the terminal says why. This page can be closed."
                }
            };
            visit.tell(text).await;
        }
        match callback {
            Callback::Code(code) => return Ok(code),
            Callback::Stranger => say("Somebody came back who is no part of this login; waiting on."),
            Callback::Refused(why) => return Err(why),
        }
    }
}

/// The lines of standard input; none, when it ends or is closed.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Opens the page; without a browser the address that was printed has to do.
fn open(url: &str) {
    let opener = Command::new(OPENER)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if opener.is_err() {
        say(&format!("No browser could be opened ({OPENER}); open the address yourself."));
    }
}

fn done(name: &ServerName, record: &Record) -> String {
    let scopes = match record.scopes() {
        [] => String::new(),
        scopes => format!(", for {}", scopes.join(" ")),
    };
    let until = match (record.renews(), record.remaining()) {
        (true, _) => "The gateway renews it by itself.".to_owned(),
        (false, Some(seconds)) => {
            format!("It lasts {} minutes and cannot be renewed.", seconds.div_ceil(60))
        }
        (false, None) => "It lasts as long as the server takes it.".to_owned(),
    };
    format!(
        "Logged in to '{name}' by {}{scopes}. {until} A running gateway takes it up within seconds.",
        record.issuer()
    )
}
