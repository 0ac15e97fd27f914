//! The name of a configured server.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a configured server: `[a-z0-9][a-z0-9-]{0,23}`.
///
/// Such a name needs no escaping in a URL path, a metric label, a file name or a tool's prefix, and it never
/// contains the `__` that joins it to a tool's own name. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

/// The text is not a server's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a server's name is 1 to 24 characters of a-z, 0-9 and `-`, the first of them a letter or a digit")]
pub struct BadServerName;

impl ServerName {
    /// The longest name: with `__` it leaves a tool 22 of the 48 characters that clients can be trusted with.
    pub const MAX_LEN: usize = 24;

    /// What [`ServerName::new`] takes, as a regular expression.
    pub const PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,23}$";

    /// Checks the text and takes it as a name.
    pub fn new(text: &str) -> Result<Self, BadServerName> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        match text.as_bytes() {
            [first, rest @ ..]
                if legal(*first)
                    && text.len() <= Self::MAX_LEN
                    && rest.iter().all(|&b| legal(b) || b == b'-') =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(BadServerName),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Lets a map keyed by name be asked with a `&str`.
impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = BadServerName;

    fn from_str(text: &str) -> Result<Self, BadServerName> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_documented_alphabet_and_length_only() {
        for good in ["a", "0", "demo", "my-server-2", "a--b", "a-", &"x".repeat(24)] {
            assert_eq!(ServerName::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "A", "a_b", "a.b", "a b", "ä", "a/b", &"x".repeat(25)] {
            assert_eq!(ServerName::new(bad), Err(BadServerName), "{bad:?}");
        }
    }
}
