//! What is kept for clients that come back: bytes and time that all sessions share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::resumable::Stream;

/// Finished streams that are remembered. Each costs some hundred bytes even when what it kept was given away; at the
/// limit that is a few megabytes.
const MAX_FINISHED: usize = 16 * 1024;

/// The budget. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Keep(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    used: AtomicUsize,
    limit: usize,
    age: Duration,
    /// Streams that have said all that they had to say, the oldest first. The lock is never held while a stream's
    /// own is waited for.
    finished: Mutex<VecDeque<(Instant, Weak<Stream>)>>,
}

/// Bytes of the budget. Dropping it gives them back.
#[derive(Debug)]
pub struct Share {
    keep: Keep,
    bytes: usize,
}

impl Keep {
    /// A budget of `limit` bytes; what is finished is kept for `age`.
    pub fn new(limit: usize, age: Duration) -> Keep {
        Keep(Arc::new(Inner { used: AtomicUsize::new(0), limit, age, finished: Mutex::default() }))
    }

    /// How long something is kept for a client that has gone.
    pub fn age(&self) -> Duration {
        self.0.age
    }

    /// Bytes in use.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes so many bytes. What has been finished for longest makes room; what is still at work does not.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        loop {
            let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
            if self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok() {
                return Some(Share { keep: self.clone(), bytes });
            }
            if bytes > self.0.limit {
                return None;
            }
            let (_, oldest) = self.lock().pop_front()?;
            forget(&oldest);
        }
    }

    /// Notes that a stream has said everything.
    pub fn finished(&self, stream: &Arc<Stream>) {
        let surplus = {
            let mut finished = self.lock();
            finished.push_back((Instant::now(), Arc::downgrade(stream)));
            if finished.len() > MAX_FINISHED { finished.pop_front() } else { None }
        };
        surplus.inspect(|(_, oldest)| forget(oldest));
    }

    /// Forgets what has been finished for longer than the age.
    pub fn reap(&self) {
        let now = Instant::now();
        while let Some(stream) = self.pop_older(now) {
            forget(&stream);
        }
    }

    fn pop_older(&self, now: Instant) -> Option<Weak<Stream>> {
        let mut finished = self.lock();
        let (since, _) = finished.front()?;
        if now.saturating_duration_since(*since) < self.0.age {
            return None;
        }
        finished.pop_front().map(|(_, stream)| stream)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Weak<Stream>)>> {
        self.0.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(stream: &Weak<Stream>) {
    if let Some(stream) = stream.upgrade() {
        stream.retire();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.keep.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
