//! Reading a server's lists, every page of them, as raw entries.

use std::time::Duration;

use bytes::Bytes;

use crate::base::{Era, ErrorKind};
use crate::protocol::skim;

use super::fault::Fault;
use super::handshake::own_meta;
use super::link::{Link, result_of};
use super::peer::Peer;
use super::signals::ListKind;

/// Pages read of one list. A server that hands out cursors for ever must not be followed for ever.
const MAX_PAGES: usize = 1000;
/// Bytes of entries kept of one list.
const MAX_LIST_BYTES: usize = 64 * 1024 * 1024;

/// One list as a server gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawList {
    /// The entries, each as the raw JSON object that arrived.
    pub entries: Vec<Bytes>,
    /// For how long the server says it may be kept, in milliseconds; none from a legacy server.
    pub ttl_ms: Option<u64>,
    /// Whether the server said that it may be shared between callers (`cacheScope: public`).
    pub public: bool,
}

/// Whether `peer` offers the list.
pub fn is_offered(peer: &Peer, kind: ListKind) -> bool {
    peer.declares(kind.capability())
}

/// Reads the list `kind` page by page; each page may take `deadline`.
pub async fn read_list(
    link: &Link,
    peer: &Peer,
    kind: ListKind,
    deadline: Duration,
) -> Result<RawList, Fault> {
    let mut list = RawList { public: peer.era() == Era::Modern, ..RawList::default() };
    let mut cursor: Option<String> = None;
    let mut bytes = 0;
    for _ in 0..MAX_PAGES {
        let reply = link.ask(kind.method(), &page_params(peer.era(), cursor.as_deref()), deadline).await?;
        let result = result_of(link.name(), &reply)?;
        take_page(&mut list, result, kind).map_err(|why| broken(link, kind, &why))?;
        bytes += result.len();
        if bytes > MAX_LIST_BYTES {
            return Err(broken(link, kind, "more than 64 MiB of entries"));
        }
        match skim::field_text(result, "nextCursor").filter(|next| next.starts_with('"')) {
            None => return Ok(list),
            Some(next) if cursor.as_deref() == Some(next) => {
                return Err(broken(link, kind, "the same cursor twice"));
            }
            Some(next) => cursor = Some(next.to_owned()),
        }
    }
    Err(broken(link, kind, "more than 1000 pages"))
}

fn page_params(era: Era, cursor: Option<&str>) -> String {
    let mut fields = Vec::new();
    if let Some(cursor) = cursor {
        fields.push(format!(r#""cursor":{cursor}"#));
    }
    if era == Era::Modern {
        fields.push(format!(r#""_meta":{{{}}}"#, own_meta()));
    }
    format!("{{{}}}", fields.join(","))
}

/// Adds one page. The whole list lives as long as its most careful page allows.
fn take_page(list: &mut RawList, result: &str, kind: ListKind) -> Result<(), String> {
    let entries =
        skim::field_text(result, kind.field()).ok_or_else(|| format!("no field '{}'", kind.field()))?;
    skim::each_element(entries, |span| {
        let entry = &entries[span];
        if !entry.starts_with('{') {
            return Err("an entry that is no object");
        }
        list.entries.push(Bytes::copy_from_slice(entry.as_bytes()));
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    let ttl = skim::field_text(result, "ttlMs").and_then(|text| text.parse::<u64>().ok());
    list.ttl_ms = match (list.ttl_ms, ttl) {
        (Some(known), Some(ttl)) => Some(known.min(ttl)),
        (known, ttl) => ttl.or(known),
    };
    list.public &= skim::field_text(result, "cacheScope") == Some("\"public\"");
    Ok(())
}

fn broken(link: &Link, kind: ListKind, why: &str) -> Fault {
    Fault::unknown(
        ErrorKind::ServerFailed,
        format!("server '{}' answered '{}' with {why}", link.name(), kind.method()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_as_they_arrived_and_the_most_careful_page_rules() {
        let mut list = RawList { public: true, ..RawList::default() };
        let first = r#"{"tools":[{"name":"a", "x":1.0e5},{"z":[]}],"ttlMs":500,"cacheScope":"public"}"#;
        take_page(&mut list, first, ListKind::Tools).unwrap();
        assert!(list.public);
        take_page(&mut list, r#"{"tools":[],"ttlMs":100,"cacheScope":"private"}"#, ListKind::Tools).unwrap();
        assert_eq!(list.entries, [r#"{"name":"a", "x":1.0e5}"#, r#"{"z":[]}"#]);
        assert_eq!((list.ttl_ms, list.public), (Some(100), false));
    }

    #[test]
    fn a_page_of_another_shape_is_refused() {
        let mut list = RawList::default();
        assert!(take_page(&mut list, r#"{"prompts":[]}"#, ListKind::Tools).is_err());
        assert!(take_page(&mut list, r#"{"tools":[1]}"#, ListKind::Tools).is_err());
    }
}
