//! Requests as prebuilt bytes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use crate::options::Era;

/// The versions this client speaks, one an era.
const LEGACY_VERSION: &str = "2025-11-25";
const MODERN_VERSION: &str = "2026-07-28";

const MODERN_META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);

/// An `http://` URL, resolved.
#[derive(Debug, Clone)]
pub struct Url {
    /// Where to connect.
    pub address: SocketAddr,
    authority: String,
    path: String,
}

impl Url {
    /// A path on a loopback port.
    pub fn loopback(port: u16, path: &str) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self { address, authority: address.to_string(), path: path.to_owned() }
    }

    /// Parses and resolves.
    pub fn parse(text: &str) -> crate::Result<Self> {
        let rest = text.strip_prefix("http://").ok_or_else(|| format!("`{text}` is no http:// URL"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port =
            if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let address =
            with_port.to_socket_addrs()?.next().ok_or_else(|| format!("`{authority}` has no address"))?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, authority: authority.to_owned(), path: path.to_owned() })
    }

    /// A GET for a plain resource.
    pub fn get(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.authority).into_bytes()
    }

    fn post(&self, headers: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            self.path,
            self.authority,
            body.len(),
        )
        .into_bytes()
    }
}

/// The legacy handshake: `initialize` (its id is 1), and given the session, the notification that ends it.
pub fn handshake(url: &Url, session: Option<&str>) -> Vec<u8> {
    let Some(session) = session else {
        let params = format!(
            r#"{{"protocolVersion":"{LEGACY_VERSION}","capabilities":{{}},"clientInfo":{{"name":"load","version":"1"}}}}"#
        );
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#);
        return url.post("", &body);
    };
    url.post(&legacy_headers(session), r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
}

/// `tools/list` with id 1.
pub fn listing(url: &Url, era: Era, session: &str) -> Vec<u8> {
    match era {
        Era::Legacy => url
            .post(&legacy_headers(session), r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#),
        Era::Modern => {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{MODERN_META}}}}}"#);
            url.post(&modern_headers("tools/list", None), &body)
        }
    }
}

/// The request that opens an idle stream: GET in the legacy era, `subscriptions/listen` in the modern one.
pub fn opening(url: &Url, era: Era, session: &str) -> Vec<u8> {
    match era {
        Era::Legacy => format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{}\r\n",
            url.path,
            url.authority,
            legacy_headers(session),
        )
        .into_bytes(),
        Era::Modern => {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{{MODERN_META},"notifications":{{"toolsListChanged":true}}}}}}"#
            );
            url.post(&modern_headers("subscriptions/listen", None), &body)
        }
    }
}

fn legacy_headers(session: &str) -> String {
    let session = if session.is_empty() { String::new() } else { format!("Mcp-Session-Id: {session}\r\n") };
    format!("MCP-Protocol-Version: {LEGACY_VERSION}\r\n{session}")
}

fn modern_headers(method: &str, name: Option<&str>) -> String {
    let name = name.map(|name| format!("Mcp-Name: {name}\r\n")).unwrap_or_default();
    format!("MCP-Protocol-Version: {MODERN_VERSION}\r\nMcp-Method: {method}\r\n{name}")
}

/// A `tools/call` in which only the id, and the id's copy in the text, change from call to call.
#[derive(Debug)]
pub struct CallTemplate {
    bytes: Vec<u8>,
    id: Vec<u8>,
    text: Vec<u8>,
    places: [usize; 2],
}

/// An id is `1`, five digits of the lane and eight that count: below 2^53, which every JSON reader can hold.
const LANE_DIGITS: usize = 5;
const COUNT_DIGITS: usize = 8;
/// What the text begins with; the id follows.
const TEXT_START: &[u8] = b"echo ";

impl CallTemplate {
    /// A call of `tool` in the lane (one a connection), with `payload` more bytes of text.
    pub fn new(url: &Url, era: Era, session: &str, tool: &str, lane: usize, payload: usize) -> Self {
        let id = format!("1{lane:0LANE_DIGITS$}{:0COUNT_DIGITS$}", 0);
        let text = format!("echo {id} {}", "x".repeat(payload));
        let (headers, meta) = match era {
            Era::Legacy => (legacy_headers(session), String::new()),
            Era::Modern => (modern_headers("tools/call", Some(tool)), format!(",{MODERN_META}")),
        };
        let before_text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":""#
        );
        let body = format!(r#"{before_text}{text}"}}{meta}}}}}"#);
        let bytes = url.post(&headers, &body);
        let start = bytes.len() - body.len();
        let places =
            [start + r#"{"jsonrpc":"2.0","id":"#.len(), start + before_text.len() + TEXT_START.len()];
        Self { bytes, id: id.into_bytes(), text: text.into_bytes(), places }
    }

    /// Moves on to the next id.
    pub fn advance(&mut self) {
        for digit in self.id.iter_mut().rev().take(COUNT_DIGITS) {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
        let length = self.id.len();
        for place in self.places {
            self.bytes[place..place + length].copy_from_slice(&self.id);
        }
        self.text[TEXT_START.len()..TEXT_START.len() + length].copy_from_slice(&self.id);
    }

    /// The request.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The id in it.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The text in it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn body(bytes: &[u8]) -> Value {
        let text = str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len()))
                || head.ends_with(&body.len().to_string())
        );
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_call_stays_whole_while_its_id_counts() {
        let url = Url::loopback(80, "/mcp");
        for era in [Era::Legacy, Era::Modern] {
            let mut call = CallTemplate::new(&url, era, "s", "echo", 7, 3);
            for count in 1..=1_234_u64 {
                call.advance();
                let body = body(call.bytes());
                let id = 10_000_700_000_000 + count;
                assert_eq!(body["id"], id);
                assert_eq!(body["params"]["arguments"]["text"], format!("echo {id} xxx"));
                assert_eq!(call.id(), id.to_string().as_bytes());
                assert_eq!(call.text(), format!("echo {id} xxx").as_bytes());
            }
        }
    }

    #[test]
    fn each_era_has_its_headers() {
        let url = Url::loopback(80, "/mcp");
        let legacy = CallTemplate::new(&url, Era::Legacy, "abc", "echo", 0, 0);
        let legacy = String::from_utf8(legacy.bytes).unwrap();
        assert!(legacy.contains("\r\nMcp-Session-Id: abc\r\n") && !legacy.contains("_meta"));
        let modern = CallTemplate::new(&url, Era::Modern, "", "echo", 0, 0);
        let modern = String::from_utf8(modern.bytes).unwrap();
        for part in ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: echo", "_meta"]
        {
            assert!(modern.contains(part), "{part}");
        }
        assert!(!modern.contains("Session"));
    }

    #[test]
    fn every_prebuilt_body_is_json_of_its_length() {
        let url = Url::loopback(80, "/mcp");
        assert_eq!(body(&handshake(&url, None))["method"], "initialize");
        assert_eq!(body(&handshake(&url, Some("s")))["method"], "notifications/initialized");
        assert_eq!(body(&listing(&url, Era::Legacy, "s"))["method"], "tools/list");
        assert_eq!(body(&listing(&url, Era::Modern, ""))["method"], "tools/list");
        assert_eq!(body(&opening(&url, Era::Modern, ""))["method"], "subscriptions/listen");
        assert!(opening(&url, Era::Legacy, "s").starts_with(b"GET /mcp HTTP/1.1\r\n"));
    }

    #[test]
    fn urls_are_http_with_or_without_port_and_path() {
        let url = Url::parse("http://127.0.0.1:9000/mcp/x").unwrap();
        assert_eq!((url.address.port(), url.path.as_str()), (9000, "/mcp/x"));
        let url = Url::parse("http://127.0.0.1").unwrap();
        assert_eq!((url.address.port(), url.path.as_str()), (80, "/"));
        assert!(Url::parse("https://127.0.0.1/").is_err());
    }
}
