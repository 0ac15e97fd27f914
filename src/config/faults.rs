//! What is wrong with a configuration, told so that it can be put right in one go.

use std::fmt;
use std::ops::Range;

use super::source::{Snippet, SourceMap};

/// Everything that is wrong with a configuration; never empty.
///
/// `Display` writes one block for each fault (what, where, the line, the cure) and a count at the end. Values
/// of `env` and `headers` and the credentials in URLs are never part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    message: String,
    place: String,
    snippet: Option<Snippet>,
    help: String,
}

impl Faults {
    /// The faults: those of the files in their order, then those of the environment, then those of the flags.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// The same text where they keep nobody from going on.
    pub fn as_warnings(&self) -> impl fmt::Display {
        fmt::from_fn(|f| self.write(f, "warning"))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        for fault in &self.0 {
            fault.write(f, word)?;
            f.write_str("\n")?;
        }
        match self.0.len() {
            1 => f.write_str("1 fault in the configuration"),
            count => write!(f, "{count} faults in the configuration"),
        }
    }
}

impl Fault {
    /// What is wrong, in one sentence that names key and value.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where: `file:line:column`, a variable, or a flag.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How to put it right.
    pub fn help(&self) -> &str {
        &self.help
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        writeln!(f, "{word}: {}", self.message)?;
        let gutter = self.snippet.as_ref().map_or(1, |snippet| snippet.line.to_string().len());
        writeln!(f, "{:gutter$}--> {}", "", self.place)?;
        if let Some(Snippet { line, text, from, width }) = &self.snippet {
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{line} | {text}")?;
            writeln!(f, "{:gutter$} | {:from$}{:^<width$}", "", "", "")?;
        }
        writeln!(f, "help: {}", self.help)
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "error")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "error")
    }
}

/// Where a fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// These bytes, counted through all files.
    Span(Range<usize>),
    /// The main file as a whole.
    File,
    /// A file of the drop-in folder as a whole, or that folder.
    Path(String),
    /// This environment variable.
    Variable(String),
    /// This command line flag.
    Flag(String),
    /// A value that nobody set.
    Default,
}

/// Collects faults while the configuration is read.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub source: SourceMap,
    found: Vec<(At, Fault)>,
}

impl Collector {
    /// Notes a fault. The same fault at the same place is noted once.
    pub fn fault(&mut self, at: At, message: impl Into<String>, help: impl Into<String>) {
        let (place, snippet) = self.source.locate(&at);
        let fault = Fault { message: message.into(), place, snippet, help: help.into() };
        if !self.found.iter().any(|(_, other)| *other == fault) {
            self.found.push((at, fault));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The faults in the order in which a reader would look for them, or nothing if there are none.
    pub fn finish(mut self) -> Option<Faults> {
        self.found.sort_by_key(|(at, _)| match at {
            At::File => (0, 0),
            At::Span(span) => (1, span.start),
            At::Path(_) => (2, 0),
            At::Variable(_) => (3, 0),
            At::Flag(_) => (4, 0),
            At::Default => (5, 0),
        });
        let faults: Vec<Fault> = self.found.into_iter().map(|(_, fault)| fault).collect();
        (!faults.is_empty()).then_some(Faults(faults))
    }
}

/// The longest value that is repeated whole in a message.
const LONGEST_SHOWN: usize = 60;

/// A value in quotes, escaped, and cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((cut, _)) => format!("{:?}", format!("{}…", &text[..cut])),
        None => format!("{text:?}"),
    }
}
