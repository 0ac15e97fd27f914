//! Setting up the log: what is let through, in which form, and where it goes.

use std::fmt;
use std::io::{self, IsTerminal as _};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::writer::{self, LogGuard};

/// The variable that overrides the configured filter.
const OVERRIDE: &str = "TRUNKLINE_LOG";
/// The configuration key that an error names.
const KEY: &str = "log.filter";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the operator wants of the log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Directives such as `info` or `warn,trunkline::store=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: Format,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter makes no sense.
    #[error(
        "{place} is {value:?}, which is no log filter: {source}. Write a level (error, warn, info, debug, trace), \
         or such as \"info,trunkline::store=debug\""
    )]
    Filter {
        /// The key or variable that it came from.
        place: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The thread that writes the log could not be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[source] io::Error),
    /// The log has ended.
    #[error("the log's filter cannot be changed: {0}")]
    Gone(#[source] reload::Error),
    /// A log is set up already.
    #[error("a log is already set up in this process: {0}")]
    Taken(#[source] TryInitError),
}

/// Starts the log of the process, on stderr. The guard is to be held until the end; the filter can be changed.
///
/// `TRUNKLINE_LOG` in the environment goes before `options.filter`. Text is coloured on a terminal (not when
/// `NO_COLOR` is set). Under systemd each line begins with its priority, as journald expects it, and carries no
/// time, as journald adds its own.
///
/// # Errors
/// If the filter cannot be read, or a log is set up already.
pub fn init(options: &LogOptions) -> Result<(LogGuard, LogFilter), LoggingError> {
    let overriding = std::env::var(OVERRIDE).ok().filter(|value| !value.is_empty());
    let filter = filter(overriding.as_deref(), &options.filter)?;
    let journal = std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = !journal && !no_color && io::stderr().is_terminal();
    let (lines, guard) = writer::start(io::stderr()).map_err(LoggingError::Thread)?;

    let (filter, handle) = reload::Layer::new(filter);
    let told = LogFilter { handle, overridden: overriding.is_some() };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(ansi);
    match (options.format, journal) {
        (Format::Text, false) => registry.with(layer).try_init(),
        (Format::Text, true) => {
            registry.with(layer.event_format(Prioritised(format::format().without_time()))).try_init()
        }
        (Format::Json, false) => registry.with(layer.json()).try_init(),
        (Format::Json, true) => {
            let layer = layer.json();
            registry.with(layer.map_event_format(Prioritised)).try_init()
        }
    }
    .map_err(LoggingError::Taken)?;
    Ok((guard, told))
}

/// The filter of the running log, which can be changed.
#[derive(Debug)]
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    overridden: bool,
}

impl LogFilter {
    /// Takes another filter, from the next line on. `TRUNKLINE_LOG` goes before it.
    pub fn set(&self, configured: &str) -> Result<(), LoggingError> {
        if self.overridden {
            return Ok(());
        }
        let filter = filter(None, configured)?;
        self.handle.reload(filter).map_err(LoggingError::Gone)
    }
}

fn filter(overriding: Option<&str>, configured: &str) -> Result<EnvFilter, LoggingError> {
    let (place, value) = overriding.map_or((KEY, configured), |value| (OVERRIDE, value));
    EnvFilter::builder().parse(value).map_err(|source| LoggingError::Filter {
        place,
        value: value.to_owned(),
        source,
    })
}

/// Whether `JOURNAL_STREAM` (`device:inode`) names our own stderr. It is inherited, so a process whose stderr
/// was redirected since must compare (systemd.exec(5)).
#[cfg(unix)]
fn is_stderr(stream: &str) -> bool {
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(not(unix))]
fn is_stderr(_: &str) -> bool {
    false
}

/// Puts `<priority>` before each line (sd-daemon(3)). Lines inside a message get it too: otherwise a text with
/// a line break could give its second line any priority, or hide it.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(ctx, Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        text.lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
    }
}

/// syslog(3): 3 is an error, 4 a warning, 6 information, 7 for debugging.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "clippy knows tests by `cfg(test)` alone")]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt as _;
    use std::process::{Command, Stdio};

    /// Tells the test binary, started again, which format to log in.
    const OTHER_PROCESS: &str = "TRUNKLINE_LOGGING_TEST_FORMAT";

    /// Runs as the other process: sets up the log from the environment and writes a few lines.
    #[test]
    fn other_process() {
        let Ok(format) = std::env::var(OTHER_PROCESS) else { return };
        let format = if format == "json" { Format::Json } else { Format::Text };
        let _log = init(&LogOptions { filter: "warn".to_owned(), format }).unwrap();
        tracing::error!(server = "files", "first line\n<0>second line");
        tracing::info!("quiet by configuration");
    }

    /// What the other process wrote to its stderr, and its whole stdout.
    fn logged(format: &str, environment: &[(&str, &str)], under_journal: bool) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stderr");
        let stderr = File::create(&path).unwrap();
        let metadata = stderr.metadata().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = format!("{}::other_process", module_path!().split_once("::").unwrap().1);
        command.args([&test, "--exact", "--nocapture", "--test-threads=1"]).env(OTHER_PROCESS, format);
        command.env_remove(OVERRIDE).env_remove("JOURNAL_STREAM").envs(environment.iter().copied());
        if under_journal {
            command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        }
        let output = command.stdin(Stdio::null()).stderr(stderr).output().unwrap();
        assert!(output.status.success());
        (fs::read_to_string(path).unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn text_goes_to_stderr_plain_when_that_is_no_terminal_and_never_to_stdout() {
        let (stderr, stdout) = logged("text", &[], false);
        assert!(
            stderr.contains("ERROR") && stderr.contains("first line") && stderr.contains("server=\"files\"")
        );
        assert!(!stderr.contains('\u{1b}') && !stderr.contains("quiet"), "{stderr}");
        assert!(!stdout.contains("first line"), "{stdout}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let (stderr, _) = logged("json", &[], false);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let line: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["fields"]["server"], "files");
        assert_eq!(line["fields"]["message"], "first line\n<0>second line");
    }

    #[test]
    fn the_environment_goes_before_the_configuration() {
        let (stderr, _) = logged("text", &[(OVERRIDE, "info")], false);
        assert!(stderr.contains("quiet by configuration"), "{stderr}");
        let (stderr, _) = logged("text", &[(OVERRIDE, "off")], false);
        assert_eq!(stderr, "");
    }

    #[test]
    fn under_systemd_every_line_has_its_own_priority_and_none_that_a_message_chose() {
        let (stderr, _) = logged("text", &[(OVERRIDE, "info")], true);
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(lines[0].starts_with("<3>ERROR"), "{stderr}");
        assert!(lines[1].starts_with("<3>"), "{stderr}");
        assert!(lines[2].starts_with("<6> INFO") || lines[2].starts_with("<6>INFO"), "{stderr}");
        let (stderr, _) = logged("json", &[], true);
        let json = stderr.strip_prefix("<3>").expect("JSON lines carry the priority too");
        serde_json::from_str::<serde_json::Value>(json).unwrap();
    }

    #[test]
    fn an_inherited_journal_stream_that_is_not_our_stderr_is_ignored() {
        let (stderr, _) = logged("text", &[("JOURNAL_STREAM", "1:2")], false);
        assert!(!stderr.starts_with('<'), "{stderr}");
    }

    #[test]
    fn a_bad_filter_is_named_with_its_place_and_a_cure() {
        let error = filter(None, "info,trunkline=loud").unwrap_err().to_string();
        assert!(
            error.contains(KEY) && error.contains("info,trunkline=loud") && error.contains("debug"),
            "{error}"
        );
        let error = filter(Some("=,="), "info").unwrap_err().to_string();
        assert!(error.contains(OVERRIDE), "{error}");
        assert!(filter(Some("debug"), "=,=").is_ok());
    }
}
