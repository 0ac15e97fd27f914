//! The bridge itself: reads the client's lines, tells what each is, and sees everything end with the input.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::base::backoff::Backoff;
use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{Kind, Message, MessageError, Params, RawId, method, write};

use super::call::{self, Call};
use super::gateway::Gateway;
use super::lines::{Incoming, Lines, Output};
use super::mirror::Known;
use super::session::Session;
use super::{follow, stream};

/// How the front is run.
#[derive(Debug)]
pub struct Options {
    /// Where requests go.
    pub gateway: Gateway,
    /// The longest line taken from the client, in bytes.
    pub max_line: usize,
    /// How long calls in flight may take when the input has ended.
    pub grace: Duration,
}

/// What all parts of the bridge share.
#[derive(Debug)]
pub(super) struct Bridge {
    pub gateway: Gateway,
    pub output: Output,
    pub session: Session,
    pub mirrors: Known,
    /// Fires when no more is to be expected from the client: streams end.
    pub closing: CancellationToken,
    /// Fires when calls must end too.
    pub over: CancellationToken,
    calls: Mutex<HashMap<u64, Arc<Call>>>,
    next: AtomicU64,
    tasks: TaskTracker,
    following: AtomicBool,
}

/// Requests of one client under way at once. A program that has more than this open has lost its way.
const MAX_CALLS: usize = 1024;
/// How long the last words may take: to the client that may not read, and to the gateway that may not answer.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// A withdrawal may reach the gateway before its call does; it is repeated after these pauses, as long as the call goes
/// on.
const REPEATS: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };
const MAX_REPEATS: u32 = 5;

/// Serves one client until its input ends or `stop` fires.
pub async fn run(
    options: Options,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) {
    let (output, mut writer) = Output::start(output);
    let bridge = Arc::new(Bridge {
        gateway: options.gateway,
        output,
        session: Session::default(),
        mirrors: Known::default(),
        closing: CancellationToken::new(),
        over: CancellationToken::new(),
        calls: Mutex::default(),
        next: AtomicU64::new(0),
        tasks: TaskTracker::new(),
        following: AtomicBool::new(false),
    });
    let mut lines = Lines::new(input, options.max_line);
    let hurried = loop {
        let incoming = tokio::select! {
            biased;
            () = stop.cancelled() => break true,
            // Nobody reads what we would say.
            _ = &mut writer => break true,
            incoming = lines.next() => incoming,
        };
        let Some(incoming) = incoming else { break false };
        // A client that does not read keeps us from reading more, and from nothing else.
        tokio::select! {
            biased;
            () = stop.cancelled() => break true,
            _ = &mut writer => break true,
            () = bridge.hear(incoming, options.max_line) => {}
        }
    };
    bridge.closing.cancel();
    bridge.tasks.close();
    if !hurried {
        tokio::select! {
            () = bridge.tasks.wait() => {}
            () = tokio::time::sleep(options.grace) => {}
            () = stop.cancelled() => {}
        }
    }
    bridge.over.cancel();
    let _ = tokio::time::timeout(LAST_WORDS, bridge.tasks.wait()).await;
    let _ = tokio::time::timeout(LAST_WORDS, bridge.session.close(&bridge.gateway)).await;
    drop(bridge);
    if !writer.is_finished() {
        let _ = tokio::time::timeout(LAST_WORDS, writer).await;
    }
}

impl Bridge {
    async fn hear(self: &Arc<Self>, incoming: Incoming, max_line: usize) {
        match incoming {
            Incoming::Line(line) => self.take(line).await,
            Incoming::TooLong => self.too_long(max_line).await,
        }
    }

    /// Takes one line of the client.
    async fn take(self: &Arc<Self>, line: Bytes) {
        let message = match Message::parse(line.clone()) {
            Ok(message) => message,
            // A client of 2025-03-26 may send several messages at once.
            Err(_) if line.trim_ascii_start().starts_with(b"[") => return self.forward(line, Vec::new()),
            Err(error) => return self.output.send(unreadable(error)).await,
        };
        let params = match Params::read(&message) {
            Ok(params) => params,
            Err(error) => {
                let error = Error::new(ErrorKind::InvalidParams, error.to_string());
                return self.output.send(write::error(message.id().as_ref(), &error, Era::Legacy)).await;
            }
        };
        match (message.kind(), message.id()) {
            (Kind::Request, Some(id)) => self.request(message, params, id).await,
            (Kind::Notification, _) => self.notification(message, params),
            _ => self.forward(message.text().clone(), self.session_headers()),
        }
    }

    async fn request(self: &Arc<Self>, message: Message, params: Box<Params>, id: RawId) {
        let modern = params.meta.as_ref().is_some_and(|meta| meta.is_modern());
        let era = if modern { Era::Modern } else { Era::Legacy };
        let call = Arc::new(Call { message, params, id, era, withdrawn: CancellationToken::new() });
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let full = {
            let mut calls = self.lock();
            let full = calls.len() >= MAX_CALLS;
            if !full {
                calls.insert(key, Arc::clone(&call));
            }
            full
        };
        if full {
            let text = format!(
                "{MAX_CALLS} requests are under way, as many as one client may have; try again later"
            );
            let error = Error::new(ErrorKind::Overloaded, text);
            return self.output.send(write::error(Some(&call.id), &error, era)).await;
        }
        let bridge = Arc::clone(self);
        // Listening has no end of its own, and nobody waits for it at the end of the input.
        let listens = call.message.method() == method::LISTEN;
        let work = async move {
            if listens {
                let closing = bridge.closing.clone();
                Box::pin(closing.run_until_cancelled(call::run(Arc::clone(&bridge), call))).await;
            } else {
                call::run(Arc::clone(&bridge), call).await;
            }
            bridge.lock().remove(&key);
        };
        self.tasks.spawn(work);
    }

    fn notification(self: &Arc<Self>, message: Message, params: Box<Params>) {
        if message.method() == method::CANCELLED {
            return self.withdraw(message, params);
        }
        let headers = match self.session.current() {
            Some(session) => session.headers(),
            None => call::mirrored(&message, &params),
        };
        let begins = message.method() == method::INITIALIZED && self.session.current().is_some();
        self.forward(message.text().clone(), headers);
        if begins && !self.following.swap(true, Ordering::Relaxed) {
            let bridge = Arc::clone(self);
            tokio::spawn(async move {
                let closing = bridge.closing.clone();
                closing.run_until_cancelled(follow::follow(&bridge)).await;
            });
        }
    }

    /// The client withdraws a call. An id that is under way twice names no call, and none is withdrawn here.
    fn withdraw(self: &Arc<Self>, message: Message, params: Box<Params>) {
        let id = params.request_id.and_then(|span| RawId::new(message.slice(span)));
        let (key, call) = {
            let calls = self.lock();
            let mut matching = calls.iter().filter(|(_, call)| Some(&call.id) == id.as_ref());
            match (matching.next(), matching.next()) {
                (Some((key, call)), None) => (*key, Arc::clone(call)),
                _ => return debug!(?id, "a cancellation that names no call, or more than one"),
            }
        };
        call.withdrawn.cancel();
        if call.era == Era::Modern {
            return;
        }
        let bridge = Arc::clone(self);
        self.tasks.spawn(async move {
            for attempt in 0..MAX_REPEATS {
                let headers = bridge.session_headers();
                let _ = bridge.gateway.post(message.text(), &headers).await;
                tokio::select! {
                    () = tokio::time::sleep(REPEATS.ceiling(attempt)) => {}
                    () = bridge.over.cancelled() => return,
                }
                if !bridge.lock().contains_key(&key) {
                    return;
                }
            }
        });
    }

    /// Sends on what the gateway owes no answer for under an id that we know: notifications, answers, batches.
    fn forward(self: &Arc<Self>, text: Bytes, mut headers: Vec<(http::HeaderName, http::HeaderValue)>) {
        if self.tasks.len() >= 2 * MAX_CALLS {
            return debug!("too much is under way; a message that needs no answer is dropped");
        }
        if headers.is_empty() {
            headers = self.session_headers();
        }
        let bridge = Arc::clone(self);
        self.tasks.spawn(async move {
            let sent = async {
                let response = bridge.gateway.post(&text, &headers).await?;
                bridge.pass_on(response).await
            };
            tokio::select! {
                () = bridge.over.cancelled() => {}
                outcome = sent => if let Err(error) = outcome {
                    debug!(%error, "a message could not be delivered");
                },
            }
        });
    }

    /// Passes on whatever comes back for a batch; for anything else nothing does.
    async fn pass_on(&self, response: http::Response<super::Body>) -> Result<(), Error> {
        if stream::is_stream(&response) {
            let mut events = stream::Events::new(response.into_body(), stream::Place::default());
            while let Some(data) = events.next().await {
                if Message::parse(data.clone()).is_ok() {
                    self.output.send(data).await;
                }
            }
            return Ok(());
        }
        let answered = response.status().is_success();
        let body = stream::whole(&self.gateway, response).await?;
        if answered && body.starts_with(b"[") {
            self.output.send(body).await;
        } else if !answered {
            debug!(answer = %String::from_utf8_lossy(&body), "a message was refused");
        }
        Ok(())
    }

    fn session_headers(&self) -> Vec<(http::HeaderName, http::HeaderValue)> {
        self.session.current().map(|session| session.headers()).unwrap_or_default()
    }

    async fn too_long(&self, cap: usize) {
        let error = Error::new(ErrorKind::TooLarge, format!("a line is longer than {cap} bytes"));
        self.output.send(write::error(None, &error, Era::Legacy)).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a line that is no message.
fn unreadable(error: MessageError) -> Bytes {
    let (id, error) = match error {
        MessageError::Syntax(_) => (None, Error::new(ErrorKind::Parse, error.to_string())),
        MessageError::Invalid { reason, id } => (id, Error::new(ErrorKind::InvalidRequest, reason)),
    };
    write::error(id.as_ref(), &error, Era::Legacy)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_does_not_hold_the_end_up() {
        let url = "/mcp".parse().unwrap();
        let gateway = Gateway::new(url, HeaderMap::new(), |_| Box::pin(std::future::pending()));
        let options = Options { gateway, max_line: 1 << 10, grace: Duration::from_secs(10) };
        let (mut client, input) = tokio::io::duplex(1 << 20);
        let (output, _unread) = tokio::io::duplex(64);
        client.write_all("no message\n".repeat(2_000).as_bytes()).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(options, input, output, stop.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!running.is_finished());
        stop.cancel();
        let ended = tokio::time::timeout(3 * LAST_WORDS, running).await;
        ended.expect("it does not end").expect("it has panicked");
    }
}
