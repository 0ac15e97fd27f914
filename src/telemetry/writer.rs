//! Standard error behind a bounded buffer: whoever logs copies a line and goes on.
//!
//! A terminal that is paused or a pipe that nobody reads would otherwise stop every task that logs. One thread
//! takes all lines that are there and writes them at once.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written: some ten thousand lines.
const BUFFER_BYTES: usize = 2 << 20;
/// How long the guard waits, when it goes, for the last lines.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// Keeps the log's last lines from getting lost: to be held until the process ends.
#[derive(Clone)]
pub struct LogGuard {
    shared: Arc<Shared>,
}

/// Hands lines to the writing thread.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Buffer {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    writing: bool,
    dropped: u64,
    dropped_unreported: u64,
}

/// Starts the thread that writes to `sink`.
pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<(Lines, LogGuard)> {
    let (buffer, filled, emptied) = Default::default();
    let shared = Arc::new(Shared { buffer, filled, emptied });
    let work = Arc::clone(&shared);
    thread::Builder::new().name("log".to_owned()).spawn(move || work.write_to(sink))?;
    Ok((Lines { shared: Arc::clone(&shared) }, LogGuard { shared }))
}

impl LogGuard {
    /// Waits until all lines so far are written, for a second at most. To be called before the process exits
    /// by another way than the end of `main`.
    pub fn flush(&self) {
        let busy = |buffer: &mut Buffer| buffer.writing || !buffer.lines.is_empty();
        let _ = self.shared.emptied.wait_timeout_while(self.shared.lock(), FLUSH_WAIT, busy);
    }

    /// How many lines found no room so far.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.shared.lock().dropped
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = self.shared.lock();
        if buffer.bytes + line.len() > BUFFER_BYTES {
            buffer.dropped += 1;
            buffer.dropped_unreported += 1;
        } else {
            buffer.bytes += line.len();
            buffer.lines.push_back(line.into());
            self.shared.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Shared {
    fn write_to(&self, mut sink: impl Write) {
        loop {
            let (batch, dropped) = self.take();
            // Nobody is left to be told that the log itself cannot be written.
            let _ = sink.write_all(&batch);
            if dropped > 0 {
                let _ = writeln!(
                    sink,
                    "trunkline: {dropped} log lines were dropped here, standard error is too slow"
                );
            }
            let _ = sink.flush();
        }
    }

    /// Waits for lines and takes all there are, joined.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut buffer = self.lock();
        buffer.writing = false;
        if buffer.lines.is_empty() {
            self.emptied.notify_all();
        }
        let mut buffer = self
            .filled
            .wait_while(buffer, |buffer| buffer.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        buffer.writing = true;
        buffer.bytes = 0;
        let lines: Vec<Box<[u8]>> = buffer.lines.drain(..).collect();
        let dropped = std::mem::take(&mut buffer.dropped_unreported);
        drop(buffer);
        (lines.concat(), dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A sink that takes nothing until it is told to.
    struct Stuck {
        release: mpsc::Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // After the release the sender is gone and this returns at once.
            let _ = self.release.recv();
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_takes_nothing_stops_nobody_and_the_loss_is_told() {
        let (release, stuck) = mpsc::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (mut lines, guard) = start(Stuck { release: stuck, taken: Arc::clone(&taken) }).unwrap();
        let line = [b'x'; 1_024];
        let written = 3 * BUFFER_BYTES / line.len();
        for _ in 0..written {
            lines.write_all(&line).unwrap();
        }
        let dropped = guard.dropped_lines();
        assert!(dropped > 0);
        drop(release);
        guard.flush();
        let taken = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        assert_eq!(taken.matches('x').count() as u64, (written as u64 - dropped) * 1_024);
        assert!(taken.contains("log lines were dropped here"));
    }

    #[test]
    fn lines_keep_their_order_and_are_there_after_a_flush() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (release, open) = mpsc::channel();
        drop(release);
        let (mut lines, guard) = start(Stuck { release: open, taken: Arc::clone(&taken) }).unwrap();
        let expected: String = (0..1_000).map(|number| format!("{number}\n")).collect();
        for line in expected.lines() {
            lines.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        guard.flush();
        assert_eq!(String::from_utf8(taken.lock().unwrap().clone()).unwrap(), expected);
    }
}
