//! Bodies that are told piece by piece, and how many listen to the event stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// Listeners at once: people and a few programs that watch.
pub const LISTENERS: usize = 32;

/// Counts who listens. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<AtomicUsize>);

/// One listener's place; dropping it frees the place.
pub struct Place(Feed);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Feed {
    /// A place, if there is one left.
    pub fn enter(&self) -> Option<Place> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        (before < LISTENERS).then_some(place)
    }
}

/// A body of pieces that come one by one. It holds a place for as long as somebody takes it.
pub struct Stream<H> {
    telling: mpsc::Receiver<Bytes>,
    _place: H,
}

impl<H> Stream<H> {
    /// The body of what is told there.
    pub fn new(telling: mpsc::Receiver<Bytes>, place: H) -> Stream<H> {
        Stream { telling, _place: place }
    }
}

impl<H: Unpin> http_body::Body for Stream<H> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.telling.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
