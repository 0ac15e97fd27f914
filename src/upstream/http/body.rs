//! Bodies of a server's responses: a stream that may be waited for only so long, or one piece within a cap.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::time::{Instant, Sleep};

pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    value.len() >= STREAM.len() && value[..STREAM.len()].eq_ignore_ascii_case(STREAM)
}

const STREAM: &[u8] = b"text/event-stream";

/// The patience with a stream on which nothing comes; anything does, a comment too.
pub(super) struct Idle {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

/// What hyper says is next on a body; nothing at its end.
pub(super) type NextFrame = Option<Result<Frame<Bytes>, hyper::Error>>;

/// Nothing came for so long.
pub(super) struct Silent(pub Duration);

impl Idle {
    pub fn new(limit: Duration) -> Idle {
        Idle { limit, timer: Box::pin(tokio::time::sleep(limit)) }
    }

    /// The next frame of the body, unless it lets itself be waited for too long.
    pub fn poll_frame(
        idle: &mut Option<Idle>,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Result<NextFrame, Silent>> {
        let frame = Pin::new(body).poll_frame(cx);
        let Some(idle) = idle else { return frame.map(Ok) };
        match frame {
            Poll::Ready(frame) => {
                idle.timer.as_mut().reset(Instant::now() + idle.limit);
                Poll::Ready(Ok(frame))
            }
            Poll::Pending => idle.timer.as_mut().poll(cx).map(|()| Err(Silent(idle.limit))),
        }
    }
}

/// A body as it is collected: without a copy if it comes in one piece, which is the common case.
#[derive(Default)]
pub(super) struct Collected {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl Collected {
    pub fn poll(
        &mut self,
        body: &mut Incoming,
        cap: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, String>> {
        loop {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => {
                    let first = self.first.take().unwrap_or_default();
                    return Poll::Ready(Ok(if self.rest.is_empty() {
                        first
                    } else {
                        self.rest.split().freeze()
                    }));
                }
                Some(Err(error)) => return Poll::Ready(Err(format!("broke off its answer: {error}"))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.add(data);
                    }
                    if self.rest.len() > cap {
                        return Poll::Ready(Err(format!(
                            "answered with more than {cap} bytes (max_message)"
                        )));
                    }
                    if self.rest.is_empty() && body.is_end_stream() {
                        return Poll::Ready(Ok(self.first.take().unwrap_or_default()));
                    }
                }
            }
        }
    }

    fn add(&mut self, data: Bytes) {
        match self.first.take() {
            None if self.rest.is_empty() => self.first = Some(data),
            None => self.rest.extend_from_slice(&data),
            Some(first) => {
                self.rest.extend_from_slice(&first);
                self.rest.extend_from_slice(&data);
            }
        }
    }
}
