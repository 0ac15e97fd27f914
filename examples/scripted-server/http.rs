//! Streamable HTTP: one JSON object when the reply comes first, else a stream of events.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::flags::Era;
use crate::message::{Sent, Sink};
use crate::oldest::Oldest;
use crate::protocol::{Listener, Server, is_modern, locked};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Messages that may wait for a slow reader before the tool that sends them has to wait too.
const WAITING: usize = 16;

struct Front {
    server: Arc<Server>,
    sessions: Mutex<HashSet<String>>,
    oldest: Oldest,
    minted: AtomicU64,
}

/// A body that is there, or one that comes in events.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Events { first: Option<Bytes>, rest: mpsc::Receiver<Sent> },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let framed = |bytes: Bytes| Ok(Frame::data(bytes));
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(framed)),
            Self::Events { first, rest } => match first.take() {
                Some(first) => Poll::Ready(Some(framed(first))),
                None => rest
                    .poll_recv(context)
                    .map(|sent| sent.map(|(Sent::Note(bytes) | Sent::Reply(bytes))| framed(event(&bytes)))),
            },
        }
    }
}

fn event(message: &[u8]) -> Bytes {
    [b"event: message\ndata: ", message, b"\n\n"].concat().into()
}

pub(crate) async fn serve(server: Arc<Server>, port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stderr(), "listening on http://{}/mcp", listener.local_addr()?)?;
    let (sessions, oldest, minted) = (Mutex::default(), Oldest::default(), AtomicU64::new(0));
    let front = Arc::new(Front { server, sessions, oldest, minted });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let front = front.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let front = front.clone();
                async move { Ok::<_, Infallible>(front.answer(request).await) }
            });
            let _gone =
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let wanted = self.server.flags.bearer.as_ref().map(|token| format!("Bearer {token}"));
        if wanted.is_some() && text(&parts.headers, &header::AUTHORIZATION) != wanted.as_deref() {
            return empty(StatusCode::UNAUTHORIZED);
        }
        if self.server.flags.oldest {
            return self.oldest.answer(&self.server, &parts, body).await;
        }
        let session = text(&parts.headers, &SESSION).unwrap_or_default();
        let known = locked(&self.sessions).contains(session);
        match parts.method {
            Method::POST => match body.collect().await {
                Ok(body) => self.post(session, known, &parts.headers, &body.to_bytes()).await,
                Err(_) => empty(StatusCode::BAD_REQUEST),
            },
            Method::GET if self.server.flags.get_stream && known => {
                let (sender, rest) = mpsc::channel(WAITING);
                self.server.listen(Listener { subscription: None, sink: Sink::Http(sender) });
                events(None, rest)
            }
            Method::DELETE if locked(&self.sessions).remove(session) => empty(StatusCode::OK),
            Method::DELETE => empty(StatusCode::NOT_FOUND),
            _ => empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    async fn post(&self, session: &str, known: bool, headers: &HeaderMap, body: &[u8]) -> Response<Answer> {
        let Ok(message) = serde_json::from_slice::<Value>(body) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let opens = message.get("method") == Some(&json!("initialize"));
        let modern = is_modern(&message);
        if !opens && !modern && !known {
            return empty(if session.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND });
        }
        let tool = message.pointer("/params/name").and_then(Value::as_str).unwrap_or_default();
        if tool == "status" {
            let code = message.pointer("/params/arguments/code").and_then(Value::as_u64).unwrap_or_default();
            let code = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
            return empty(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        if tool == "forget-session" {
            locked(&self.sessions).remove(session);
        }
        let (sender, mut sent) = mpsc::channel(WAITING);
        let is_request = message.get("method").is_some() && message.get("id").is_some();
        self.server.take(message, session, Sink::Http(sender), told(headers));
        if !is_request {
            return empty(StatusCode::ACCEPTED);
        }
        let mut response = match sent.recv().await {
            Some(Sent::Reply(reply)) => whole(StatusCode::OK, reply.into()),
            Some(Sent::Note(note)) => events(Some(event(&note)), sent),
            None => events(None, sent),
        };
        if opens && self.server.flags.era != Era::Modern {
            let minted =
                format!("scripted-{}-{}", std::process::id(), self.minted.fetch_add(1, Ordering::Relaxed));
            if let Ok(value) = HeaderValue::from_str(&minted) {
                response.headers_mut().insert(SESSION, value);
            }
            // Before there was a session, it was kept under none.
            let declared = locked(&self.server.declared).remove(session).unwrap_or_default();
            locked(&self.server.declared).insert(minted.clone(), declared);
            locked(&self.sessions).insert(minted);
        }
        response
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn told(headers: &HeaderMap) -> Value {
    let pairs =
        headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    json!(pairs.collect::<std::collections::BTreeMap<_, _>>())
}

fn whole(status: StatusCode, bytes: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(bytes)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = status;
    response
}

pub(crate) fn events(first: Option<Bytes>, rest: mpsc::Receiver<Sent>) -> Response<Answer> {
    let mut response = Response::new(Answer::Events { first, rest });
    response.headers_mut().insert(header::CONTENT_TYPE, EVENTS);
    response
}
