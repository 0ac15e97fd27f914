//! The client's pipes: lines in under a cap, lines out through a bounded queue.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::protocol::line::LineBuffer;
use crate::protocol::splice::onto_one_line;

/// Read at once: what a pipe holds by default on Linux (pipe(7)), halved because allocations up to 32 KiB come from
/// the allocator's thread cache.
const READ_BYTES: usize = 32 * 1024;
/// Messages that may wait for a client that does not read. When they do, nothing more is read from the gateway, which
/// then bounds what waits there.
const WAITING: usize = 256;

/// What the client's pipe brings.
pub(super) enum Incoming {
    /// A line.
    Line(Bytes),
    /// A line that was longer than the cap, and is gone.
    TooLong,
}

/// The client's end of the input.
pub(super) struct Lines<R> {
    input: R,
    buffer: LineBuffer,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(input: R, cap: usize) -> Lines<R> {
        Lines { input, buffer: LineBuffer::new(cap) }
    }

    /// The next line; `None` at the end of the input. Nothing is lost when this is dropped while it waits.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.buffer.next_line() {
                Ok(Some(line)) => return Some(Incoming::Line(line)),
                Ok(None) => {}
                Err(_) => {
                    self.buffer.skip();
                    return Some(Incoming::TooLong);
                }
            }
            self.buffer.buffer().reserve(READ_BYTES);
            match self.input.read_buf(self.buffer.buffer()).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    debug!(%error, "the input broke");
                    return None;
                }
            }
        }
    }
}

/// Where messages for the client go. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Output(mpsc::Sender<Bytes>);

impl Output {
    /// Starts the task that writes to `pipe`; it ends when every `Output` is gone, or the pipe breaks.
    pub fn start(pipe: impl AsyncWrite + Unpin + Send + 'static) -> (Output, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = tokio::spawn(async move {
            if let Err(error) = write(pipe, receiver).await {
                debug!(%error, "the output broke");
            }
        });
        (Output(sender), writer)
    }

    /// Sends a message; waits while too many are waiting. A client that has gone hears nothing.
    pub async fn send(&self, message: Bytes) {
        let _ = self.0.send(one_line(message)).await;
    }
}

/// In JSON, raw line feeds stand between tokens only.
fn one_line(message: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &message).is_none() {
        return message;
    }
    let mut text = BytesMut::from(&message[..]);
    onto_one_line(&mut text);
    text.freeze()
}

async fn write(
    mut pipe: impl AsyncWrite + Unpin,
    mut receiver: mpsc::Receiver<Bytes>,
) -> std::io::Result<()> {
    while let Some(message) = receiver.recv().await {
        pipe.write_all(&message).await?;
        pipe.write_all(b"\n").await?;
        if receiver.is_empty() {
            pipe.flush().await?;
        }
    }
    pipe.flush().await
}
