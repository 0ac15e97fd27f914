//! What an operator sees of sessions and streams, and how one is ended.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::{Era, Principal, ServerName, Version, short_hex};

use super::hub::Hub;
use super::notices::Wants;
use super::sessions::{Session, Sessions};

/// Bytes of the hash that stands for a session's id: enough to tell ten thousand of them apart.
const HANDLE_BYTES: usize = 8;

/// A session, without its id.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// What stands for the id: whoever has that has the session.
    pub handle: String,
    /// The client's name and version.
    pub client: String,
    /// Whose it is.
    pub principal: Principal,
    /// The endpoint it was opened at: a server's name, or empty for the merged one.
    pub endpoint: String,
    /// The version agreed on.
    pub version: Version,
    /// Seconds since it was opened.
    pub age_seconds: u64,
    /// Seconds since it was used last.
    pub idle_seconds: u64,
    /// Calls under way.
    pub calls: usize,
    /// Whether it has a stream open.
    pub stream: bool,
    /// Resources that it watches.
    pub watched: usize,
}

/// An open stream.
#[derive(Clone, Debug)]
pub struct OpenStream {
    /// Its number.
    pub number: u64,
    /// The endpoint it was opened at.
    pub endpoint: Option<ServerName>,
    /// Which changes it hears of.
    pub wants: Wants,
    /// The client's era.
    pub era: Era,
    /// Resources that it watches.
    pub watched: usize,
}

impl Sessions {
    /// All sessions in memory.
    pub fn facts(&self) -> Vec<SessionFacts> {
        let now = self.now();
        self.all().iter().map(|session| session.overview(now)).collect()
    }

    /// Ends the session for whose id `handle` stands; false if there is none.
    pub fn close(&self, handle: &str) -> bool {
        let found = self.all().into_iter().find(|session| session.handle() == handle);
        if let Some(session) = &found {
            self.delete(session);
        }
        found.is_some()
    }
}

impl Session {
    fn handle(&self) -> String {
        short_hex(self.id().as_bytes(), HANDLE_BYTES)
    }

    fn overview(&self, now: u64) -> SessionFacts {
        let facts = &self.facts;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        SessionFacts {
            handle: self.handle(),
            client: format!("{} {}", facts.client_name, facts.client_version).trim().to_owned(),
            principal: facts.principal.clone(),
            endpoint: facts.endpoint.clone(),
            version: facts.version,
            age_seconds: since_1970.saturating_sub(facts.issued),
            idle_seconds: now.saturating_sub(self.last_used.load(Ordering::Relaxed)),
            calls: self.lock().len(),
            stream: self.streams.load(Ordering::Relaxed) > 0,
            watched: self.watched().uris().len(),
        }
    }
}

impl Hub {
    /// All open streams, the oldest first.
    pub fn open_streams(&self) -> Vec<OpenStream> {
        let open = |(number, listener): (&u64, &super::hub::Listener)| OpenStream {
            number: *number,
            endpoint: listener.vantage.endpoint.clone(),
            wants: listener.wants,
            era: if listener.subscription.is_some() { Era::Modern } else { Era::Legacy },
            watched: listener.watched.uris().len(),
        };
        let listeners = self.lock();
        let connected = listeners.iter().filter(|(_, listener)| listener.is_connected());
        let mut all: Vec<OpenStream> = connected.map(open).collect();
        drop(listeners);
        all.sort_by_key(|stream| stream.number);
        all
    }

    /// Ends a stream in good order; false if there is none of this number.
    pub fn close(&self, number: u64) -> bool {
        let found = self.lock().remove(&number);
        if let Some(listener) = &found {
            listener.end();
        }
        found.is_some()
    }
}
