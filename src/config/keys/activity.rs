//! Keys of `[activity]`: the log of calls.

use super::*;

/// The smallest queue that absorbs anything.
const MIN_QUEUE: u64 = 16;
/// Longer than this, and whoever looks at the log takes it for stopped.
const MAX_WINDOW: Duration = Duration::from_secs(60);

/// A log of less than a minute answers no question.
const MIN_KEEP: Duration = Duration::from_secs(60);
/// Ten years.
const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The empty file and a few thousand rows.
const MIN_SIZE: u64 = 1 << 20;
/// More than one file of SQLite should hold.
const MAX_SIZE: u64 = 1 << 40;
/// Enough to recognise a call.
const MIN_CAPTURE: u64 = 64;
/// What waits for the file is held in memory.
const MAX_CAPTURE: u64 = 1 << 20;

pub(super) const ROWS: &[KeyDoc] = &[
    key("activity.enabled", Bool, Value("true"), "Whether each call leaves a row in the activity log."),
    // A row takes about half a KiB: 32 MiB when it is full. It lasts half a second of what two cores can carry.
    key("activity.queue", Count(MIN_QUEUE, MANY), Value("65536"), "The most rows that wait for the file."),
    live(key(
        "activity.window",
        Kind::Duration(MS, MAX_WINDOW),
        Value("100ms"),
        "How long a row may wait before it is written, and so the most that a kill loses.",
    )),
    live(key("activity.keep", Kind::Duration(MIN_KEEP, YEARS), Value("30d"), "How long rows are kept.")),
    live(key(
        "activity.max_size",
        Size(MIN_SIZE, MAX_SIZE),
        Value("1GiB"),
        "The most that the file may hold; then the oldest rows go.",
    )),
    live(key(
        "activity.capture_limit",
        Size(MIN_CAPTURE, MAX_CAPTURE),
        Value("4KiB"),
        "The most bytes kept of a request, and of a reply, where payloads are captured.",
    )),
    live(key(
        "activity.chain",
        Bool,
        Value("false"),
        "Whether rows are chained by their digests, so that `trunkline activity verify` finds a change of the file.",
    )),
];
