//! Keys of `[compat]`: answering as others did whose users come here.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[live(key(
    "compat.agenthub",
    Bool,
    Value("false"),
    "Whether AgentHub's paths (/servers, /health, /circuit-breakers, /audit/activity) are answered beside /api/v1.",
))];
