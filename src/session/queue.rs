//! Events on their way to one reader: a bounded queue that costs nothing while it is empty.
//!
//! Ten thousand idle streams hold ten thousand of these; a channel of the runtime would allocate a block for each.
//! A reader that does not keep up is cut off, because what it would miss it could not notice missing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Events that may wait for one reader.
const MAX_EVENTS: usize = 1024;
/// Bytes that may wait for one reader. One event may always wait, whatever its size.
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Bytes>,
    bytes: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    abandoned: bool,
}

/// The writing end.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Mutex<State>>);

/// The reading end. Dropping it tells the writer.
#[derive(Debug)]
pub struct Reader(Arc<Mutex<State>>);

/// The reader has gone, or was too slow and has been cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// A fresh queue.
pub fn queue() -> (Writer, Reader) {
    let state = Arc::new(Mutex::new(State::default()));
    (Writer(Arc::clone(&state)), Reader(state))
}

impl Writer {
    /// Adds an event. A reader with too much waiting is cut off: it sees the end after what it has.
    pub fn push(&self, event: Bytes) -> Result<(), Gone> {
        let mut state = lock(&self.0);
        if state.abandoned || state.ended {
            return Err(Gone);
        }
        if state.events.len() >= MAX_EVENTS || (state.bytes > 0 && state.bytes + event.len() > MAX_BYTES) {
            state.ended = true;
            wake_reader(state);
            return Err(Gone);
        }
        state.bytes += event.len();
        state.events.push_back(event);
        wake_reader(state);
        Ok(())
    }

    /// Adds an event that carries nothing, if nothing else is waiting.
    pub fn push_if_idle(&self, event: Bytes) -> Result<(), Gone> {
        let idle = lock(&self.0).events.is_empty();
        if idle { self.push(event) } else { Ok(()) }
    }

    /// Ends the stream after what is waiting.
    pub fn end(&self) {
        let mut state = lock(&self.0);
        state.ended = true;
        wake_reader(state);
    }

    /// Waits until the reader has gone.
    pub async fn abandoned(&self) {
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.0);
            if state.abandoned {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Whether nobody reads any more.
    pub fn is_gone(&self) -> bool {
        let state = lock(&self.0);
        state.abandoned || state.ended
    }
}

impl Reader {
    /// The next event; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = lock(&self.0);
        if let Some(event) = state.events.pop_front() {
            state.bytes -= event.len();
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.abandoned = true;
        state.events = VecDeque::new();
        let waker = state.writer.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn wake_reader(mut state: MutexGuard<'_, State>) {
    let waker = state.reader.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code that can panic runs under the lock; a poisoned state would still be a whole one.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(reader: &mut Reader) -> Option<Bytes> {
        std::future::poll_fn(|cx| reader.poll_next(cx)).await
    }

    #[tokio::test]
    async fn events_come_in_order_and_then_the_end() {
        let (writer, mut reader) = queue();
        writer.push(Bytes::from_static(b"1")).unwrap();
        writer.push(Bytes::from_static(b"2")).unwrap();
        writer.end();
        assert_eq!(writer.push(Bytes::from_static(b"3")), Err(Gone));
        assert_eq!(next(&mut reader).await.unwrap(), "1");
        assert_eq!(next(&mut reader).await.unwrap(), "2");
        assert_eq!(next(&mut reader).await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_cut_off_and_the_memory_is_bounded() {
        let (writer, mut reader) = queue();
        let taken = (0..2 * MAX_EVENTS).take_while(|_| writer.push(Bytes::from_static(b"x")).is_ok()).count();
        assert_eq!(taken, MAX_EVENTS);
        let mut read = 0;
        while next(&mut reader).await.is_some() {
            read += 1;
        }
        assert_eq!(read, MAX_EVENTS);
        let (writer, _reader) = queue();
        let large = Bytes::from(vec![0; MAX_BYTES]);
        writer.push(large.clone()).unwrap();
        assert_eq!(writer.push(large), Err(Gone));
    }

    #[tokio::test]
    async fn the_writer_hears_when_the_reader_goes() {
        let (writer, reader) = queue();
        let waiting = tokio::spawn({
            let writer = writer.clone();
            async move { writer.abandoned().await }
        });
        tokio::task::yield_now().await;
        drop(reader);
        waiting.await.unwrap();
        assert!(writer.is_gone());
    }
}
