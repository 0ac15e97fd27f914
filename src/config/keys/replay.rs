//! Keys of `[gateway.replay]`: what is kept for clients that lost a stream.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    // The largest message of a server, by default: one answer of any size can wait for its client.
    key(
        "gateway.replay.memory",
        Size(0, MAX_MEMORY),
        Value("64MiB"),
        "The most memory for what legacy clients have lost with a stream and may come back for.",
    ),
    // As long as a call may take: who was away for longer has given up.
    key(
        "gateway.replay.age",
        ANY_WAIT,
        Value("5m"),
        "How long it is kept, and how long an answer waits for a client that lost its stream.",
    ),
    key(
        "gateway.replay.poll_after",
        WAIT_OR_NONE,
        Value("none"),
        "After how long a stream is closed whose client polls (2025-11-25), to come back for the rest.",
    ),
];
