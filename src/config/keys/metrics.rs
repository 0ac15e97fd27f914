//! Keys of `[metrics]`: what is counted apart.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    // Each tool is a histogram of 17 series and two counters.
    key(
        "metrics.tools",
        Count(0, MANY),
        Value("100"),
        "The most tools that are counted apart; the rest are `other`.",
    ),
];
