//! A server's links beside the shared one, as its handle gives them out.

use crate::base::{Era, Error, FINGERPRINT};

use super::handle::ServerHandle;
use super::pool::{Caller, LinkKey, LinkOwner, PooledLink};

impl ServerHandle {
    /// The handle of the link of its own that a caller's requests take to the server; `None` if they take the shared
    /// one.
    pub async fn for_caller(&self, caller: &Caller<'_>) -> Result<Option<ServerHandle>, Error> {
        let (Some(pool), Some(key)) = (&self.0.pool, self.link_key(caller)) else { return Ok(None) };
        // What an operator has stopped is not begun again for one client; the shared link says why.
        if self.is_stopped() {
            return Ok(None);
        }
        let shared = key.owner == LinkOwner::Everybody;
        let mut era = self.live().map(|live| live.peer.era());
        era = era.or_else(|| self.offer().peer.as_ref().map(|peer| peer.era()));
        if shared && era.is_none() {
            era = Some(self.wait_until_live(0).await?.peer.era());
        }
        // A modern server asks in its replies, by what each request declares.
        if shared && era == Some(Era::Modern) {
            return Ok(None);
        }
        pool.member(key, caller.session, era).map(Some)
    }

    /// Whose link a caller's requests take, if that is not the shared one (which it is at a modern server that serves all,
    /// whatever they declare).
    pub fn link_key(&self, caller: &Caller<'_>) -> Option<LinkKey> {
        let key = self.0.pool.as_ref()?.key(caller);
        (key.owner != LinkOwner::Everybody || key.declared.any()).then_some(key)
    }

    /// The link of its own that a caller has at the server by now.
    pub fn own_link(&self, caller: &Caller<'_>) -> Option<ServerHandle> {
        self.0.pool.as_ref()?.find(&self.link_key(caller)?)
    }

    /// Whether this is a link beside the shared one: what it lists is not for everybody.
    pub fn is_pooled(&self) -> bool {
        self.0.member.is_some()
    }

    /// The links beside the shared one.
    pub fn links(&self) -> Vec<PooledLink> {
        self.0.pool.as_ref().map(|pool| pool.snapshot()).unwrap_or_default()
    }

    /// Closes the links beside the shared one.
    pub(super) fn close_links(&self) {
        if let Some(pool) = &self.0.pool {
            pool.close_all();
        }
    }

    /// The servers of its links for single clients.
    pub(super) fn pooled(&self) -> Vec<ServerHandle> {
        self.0.pool.as_ref().map(|pool| pool.handles()).unwrap_or_default()
    }

    /// Takes over which sessions lose what they had at the server that this one follows.
    pub(super) fn inherit_sessions_of(&self, before: &ServerHandle) {
        if let (Some(pool), Some(before)) = (&self.0.pool, &before.0.pool) {
            pool.inherit(before);
        }
    }

    /// How many links there are beside the shared one.
    pub(super) fn link_count(&self) -> usize {
        self.0.pool.as_ref().map_or(0, |pool| pool.len())
    }

    pub(super) fn end_session(&self, id: [u8; FINGERPRINT]) {
        if let Some(pool) = &self.0.pool {
            pool.end_session(id);
        }
    }
}
