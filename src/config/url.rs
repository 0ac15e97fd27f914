//! URLs as the configuration has them, checked, and shown without credentials.

use std::fmt;

/// An absolute `http` or `https` URL with a host, and without user information or fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    uri: http::Uri,
}

impl Url {
    /// Checks the text; the error is the end of a sentence that begins with the key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: http::Uri = text.parse().map_err(|_| "is not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("is not an http or https URL");
        }
        let authority = uri.authority().ok_or("is a URL without a host")?;
        if authority.as_str().contains('@') {
            return Err("is a URL with a user name or password in it");
        }
        // `http` accepts an empty host before a port.
        if authority.host().is_empty() {
            return Err("is a URL without a host");
        }
        if text.contains('#') {
            return Err("is a URL with a fragment, which is never sent");
        }
        Ok(Self { text: text.to_owned(), uri })
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL in parts.
    pub fn uri(&self) -> &http::Uri {
        &self.uri
    }
}

/// Shows everything but the query, which may hold a key.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&veil_url(&self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The text of a URL, good or bad, without what may be a credential: user information and query.
pub(super) fn veil_url(text: &str) -> String {
    let (rest, query) = match text.split_once('?') {
        Some((rest, _)) => (rest, "?***"),
        None => (text, ""),
    };
    let (scheme, rest) = rest.find("://").map_or(("", rest), |at| rest.split_at(at + 3));
    // Up to the last `@` of all: a password may hold a slash that should have been escaped.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}{query}"),
        None => format!("{scheme}{rest}{query}"),
    }
}
