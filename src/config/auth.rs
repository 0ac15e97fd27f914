//! `[auth]`: who may call, and how callers show who they are.

use super::reader::Reader;

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// From where callers are let in without a credential.
    pub anonymous: Anonymous,
    /// Scopes that every credential must have to use MCP.
    pub required_scopes: Vec<String>,
}

/// From where callers are let in without a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// From nowhere.
    Never,
    /// From this machine, unless something shows that a proxy stands between.
    Loopback,
    /// From wherever the gateway can be reached.
    Always,
}

impl Anonymous {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Anonymous::Never => "never",
            Anonymous::Loopback => "loopback",
            Anonymous::Always => "always",
        }
    }
}

pub(super) fn auth(reader: &mut Reader<'_>) -> Auth {
    Auth {
        anonymous: anonymous(reader),
        required_scopes: reader.list(&["auth", "required_scopes"], |item| match is_scope(item) {
            true => Ok(item.to_owned()),
            false => Err(("is not a scope", "write one word of visible characters, without quotes")),
        }),
    }
}

pub(super) fn anonymous(reader: &mut Reader<'_>) -> Anonymous {
    let at = ["auth", "anonymous"];
    match reader.leaf(&at) {
        Some(_) => [Anonymous::Never, Anonymous::Loopback, Anonymous::Always][reader.choice(&at)],
        None if reader.flag(&["gateway", "allow_unauthenticated"]) => Anonymous::Always,
        None => Anonymous::Loopback,
    }
}

/// Whether a text is one scope (RFC 6749 §3.3, `scope-token`).
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
