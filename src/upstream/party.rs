//! Who waits for a call's answer, as far as it can be told.

use crate::base::FINGERPRINT;

/// Who waits for a call's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The gateway itself: a probe, a list, a listen stream.
    Gateway,
    /// A client whose calls have nothing in common by which they could be known for one client's.
    Somebody,
    /// A client, by the fingerprint of its session.
    Session([u8; FINGERPRINT]),
}

impl Party {
    /// Whether it is a client.
    pub fn is_client(self) -> bool {
        self != Party::Gateway
    }

    /// Whether two calls are known to be of one client.
    pub fn is_one_client_with(self, other: Party) -> bool {
        matches!(self, Party::Session(_)) && self == other
    }
}
