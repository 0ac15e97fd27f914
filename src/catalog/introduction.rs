//! What an endpoint says of itself, and how long that may be kept. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::base::Era;
use crate::protocol::skim;
use crate::supervisor::{ListState, Offer};
use crate::upstream::{ListKind, own_info};

use super::capabilities::Capabilities;
use super::source::Source;
use super::view::Introduction;

/// Characters of merged instructions taken from one server, and in all: they go into a model's context each time.
const MAX_INSTRUCTIONS_EACH: usize = 2_000;
const MAX_INSTRUCTIONS: usize = 8_000;

/// How long the answers of an endpoint may be kept: as its most careful part allows, and a legacy server allows
/// nothing.
pub(super) struct Caching {
    pub(super) fresh_until: Option<Instant>,
    pub(super) public: bool,
}

/// The longest time that is passed on; more than a month is for ever, and clocks overflow.
const MAX_TTL: Duration = Duration::from_secs(31 * 24 * 3600);

impl Caching {
    pub(super) fn of(sources: &[Source]) -> Caching {
        let mut fresh_until: Option<Option<Instant>> = None;
        let mut public = true;
        for (server, offer) in sources {
            // What a link of one client's own lists is nobody else's.
            public &= !server.is_pooled();
            // What a legacy server says of caching it says by accident: its era has no such promise.
            let promises = offer.peer.as_ref().is_some_and(|peer| peer.era() == Era::Modern);
            public &= promises;
            for kind in ListKind::ALL {
                let Some(list) = offer.list(kind).list() else { continue };
                // A list that could not be read again is older than it looks.
                let whole = matches!(offer.list(kind), ListState::Read(_));
                let ttl = list.ttl_ms.filter(|ttl| promises && whole && *ttl > 0).map(Duration::from_millis);
                let own = ttl.zip(offer.read_at[kind as usize]).map(|(ttl, read)| read + ttl.min(MAX_TTL));
                fresh_until = Some(fresh_until.map_or(own, |known| known.min(own)));
                public &= list.public;
            }
        }
        Caching { fresh_until: fresh_until.flatten(), public: public && fresh_until.is_some() }
    }

    pub(super) fn scope(&self) -> &'static str {
        if self.public { "public" } else { "private" }
    }
}

/// A single-server endpoint speaks for its server: its identity, its instructions, and those of its capabilities
/// that pass through the gateway.
pub(super) fn introduce_server(offer: &Offer, caching: &Caching) -> Introduction {
    let Some(peer) = &offer.peer else {
        let Capabilities { legacy, modern } = Capabilities::of_fleet(&[]);
        return Introduction { legacy, modern, server_info: own_info(), ..Introduction::default() };
    };
    let mut fields = Vec::new();
    for list in ["tools", "resources", "prompts"] {
        let subscribe = if peer.declares_feature(list, "subscribe") { r#","subscribe":true"# } else { "" };
        if peer.declares(list) {
            fields.push(format!(r#""{list}":{{"listChanged":true{subscribe}}}"#));
        }
    }
    for passed in ["completions", "logging", "experimental"] {
        if let Some(raw) = skim::field_text(&peer.capabilities, passed) {
            fields.push(format!(r#""{passed}":{raw}"#));
        }
    }
    let Capabilities { legacy, modern } = Capabilities::of_server(peer, &fields);
    Introduction {
        legacy,
        modern,
        server_info: peer.server_info.to_string(),
        instructions: peer.instructions.as_deref().map(skim::quote),
        public: caching.public,
    }
}

pub(super) fn introduce_fleet(sources: &[Source], caching: &Caching) -> Introduction {
    let mut text = String::new();
    for (server, offer) in sources {
        let Some(own) = offer.peer.as_ref().and_then(|peer| peer.instructions.as_deref()) else { continue };
        let own: String = own.trim().chars().take(MAX_INSTRUCTIONS_EACH).collect();
        let section = format!("# {}\n{own}\n\n", server.name());
        if !own.is_empty() && text.chars().count() + section.chars().count() <= MAX_INSTRUCTIONS {
            text.push_str(&section);
        }
    }
    let instructions = (!text.is_empty()).then(|| {
        skim::quote(&format!(
            "Tools and prompts are named <server>__<name>. What the servers say of themselves:\n\n{}",
            text.trim_end()
        ))
    });
    let Capabilities { legacy, modern } = Capabilities::of_fleet(sources);
    Introduction { legacy, modern, server_info: own_info(), instructions, public: caching.public }
}
