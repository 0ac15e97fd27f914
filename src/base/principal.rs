//! Who is calling.

use std::fmt;
use std::sync::Arc;

/// Who is calling, from the credential alone: `anonymous`, or a word for the kind of credential, a colon and a name.
/// The same one in log, limits, policy and seals. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Option<Arc<str>>);

/// The name of those who have shown no credential.
const ANONYMOUS: &str = "anonymous";

impl Principal {
    /// Somebody without a credential.
    pub const fn anonymous() -> Principal {
        Principal(None)
    }

    /// The holder of a credential.
    pub fn named(name: &str) -> Principal {
        if name == ANONYMOUS { Principal(None) } else { Principal(Some(name.into())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(ANONYMOUS)
    }

    /// Whether no credential was shown.
    pub fn is_anonymous(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Principal").field(&self.as_str()).finish()
    }
}
