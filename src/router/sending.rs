//! Sending a request to its server: one attempt, and one more if the first cannot have been carried out.

use tokio::time::Instant;

use crate::base::{Error, ErrorKind};
use crate::supervisor::Admission;
use crate::upstream::{Call, Delivery};

use super::limit::InFlight;
use super::prepare::{self, Round};
use super::request::Request;
use super::resolve::Target;
use super::results::Place;

/// A request that is on its way.
pub(super) struct Forwarded {
    pub target: Target,
    pub sent: Sent,
    pub round: Round,
    /// Where its answer may be kept.
    pub keep: Option<Place>,
    pub place: InFlight,
}

/// One attempt: the call at the server and the place it takes there.
pub(super) struct Sent {
    pub call: Call,
    pub admission: Admission,
    pub at: Instant,
}

/// Sends a request. If it turns out at once that it cannot have been executed, it is sent once more, to the server as
/// it is by then.
pub(super) async fn send(
    request: &Request,
    target: &Target,
    round: &Round,
    mut newer_than: u64,
) -> Result<Sent, Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let admission = target.server.admit(newer_than).await?;
        match admission.live.link.call(&prepare::outgoing(request, target, &admission.live, round)) {
            Ok(call) => return Ok(Sent { call, admission, at: Instant::now() }),
            Err(fault)
                if fault.delivery == Delivery::NotDelivered && fault.error.kind != ErrorKind::Overloaded =>
            {
                newer_than = admission.live.generation;
                last = Some(fault.error);
            }
            Err(fault) => return Err(fault.error),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Internal, "no attempt was made")))
}

/// The first attempt, and one more.
const ATTEMPTS: usize = 2;
