//! Messages on their way into a child's stdin: whoever sends appends to one buffer, one writer task empties it.
//!
//! Under load many messages leave in one write. The buffer is bounded: a child that does not read fills its pipe,
//! then the buffer, and then senders are told so at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::protocol::Splice;
use crate::protocol::splice::onto_one_line;

/// Bytes that may wait for a child that does not read. A pipe holds 64 KiB, so this much behind it means that the
/// child has stopped reading; one message may always wait, whatever its size.
const MAX_WAITING: usize = 8 * 1024 * 1024;
/// A buffer that grew beyond this for a large message is given back.
const KEEP_CAPACITY: usize = 256 * 1024;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The child does not read; the bytes already waiting.
    Full(usize),
    /// The link has closed.
    Closed,
}

/// The buffer of one child.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    closed: bool,
}

impl Outbox {
    /// Appends a message with the link's number filled in, and the line feed that ends it.
    pub fn send(&self, message: &Splice, number: u64) -> Result<(), Refused> {
        self.append(|bytes| message.write(number, bytes))
    }

    /// Appends a whole message.
    pub fn send_text(&self, message: &[u8]) -> Result<(), Refused> {
        self.append(|bytes| bytes.put_slice(message))
    }

    /// Lets the writer finish what is waiting and end, which closes the child's stdin.
    pub fn close(&self) {
        self.lock().closed = true;
        self.notify.notify_one();
    }

    /// Empties the buffer into `pipe` until the outbox is closed or the pipe breaks.
    pub async fn drain(&self, pipe: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut writing = BytesMut::new();
        loop {
            let closed = {
                let mut state = self.lock();
                std::mem::swap(&mut state.bytes, &mut writing);
                state.closed
            };
            if !writing.is_empty() {
                pipe.write_all(&writing).await?;
                writing.clear();
                if writing.capacity() > KEEP_CAPACITY {
                    writing = BytesMut::new();
                }
            } else if closed {
                return Ok(());
            } else {
                self.notify.notified().await;
            }
        }
    }

    fn append(&self, write: impl FnOnce(&mut BytesMut)) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let start = state.bytes.len();
        if start > MAX_WAITING {
            return Err(Refused::Full(start));
        }
        write(&mut state.bytes);
        onto_one_line(&mut state.bytes[start..]);
        state.bytes.put_u8(b'\n');
        drop(state);
        if start == 0 {
            self.notify.notify_one();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn messages_leave_in_order_one_a_line() {
        let outbox = Outbox::default();
        outbox.send_text(b"{\"a\":\n1}").unwrap();
        outbox.send(&Splice::new(Bytes::from_static(b"{}")), 0).unwrap();
        outbox.close();
        let mut pipe = Vec::new();
        outbox.drain(&mut pipe).await.unwrap();
        assert_eq!(pipe, b"{\"a\": 1}\n{}\n");
        assert_eq!(outbox.send_text(b"late"), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn a_child_that_does_not_read_is_noticed_and_costs_bounded_memory() {
        let outbox = Outbox::default();
        let message = vec![b' '; 1024 * 1024];
        let taken = (0..100).take_while(|_| outbox.send_text(&message).is_ok()).count();
        assert!((8..=9).contains(&taken), "{taken}");
        assert!(matches!(outbox.send_text(b"{}"), Err(Refused::Full(_))));
    }

    #[tokio::test]
    async fn the_writer_wakes_for_what_comes_later() {
        let outbox = std::sync::Arc::new(Outbox::default());
        let (mut near, mut far) = tokio::io::duplex(64);
        let writer = tokio::spawn({
            let outbox = std::sync::Arc::clone(&outbox);
            async move { outbox.drain(&mut near).await }
        });
        tokio::task::yield_now().await;
        outbox.send_text(b"{}").unwrap();
        let mut read = [0u8; 3];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"{}\n");
        outbox.close();
        writer.await.unwrap().unwrap();
    }
}
