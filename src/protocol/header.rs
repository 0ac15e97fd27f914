//! MCP's HTTP headers (specification 2026-07-28, `basic/transports/streamable-http`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

/// The protocol version of a request.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The session of a legacy client.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Mirrors `method`.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Mirrors `params.name` or `params.uri`.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What the names of mirrored tool parameters begin with.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// Where a resuming client left a stream.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells reverse proxies not to hold events back.
pub const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Opens a value that is carried in Base64.
const SENTINEL_OPEN: &str = "=?base64?";
/// Closes it.
const SENTINEL_CLOSE: &str = "?=";

/// Decodes a mirrored header value; `None` if it holds bytes or an encoding that no client may send.
pub fn decode_value(value: &[u8]) -> Option<Cow<'_, str>> {
    let plain = value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7E));
    let text = std::str::from_utf8(value).ok().filter(|_| plain)?;
    match text.strip_prefix(SENTINEL_OPEN).and_then(|rest| rest.strip_suffix(SENTINEL_CLOSE)) {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

/// Encodes a mirrored value so that any HTTP implementation carries it unharmed.
pub fn encode_value(value: &str) -> Cow<'_, str> {
    let safe = value.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7E));
    let padded = value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']);
    let like_sentinel = value.starts_with(SENTINEL_OPEN) && value.ends_with(SENTINEL_CLOSE);
    if safe && !padded && !like_sentinel {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{SENTINEL_OPEN}{}{SENTINEL_CLOSE}", STANDARD.encode(value)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (value, encoded) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode_value(value), encoded);
            assert_eq!(decode_value(encoded.as_bytes()).as_deref(), Some(value));
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        for bad in [&b"caf\xc3\xa9"[..], b"=?base64?%%%?=", b"=?base64?/w==?=", b"a\x01"] {
            assert_eq!(decode_value(bad), None);
        }
    }

    proptest! {
        #[test]
        fn any_value_survives(value in any::<String>()) {
            let encoded = encode_value(&value).into_owned();
            let decoded = decode_value(encoded.as_bytes());
            prop_assert_eq!(decoded.as_deref(), Some(value.as_str()));
        }
    }
}
