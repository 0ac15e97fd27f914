//! `import`, `connect` and `doctor`.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::app;
use crate::config::{self, Sources};
use crate::onboard::{self, Client, Connected, Doctor, Endpoint, Finding, Gravity, Platform};
use crate::supervisor::Surroundings;

use super::exit;
use super::words::{fail, print, say};

/// Only the owner may read and write.
const PRIVATE: u32 = 0o600;
/// A file like any other; what the user's mask leaves of it.
const PUBLIC: u32 = 0o666;

/// `trunkline import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Files of other programs: claude_desktop_config.json, .mcp.json, mcp.json, settings.json, config.toml, …
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Take the file of this client, where it is on this system.
    #[arg(long, value_name = "CLIENT")]
    pub from: Vec<Client>,
    /// Write the entries to this file, which must not be there yet, and not to standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the credentials that were found to this file, as NAME="value" lines, for your eyes only.
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
}

/// `trunkline connect`.
#[derive(Debug, Args)]
pub struct Connect {
    /// claude-desktop, claude-code, cursor, vscode, windsurf, raycast, zed, codex or gemini.
    #[arg(value_name = "CLIENT")]
    pub client: Client,
    /// Put it into the client's own file; what was there before stays, and a backup is kept.
    #[arg(long)]
    pub write: bool,
    /// The MCP endpoint. Otherwise: where the configuration listens.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// One server's own endpoint, and not all of them together.
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub server: Option<String>,
    /// What the client shall call the gateway.
    #[arg(long, value_name = "NAME", default_value = "trunkline")]
    pub name: String,
    /// The environment variable in which the client finds its credential, as far as it can refer to one.
    #[arg(long, value_name = "VARIABLE")]
    pub token_env: Option<String>,
    /// The file that holds the client's credential; the client then starts `trunkline stdio`, which reads it.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    pub token_file: Option<PathBuf>,
    /// The configuration file, as for `serve`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `trunkline doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The configuration file, as for `serve`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Do not start the servers.
    #[arg(long)]
    pub no_start: bool,
    /// One JSON object a finding and line.
    #[arg(long)]
    pub json: bool,
}

/// Takes over servers from other programs' files.
pub fn import(arguments: Import) -> ExitCode {
    let platform = platform();
    let mut paths = arguments.files;
    for client in arguments.from {
        match client.file(&platform) {
            Some(path) => paths.push(path),
            None => {
                return fail(
                    exit::FAILURE,
                    &format!("{client} keeps its servers out of reach; export them to a file"),
                );
            }
        }
    }
    if paths.is_empty() {
        return fail(exit::USAGE, "name a file, or a client with --from");
    }
    let mut files = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => files.push((path, text)),
            Err(error) => return fail(exit::FAILURE, &format!("{} cannot be read: {error}", path.display())),
        }
    }
    let imported = onboard::import(&files);
    for (place, why) in &imported.refused {
        say(&format!("left out: {place}: {why}"));
    }
    if imported.servers == 0 {
        return fail(exit::FAILURE, "there is no server to take over");
    }
    if let Some(path) = &arguments.secrets
        && let Err(error) = write_new(path, &imported.variables, PRIVATE)
    {
        return fail(exit::FAILURE, &error);
    }
    match &arguments.output {
        Some(path) => match write_new(path, &imported.text, PUBLIC) {
            Ok(()) => say(&format!("{} servers are in {}", imported.servers, path.display())),
            Err(error) => return fail(exit::FAILURE, &error),
        },
        None => print(&imported.text),
    }
    if !imported.names.is_empty() {
        let names = imported.names.join(", ");
        match &arguments.secrets {
            Some(path) => say(&format!(
                "the credentials {names} are in {}; have the gateway's environment read it",
                path.display()
            )),
            None => say(&format!(
                "set these variables for the gateway: {names} (or have --secrets FILE write them to a file)"
            )),
        }
    }
    if imported.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::WARNINGS) }
}

/// Points a client at the gateway.
pub fn connect(mut arguments: Connect, config: Option<PathBuf>) -> ExitCode {
    arguments.config = arguments.config.or(config);
    let client = arguments.client;
    let url = match url_of(&arguments) {
        Ok(url) => url,
        Err(code) => return code,
    };
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => return fail(exit::FAILURE, &format!("cannot find out where this program is: {error}")),
    };
    let endpoint = Endpoint {
        url,
        name: arguments.name,
        exe,
        token_env: arguments.token_env,
        token_file: arguments.token_file,
    };
    let file = client.file(&platform());
    let before = match file.as_deref().map(fs::read_to_string) {
        Some(Ok(text)) => Some(text),
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            let file = file.unwrap_or_default();
            return fail(exit::FAILURE, &format!("{} cannot be read: {error}", file.display()));
        }
        _ => None,
    };
    let connected = match onboard::connect(client, &endpoint, before.as_deref()) {
        Ok(connected) => connected,
        Err(refused) => {
            let place = file.map(|file| file.display().to_string()).unwrap_or_default();
            return fail(exit::FAILURE, &format!("{place} is left as it is: {refused}"));
        }
    };
    match (arguments.write, file) {
        (true, Some(file)) => put(client, &file, before.as_deref(), &connected),
        (true, None) => {
            print(&connected.snippet);
            fail(exit::FAILURE, &format!("{client} has no file to write to; {}", client.afterwards()))
        }
        (false, file) => {
            print(&connected.snippet);
            let place =
                file.map(|file| format!("this goes into {}; --write puts it there. Then ", file.display()));
            say(&format!("{}{}", place.unwrap_or_default(), client.afterwards()));
            ExitCode::SUCCESS
        }
    }
}

fn url_of(arguments: &Connect) -> Result<String, ExitCode> {
    if let Some(url) = &arguments.url {
        return Ok(url.clone());
    }
    let loaded = load(arguments.config.clone())?;
    let base = app::base_of(&loaded.gateway, loaded.gateway.listen);
    let server = arguments.server.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    if let Some(name) = &arguments.server
        && !loaded.servers.iter().any(|server| server.name.as_str() == name)
    {
        let known: Vec<&str> = loaded.servers.iter().map(|server| server.name.as_str()).collect();
        return Err(fail(
            exit::FAILURE,
            &format!("there is no server `{name}`; there are {}", known.join(", ")),
        ));
    }
    Ok(format!("{base}/mcp{server}"))
}

fn load(file: Option<PathBuf>) -> Result<config::Config, ExitCode> {
    let sources = Sources::of_process(file, Vec::new())
        .map_err(|error| fail(exit::FAILURE, &format!("cannot find out where this program is: {error}")))?;
    config::load(sources).map(|loaded| loaded.config).map_err(|faults| {
        say(&faults.to_string());
        ExitCode::from(exit::CONFIGURATION)
    })
}

fn put(client: Client, file: &Path, before: Option<&str>, connected: &Connected) -> ExitCode {
    if connected.unchanged {
        say(&format!("{} says so already", file.display()));
        return ExitCode::SUCCESS;
    }
    let mut kept = String::new();
    if let Some(before) = before {
        let backup = onboard::backup_of(file);
        // The first backup is the one without us; it stays.
        match write_new(&backup, before, PRIVATE) {
            Ok(()) => kept = format!("; as it was, it is in {}", backup.display()),
            Err(_) if backup.exists() => {
                kept = format!("; as it was at first, it is in {}", backup.display())
            }
            Err(error) => return fail(exit::FAILURE, &format!("nothing was changed: {error}")),
        }
    }
    if let Err(error) = replace(file, &connected.text) {
        return fail(exit::FAILURE, &format!("{} was not changed: {error}", file.display()));
    }
    say(&format!(
        "{} now points {client} at the gateway{kept}. Then {}",
        file.display(),
        client.afterwards()
    ));
    ExitCode::SUCCESS
}

/// Puts a whole new file in the place of the old, with its permissions: nobody ever sees half of it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    // What a link points to is the file; the link stays.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    let written = (|| {
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        if let Ok(metadata) = fs::metadata(&file) {
            fs::set_permissions(&new, metadata.permissions())?;
        }
        fs::rename(&new, &file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(format!("{} is there already; name another file, or remove it", path.display()))
        }
        Err(error) => Err(format!("{} cannot be written: {error}", path.display())),
    }
}

/// Looks for whatever keeps the gateway from serving.
pub fn doctor(arguments: DoctorArguments, config: Option<PathBuf>) -> ExitCode {
    let prepared = Sources::of_process(arguments.config.or(config), Vec::new()).and_then(|sources| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok((sources, Surroundings::of_process()?, runtime))
    });
    let (sources, surroundings, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return fail(exit::FAILURE, &error.to_string()),
    };
    let doctor = Doctor { sources, surroundings, start_servers: !arguments.no_start };
    let mut found = Vec::new();
    runtime.block_on(onboard::examine(doctor, |finding| {
        print(&format!("{}\n", if arguments.json { as_json(&finding) } else { finding.to_string() }));
        found.push((finding.gravity, finding.about == "configuration"));
    }));
    let count = |gravity| found.iter().filter(|(found, _)| *found == gravity).count();
    let (faults, warnings) = (count(Gravity::Fault), count(Gravity::Warning));
    if !arguments.json {
        print(&match (faults, warnings) {
            (0, 0) => "everything is well\n".to_owned(),
            (faults, warnings) => format!("errors: {faults}, warnings: {warnings}\n"),
        });
    }
    match (faults, warnings) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(exit::WARNINGS),
        _ if found.contains(&(Gravity::Fault, true)) => ExitCode::from(exit::CONFIGURATION),
        _ => ExitCode::from(exit::FAILURE),
    }
}

fn as_json(finding: &Finding) -> String {
    let help = (!finding.cure.is_empty()).then_some(&finding.cure);
    serde_json::json!({
        "gravity": finding.gravity.word(), "about": finding.about, "what": finding.what, "help": help,
    })
    .to_string()
}

fn platform() -> Platform {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    Platform {
        config: config.unwrap_or_else(|| home.join(".config")),
        home,
        macos: cfg!(target_os = "macos"),
    }
}
