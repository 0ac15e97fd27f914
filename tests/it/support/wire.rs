//! HTTP as it is: one connection a request, every header and byte to be looked at.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::within;

/// What every MCP client sends.
pub const MCP_HEADERS: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

/// A response whose body is still coming. Dropping it closes the connection.
pub struct Open {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    pending: BytesMut,
    _connection: Connection,
}

/// The task of a connection, which is closed when this is dropped, be it in the middle of a request.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its data.
    Data(String),
    /// A comment, or an event without data: it keeps the stream open, or says how to come back to it.
    Comment,
}

/// A server-sent event with all its fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// `id`.
    pub id: Option<String>,
    /// `retry`.
    pub retry: Option<u64>,
    /// `data`; none for a comment, and for an event of nothing but `retry`.
    pub data: Option<String>,
}

/// Sends a request and returns as soon as the head of the response is here. A `host` header is added if there is none.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Open {
    let stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("no delay");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("connection");
    let connection = Connection(tokio::spawn(async move {
        let _ended = connection.await;
    }));
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let response = within("the head of a response", sender.send_request(request)).await.expect("a response");
    let (head, body) = response.into_parts();
    Open {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        pending: BytesMut::new(),
        _connection: connection,
    }
}

/// A POST with the headers of MCP and `more`, which replace them by name.
pub async fn post(address: SocketAddr, path: &str, more: &[(&str, &str)], body: impl Into<Bytes>) -> Open {
    let replaced = |name: &str| more.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let mut headers: Vec<_> = MCP_HEADERS.into_iter().filter(|(name, _)| !replaced(name)).collect();
    headers.extend_from_slice(more);
    request(address, "POST", path, &headers, body).await
}

impl Open {
    /// The rest of the response.
    pub async fn whole(mut self) -> Reply {
        let mut body = self.pending.split();
        while let Some(frame) = within("the rest of a response", self.body.frame()).await {
            body.extend_from_slice(&frame.expect("a frame").into_data().unwrap_or_default());
        }
        Reply { status: self.status, headers: self.headers.clone(), body: body.freeze() }
    }

    /// The next piece of the body as it comes; `None` at its end, the reason if it breaks off.
    pub async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = within("a piece of a body", self.body.frame()).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// The next server-sent event; `None` at the end of the stream.
    pub async fn event(&mut self) -> Option<Event> {
        Some(read_event(&self.event_text().await?))
    }

    /// The next server-sent event with its fields; `None` at the end of the stream.
    pub async fn fields(&mut self) -> Option<Fields> {
        let text = self.event_text().await?;
        let field = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()));
        let retry = field("retry: ").map(|retry| retry.parse().expect("a number"));
        Some(Fields { id: field("id: "), retry, data: field("data: ") })
    }

    async fn event_text(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.pending.split_to(end + 2);
                return Some(std::str::from_utf8(&event[..end]).expect("text").to_owned());
            }
            match within("an event", self.body.frame()).await {
                Some(frame) => {
                    self.pending.extend_from_slice(&frame.expect("a frame").into_data().unwrap_or_default());
                }
                None => {
                    assert!(self.pending.is_empty(), "the stream broke off: {:?}", self.pending);
                    return None;
                }
            }
        }
    }

    /// The next message; comments are skipped.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            match self.event().await? {
                Event::Data(data) => return Some(serde_json::from_str(&data).expect("JSON")),
                Event::Comment => {}
            }
        }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON, or the one message in it if it is a stream of events.
    pub fn json(&self) -> Value {
        match self.messages().as_slice() {
            [one] => one.clone(),
            other => panic!("{} messages instead of one: {}", other.len(), self.text()),
        }
    }

    /// All messages in the body.
    pub fn messages(&self) -> Vec<Value> {
        let parse = |text: &str| {
            serde_json::from_str(text).unwrap_or_else(|_| panic!("{}: no JSON: {}", self.status, self.text()))
        };
        if self.header("content-type") != Some("text/event-stream") {
            return vec![parse(self.text())];
        }
        let events = self.text().split("\n\n").filter(|event| !event.is_empty()).map(read_event);
        events
            .filter_map(|event| if let Event::Data(data) = event { Some(parse(&data)) } else { None })
            .collect()
    }
}

fn read_event(text: &str) -> Event {
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let data = lines.join("\n");
    if data.is_empty() { Event::Comment } else { Event::Data(data) }
}
