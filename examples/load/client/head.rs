//! The head of an HTTP/1.1 reply: status, framing, and the few headers an MCP client needs.

use memchr::memmem;

/// How the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(usize),
    /// With the last chunk.
    Chunked,
}

/// A parsed reply head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// Bytes up to and with the empty line.
    pub len: usize,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the body is an event stream.
    pub event_stream: bool,
    /// The legacy session it names.
    pub session: Option<String>,
}

/// The longest head accepted.
const MAX_HEAD: usize = 64 * 1024;

/// Parses the head at the start of `bytes`; `None` while it is incomplete.
pub fn parse_head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD { Err("the reply's head has no end".into()) } else { Ok(None) };
    };
    let text = str::from_utf8(&bytes[..end]).map_err(|_| "the reply's head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.get(2..5))
        .and_then(|code| code.parse().ok())
        .ok_or("the reply has no HTTP/1 status line")?;
    let mut head =
        Head { status, len: end + 4, framing: Framing::Length(0), event_stream: false, session: None };
    let mut framed = matches!(status, 204 | 304);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a reply header has no colon")?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.framing = Framing::Length(value.parse().map_err(|_| "a content-length is no number")?);
            framed = true;
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.framing = Framing::Chunked;
            framed = true;
        } else if name.eq_ignore_ascii_case("content-type") {
            head.event_stream = value.to_ascii_lowercase().starts_with("text/event-stream");
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            head.session = Some(value.to_owned());
        }
    }
    if framed { Ok(Some(head)) } else { Err("the reply has neither a length nor chunks".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_reply_is_framed_by_its_length() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\ncontent-type: application/json\r\n\r\nbody";
        let head = parse_head(bytes).unwrap().unwrap();
        assert_eq!((head.status, head.framing), (200, Framing::Length(12)));
        assert_eq!(&bytes[head.len..], b"body");
        assert!(!head.event_stream);
    }

    #[test]
    fn a_stream_is_chunked_and_names_its_session() {
        let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
            MCP-Session-Id: abc\r\n\r\n";
        let head = parse_head(bytes).unwrap().unwrap();
        assert_eq!(head.framing, Framing::Chunked);
        assert!(head.event_stream);
        assert_eq!(head.session.as_deref(), Some("abc"));
    }

    #[test]
    fn a_head_cut_anywhere_is_incomplete() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
        for cut in 0..bytes.len() {
            assert_eq!(parse_head(&bytes[..cut]), Ok(None));
        }
        assert!(parse_head(bytes).unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n").is_err());
        assert!(parse_head(&[b'x'; MAX_HEAD + 1]).is_err());
    }
}
