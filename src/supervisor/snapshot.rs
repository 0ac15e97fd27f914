//! What a server offers, as last read from it, and its form on file.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::Version;
use crate::protocol::skim;
use crate::upstream::{ListKind, Peer, RawList};

/// One list, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListState {
    /// The server does not offer such a list, or has not been asked yet.
    #[default]
    Absent,
    /// As read.
    Read(Arc<RawList>),
    /// The server offers it, but reading it failed; what was known before, if anything, is kept.
    Failed {
        /// What went wrong.
        reason: String,
        /// The list as it was last read.
        known: Arc<RawList>,
    },
}

impl ListState {
    /// The entries that are known.
    pub fn entries(&self) -> &[Bytes] {
        match self {
            ListState::Absent => &[],
            ListState::Read(list) | ListState::Failed { known: list, .. } => &list.entries,
        }
    }

    /// The list, if one is known.
    pub fn list(&self) -> Option<&Arc<RawList>> {
        match self {
            ListState::Absent => None,
            ListState::Read(list) | ListState::Failed { known: list, .. } => Some(list),
        }
    }
}

/// Everything known of one server's offer. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The handshake; none until the first has succeeded, in this run or an earlier one.
    pub peer: Option<Arc<Peer>>,
    /// The lists, in the order of [`ListKind::ALL`].
    pub lists: [ListState; 4],
    /// Whether it comes from an earlier run and the server has not confirmed it yet.
    pub stored: bool,
    /// When each of the lists was read, in their order.
    pub read_at: [Option<Instant>; 4],
}

impl Offer {
    /// One of the lists.
    pub fn list(&self, kind: ListKind) -> &ListState {
        &self.lists[kind as usize]
    }

    /// One of the lists, to be replaced.
    pub fn list_mut(&mut self, kind: ListKind) -> &mut ListState {
        &mut self.lists[kind as usize]
    }

    /// The form that is kept on file: JSON, the entries as they arrived.
    pub fn to_stored(&self) -> Option<Bytes> {
        let peer = self.peer.as_ref()?;
        let mut text = format!(
            r#"{{"version":"{}","capabilities":{},"serverInfo":{}"#,
            peer.version, peer.capabilities, peer.server_info
        );
        if let Some(instructions) = &peer.instructions {
            text.push_str(&format!(r#","instructions":{}"#, skim::quote(instructions)));
        }
        for kind in ListKind::ALL {
            let Some(list) = self.list(kind).list() else { continue };
            let entries: Vec<&str> =
                list.entries.iter().map(|entry| std::str::from_utf8(entry).unwrap_or("{}")).collect();
            text.push_str(&format!(r#","{}":[{}]"#, kind.field(), entries.join(",")));
        }
        text.push('}');
        Some(Bytes::from(text))
    }

    /// Reads what [`Offer::to_stored`] wrote; `None` if it is not that.
    pub fn from_stored(stored: &[u8]) -> Option<Offer> {
        let text = std::str::from_utf8(stored).ok()?;
        let mut fields = BTreeMap::new();
        skim::each_field(text, |key, span| {
            fields.insert(key.to_owned(), &text[span]);
            Ok(())
        })
        .ok()?;
        let peer = Peer {
            version: Version::parse(&skim::string(fields.get("version")?)?)?,
            capabilities: (*fields.get("capabilities")?).into(),
            server_info: (*fields.get("serverInfo")?).into(),
            instructions: fields
                .get("instructions")
                .and_then(|raw| skim::string(raw))
                .map(|text| text.into()),
        };
        let mut offer = Offer { peer: Some(Arc::new(peer)), stored: true, ..Offer::default() };
        for kind in ListKind::ALL {
            let Some(entries) = fields.get(kind.field()) else { continue };
            let mut list = RawList::default();
            skim::each_element(entries, |span| {
                list.entries.push(Bytes::copy_from_slice(entries[span].as_bytes()));
                Ok(())
            })
            .ok()?;
            *offer.list_mut(kind) = ListState::Read(Arc::new(list));
        }
        Some(offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_byte_for_byte() {
        let peer = Peer {
            version: Version::V2025_11_25,
            capabilities: r#"{"tools":{"listChanged":true}}"#.into(),
            server_info: r#"{"name":"x","version":"1"}"#.into(),
            instructions: Some("say \"please\"\n".into()),
        };
        let mut offer = Offer { peer: Some(Arc::new(peer)), ..Offer::default() };
        let entries = vec![Bytes::from_static(br#"{"name":"a", "n":1.0e5}"#)];
        *offer.list_mut(ListKind::Tools) =
            ListState::Read(Arc::new(RawList { entries, ..RawList::default() }));
        let read = Offer::from_stored(&offer.to_stored().unwrap()).unwrap();
        assert!(read.stored);
        assert_eq!(read.list(ListKind::Tools).entries(), offer.list(ListKind::Tools).entries());
        let (before, after) = (offer.peer.unwrap(), read.peer.unwrap());
        assert_eq!(before.instructions, after.instructions);
        assert_eq!(before.capabilities, after.capabilities);
    }

    #[test]
    fn what_is_no_offer_is_none() {
        assert!(Offer::from_stored(b"").is_none());
        assert!(
            Offer::from_stored(br#"{"version":"1999-01-01","capabilities":{},"serverInfo":{}}"#).is_none()
        );
    }
}
