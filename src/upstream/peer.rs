//! What a server said of itself when the link came up.

use crate::base::{Era, Version};
use crate::protocol::skim;

/// The other end of a link, as its handshake described it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The version spoken on the link.
    pub version: Version,
    /// `capabilities`, raw JSON.
    pub capabilities: Box<str>,
    /// `serverInfo`, raw JSON.
    pub server_info: Box<str>,
    /// `instructions`, if the server gave any.
    pub instructions: Option<Box<str>>,
}

impl Peer {
    /// The era spoken on the link.
    pub fn era(&self) -> Era {
        self.version.era()
    }

    /// Whether the server declared the capability `name`.
    pub fn declares(&self, name: &str) -> bool {
        skim::field(&self.capabilities, name).is_some()
    }

    /// Whether the server says that its calls may become tasks: by the core of 2025-11-25 or by the extension.
    pub fn has_tasks(&self) -> bool {
        memchr::memmem::find(self.capabilities.as_bytes(), b"tasks\"").is_some()
    }

    /// Whether the server declared `feature` inside the capability `name`, as in `tools.listChanged`.
    pub fn declares_feature(&self, name: &str, feature: &str) -> bool {
        skim::field_text(&self.capabilities, name).and_then(|c| skim::field_text(c, feature)) == Some("true")
    }
}
