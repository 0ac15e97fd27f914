//! Bodies on their way, frame by frame: nothing is held back and nothing is held.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::handle::Pass;

/// Any error, for whoever only passes it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request to a service.
pub type ServiceBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body in one piece.
pub fn whole(bytes: Bytes) -> ServiceBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// When a request last moved: each frame that its service takes counts.
#[derive(Debug)]
pub(super) struct Progress {
    born: Instant,
    /// Milliseconds from `born` to the last frame.
    at: AtomicU64,
}

impl Progress {
    pub fn new() -> Arc<Progress> {
        Arc::new(Progress { born: Instant::now(), at: AtomicU64::new(0) })
    }

    /// When it last moved.
    pub fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.at.load(Ordering::Relaxed))
    }

    fn moved(&self) {
        let since = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(since, Ordering::Relaxed);
    }
}

/// A request's body that notes when it moves.
pub(super) fn noted(body: ServiceBody, progress: &Arc<Progress>) -> ServiceBody {
    // What is sent with the head has nothing to note.
    if body.is_end_stream() {
        return body;
    }
    Noted { body, progress: Arc::clone(progress) }.boxed_unsync()
}

struct Noted {
    body: ServiceBody,
    progress: Arc<Progress>,
}

impl Body for Noted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.progress.moved();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a service's answer. It keeps the request's place until it has ended or is dropped.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    pass: Pass,
}

/// An answer that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection broke.
    #[error("the service broke off its answer: {0}")]
    Off(#[from] hyper::Error),
    /// Nothing came for so long.
    #[error("the service sent nothing for {0:?} (idle_timeout)")]
    Silent(Duration),
    /// Whoever asked for it has lost the right to.
    #[error("the caller's credential is no longer good")]
    Withdrawn,
}

impl Answer {
    pub(super) fn new(body: Incoming, idle: Option<Duration>, pass: Pass) -> Answer {
        let idle = idle.map(|limit| (limit, Box::pin(tokio::time::sleep(limit))));
        Answer { body, idle, pass }
    }

    /// How its breaker let the request through: `closed`, or `half_open` to try the service.
    pub fn breaker(&self) -> &'static str {
        self.pass.breaker()
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let Some((limit, timer)) = &mut self.idle else { return frame.map_err(Broken::Off) };
        match frame {
            Poll::Ready(frame) => {
                timer.as_mut().reset(Instant::now() + *limit);
                Poll::Ready(frame.map(|frame| frame.map_err(Broken::Off)))
            }
            Poll::Pending => timer.as_mut().poll(cx).map(|()| Some(Err(Broken::Silent(*limit)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
