//! `[auth]`: who may call, and how callers show who they are.

use std::net::IpAddr;

use ipnet::IpNet;

use super::issuers::{self, Issuer};
use super::reader::Reader;

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// From where callers are let in without a credential.
    pub anonymous: Anonymous,
    /// Scopes that every credential must have to use MCP.
    pub required_scopes: Vec<String>,
    /// Identity providers whose tokens are taken.
    pub issuers: Vec<Issuer>,
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
        issuers: issuers::issuers(reader),
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

/// `gateway.trusted_proxies`.
pub(super) fn proxies(reader: &mut Reader<'_>) -> Vec<IpNet> {
    let parse =
        |item: &str| item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
    let texts = reader.list(&["gateway", "trusted_proxies"], |item| match parse(item) {
        Some(network) if network.prefix_len() == 0 => {
            Err(("would believe everybody", "name the addresses of the proxies in front of the gateway"))
        }
        Some(_) => Ok(item.to_owned()),
        None => Err((
            "is neither an address nor a network",
            "write the proxy's address, such as \"10.0.0.5\", or a network such as \"10.0.0.0/24\"",
        )),
    });
    texts.iter().filter_map(|text| parse(text)).collect()
}

/// Whether a text is one scope (RFC 6749 §3.3, `scope-token`).
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
