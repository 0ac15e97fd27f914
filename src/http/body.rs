//! Bodies of responses: one piece of JSON, a stream of events, or whatever axum made.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::router::InFlight;
use crate::session::{Listening, Place, Reader, StreamHold};
use crate::supervisor::{Answer, Broken};

use super::account::Account;

/// What a request's body can be: hyper's own, or one made in this process.
pub trait RequestBody:
    hyper::body::Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static
{
}

impl<B: hyper::body::Body<Data = Bytes, Error: std::fmt::Display + Send> + Send + Unpin + 'static> RequestBody
    for B
{
}

/// A response body of the front.
pub enum FrontBody {
    /// Nothing, or one piece.
    Whole(Option<Bytes>),
    /// The stream of one call.
    Call(Reader),
    /// A modern client's stream of changes.
    Changes(Listening),
    /// A stream that a legacy client opened by GET.
    Opened {
        /// What arrives.
        reader: Reader,
        /// Keeps the session from being idle.
        _hold: StreamHold,
        /// Counts among the streams that may be open.
        _place: Place,
    },
    /// What a service answers.
    Service {
        /// As it comes.
        body: Box<Answer>,
        /// What is noted of it.
        account: Box<Account>,
        /// Its place among the requests of the gateway.
        _place: InFlight,
    },
    /// A stream, and what ends with it.
    Held {
        /// What arrives.
        reader: Reader,
        /// Is dropped when the stream ends.
        _held: Box<dyn Send + Sync>,
    },
    /// A page of axum's.
    Page(axum::body::Body),
    /// Any of them, until its caller is not let in any more.
    Until {
        /// What arrives.
        body: Box<FrontBody>,
        /// The end of the credential.
        ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    },
}

impl FrontBody {
    /// One piece.
    pub fn whole(bytes: impl Into<Bytes>) -> FrontBody {
        FrontBody::Whole(Some(bytes.into()))
    }

    /// The same, broken off when `ended` comes.
    pub fn until(self, ended: impl Future<Output = ()> + Send + 'static) -> FrontBody {
        FrontBody::Until { body: Box::new(self), ended: Box::pin(ended) }
    }

    /// Nothing.
    pub fn empty() -> FrontBody {
        FrontBody::Whole(None)
    }
}

impl hyper::body::Body for FrontBody {
    type Data = Bytes;
    /// The connection is closed then, so that the client does not take what it has for the whole.
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            FrontBody::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            FrontBody::Call(reader) | FrontBody::Opened { reader, .. } | FrontBody::Held { reader, .. } => {
                Poll::Ready(ready!(reader.poll_next(cx)).map(|bytes| Ok(Frame::data(bytes))))
            }
            FrontBody::Changes(listening) => {
                Poll::Ready(ready!(listening.reader.poll_next(cx)).map(|bytes| Ok(Frame::data(bytes))))
            }
            FrontBody::Service { body, account, .. } => {
                let frame = Pin::new(&mut *body).poll_frame(cx);
                account.see(&frame, body.is_end_stream());
                frame
            }
            FrontBody::Page(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                // A page that breaks off ends; its length tells the client.
                Some(Err(_)) | None => Poll::Ready(None),
            },
            FrontBody::Until { body, ended } => match ended.as_mut().poll(cx) {
                // A stream of events can end anywhere; what a service sends would be taken for the whole.
                Poll::Ready(()) if matches!(**body, FrontBody::Service { .. }) => {
                    Poll::Ready(Some(Err(Broken::Withdrawn)))
                }
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => Pin::new(body).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            FrontBody::Whole(bytes) => bytes.is_none(),
            FrontBody::Page(body) => body.is_end_stream(),
            FrontBody::Service { body, .. } => body.is_end_stream(),
            FrontBody::Until { body, .. } => body.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            FrontBody::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            FrontBody::Page(body) => body.size_hint(),
            FrontBody::Service { body, .. } => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
