//! What is wrong with a configuration, told so that it can be put right in one go.

use std::fmt;
use std::ops::Range;

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

/// A line of the file with the part that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snippet {
    line: usize,
    text: String,
    from: usize,
    width: usize,
}

impl Faults {
    /// The faults: those of the file in its order, then those of the environment, then those of the flags.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
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
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 fault in the configuration"),
            count => write!(f, "{count} faults in the configuration"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
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

/// Where a fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// These bytes of the file.
    Span(Range<usize>),
    /// The file as a whole.
    File,
    /// This environment variable.
    Variable(String),
    /// This command line flag.
    Flag(String),
    /// A value that nobody set.
    Default,
}

/// The file's text, and what of it must not be shown.
#[derive(Debug, Default)]
pub(super) struct SourceText {
    /// What the file is called in a fault.
    pub name: String,
    pub text: String,
    /// Parts that are shown as something else; in order and apart from each other.
    pub veils: Vec<Veil>,
}

/// A part of the file that is shown as something else.
#[derive(Debug, Clone)]
pub(super) struct Veil {
    pub span: Range<usize>,
    pub shown: String,
}

/// Collects faults while the configuration is read.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub source: SourceText,
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
            At::Variable(_) => (2, 0),
            At::Flag(_) => (3, 0),
            At::Default => (4, 0),
        });
        let faults: Vec<Fault> = self.found.into_iter().map(|(_, fault)| fault).collect();
        (!faults.is_empty()).then_some(Faults(faults))
    }
}

impl SourceText {
    /// The number of the line that holds a byte, from 1.
    pub fn line_of(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().get(..byte).unwrap_or(self.text.as_bytes());
        before.iter().filter(|&&b| b == b'\n').count() + 1
    }

    fn locate(&self, at: &At) -> (String, Option<Snippet>) {
        match at {
            At::File => (self.name.clone(), None),
            At::Variable(name) => (format!("environment variable {name}"), None),
            At::Flag(name) => (format!("flag {name}"), None),
            At::Default => ("built-in default".to_owned(), None),
            At::Span(span) => {
                let (line, column, snippet) = self.snippet(span);
                (format!("{}:{line}:{column}", self.name), Some(snippet))
            }
        }
    }

    /// The first line of a span, veiled, and where the span lies in what is shown.
    fn snippet(&self, span: &Range<usize>) -> (usize, usize, Snippet) {
        // A span at the end of a file may lie behind its last character.
        let at =
            (0..=span.start.min(self.text.len())).rev().find(|&i| self.text.is_char_boundary(i)).unwrap_or(0);
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline);
        let mut shown = Line::default();
        let mut byte = start;
        let mut veils =
            self.veils.iter().filter(|veil| veil.span.start < end && veil.span.end > start).peekable();
        while byte < end {
            if let Some(veil) = veils.next_if(|veil| veil.span.start <= byte) {
                let next = veil.span.end.min(end).max(byte);
                shown.push(&veil.shown, byte..next, span);
                byte = next;
                continue;
            }
            let Some(c) = self.text[byte..].chars().next() else { break };
            let next = byte + c.len_utf8();
            match c {
                '\r' => {}
                '\t' => shown.push("    ", byte..next, span),
                c if c.is_control() => shown.push("\u{fffd}", byte..next, span),
                c => shown.push(c.encode_utf8(&mut [0; 4]), byte..next, span),
            }
            byte = next;
        }
        let from = shown.from.unwrap_or(shown.width);
        let width = shown.to.saturating_sub(from).max(1);
        let (line, column) = (self.line_of(at), self.text[start..at].chars().count() + 1);
        (line, column, Snippet { line, text: shown.text.trim_end().to_owned(), from, width })
    }
}

/// A line as it is shown, and the columns at which the span begins and ends in it.
#[derive(Default)]
struct Line {
    text: String,
    width: usize,
    from: Option<usize>,
    to: usize,
}

impl Line {
    fn push(&mut self, shown: &str, bytes: Range<usize>, span: &Range<usize>) {
        let width = shown.chars().count();
        if bytes.end > span.start && (bytes.start < span.end || bytes.start == span.start) {
            self.from.get_or_insert(self.width);
            self.to = self.width + width;
        }
        self.text.push_str(shown);
        self.width += width;
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
