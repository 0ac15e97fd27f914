//! Who sends an exchange, on its way through the front.

use http::HeaderMap;

use crate::base::Principal;
use crate::guard::Access;

/// What AgentHub's clients call themselves by.
const CLIENT_ID: &str = "x-client-id";
/// Bytes kept of it, as of other names of clients.
const LONGEST_ID: usize = 128;

/// Who sends an exchange, and what they may use.
#[derive(Clone, Debug)]
pub struct Who {
    pub principal: Principal,
    pub access: Access,
    /// Whether it is somebody without a credential on this machine.
    pub local: bool,
}

impl Who {
    /// What somebody without a credential on this machine calls itself. It stands in the log and gives no rights; who has
    /// a credential is known by that alone.
    pub fn claimed(&self, headers: &HeaderMap) -> Option<String> {
        let name = headers.get(CLIENT_ID).filter(|_| self.local)?.to_str().ok()?.trim();
        // The text of a header is ASCII, so that any byte is a boundary.
        (!name.is_empty()).then(|| name[..name.len().min(LONGEST_ID)].to_owned())
    }
}
