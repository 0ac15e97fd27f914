//! Keys of `[auth]`: who may call, and how callers show who they are.

use super::*;

pub(super) const ANONYMOUS: &[&str] = &["never", "loopback", "always"];

pub(super) const ROWS: &[KeyDoc] = &[
    live(key(
        "auth.anonymous",
        Choice(ANONYMOUS),
        Computed("loopback; with gateway.allow_unauthenticated, always"),
        "From where callers are let in without a credential.",
    )),
    live(key(
        "auth.required_scopes",
        List,
        Value("[]"),
        "Scopes that every credential must have to use MCP; a caller without a credential needs none.",
    )),
];
