//! What a response says of itself while its exchange has no row in the activity log.

use http::{Response, StatusCode};

use crate::base::{Era, ErrorKind};
use crate::telemetry::Outcome;

/// Stands among a response's extensions while its exchange has no row.
#[derive(Clone, Debug)]
pub struct Untold {
    /// How it ended.
    pub outcome: Outcome,
    /// The JSON-RPC code of an error, or the HTTP status.
    pub code: i64,
    /// Whether the answer was one that is kept: empty where nothing is, `hit` or `miss`.
    pub cache: &'static str,
    /// What became of a prompt: empty where there was none, `yes` or `no`.
    pub enhanced: &'static str,
    /// What the client calls itself.
    pub client: String,
    /// The session, by its short name.
    pub session: Option<u64>,
}

impl Untold {
    /// It was done.
    pub const DONE: Untold = Untold {
        outcome: Outcome::Ok,
        code: 0,
        cache: "",
        enhanced: "",
        client: String::new(),
        session: None,
    };

    /// It was refused with an error of ours.
    pub fn refused(kind: ErrorKind, era: Era) -> Untold {
        Untold { outcome: Outcome::Failed(kind), code: kind.wire(era).0, ..Untold::DONE }
    }

    /// It was refused with a bare status.
    pub fn status(status: StatusCode) -> Untold {
        Untold {
            outcome: Outcome::Failed(ErrorKind::InvalidRequest),
            code: i64::from(status.as_u16()),
            ..Untold::DONE
        }
    }

    /// Marks a response.
    pub fn mark<B>(self, mut response: Response<B>) -> Response<B> {
        response.extensions_mut().insert(self);
        response
    }
}
