//! `trunkline activity`: what happened, for people and for scripts.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use crate::activity::{ActivityLog, By, Cursor, Filter, ReadError, Reader, Record, Stat, erase};
use crate::base::utc;
use crate::config::{self, Flag, Sources, parse_duration};

use super::arguments::Serve;
use super::exit;
use super::verify::Verify;
use super::words::{fail, json_line, say};

/// Shows what the gateway was asked and how it went: one line a call, the newest last. Works beside a running gateway and
/// without one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Activity {
    #[command(subcommand)]
    order: Option<Order>,
    /// The configuration file, which says where the log is.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder for the gateway's own files (gateway.data_dir).
    #[arg(long, value_name = "FOLDER", global = true)]
    data_dir: Option<PathBuf>,
    /// Calls of the last while ("1h", "30m") or since a time ("2026-07-28T09:30:00Z", "2026-07-28"; UTC).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Calls before a time, given in the same ways.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Calls of clients of this name.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Calls for this server.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Calls of this tool, prompt or URI, by the server's own name for it.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Calls of this principal.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Calls of this method.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Calls of this session, by the hash that --json shows.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    session: Option<u64>,
    /// Calls of this trace.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only calls that ended with an error.
    #[arg(long)]
    errors: bool,
    /// Only calls that took this long or longer ("1s", "250ms").
    #[arg(long, value_name = "TIME", value_parser = length)]
    slow: Option<Duration>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// However many there are, the oldest first: for an export, with --json.
    #[arg(long, conflicts_with_all = ["limit", "follow", "stats"])]
    all: bool,
    /// Erases every row of --principal, in place of showing any. There is no way back.
    #[arg(long, requires = "principal", conflicts_with_all = [
        "since", "until", "client", "server", "tool", "method", "session", "trace", "errors", "slow", "limit", "all",
        "follow", "stats", "json",
    ])]
    erase: bool,
    /// Go on showing calls as they end.
    #[arg(long, short, conflicts_with = "stats")]
    follow: bool,
    /// Counts, error shares and times, by server, tool, client, principal or method, instead of calls.
    #[arg(long, value_name = "BY", value_parser = By::parse_word, conflicts_with_all = ["session", "trace", "slow"])]
    stats: Option<By>,
    /// One JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

/// What else can be done with the log.
#[derive(Debug, Subcommand)]
enum Order {
    Verify(Verify),
}

/// How often a follower looks for more: what a person takes for at once.
const LOOK: Duration = Duration::from_millis(250);
/// Rows that a follower takes at a time.
const FOLLOWED: usize = 1_000;

/// Where the log is, and the exit code of a command that does well with it.
fn locate(arguments: &Activity, before: Serve) -> Result<(PathBuf, u8), ExitCode> {
    let mut flags = Vec::new();
    if let Some(folder) = arguments.data_dir.as_ref().or(before.data_dir.as_ref()) {
        flags.push(Flag::new("--data-dir", "gateway.data_dir", folder.to_string_lossy()));
    }
    let sources = match Sources::of_process(arguments.config.clone().or(before.config), flags) {
        Ok(sources) => sources,
        Err(error) => {
            return Err(fail(exit::FAILURE, &format!("cannot find out where this program is: {error}")));
        }
    };
    let own = match config::own_files(&sources) {
        Ok(own) => own,
        Err(faults) => {
            say(&faults.to_string());
            return Err(ExitCode::from(exit::CONFIGURATION));
        }
    };
    // What the log says is worth having when the configuration has gone wrong, and more than ever then.
    let mut done = exit::OK;
    if let Some(faults) = &own.faults {
        if arguments.erase && sources.flags.is_empty() {
            say(&faults.to_string());
            let text = "nothing is erased while the configuration has faults, unless --data-dir says where the log is";
            return Err(fail(exit::CONFIGURATION, text));
        }
        say(&format!("{}; the log of {} is read", faults.as_warnings(), own.data_dir.display()));
        done = exit::WARNINGS;
    }
    Ok((ActivityLog::file_in(&own.data_dir), done))
}

/// Runs the command; `before` are the arguments that stood before it.
pub fn run(arguments: &Activity, before: Serve) -> ExitCode {
    let (file, done) = match locate(arguments, before) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILURE, &error.to_string()),
    };
    if let Some(Order::Verify(order)) = &arguments.order {
        return runtime.block_on(order.run(&file, arguments.json, done));
    }
    if let (true, Some(principal)) = (arguments.erase, &arguments.principal) {
        return match runtime.block_on(erase(&file, principal)) {
            Ok(rows) => {
                say(&format!("{rows} rows of {} erased", printable(principal)));
                ExitCode::from(done)
            }
            Err(error) => fail(exit::FAILURE, &error.to_string()),
        };
    }
    let shown = runtime.block_on(async {
        let mut reader = Reader::open(&file).await?;
        let shown = show(&mut reader, arguments).await;
        reader.close().await;
        shown
    });
    match shown {
        Ok(()) => ExitCode::from(done),
        // Whoever reads us has seen enough: `| head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(done),
        Err(Failure::Output(error)) => fail(exit::FAILURE, &format!("cannot write: {error}")),
        Err(Failure::Read(error)) => fail(exit::FAILURE, &error.to_string()),
    }
}

enum Failure {
    Read(ReadError),
    Output(io::Error),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        Failure::Read(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

async fn show(reader: &mut Reader, arguments: &Activity) -> Result<(), Failure> {
    let filter = Filter {
        since: arguments.since,
        until: arguments.until,
        principal: arguments.principal.clone(),
        client: arguments.client.clone(),
        server: arguments.server.clone(),
        tool: arguments.tool.clone(),
        method: arguments.method.clone(),
        session: arguments.session,
        trace: arguments.trace.clone(),
        errors: arguments.errors,
        slow: arguments.slow,
    };
    let mut out = Out { json: arguments.json, wide: io::stdout().is_terminal() };
    if let Some(by) = arguments.stats {
        let stats = reader.stats(&filter, by).await?;
        return Ok(out.stats(&stats)?);
    }
    if arguments.all {
        out.head()?;
        return rest(reader, &filter, Cursor::START, &mut out).await.map(drop);
    }
    let mut at = reader.newest().await?;
    let mut records = reader.page(&filter, arguments.limit, Some(at.next())).await?.records;
    records.reverse();
    out.head()?;
    out.records(&records)?;
    if !arguments.follow {
        return Ok(());
    }
    loop {
        let newest = reader.newest().await?;
        // What came while we read is looked at next time.
        at = rest(reader, &filter, at, &mut out).await?.max(newest);
        tokio::time::sleep(LOOK).await;
    }
}

/// Shows everything after a cursor; answers where the last of it stands.
async fn rest(
    reader: &mut Reader,
    filter: &Filter,
    mut at: Cursor,
    out: &mut Out,
) -> Result<Cursor, Failure> {
    loop {
        let page = reader.after(filter, FOLLOWED, at).await?;
        out.records(&page.records)?;
        at = page.records.last().map_or(at, Record::cursor);
        if page.next.is_none() {
            return Ok(at);
        }
    }
}

/// Standard output in one of its two forms.
struct Out {
    json: bool,
    wide: bool,
}

impl Out {
    fn head(&mut self) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.line(&format!(
            "{:<23}  {:<14}  {:<12}  {:<34}  {:>9}  {}",
            "TIME (UTC)", "PRINCIPAL", "CLIENT", "CALL", "TOOK", "OUTCOME"
        ))
    }

    fn records(&mut self, records: &[Record]) -> io::Result<()> {
        for record in records {
            let line = if self.json { json_line(record)? } else { self.row(record) };
            self.line(&line)?;
        }
        Ok(())
    }

    fn row(&self, record: &Record) -> String {
        let time = record.time.get(..23).unwrap_or(&record.time).replace('T', " ");
        if record.kind == "gap" {
            let lost = record
                .lost
                .map_or("calls are missing".to_owned(), |lost| format!("{lost} calls are missing"));
            return format!("{time}  -- {lost}: {}", record.name.as_deref().unwrap_or_default());
        }
        let server = record.server.as_deref().unwrap_or("-");
        let call = match record.name.as_deref() {
            Some(name) => format!("{server} {name}"),
            None => format!("{server} {}", record.method.as_deref().unwrap_or_default()),
        };
        let mut outcome = printable(&record.outcome);
        if let Some(code) = record.code {
            outcome += &format!(" {code}");
        }
        if let Some(by) = &record.cancelled_by {
            outcome += &format!(" ({by})");
        }
        if record.cache.as_deref() == Some("hit") {
            outcome += " (from memory)";
        }
        if record.enhanced.as_deref() == Some("yes") {
            outcome += " (enhanced)";
        }
        format!(
            "{time}  {}  {}  {}  {:>9}  {outcome}",
            self.cell(record.principal.as_deref().unwrap_or_default(), 14),
            self.cell(record.client.as_deref().unwrap_or("-"), 12),
            self.cell(&call, 34),
            took(record.total_us),
        )
    }

    fn stats(&mut self, stats: &[Stat]) -> io::Result<()> {
        if self.json {
            return stats.iter().try_for_each(|stat| {
                let line = json_line(stat)?;
                self.line(&line)
            });
        }
        let head = format!(
            "{:<34}  {:>9}  {:>7}  {:>9}  {:>9}  {:>9}",
            "GROUP", "CALLS", "ERRORS", "P50", "P95", "P99"
        );
        self.line(&head)?;
        for stat in stats {
            let times = [stat.p50_us, stat.p95_us, stat.p99_us].map(|time| took(time.cast_signed()));
            let key = if stat.key.is_empty() { "-" } else { &stat.key };
            let line = format!(
                "{}  {:>9}  {:>6.1}%  {:>9}  {:>9}  {:>9}",
                self.cell(key, 34),
                stat.calls,
                stat.error_share * 100.0,
                times[0],
                times[1],
                times[2]
            );
            self.line(&line)?;
        }
        Ok(())
    }

    /// A text in a column: on a terminal cut to its width, elsewhere whole.
    fn cell(&self, text: &str, width: usize) -> String {
        let text = printable(text);
        match text.char_indices().nth(width) {
            Some((end, _)) if self.wide => {
                let kept = text.char_indices().nth(width - 1).map_or(end, |(at, _)| at);
                format!("{}…", text.get(..kept).unwrap_or_default())
            }
            _ => format!("{text:<width$}"),
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }
}

/// A client chooses names; it must not choose what a terminal does.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn took(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .map_err(|problem| format!("{problem}; write whole numbers with d, h, m, s or ms, such as \"1s\""))
}

fn moment(text: &str) -> Result<i64, String> {
    if let Some(time) = utc::parse_rfc3339(text) {
        return Ok(time);
    }
    match parse_duration(text) {
        Ok(ago) => Ok(utc::micros(SystemTime::now() - ago)),
        Err(_) => Err("write how long ago (\"1h\") or a time of UTC (\"2026-07-28T09:30:00Z\")".to_owned()),
    }
}

fn hash(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "a session's hash is 16 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_ways() {
        let hour = moment("1h").unwrap();
        assert!((utc::micros(SystemTime::now()) - hour).abs_diff(3_600_000_000) < 10_000_000);
        assert_eq!(moment("2026-07-28T09:30:00Z"), Ok(1_785_231_000_000_000));
        assert!(moment("yesterday").unwrap_err().contains("1h"));
        assert_eq!((length("250ms"), hash("00ff")), (Ok(Duration::from_millis(250)), Ok(255)));
    }

    #[test]
    fn a_name_cannot_move_the_cursor_of_a_terminal() {
        let out = Out { json: false, wide: true };
        assert_eq!(out.cell("\u{1b}[2Jx", 8), "\u{fffd}[2Jx   ");
        assert_eq!(out.cell("a very long name", 8), "a very …");
        assert_eq!(Out { json: false, wide: false }.cell("a very long name", 8), "a very long name");
    }

    #[test]
    fn lengths_are_said_in_the_unit_that_fits() {
        assert_eq!([took(999), took(1_000), took(2_500_000)], ["999 µs", "1.0 ms", "2.5 s"]);
    }
}
