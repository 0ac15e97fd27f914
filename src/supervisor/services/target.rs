//! From a path of a client to a URL of the service, which never lies outside of the service's base. Pure.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// A path that leads, or might lead, out of the base. The text says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path {0}")]
pub struct Leaves(&'static str);

/// How often a path is decoded to see what it hides: servers and frameworks behind each other decode it once each.
const DECODINGS: usize = 3;

/// The URL of `path` (which is empty or begins with a slash) below `base`, with `query`. Scheme, host and port are the
/// base's whatever the path says.
pub fn join(base: &Uri, path: &str, query: Option<&str>) -> Result<Uri, Leaves> {
    stays(path)?;
    let below = base.path().trim_end_matches('/');
    let mut text = String::with_capacity(below.len() + path.len() + 1);
    text.push_str(below);
    text.push_str(if below.is_empty() && path.is_empty() { "/" } else { path });
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| Leaves("is no path of a URL"))?);
    Uri::from_parts(parts).map_err(|_| Leaves("is no path of a URL"))
}

fn stays(path: &str) -> Result<(), Leaves> {
    if !path.is_empty() && !path.starts_with('/') {
        return Err(Leaves("does not begin with a slash"));
    }
    let mut text = Cow::Borrowed(path.as_bytes());
    for _ in 0..=DECODINGS {
        if text.starts_with(b"//") || text.starts_with(b"/\\") {
            return Err(Leaves("begins with two slashes, which some take for another host"));
        }
        if text.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots) {
            return Err(Leaves("has a segment `.` or `..`"));
        }
        match decoded(&text) {
            Some(next) => text = Cow::Owned(next),
            None => return Ok(()),
        }
    }
    Err(Leaves("is encoded again and again"))
}

/// `.` or `..`, also with what some servers take for parameters behind it.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(name, b"." | b"..")
}

/// The text with its escapes decoded once; nothing if it has none.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut any = false;
    while let [first, tail @ ..] = rest {
        match (first, digit(tail.first()), digit(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &tail[2..];
                any = true;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    any.then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(base: &str, path: &str) -> Result<String, Leaves> {
        join(&base.parse().unwrap(), path, None).map(|uri| uri.to_string())
    }

    #[test]
    fn a_path_is_the_same_path_below_the_base() {
        for (base, path, expected) in [
            ("http://a:1", "", "http://a:1/"),
            ("http://a:1", "/", "http://a:1/"),
            ("http://a:1/", "/api/version", "http://a:1/api/version"),
            ("https://a/v1/", "/x", "https://a/v1/x"),
            ("https://a/v1", "", "https://a/v1"),
            ("https://a/v1", "/x//y/.../z.", "https://a/v1/x//y/.../z."),
            ("https://a/v1", "/a%20b%2Fc", "https://a/v1/a%20b%2Fc"),
        ] {
            assert_eq!(to(base, path).as_deref(), Ok(expected), "{base} {path}");
        }
        let base = "http://a/b?secret=1".parse().unwrap();
        assert_eq!(join(&base, "/x", Some("q=1")).unwrap(), "http://a/b/x?q=1");
        assert_eq!(join(&base, "/x", None).unwrap(), "http://a/b/x");
    }

    #[test]
    fn no_spelling_of_a_path_leaves_the_base() {
        for path in [
            "/..",
            "/../etc",
            "/a/../../b",
            "/./a",
            "/a/..",
            "/%2e%2e/a",
            "/.%2E/a",
            "/a/%2e%2e%2fb",
            "/..%2fa",
            "/..%5ca",
            "/..\\a",
            "/%252e%252e/a",
            "/%25252e%25252e/a",
            "/..;/a",
            "/..;x=1/a",
            "//evil.example/a",
            "/%2f/evil.example",
            "/%5cevil.example",
            "/\\evil.example",
            "http://evil.example/",
            "@evil.example/",
            ".evil.example/",
            "/%2525252525252e",
        ] {
            assert!(to("http://good:80/base", path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_path_the_host_is_the_bases_and_its_path_goes_before(
            path in "(/|[a-z.%/\\\\@:?#;]|%2e|%2f|%5c|%25){0,12}"
        ) {
            if let Ok(uri) = join(&"http://good:81/base".parse().unwrap(), &path, None) {
                prop_assert_eq!(uri.authority().unwrap().as_str(), "good:81");
                prop_assert!(uri.path() == "/base" || uri.path().starts_with("/base/"));
            }
        }
    }
}
