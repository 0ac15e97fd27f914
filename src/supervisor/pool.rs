//! Links beside the shared one: one for each session, principal, or set of declared capabilities, as `isolation` and
//! `questions` say. Each is a supervised server of its own; the pool bounds them and closes those that nobody uses.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{Era, Error, ErrorKind, FINGERPRINT, Principal, ServerName, fingerprint};
use crate::config::{Isolation, Links};
use crate::protocol::{ClientCapabilities, Message};
use crate::upstream::ListKind;

use super::handle::ServerHandle;
use super::hint::retry_after;
use super::wishes::Wishes;

/// A session as the pool knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The fingerprint of its id.
    pub id: [u8; FINGERPRINT],
    /// Whether an earlier process opened it. What it had on links of its own ended with that process.
    pub inherited: bool,
}

impl SessionKey {
    /// What stands for the session where people look: the beginning of the fingerprint.
    pub fn short(&self) -> u64 {
        let mut short = [0; 8];
        short.iter_mut().zip(self.id).for_each(|(to, from)| *to = from);
        u64::from_be_bytes(short)
    }
}

/// Who makes a call, as far as it matters to whom a link belongs.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// In which session; modern clients have none.
    pub session: Option<SessionKey>,
    /// What the client can be asked.
    pub capabilities: ClientCapabilities,
}

/// Whose a link is, and what it declares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkKey {
    pub(super) owner: LinkOwner,
    pub(super) declared: ClientCapabilities,
}

impl LinkKey {
    /// Whether one client stands alone behind the link.
    pub fn is_owned(&self) -> bool {
        self.owner != LinkOwner::Everybody
    }

    /// What stands for the key where many are compared.
    pub(super) fn print(&self) -> [u8; FINGERPRINT] {
        let (kind, owner): (&[u8], &[u8]) = match &self.owner {
            LinkOwner::Everybody => (b"everybody", b""),
            LinkOwner::Session(id) => (b"session", id),
            LinkOwner::Principal(principal) => (b"principal", principal.as_str().as_bytes()),
        };
        fingerprint(&[kind, b"\0", owner, b"\0", self.declared.to_json().as_bytes()].concat())
    }
}

/// Something has come on a link beside the shared one that belongs to no call.
#[derive(Clone, Debug)]
pub struct OwnNews {
    /// The server.
    pub server: ServerName,
    /// What.
    pub news: News,
    pub(super) key: LinkKey,
}

/// What has come on such a link.
#[derive(Clone, Debug)]
pub enum News {
    /// These lists are not what they were.
    Lists(BTreeSet<ListKind>),
    /// A notification for the one client behind the link, such as a log line.
    Said(Message),
}

impl OwnNews {
    /// Whether the link is that of the session with this fingerprint.
    pub fn is_of(&self, session: &[u8; FINGERPRINT]) -> bool {
        matches!(&self.key.owner, LinkOwner::Session(id) if id == session)
    }

    /// Whether it is news to those whose requests take the link `key`. A modern client that declares now this and now
    /// that has several of its own, and hears of all.
    pub fn concerns(&self, key: &LinkKey) -> bool {
        self.key.owner == key.owner
            && (key.owner != LinkOwner::Everybody || self.key.declared == key.declared)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LinkOwner {
    Everybody,
    Session([u8; FINGERPRINT]),
    Principal(Principal),
}

/// One link of a pool, for whoever looks.
#[derive(Clone, Debug)]
pub struct PooledLink {
    /// Whose it is: `everybody`, `session` or `principal`, and then whose.
    pub owner: &'static str,
    /// The principal, or the beginning of the session's fingerprint.
    pub name: String,
    /// What it declares, JSON text.
    pub declared: String,
    /// The state of its server.
    pub state: &'static str,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Calls in flight.
    pub in_flight: usize,
    /// How long nobody has used it.
    pub idle: std::time::Duration,
}

/// Makes the supervised server of a key; the token ends it.
type Make = Box<
    dyn Fn(&Arc<Pool>, &LinkKey, Arc<Wishes>, Option<Era>) -> (ServerHandle, CancellationToken) + Send + Sync,
>;

/// The pool of one server.
pub(super) struct Pool {
    server: ServerName,
    links: Links,
    make: Make,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    members: HashMap<LinkKey, Member>,
    /// Sessions whose link has ended, and with it what they had there. The oldest first.
    lost: VecDeque<[u8; FINGERPRINT]>,
    /// What the owners of links want to hear of; it outlives a link that is closed, or replaced by a reload.
    wishes: HashMap<LinkKey, Weak<Wishes>>,
}

impl Table {
    fn wishes(&mut self, key: &LinkKey) -> Arc<Wishes> {
        if let Some(wishes) = self.wishes.get(key).and_then(Weak::upgrade) {
            return wishes;
        }
        self.wishes.retain(|_, wishes| wishes.strong_count() > 0);
        let wishes = Arc::default();
        self.wishes.insert(key.clone(), Arc::downgrade(&wishes));
        wishes
    }
}

struct Member {
    handle: ServerHandle,
    end: CancellationToken,
}

/// Sessions that are remembered because they have lost their link. One that is forgotten would be given a new link in
/// silence, so there are as many as sessions may be held (`gateway.max_sessions`' default).
const MAX_LOST: usize = 10_000;
/// What a caller is told who meets a full pool: links are given back when their clients have gone.
const FULL_RETRY: u64 = 30;

impl Pool {
    pub fn new(server: &ServerName, links: Links, make: Make) -> Pool {
        Pool { server: server.clone(), links, make, table: Mutex::default() }
    }

    /// The key of the link that a caller's requests take.
    pub fn key(&self, caller: &Caller<'_>) -> LinkKey {
        let all = if self.links.questions { caller.capabilities } else { ClientCapabilities::NONE };
        match (self.links.isolation, caller.session) {
            (Isolation::Shared, _) => LinkKey { owner: LinkOwner::Everybody, declared: all.shareable() },
            (Isolation::Session, Some(session)) => {
                LinkKey { owner: LinkOwner::Session(session.id), declared: all }
            }
            // Requests of a modern client have nothing in common but who sends them.
            (Isolation::Session, None) | (Isolation::Principal, _) => {
                LinkKey { owner: LinkOwner::Principal(caller.principal.clone()), declared: all }
            }
        }
    }

    /// The member of `key`; a new one if there is none and room is left.
    pub fn member(
        self: &Arc<Self>,
        key: LinkKey,
        session: Option<SessionKey>,
        era: Option<Era>,
    ) -> Result<ServerHandle, Error> {
        let mut table = self.lock();
        if let Some(member) = table.members.get(&key) {
            // Under the lock, so that it is not closed for idleness before it is used.
            member.handle.0.pulse.use_now();
            return Ok(member.handle.clone());
        }
        if let LinkOwner::Session(id) = &key.owner
            && (table.lost.contains(id) || session.is_some_and(|session| session.inherited))
        {
            return Err(lost_link(&self.server));
        }
        if table.members.len() >= self.links.max {
            let text = format!(
                "server '{}' has {} links for single clients, as many as it may (max_links); try again later",
                self.server, self.links.max
            );
            return Err(Error::new(ErrorKind::Overloaded, text).with_data(retry_after(FULL_RETRY)));
        }
        let wishes = table.wishes(&key);
        let (handle, end) = (self.make)(self, &key, wishes, era);
        table.members.insert(key, Member { handle: handle.clone(), end });
        Ok(handle)
    }

    /// Takes a member out because it has ended, or because nobody has used it for as long as `link_idle` says; false
    /// if it is in use.
    pub fn retire(&self, handle: &ServerHandle, ended: bool) -> bool {
        let Some(Membership { key, .. }) = &handle.0.member else { return true };
        let mut table = self.lock();
        let Some(member) = table.members.get(key).filter(|member| Arc::ptr_eq(&member.handle.0, &handle.0))
        else {
            return true;
        };
        let idle = member.handle.0.pulse.last_use().elapsed() >= self.links.idle;
        let over = ended || idle && member.handle.0.close_if_idle();
        if !over {
            return false;
        }
        member.end.cancel();
        table.members.remove(key);
        if let LinkOwner::Session(id) = &key.owner {
            if table.lost.len() >= MAX_LOST {
                table.lost.pop_front();
            }
            table.lost.push_back(*id);
        }
        true
    }

    /// Closes the links of a session that has ended.
    pub fn end_session(&self, id: [u8; FINGERPRINT]) {
        let mut table = self.lock();
        table.lost.retain(|lost| *lost != id);
        table.members.retain(|key, member| {
            let gone = key.owner == LinkOwner::Session(id);
            if gone {
                member.end.cancel();
            }
            !gone
        });
    }

    /// Closes all links: an operator stops their server. Sessions hear that what they had there is lost.
    pub fn close_all(&self) {
        let mut table = self.lock();
        let Table { members, lost, .. } = &mut *table;
        for (key, member) in members.drain() {
            member.end.cancel();
            if let LinkOwner::Session(id) = key.owner {
                lost.push_back(id);
            }
        }
        let over = lost.len().saturating_sub(MAX_LOST);
        lost.drain(..over);
    }

    /// When the member of `key` is due to be looked at for idleness.
    pub fn due(&self, handle: &ServerHandle) -> Instant {
        handle.0.pulse.last_use() + self.links.idle
    }

    /// Everything in the pool.
    pub fn snapshot(&self) -> Vec<PooledLink> {
        let table = self.lock();
        let shown = |(key, member): (&LinkKey, &Member)| {
            let (owner, name) = match &key.owner {
                LinkOwner::Everybody => ("everybody", String::new()),
                LinkOwner::Session(id) => ("session", id[..4].iter().map(|b| format!("{b:02x}")).collect()),
                LinkOwner::Principal(principal) => ("principal", principal.to_string()),
            };
            let status = member.handle.0.status.borrow();
            PooledLink {
                owner,
                name,
                declared: key.declared.to_json(),
                state: status.state.as_str(),
                pid: status.pid,
                in_flight: member.handle.in_flight(),
                idle: member.handle.0.pulse.last_use().elapsed(),
            }
        };
        table.members.iter().map(shown).collect()
    }

    /// The servers of the links.
    pub fn handles(&self) -> Vec<ServerHandle> {
        self.lock().members.values().map(|member| member.handle.clone()).collect()
    }

    /// Takes over from the pool that this one follows which sessions have lost, or are about to lose, what they had:
    /// their links end with it. Who else has subscribed to something on a link of their own gets another at once.
    pub fn inherit(self: &Arc<Self>, before: &Pool) {
        let (inherited, wishes): (Vec<_>, Vec<_>) = {
            let table = before.lock();
            let lasting = |key: &LinkKey| !matches!(key.owner, LinkOwner::Session(_));
            let kept = table.wishes.iter().filter(|(key, _)| lasting(key));
            let wishes = kept.filter_map(|(key, wishes)| Some((key.clone(), wishes.upgrade()?))).collect();
            let owners = table.members.keys().map(|key| &key.owner);
            let of_session = |owner: &LinkOwner| match owner {
                LinkOwner::Session(id) => Some(*id),
                _ => None,
            };
            (table.lost.iter().copied().chain(owners.filter_map(of_session)).collect(), wishes)
        };
        let mut table = self.lock();
        table.lost.extend(inherited);
        let over = table.lost.len().saturating_sub(MAX_LOST);
        table.lost.drain(..over);
        table.wishes.extend(wishes.iter().map(|(key, wishes)| (key.clone(), Arc::downgrade(wishes))));
        drop(table);
        for (key, _) in wishes.into_iter().filter(|(_, wishes)| !wishes.is_empty()) {
            // One that finds no room is made with the next call.
            let _ = self.member(key, None, None);
        }
    }

    /// The member of `key`, if there is one.
    pub fn find(&self, key: &LinkKey) -> Option<ServerHandle> {
        self.lock().members.get(key).map(|member| member.handle.clone())
    }

    /// How many links there are.
    pub fn len(&self) -> usize {
        self.lock().members.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock can panic half-way through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session is told whose own link has ended.
pub(super) fn lost_link(server: &ServerName) -> Error {
    let text = format!(
        "what this session had at server '{server}' is lost, because its process there has ended; send `initialize` \
         for a new session"
    );
    Error::new(ErrorKind::SessionNotFound, text)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({}, {})", self.server, self.len())
    }
}

/// What a pooled link has of its own.
#[derive(Debug)]
pub(super) struct Membership {
    pub key: LinkKey,
    /// The era that the server has shown on the shared link.
    pub era: Option<Era>,
}

impl Membership {
    /// Whether the state of its server is one session's, which nobody may go on with after it was lost.
    pub fn one_life(&self) -> bool {
        matches!(self.key.owner, LinkOwner::Session(_))
    }

    /// Whether one client stands alone behind it.
    pub fn owned(&self) -> bool {
        self.key.is_owned()
    }
}
