//! The transport of 2024-11-05: GET opens a session's one stream, whose first event names where its messages are sent to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::http::{Answer, empty, events, told};
use crate::message::{Sent, Sink};
use crate::protocol::{Listener, Server, locked};

/// Messages that may wait for a slow reader before the tool that sends them has to wait too.
const WAITING: usize = 16;

/// The sessions, by what their endpoints end in.
#[derive(Default)]
pub(crate) struct Oldest {
    streams: Mutex<HashMap<String, mpsc::Sender<Sent>>>,
    minted: AtomicU64,
}

impl Oldest {
    pub(crate) async fn answer(
        &self,
        server: &Arc<Server>,
        parts: &Parts,
        body: Incoming,
    ) -> Response<Answer> {
        match parts.method {
            Method::GET => self.open(server),
            Method::POST if parts.uri.path() == "/messages" => match body.collect().await {
                Ok(body) => self.take(server, parts, &body.to_bytes()),
                Err(_) => empty(StatusCode::BAD_REQUEST),
            },
            _ => empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn open(&self, server: &Arc<Server>) -> Response<Answer> {
        let session = self.minted.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, rest) = mpsc::channel(WAITING);
        server.listen(Listener { subscription: None, sink: Sink::Http(sender.clone()) });
        let named = format!("event: endpoint\ndata: {}{session}\n\n", server.flags.endpoint);
        locked(&self.streams).insert(session, sender);
        events(Some(named.into()), rest)
    }

    /// Everything is taken with 202; what there is to say comes on the stream.
    fn take(&self, server: &Arc<Server>, parts: &Parts, body: &[u8]) -> Response<Answer> {
        let session = parts.uri.query().and_then(|query| query.strip_prefix("session=")).unwrap_or_default();
        let Some(sender) = locked(&self.streams).get(session).cloned() else {
            return empty(StatusCode::NOT_FOUND);
        };
        let Ok(message) = serde_json::from_slice::<Value>(body) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        match message.pointer("/params/name").and_then(Value::as_str) {
            Some("status") => {
                let code = message.pointer("/params/arguments/code").and_then(Value::as_u64);
                let code = code.and_then(|code| u16::try_from(code).ok()?.try_into().ok());
                return empty(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
            }
            // The stream ends when nobody can say anything on it any more.
            Some("cut" | "forget-session") => {
                locked(&self.streams).remove(session);
                server.forget_listeners();
                return empty(StatusCode::ACCEPTED);
            }
            _ => {}
        }
        server.take(message, session, Sink::Http(sender), told(&parts.headers));
        empty(StatusCode::ACCEPTED)
    }
}
