//! What servers behind a URL and services have in common: the address, its headers, its proxy, health and breaker.

use http::{HeaderName, HeaderValue};

use crate::base::Secret;

use super::layers::{Leaf, Value};
use super::model::{Breaker, Health};
use super::reader::{Reader, path};
use super::url::Url;

/// A text that may be a credential, with its references resolved.
pub(super) fn secret(reader: &mut Reader<'_>, leaf: &Leaf) -> Option<String> {
    match &leaf.value {
        Value::Text(text) => reader.expand(leaf, leaf.place.value(), text),
        _ => None,
    }
}

/// The address.
pub(super) fn url(reader: &mut Reader<'_>, section: &str, name: &str) -> Option<Url> {
    url_at(reader, &[section, name, "url"])
}

/// The address that stands at a path.
pub(super) fn url_at(reader: &mut Reader<'_>, at: &[&str]) -> Option<Url> {
    let (leaf, text) = reader.text(at)?;
    if !reader.resolve && super::references::has_reference(&text) {
        // A server that does not run needs no address; this one says so to whoever looks.
        return Url::parse(UNRESOLVED_URL).ok();
    }
    match Url::parse(&text) {
        Ok(url) => Some(url),
        Err(problem) => {
            let help = match problem {
                p if p.contains("password") => {
                    "send credentials as a header: headers = { Authorization = \"Bearer ${env:TOKEN}\" }"
                }
                p if p.contains("fragment") => "remove the `#` and what follows it",
                _ => "write the whole address, such as \"https://mcp.example.com/mcp\"",
            };
            reader.wrong(leaf, problem, help);
            None
        }
    }
}

/// What stands in for the URL of a server that does not run when the URL holds a reference. The name is one
/// that RFC 6761 keeps from ever existing.
const UNRESOLVED_URL: &str = "http://unresolved.invalid/";

/// The headers of every request, but for those that are `ours` to write.
pub(super) fn headers(
    reader: &mut Reader<'_>,
    section: &str,
    name: &str,
    ours: &[&str],
) -> Vec<(HeaderName, Secret)> {
    headers_below(reader, &[section, name, "headers"], ours)
}

/// The headers that stand below a path.
pub(super) fn headers_below(
    reader: &mut Reader<'_>,
    at: &[&str],
    ours: &[&str],
) -> Vec<(HeaderName, Secret)> {
    let leaves = reader.stack.below(&path(at));
    leaves.into_iter().filter_map(|leaf| header(reader, leaf, ours)).collect()
}

fn header(reader: &mut Reader<'_>, leaf: &Leaf, ours: &[&str]) -> Option<(HeaderName, Secret)> {
    let name = leaf.path.last().map_or("", String::as_str);
    let key = &leaf.key;
    let value = secret(reader, leaf)?;
    let Ok(header) = name.parse::<HeaderName>() else {
        let help = "a header's name is letters, digits and dashes, such as X-Api-Key";
        reader.faults.fault(leaf.place.key(), format!("`{key}` is no name for a header"), help);
        return None;
    };
    if ours.contains(&header.as_str()) {
        let message = format!("`{key}` is a header that the gateway writes itself");
        reader.faults.fault(leaf.place.key(), message, "remove it");
        return None;
    }
    if HeaderValue::from_str(&value).is_err() {
        let help = "a header's value is one line of visible characters";
        reader.wrong_unshown(leaf, leaf.place.value(), "has a value that no header can have", help);
        return None;
    }
    Some((header, Secret::new(value)))
}

/// The HTTP proxy on the way.
pub(super) fn proxy(reader: &mut Reader<'_>, section: &str, name: &str) -> Option<String> {
    let (leaf, text) = reader.text(&[section, name, "proxy"])?;
    let uri = text.parse::<http::Uri>().ok().filter(|_| reader.resolve);
    let fits = uri.is_some_and(|uri| {
        uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !fits && reader.resolve {
        reader.wrong(
            leaf,
            "is not the URL of an HTTP proxy",
            "write scheme, host and port, such as \"http://proxy:3128\"",
        );
    }
    Some(text)
}
/// When its calls are refused.
pub(super) fn breaker(reader: &mut Reader<'_>, section: &str, name: &str) -> Breaker {
    breaker_at(reader, |key| vec![section, name, "breaker", key])
}

/// The breaker of what has no keys for one of its own.
pub(super) fn default_breaker(reader: &mut Reader<'_>) -> Breaker {
    breaker_at(reader, |key| vec!["defaults", "breaker", key])
}

fn breaker_at<'k>(reader: &mut Reader<'_>, key: impl Fn(&'static str) -> Vec<&'k str>) -> Breaker {
    Breaker {
        failures: reader.count(&key("failures")),
        failure_share: reader.count(&key("failure_share")),
        window: reader.duration(&key("window")),
        open: reader.duration(&key("open")),
        half_open_max_calls: reader.count(&key("half_open_max_calls")),
        success_threshold: reader.count(&key("success_threshold")),
    }
}

/// When it is asked whether it is well.
pub(super) fn health(reader: &mut Reader<'_>, section: &str, name: &str) -> Health {
    let key = |key: &'static str| [section, name, key];
    Health {
        interval: reader.duration_or_none(&key("health_interval")),
        misses: reader.count(&key("health_misses")),
        hits: reader.count(&key("health_hits")),
    }
}
