//! `[limits]`: how often.

use super::rate::Rate;
use super::reader::Reader;

/// `[limits]`: how often; nothing where there is no limit. The limits of a server stand with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests of everybody together.
    pub total: Option<Rate>,
    /// Requests of each principal.
    pub principal: Option<Rate>,
    /// Wrong credentials from each address.
    pub failed_logins: Option<Rate>,
}

pub(super) fn limits(reader: &mut Reader<'_>) -> RateLimits {
    RateLimits {
        total: reader.rate(&["limits", "total"]),
        principal: reader.rate(&["limits", "principal"]),
        failed_logins: reader.rate(&["limits", "failed_logins"]),
    }
}
