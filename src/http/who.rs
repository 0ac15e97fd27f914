//! Who sends an exchange, on its way through the front.

use crate::base::Principal;
use crate::guard::Access;

/// Who sends an exchange, and what they may use.
#[derive(Clone, Debug)]
pub struct Who {
    pub principal: Principal,
    pub access: Access,
}
