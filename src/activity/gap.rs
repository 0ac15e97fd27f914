//! What is missing, counted, and told by a row of its own.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::entry::{Entry, Row};
use crate::base::utc;

/// The outcome of a row that stands for missing ones.
pub(super) const GAP: &str = "gap";
/// The queue was full, or the file could not be written for long.
pub(super) const NO_ROOM: &str = "no room in the queue";
/// The run before was killed.
pub(super) const KILLED: &str = "the gateway before did not end in good order";
/// The file before was damaged.
pub(super) const DAMAGED: &str = "the file before was damaged and moved aside";

/// Somebody had a principal's rows erased.
pub(super) const ERASED: &str = "the rows of a principal were erased";

/// Somebody had all rows erased.
pub(super) const CLEARED: &str = "all rows were erased";

/// Rows that found no room.
#[derive(Debug, Default)]
pub(super) struct Drops {
    count: AtomicU64,
    /// When the first was lost of those that no row tells of yet.
    since: AtomicI64,
    reported: AtomicBool,
}

impl Drops {
    /// One more.
    pub fn add(&self) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            self.since.store(utc::micros(SystemTime::now()), Ordering::Relaxed);
            tracing::warn!(
                "the activity log's queue is full: calls go unrecorded until the file keeps up again"
            );
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many in this run.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// When the first of the present gap was lost.
    pub fn since(&self) -> i64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Says how it went once there is room again.
    pub fn relieved(&self) {
        if self.reported.swap(false, Ordering::Relaxed) {
            tracing::warn!(dropped_so_far = self.count(), "the activity log's queue has room again");
        }
    }
}

/// The row that tells of a gap since `since`; `lost` is unknown after a kill.
pub(super) fn row(reason: &'static str, since: i64, lost: Option<u64>) -> Row {
    let now = utc::micros(SystemTime::now());
    let length = Duration::from_micros(now.saturating_sub(since).max(0).cast_unsigned());
    let entry = Entry { name: reason, outcome: GAP, total: length, ..Entry::EMPTY };
    let mut row = Row::pack(&entry);
    row.lost = lost.map(u64::cast_signed);
    row
}
