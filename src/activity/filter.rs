//! What is asked for: which calls, and where to go on.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::{QueryBuilder, Sqlite};

use super::gap::GAP;

/// Which calls. What is `None` selects nothing away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Calls that ended at this time or later, in microseconds since 1970.
    pub since: Option<i64>,
    /// Calls that ended before this time.
    pub until: Option<i64>,
    /// Calls of this principal.
    pub principal: Option<String>,
    /// Calls of clients of this name.
    pub client: Option<String>,
    /// Calls for this server.
    pub server: Option<String>,
    /// Calls of this tool, prompt or URI, by the server's own name for it.
    pub tool: Option<String>,
    /// Calls of this method.
    pub method: Option<String>,
    /// Calls of this session, by the hash that records show.
    pub session: Option<u64>,
    /// Calls of this trace.
    pub trace: Option<String>,
    /// Only calls that ended with an error; gaps are shown too.
    pub errors: bool,
    /// Only calls that took this long or longer.
    pub slow: Option<Duration>,
}

/// A place in the log. A page that has more behind it names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(super) i64);

impl Cursor {
    /// The place before everything.
    pub const START: Cursor = Cursor(0);

    /// The place right behind this one.
    #[must_use]
    pub fn next(self) -> Cursor {
        Cursor(self.0.saturating_add(1))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Cursor, Self::Err> {
        text.parse().map(Cursor)
    }
}

impl Filter {
    /// Whether it selects by what calls have in common.
    pub(super) fn selects_contexts(&self) -> bool {
        let texts = [&self.principal, &self.client, &self.server, &self.tool, &self.method];
        self.errors || texts.iter().any(|text| text.is_some())
    }

    /// Whether it selects by what is a call's own.
    pub(super) fn selects_rows(&self) -> bool {
        self.session.is_some() || self.trace.is_some() || self.slow.is_some()
    }

    /// Appends conditions on `context`, each after an `AND`.
    pub(super) fn on_context(&self, query: &mut QueryBuilder<Sqlite>) {
        let texts = [
            (" AND principal = ", &self.principal),
            (" AND client = ", &self.client),
            (" AND server = ", &self.server),
            (" AND name = ", &self.tool),
            (" AND method = ", &self.method),
        ];
        for (condition, text) in texts {
            if let Some(text) = text {
                query.push(condition).push_bind(text.clone());
            }
        }
        if self.errors {
            query.push(" AND outcome <> 'ok'");
        }
    }

    /// Appends conditions on `call`, each after an `AND`.
    pub(super) fn on_call(&self, query: &mut QueryBuilder<Sqlite>) {
        if let Some(session) = self.session {
            query.push(" AND call.session = ").push_bind(session.cast_signed());
        }
        if let Some(trace) = &self.trace {
            query.push(" AND call.trace = ").push_bind(trace.clone());
        }
        if let Some(slow) = self.slow {
            query.push(" AND call.total >= ").push_bind(i64::try_from(slow.as_micros()).unwrap_or(i64::MAX));
            query.push(" AND context.outcome <> ").push_bind(GAP);
        }
    }
}
