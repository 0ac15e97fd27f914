//! What is printed: a table for people, or one JSON object a line.

use serde::Serialize;

use crate::client::Faults;
use crate::options::Era;

/// The figures of one cell of `calls` or `latency`.
#[derive(Debug, Default, Serialize)]
pub struct Cell {
    /// Section it belongs to.
    pub section: &'static str,
    /// Era of the client.
    pub era: String,
    /// Connections at a time.
    pub connections: usize,
    /// What was called.
    pub target: String,
    /// Right replies over all rounds.
    pub requests: usize,
    /// Right replies a second.
    pub rate: f64,
    /// The rate as a share of the direct backend's in the same seconds.
    pub ratio: f64,
    /// Latencies in milliseconds.
    pub p50_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// What the median adds to the direct backend's, in microseconds.
    pub added_p50_us: f64,
    /// CPU time of the process that was called, for each request.
    pub cpu_us: Option<f64>,
    /// CPU time of the backend behind it, for each request.
    pub backend_cpu_us: Option<f64>,
    /// CPU time of the load tool itself, for each request.
    pub load_cpu_us: f64,
    /// Resident memory of the process that was called, in MB: before any load, after the rounds, at most.
    pub idle_mb: Option<f64>,
    /// After the rounds.
    pub loaded_mb: Option<f64>,
    /// At most.
    pub peak_mb: Option<f64>,
    /// Replies that were wrong or missing.
    pub faults: u64,
}

/// One figure of the other sections.
#[derive(Debug, Serialize)]
pub struct Figure<'a> {
    /// Section it belongs to.
    pub section: &'static str,
    /// Era of the client.
    pub era: String,
    /// What was measured.
    pub target: &'a str,
    /// What the value means.
    pub name: &'a str,
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// How it came about.
    pub note: String,
}

/// The report; it is printed as it grows.
#[derive(Debug)]
pub struct Report {
    json: bool,
    faults: u64,
}

impl Report {
    /// An empty report.
    pub fn new(json: bool) -> Self {
        Self { json, faults: 0 }
    }

    /// Whether everything was answered rightly.
    pub fn is_clean(&self) -> bool {
        self.faults == 0
    }

    /// A line about the run itself.
    pub fn remark(&self, text: &str) {
        if self.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    /// The head of a table of cells.
    pub fn open_table(&self, section: &str) {
        if !self.json {
            println!(
                "\n## {section}\n{:<7} {:>5} {:<14} {:>8} {:>6} {:>8} {:>8} {:>8} {:>9} {:>8} {:>11} {:>20} {:>7}",
                "era",
                "conns",
                "target",
                "req/s",
                "ratio",
                "p50 ms",
                "p95 ms",
                "p99 ms",
                "+p50 µs",
                "CPU µs",
                "backend µs",
                "RSS MB (peak)",
                "faults"
            );
        }
    }

    /// One line of a table.
    pub fn cell(&mut self, cell: &Cell, faults: &Faults) {
        if self.json {
            print_json(cell);
        } else {
            let optional =
                |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
            let memory = match (cell.idle_mb, cell.loaded_mb, cell.peak_mb) {
                (Some(idle), Some(loaded), Some(peak)) => format!("{idle:.1} → {loaded:.1} ({peak:.1})"),
                _ => "–".to_owned(),
            };
            println!(
                "{:<7} {:>5} {:<14} {:>8.0} {:>6.3} {:>8.3} {:>8.3} {:>8.3} {:>9.1} {:>8} {:>11} {:>20} {:>7}",
                cell.era,
                cell.connections,
                cell.target,
                cell.rate,
                cell.ratio,
                cell.p50_ms,
                cell.p95_ms,
                cell.p99_ms,
                cell.added_p50_us,
                optional(cell.cpu_us),
                optional(cell.backend_cpu_us),
                memory,
                cell.faults,
            );
        }
        self.faults(&cell.target, faults);
    }

    /// The head of a list of figures.
    pub fn open_figures(&self, section: &str) {
        if !self.json {
            println!("\n## {section}");
        }
    }

    /// One figure.
    pub fn figure(&self, figure: &Figure<'_>) {
        if self.json {
            print_json(figure);
        } else {
            println!(
                "{:<7} {:<14} {:<38} {:>10.2} {:<3} {}",
                figure.era, figure.target, figure.name, figure.value, figure.unit, figure.note
            );
        }
    }

    /// Faults, with an example of each kind.
    pub fn faults(&mut self, target: &str, faults: &Faults) {
        self.faults += faults.total();
        for line in faults.lines() {
            eprintln!("  ! {target}: {line}");
        }
    }
}

fn print_json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("  ! the report cannot be written: {error}"),
    }
}

/// Bytes as megabytes.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A figure's constructor with the words in the order they are printed.
pub fn figure<'a>(
    section: &'static str,
    era: Era,
    target: &'a str,
    name: &'a str,
    (value, unit): (f64, &'static str),
    note: String,
) -> Figure<'a> {
    Figure { section, era: era.to_string(), target, name, value, unit, note }
}
