//! The texts of all files, laid end to end: a place in any of them is one number.

use std::ops::Range;

use super::faults::At;

/// The files that were read, the main one first.
#[derive(Debug, Default)]
pub(super) struct SourceMap {
    /// What the main file is called, also when it could not be read.
    pub main: String,
    files: Vec<SourceText>,
}

/// One file's text, and what of it must not be shown.
#[derive(Debug)]
struct SourceText {
    name: String,
    text: String,
    /// Where the file begins among all files.
    base: usize,
    /// Parts that are shown as something else; in order and apart from each other.
    veils: Vec<Veil>,
}

/// A part of a file that is shown as something else. It is counted from the file's own beginning.
#[derive(Debug, Clone)]
pub(super) struct Veil {
    pub span: Range<usize>,
    pub shown: String,
}

/// A line of a file with the part that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snippet {
    pub line: usize,
    pub text: String,
    pub from: usize,
    pub width: usize,
}

impl SourceMap {
    /// Takes a file in and says where it begins among all files.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        // One more than the text is long: a place behind the last character is still that file's.
        let base = self.files.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.files.push(SourceText { name: name.into(), text: text.into(), base, veils: Vec::new() });
        base
    }

    /// Hides parts of the file that was taken in last.
    pub fn veil(&mut self, veils: Vec<Veil>) {
        if let Some(last) = self.files.last_mut() {
            last.veils = veils;
        }
    }

    /// The file that holds a byte, and the number of its line, from 1.
    pub fn line_of(&self, byte: usize) -> (&str, usize) {
        self.file_at(byte).map_or((self.main.as_str(), 1), |file| {
            (file.name.as_str(), file.line_of(byte.saturating_sub(file.base)))
        })
    }

    fn file_at(&self, byte: usize) -> Option<&SourceText> {
        self.files.iter().rev().find(|file| file.base <= byte)
    }

    /// A place in words, and the line that is meant.
    pub fn locate(&self, at: &At) -> (String, Option<Snippet>) {
        match at {
            At::File => (self.main.clone(), None),
            At::Path(path) => (path.clone(), None),
            At::Variable(name) => (format!("environment variable {name}"), None),
            At::Flag(name) => (format!("flag {name}"), None),
            At::Default => ("built-in default".to_owned(), None),
            At::Span(span) => {
                let Some(file) = self.file_at(span.start) else { return (self.main.clone(), None) };
                let own = span.start - file.base..span.end.saturating_sub(file.base);
                let (line, column, snippet) = file.snippet(&own);
                (format!("{}:{line}:{column}", file.name), Some(snippet))
            }
        }
    }
}

impl SourceText {
    fn line_of(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().get(..byte).unwrap_or(self.text.as_bytes());
        before.iter().filter(|&&b| b == b'\n').count() + 1
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
