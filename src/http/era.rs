//! Telling the eras apart, and what a modern request must bring.
//!
//! `initialize` opens a legacy session; modern `_meta`, or a modern version in the header, makes a request modern. The
//! checks of a modern request come in the order of specification 2026-07-28: missing `_meta` fields, headers that do
//! not mirror the body, then a version that is not ours.

use http::HeaderMap;

use crate::base::{Era, Error, ErrorKind, Level, Version};
use crate::protocol::{ClientCapabilities, Message, Params, header, method, params, skim};

/// The era of a message, by its body and its headers.
pub fn era_of(message: &Message, params: &Params, headers: &HeaderMap) -> Era {
    let modern_meta = params.meta.as_ref().is_some_and(|meta| meta.is_modern());
    if modern_meta {
        return Era::Modern;
    }
    let header = headers.get(header::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    match header {
        Some(version) if Version::claims_modern(version) && message.method() != method::INITIALIZE => {
            Era::Modern
        }
        _ => Era::Legacy,
    }
}

/// What a modern request declares for itself.
#[derive(Debug)]
pub struct Declared {
    /// The lowest log level that it wants to see.
    pub log_level: Option<Level>,
    /// What the client can be asked.
    pub capabilities: ClientCapabilities,
}

/// Checks a modern request.
pub fn check_modern(message: &Message, params: &Params, headers: &HeaderMap) -> Result<Declared, Error> {
    let meta = params.meta.as_ref();
    let field = |span: Option<&crate::protocol::Span>, name: &str| {
        span.map(|span| &message.as_str()[span.clone()]).ok_or_else(|| missing(name))
    };
    let version = field(meta.and_then(|meta| meta.protocol_version.as_ref()), params::key::PROTOCOL_VERSION)?;
    let version = skim::string(version).ok_or_else(|| missing(params::key::PROTOCOL_VERSION))?;
    let capabilities =
        field(meta.and_then(|meta| meta.client_capabilities.as_ref()), params::key::CLIENT_CAPABILITIES)?;
    if !capabilities.starts_with('{') {
        return Err(missing(params::key::CLIENT_CAPABILITIES));
    }
    mirrors(headers, &header::PROTOCOL_VERSION, &version)?;
    mirrors(headers, &header::METHOD, message.method())?;
    if let Some(name) = params::mirrored_name(message, params) {
        mirrors(headers, &header::NAME, &name)?;
    }
    if Version::parse(&version).is_none_or(|version| version.era() == Era::Legacy) {
        let data = format!(
            r#"{{"supported":["{}"],"requested":{}}}"#,
            Version::LATEST_MODERN,
            skim::quote(&version)
        );
        return Err(Error::new(ErrorKind::UnsupportedVersion, "Unsupported protocol version").with_data(data));
    }
    let level = meta.and_then(|meta| params::string_at(message, &meta.log_level));
    Ok(Declared {
        log_level: level.and_then(|name| Level::parse(&name)),
        capabilities: ClientCapabilities::read(capabilities),
    })
}

fn mirrors(headers: &HeaderMap, name: &http::HeaderName, body: &str) -> Result<(), Error> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(mismatch(format!("the header {name} must be there once")));
    };
    match header::decode_value(value.as_bytes()) {
        Some(value) if value == body => Ok(()),
        Some(value) => {
            Err(mismatch(format!("{name} header value '{value}' does not match body value '{body}'")))
        }
        None => {
            Err(mismatch(format!("the header {name} holds characters or an encoding that are not allowed")))
        }
    }
}

fn mismatch(what: String) -> Error {
    Error::new(ErrorKind::HeaderMismatch, format!("Header mismatch: {what}"))
}

fn missing(field: &str) -> Error {
    Error::new(ErrorKind::MissingMeta, format!("params._meta[\"{field}\"] is missing or of the wrong type"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

    fn read(text: &str) -> (Message, Box<Params>) {
        let message = Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let params = Params::read(&message).unwrap();
        (message, params)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn check(body: &str, pairs: &[(&'static str, &str)]) -> Result<(), ErrorKind> {
        let (message, params) = read(body);
        check_modern(&message, &params, &headers(pairs)).map(|_| ()).map_err(|error| error.kind)
    }

    #[test]
    fn eras_are_told_apart_by_body_then_header() {
        let era = |text: &str, pairs: &[(&'static str, &str)]| {
            let (message, params) = read(text);
            era_of(&message, &params, &headers(pairs))
        };
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(era(initialize, &[]), Era::Legacy);
        assert_eq!(era(initialize, &[("mcp-protocol-version", "2026-07-28")]), Era::Legacy);
        assert_eq!(
            era(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{{META}}}}}"#), &[]),
            Era::Modern
        );
        assert_eq!(era(list, &[]), Era::Legacy);
        assert_eq!(
            era(list, &[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "x")]),
            Era::Legacy
        );
        assert_eq!(
            era(list, &[("mcp-protocol-version", "2026-07-28"), ("mcp-session-id", "x")]),
            Era::Modern
        );
        assert_eq!(era(list, &[("mcp-protocol-version", "v999")]), Era::Modern);
    }

    #[test]
    fn the_checks_come_in_the_order_of_the_specification() {
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"é",{META}}}}}"#);
        let version = ("mcp-protocol-version", "2026-07-28");
        let name = ("mcp-name", "=?base64?w6k=?=");
        assert_eq!(check(&call, &[version, ("mcp-method", "tools/call"), name]), Ok(()));
        assert_eq!(
            check(&call, &[version, ("mcp-method", "tools/list"), name]),
            Err(ErrorKind::HeaderMismatch)
        );
        assert_eq!(check(&call, &[version, ("mcp-method", "tools/call")]), Err(ErrorKind::HeaderMismatch));
        assert_eq!(check(&call, &[("mcp-method", "tools/call"), name]), Err(ErrorKind::HeaderMismatch));
        let bare = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(check(bare, &[]), Err(ErrorKind::MissingMeta));
        let unknown = META.replace("2026-07-28", "2031-01-01");
        let list = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{unknown}}}}}"#);
        let method = ("mcp-method", "tools/list");
        assert_eq!(check(&list, &[version, method]), Err(ErrorKind::HeaderMismatch));
        assert_eq!(
            check(&list, &[("mcp-protocol-version", "2031-01-01"), method]),
            Err(ErrorKind::UnsupportedVersion)
        );
    }
}
