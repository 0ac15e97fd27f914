//! The GET stream of a legacy server, on which it says what belongs to no call.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use crate::protocol::{Kind, Message, Params, method, params, sse, write};

use super::super::signals::ListKind;
use super::body::is_stream;
use super::link::HttpLink;
use super::resume::Resume;

/// A stream that was open for so long was no failure, though nothing came on it.
const STEADY: Duration = Duration::from_secs(5);

/// Follows the stream until the server says that it has none (405, and any other refusal), which is healthy. A
/// stream that breaks is opened again where it stopped.
pub async fn follow_events(link: Arc<HttpLink>) {
    let mut resume = Resume::default();
    loop {
        resume.attempt();
        match link.open_events(resume.last_id()).await {
            Ok(response) if response.status() == StatusCode::OK && is_stream(response.headers()) => {
                let since = Instant::now();
                read(&link, response.into_body(), &mut resume).await;
                if since.elapsed() >= STEADY {
                    resume.was_well();
                }
            }
            Ok(response) if response.status().is_server_error() => {}
            Ok(response) => {
                debug!(server = %link.name(), status = %response.status(), "the server offers no event stream");
                return;
            }
            Err(_) => {}
        }
        tokio::time::sleep(resume.wait()).await;
    }
}

async fn read(link: &Arc<HttpLink>, mut body: Incoming, resume: &mut Resume) {
    let mut decoder = sse::Decoder::new(link.max_message());
    let limit = link.stream_idle_timeout().unwrap_or(Duration::MAX);
    // A stream on which nothing comes, not even a comment, may long be dead: it is opened again.
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(limit, body.frame()).await {
        let Some(data) = frame.data_ref() else { continue };
        decoder.push(data);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => {
                    resume.note(&event);
                    // A stream that never pauses must not keep the thread to itself.
                    tokio::task::consume_budget().await;
                    if let Ok(message) = Message::parse(event.data) {
                        receive(link, message);
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Gives a message that came on no call's stream to whom it concerns.
pub(super) fn receive(link: &Arc<HttpLink>, message: Message) {
    match message.kind() {
        Kind::Notification => {}
        Kind::Request if message.method() == method::PING => {
            if let Some(id) = message.id() {
                link.answer(write::result(&id, b"{}"));
            }
            return;
        }
        Kind::Request => return link.inquire_beside(message),
        Kind::Result | Kind::Error => {
            debug!(server = %link.name(), id = ?message.id(), "a reply on no call's stream");
            return;
        }
    }
    if let Some(kind) = ListKind::of_notification(message.method()) {
        return link.signals().list_changed(kind);
    }
    let Ok(read) = Params::read(&message) else { return };
    match message.method() {
        method::RESOURCE_UPDATED => {
            if let Some(uri) = params::string_at(&message, &read.uri) {
                link.signals().resource_updated(uri.into_owned());
            }
        }
        method::TASK_STATUS => link.signals().task(message),
        method::CANCELLED => {
            if let Some(id) = read.request_id {
                link.withdraw_inquiry(message.slice(id));
            }
        }
        method::PROGRESS => {
            if let Some(token) = read.progress_token {
                let token = message.as_str()[token].to_owned();
                link.progress(&token, message);
            }
        }
        _ => link.stray(message),
    }
}
