//! Reads merged settings one by one: a value of the right kind, or a fault and a stand-in.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::faults::{At, Collector, quoted};
use super::keys::{self, KeyDefault, Kind, Spot};
use super::layers::{KeyPath, Leaf, Place, Stack, Value};
use super::rate::{Rate, parse_rate};
use super::references::{self, Scope};
use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::url::veil_url;

/// Reads settings and collects what is wrong with them.
///
/// After a fault the stand-in is of no importance: a configuration with faults is never used.
pub(super) struct Reader<'a> {
    pub stack: &'a Stack,
    pub scope: &'a Scope,
    pub faults: &'a mut Collector,
    /// Whether references are resolved; those of a server that does not run are left as written.
    pub resolve: bool,
}

/// What stands for no length of time.
const NO_DURATION: &str = "none";

/// A path's segments as the list of keys is asked for them.
pub(super) fn path(segments: &[&str]) -> KeyPath {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

impl<'a> Reader<'a> {
    /// The setting at a path, or the one it inherits.
    pub fn leaf(&self, at: &[&str]) -> Option<&'a Leaf> {
        let own = self.stack.find(&path(at));
        own.or_else(|| match (keys::lookup(at), at) {
            (Spot::Key(doc), ["servers" | "services", _, rest @ ..])
                if doc.default == KeyDefault::Inherited =>
            {
                self.stack.find(&path(&[&["defaults"], rest].concat()))
            }
            (Spot::Key(doc), ["enhance", "clients", _, rest @ ..])
                if doc.default == KeyDefault::Inherited =>
            {
                self.stack.find(&path(&[&["enhance", "default"], rest].concat()))
            }
            _ => None,
        })
    }

    /// Notes a fault in a value; `problem` ends the sentence that names key and value.
    pub fn wrong(&mut self, leaf: &Leaf, problem: impl Display, help: impl Into<String>) {
        let shown = match (&leaf.value, leaf.doc.kind) {
            (_, Kind::Secret) | (Value::List(_), _) => {
                return self.wrong_unshown(leaf, leaf.place.value(), problem, help);
            }
            (Value::Text(text), _) if is_url(leaf, text) => quoted(&veil_url(text)),
            (Value::Text(text), _) => quoted(text),
            (Value::Integer(number), _) => number.to_string(),
            (Value::Bool(word), _) => word.to_string(),
        };
        let message = format!("`{}` is {shown}, which {problem}", leaf.key);
        self.faults.fault(leaf.place.value(), message, help);
    }

    /// Notes a fault in a value that is not repeated.
    pub fn wrong_unshown(&mut self, leaf: &Leaf, at: At, problem: impl Display, help: impl Into<String>) {
        self.faults.fault(at, format!("`{}` {problem}", leaf.key), help);
    }

    pub fn flag(&mut self, at: &[&str]) -> bool {
        matches!(self.leaf(at).map(|leaf| &leaf.value), Some(Value::Bool(true)))
    }

    pub fn count(&mut self, at: &[&str]) -> usize {
        let Some(leaf) = self.leaf(at) else { return 0 };
        let (Kind::Count(min, max), Value::Integer(number)) = (leaf.doc.kind, &leaf.value) else { return 0 };
        match u64::try_from(*number) {
            Ok(number) if (min..=max).contains(&number) => usize::try_from(number).unwrap_or(usize::MAX),
            _ => {
                self.wrong(leaf, "is out of bounds", format!("write a number from {min} to {max}"));
                0
            }
        }
    }

    /// A number that may have decimals.
    pub fn decimal(&mut self, at: &[&str]) -> f64 {
        let Some((leaf, text)) = self.raw(at) else { return 0.0 };
        let Kind::Decimal(max) = leaf.doc.kind else { return 0.0 };
        match text.trim().parse::<f64>() {
            Ok(number) if (0.0..=f64::from(max)).contains(&number) => number,
            _ => {
                self.wrong(leaf, "is out of bounds", format!("write a number from 0 to {max}, such as 0.3"));
                0.0
            }
        }
    }

    pub fn duration(&mut self, at: &[&str]) -> Duration {
        self.leaf(at).map_or(Duration::ZERO, |leaf| self.length(leaf))
    }

    /// A length of time, or nothing where the setting says so.
    pub fn duration_or_none(&mut self, at: &[&str]) -> Option<Duration> {
        let leaf = self.leaf(at)?;
        self.length_or_none(leaf)
    }

    /// The length of time that a setting holds, or nothing where it says so.
    pub fn length_or_none(&mut self, leaf: &Leaf) -> Option<Duration> {
        if matches!(&leaf.value, Value::Text(text) if text.trim() == NO_DURATION) {
            return None;
        }
        Some(self.length(leaf))
    }

    /// The length of time that a setting holds.
    pub fn length(&mut self, leaf: &Leaf) -> Duration {
        let (Kind::Duration(min, max) | Kind::DurationOrNone(min, max), Value::Text(text)) =
            (leaf.doc.kind, &leaf.value)
        else {
            return Duration::ZERO;
        };
        let none = if matches!(leaf.doc.kind, Kind::DurationOrNone(..)) { ", or \"none\"" } else { "" };
        let bounds = format!("write a length from {} to {}{none}", show_duration(min), show_duration(max));
        match parse_duration(text) {
            Ok(duration) if (min..=max).contains(&duration) => return duration,
            Ok(_) => self.wrong(leaf, "is out of bounds", bounds),
            Err(problem @ "has no unit") => {
                self.wrong(leaf, problem, format!("write \"{}s\" for seconds", text.trim()))
            }
            Err(problem) => self.wrong(
                leaf,
                problem,
                format!(
                    "write whole numbers with the units d, h, m, s or ms, such as \"30s\" or \"1h30m\"{none}"
                ),
            ),
        }
        Duration::ZERO
    }

    /// A rate, or none where the setting says so or there is none.
    pub fn rate(&mut self, at: &[&str]) -> Option<Rate> {
        let leaf = self.leaf(at)?;
        self.rate_of(leaf)
    }

    /// The rate that a setting holds.
    pub fn rate_of(&mut self, leaf: &Leaf) -> Option<Rate> {
        let Value::Text(text) = &leaf.value else { return None };
        if text.trim() == NO_DURATION {
            return None;
        }
        match parse_rate(text) {
            Ok(rate) => Some(rate),
            Err(problem) => {
                let help = "write so many in s, m, h or d, and perhaps how many at once, such as \"100/s\" or \
                            \"60/m burst 5\", or \"none\"";
                self.wrong(leaf, problem, help);
                None
            }
        }
    }

    pub fn size(&mut self, at: &[&str]) -> u64 {
        let Some(leaf) = self.leaf(at) else { return 0 };
        let Kind::Size(min, max) = leaf.doc.kind else { return 0 };
        let size = match &leaf.value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| "is out of bounds"),
            Value::Text(text) => parse_size(text),
            _ => return 0,
        };
        match size {
            Ok(size) if (min..=max).contains(&size) => return size,
            Ok(_) | Err("is out of bounds") => {
                let bounds = format!("write a size from {} to {}", show_size(min), show_size(max));
                self.wrong(leaf, "is out of bounds", bounds);
            }
            Err(problem) => {
                self.wrong(leaf, problem, "write a whole number with a unit: B, KiB, MiB, GiB, kB, MB or GB");
            }
        }
        0
    }

    pub fn address(&mut self, at: &[&str]) -> Option<SocketAddr> {
        let (leaf, text) = self.raw(at)?;
        match SocketAddr::from_str(text) {
            Ok(address) => Some(address),
            Err(_) => {
                let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
                let port = port.or_else(|| text.parse().ok()).unwrap_or(keys::DEFAULT_PORT);
                let help = format!(
                    "write an IP address and a port, such as \"127.0.0.1:{port}\" or \"[::1]:{port}\""
                );
                self.wrong(leaf, "is not an address with a port", help);
                None
            }
        }
    }

    /// The position of the value among the key's words.
    pub fn choice(&mut self, at: &[&str]) -> usize {
        let Some((leaf, text)) = self.raw(at) else { return 0 };
        let Kind::Choice(words) = leaf.doc.kind else { return 0 };
        words.iter().position(|word| *word == text).unwrap_or_else(|| {
            let help = match keys::nearest(text, words) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write one of \"{}\"", words.join("\", \"")),
            };
            self.wrong(leaf, "is not among its values", help);
            0
        })
    }

    /// A text as it is written.
    pub fn raw(&self, at: &[&str]) -> Option<(&'a Leaf, &'a str)> {
        let leaf = self.leaf(at)?;
        match &leaf.value {
            Value::Text(text) => Some((leaf, text)),
            _ => None,
        }
    }

    /// A text with its references resolved.
    pub fn text(&mut self, at: &[&str]) -> Option<(&'a Leaf, String)> {
        let (leaf, text) = self.raw(at)?;
        Some((leaf, self.expand(leaf, leaf.place.value(), text)?))
    }

    /// A path, absolute: that of a file starts at the file's folder, any other at the current one.
    pub fn path(&mut self, at: &[&str]) -> Option<PathBuf> {
        let (leaf, text) = self.text(at)?;
        if text.is_empty() {
            self.wrong(leaf, "is not a path", "write a path, or remove the key");
            return None;
        }
        Some(self.absolute(leaf, &text))
    }

    /// The absolute form of a path that a setting holds; `~/` is the home folder.
    pub fn absolute(&self, leaf: &Leaf, text: &str) -> PathBuf {
        let home =
            text.strip_prefix("~/").and_then(|rest| Some(Path::new(self.scope.env.get("HOME")?).join(rest)));
        let path = home.unwrap_or_else(|| PathBuf::from(text));
        let path = match leaf.place {
            Place::File { .. } => self.scope.folder.join(path),
            _ => path,
        };
        // The error is an empty path, which is refused before.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// A list of texts in which references mean nothing.
    /// `check` takes an element, or says what is wrong with it (the end of a sentence) and the cure.
    pub fn list(
        &mut self,
        at: &[&str],
        check: impl Fn(&str) -> Result<String, (&'static str, &'static str)>,
    ) -> Vec<String> {
        let Some(leaf) = self.leaf(at) else { return Vec::new() };
        let Value::List(items) = &leaf.value else { return Vec::new() };
        let mut taken = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let checked = match references::has_reference(item) {
                true => Err(("has a reference", "write the value itself; this key takes no references")),
                false => check(item),
            };
            match checked {
                Ok(item) => taken.push(item),
                Err((problem, help)) => {
                    let message = format!("`{}` has {}, which {problem}", leaf.key, quoted(item));
                    self.faults.fault(leaf.place.item(index), message, help);
                }
            }
        }
        taken
    }

    /// A list of texts with their references resolved.
    pub fn texts(&mut self, at: &[&str]) -> Vec<String> {
        let Some(leaf) = self.leaf(at) else { return Vec::new() };
        let Value::List(items) = &leaf.value else { return Vec::new() };
        let expand = |(index, item): (usize, &String)| self.expand(leaf, leaf.place.item(index), item);
        items.iter().enumerate().filter_map(expand).collect()
    }

    /// A text of a setting with its references resolved.
    pub fn expand(&mut self, leaf: &Leaf, at: At, text: &str) -> Option<String> {
        if !self.resolve {
            return Some(text.to_owned());
        }
        match self.scope.resolve(text) {
            // No argument, variable, path or header can hold it.
            Ok(value) if value.contains('\0') => {
                self.wrong_unshown(leaf, at, "has a NUL character", "remove the character");
                None
            }
            Ok(value) => Some(value),
            Err(unresolved) => {
                for fault in unresolved {
                    self.wrong_unshown(leaf, at.clone(), fault.problem, fault.help);
                }
                None
            }
        }
    }
}

/// Whether a text is a URL, or was meant to be one.
fn is_url(leaf: &Leaf, text: &str) -> bool {
    text.contains("://") || leaf.doc.kind == Kind::Url || leaf.doc.leaf() == "proxy"
}
