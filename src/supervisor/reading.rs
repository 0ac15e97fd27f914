//! Reading a server's lists, publishing them, and reading them again when they may have changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::config;
use crate::store::Store;
use crate::upstream::{Link, ListKind, Lost, Peer, is_offered, read_list};

use super::handle::{Shared, Updated};
use super::launch;
use super::pool::{Membership, News, OwnNews};
use super::snapshot::{ListState, Offer};
use super::tasknote::TaskNote;

/// Lists of a server that does not announce changes are read again when they are used and older than this: often
/// enough for a person who has just changed a server, rarely enough to cost it nothing.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// Reads every list that the server offers.
pub(super) async fn read_offer(link: &Link, peer: &Arc<Peer>, config: &config::Server) -> Offer {
    let mut offer = Offer { peer: Some(Arc::clone(peer)), ..Offer::default() };
    read_lists(link, peer, config, &mut offer, ListKind::ALL.into_iter().collect()).await;
    offer
}

/// Reads the lists of `kinds` into `offer`, all at once. A list that cannot be read is marked and keeps what was
/// known; it does not keep the server from being Ready.
async fn read_lists(
    link: &Link,
    peer: &Peer,
    config: &config::Server,
    offer: &mut Offer,
    kinds: BTreeSet<ListKind>,
) {
    let read = |kind: ListKind| {
        let wanted = kinds.contains(&kind) && is_offered(peer, kind);
        async move { if wanted { Some(read_list(link, peer, kind, config.start_timeout).await) } else { None } }
    };
    // What is read is as it was when it was asked for.
    let asked = Instant::now();
    let [tools, prompts, resources, templates] = ListKind::ALL.map(read);
    let results = tokio::join!(tools, prompts, resources, templates);
    for (kind, result) in ListKind::ALL.into_iter().zip([results.0, results.1, results.2, results.3]) {
        if result.is_some() {
            offer.read_at[kind as usize] = Some(asked);
        }
        let slot = offer.list_mut(kind);
        match result {
            None => {}
            Some(Ok(list)) => *slot = ListState::Read(Arc::new(list)),
            // Many servers declare `resources` and know no templates.
            Some(Err(fault)) if kind == ListKind::Templates => {
                debug!(server = %config.name, "no resource templates: {}", fault.error.message);
            }
            Some(Err(fault)) => {
                warn!(server = %config.name, "{}", fault.error.message);
                let known = slot.list().cloned().unwrap_or_default();
                *slot = ListState::Failed { reason: fault.error.message.into_owned(), known };
            }
        }
    }
}

/// Makes `offer` the one that everybody sees, and keeps it for the next run.
pub(super) fn publish(shared: &Shared, store: &Option<Store>, offer: Offer) {
    if let (Some(store), Some(stored), true) = (store, offer.to_stored(), shared.speaks_for_server()) {
        store.save_catalog(shared.config.name.as_str(), &launch::era_key(&shared.config), stored);
    }
    let offer = Arc::new(offer);
    let before = shared.offer.swap(Arc::clone(&offer));
    shared.changes.send_modify(|count| *count += 1);
    let Some(member) = &shared.member else { return };
    let kinds = differing(&before, &offer);
    // What is read for the first time is what its owner sees first.
    if before.peer.is_some() && !kinds.is_empty() {
        tell_owner(shared, member, News::Lists(kinds));
    }
}

fn tell_owner(shared: &Shared, member: &Membership, news: News) {
    let news = OwnNews { server: shared.config.name.clone(), news, key: member.key.clone() };
    // Nobody may be listening, which is fine.
    let _ = shared.own_news.send(news);
}

fn differing(before: &Offer, after: &Offer) -> BTreeSet<ListKind> {
    let differs = |kind: &ListKind| before.list(*kind).entries() != after.list(*kind).entries();
    ListKind::ALL.into_iter().filter(differs).collect()
}

/// Reads lists again when the server says that they have changed, or when they are used and old. Returns why the
/// link is of no more use.
pub(super) async fn keep_fresh(
    link: &Link,
    peer: &Arc<Peer>,
    shared: &Shared,
    store: &Option<Store>,
) -> Lost {
    loop {
        let (kinds, wish) = tokio::select! {
            happened = link.signals().wait() => {
                if let Some(reason) = happened.lost {
                    return reason;
                }
                for uri in happened.updated {
                    let (server, wishes) = (shared.config.name.clone(), Arc::clone(&shared.wishes));
                    // Nobody may be listening any more, which is fine.
                    let _ = shared.updates.send(Updated { server, uri, wishes });
                }
                for note in happened.tasks {
                    let server = shared.config.name.clone();
                    let scope = shared.member.as_ref().map(|member| member.key.print());
                    let _ = shared.task_notes.send(TaskNote { server, scope, note });
                }
                if let Some(member) = &shared.member {
                    happened.stray.into_iter().for_each(|note| tell_owner(shared, member, News::Said(note)));
                }
                (happened.changed, None)
            }
            () = shared.refresh.notified() => {
                let wish = shared.operated.tools_due();
                let mut kinds = match shared.operated.take_reread() {
                    true => ListKind::ALL.into(),
                    false => stale(&shared.offer.load(), peer),
                };
                kinds.extend(wish.map(|_| ListKind::Tools));
                (kinds, wish)
            }
        };
        if kinds.is_empty() {
            continue;
        }
        let mut offer = Offer::clone(&shared.offer.load());
        read_lists(link, peer, &shared.config, &mut offer, kinds).await;
        publish(shared, store, offer);
        if let Some(wish) = wish {
            shared.operated.tools_read(wish);
        }
    }
}

/// The lists that may have changed unannounced.
fn stale(offer: &Offer, peer: &Peer) -> BTreeSet<ListKind> {
    let old = |kind: &ListKind| {
        let Some(age) = offer.read_at[*kind as usize].map(|read| read.elapsed()) else {
            return is_offered(peer, *kind);
        };
        let ttl = offer.list(*kind).list().and_then(|list| list.ttl_ms).map(Duration::from_millis);
        let announced = peer.declares_feature(kind.capability(), "listChanged");
        match ttl {
            // A ttl of zero means "ask each time"; asking in the background each STALE_AFTER is what a gateway can do.
            Some(ttl) => age > ttl.max(STALE_AFTER),
            None => !announced && age > STALE_AFTER,
        }
    };
    ListKind::ALL.into_iter().filter(old).collect()
}
