//! Keys of `[limits]`: how often.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    live(key(
        "limits.total",
        Rate,
        Value("none"),
        "Requests of everybody together, such as `500/s burst 1000`.",
    )),
    live(key("limits.principal", Rate, Value("none"), "Requests of each principal.")),
    // Enough for a person who mistypes and for a client that retries; at this rate guessing a key takes for ever.
    live(key(
        "limits.failed_logins",
        Rate,
        Value("10/m burst 20"),
        "Wrong credentials from each address (of IPv6: each /64) before it hears 429.",
    )),
];
