//! The number of calls that wait for a place at a server, or for it to come up.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One call among those that wait; dropping it takes it out.
pub(super) struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    /// Joins, unless `most` are waiting already.
    pub fn enter(waiting: &'a AtomicUsize, most: usize) -> Option<Waiter<'a>> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let waiter = Waiter(waiting);
        (before < most).then_some(waiter)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
