//! Calls that wait while their modern client finds answers. They live in this process, each for one further request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::base::{Error, ErrorKind, Principal, random};

use super::call::ClientCall;

/// Names one parked call, once.
pub(super) type Ticket = [u8; 16];

/// The calls that are parked. Cloning shares them.
#[derive(Clone)]
pub(super) struct Parked(Arc<Inner>);

struct Inner {
    /// The most calls of one principal.
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    calls: HashMap<Ticket, Entry>,
    counts: HashMap<Principal, usize>,
}

struct Entry {
    call: Box<ClientCall>,
    _expiry: AbortOnDropHandle<()>,
}

impl Parked {
    /// A table that takes `most` calls of each principal.
    pub fn new(most: usize) -> Parked {
        Parked(Arc::new(Inner { most, table: Mutex::default() }))
    }

    /// A ticket for a call of this principal, which is to be parked under it at once.
    pub fn reserve(&self, principal: &Principal) -> Result<Ticket, Error> {
        let mut table = self.lock();
        let count = table.counts.entry(principal.clone()).or_default();
        if *count >= self.0.most {
            let text = format!(
                "{count} calls of this principal wait for answers, as many as may (gateway.max_parked); answer or \
                 drop some, and try again"
            );
            return Err(Error::new(ErrorKind::Overloaded, text).with_data(RETRY_LATER.to_owned()));
        }
        *count += 1;
        let mut ticket = Ticket::default();
        random::fill(&mut ticket);
        Ok(ticket)
    }

    /// Takes a call in, for as long as its client may take to answer. Then it is dropped, and its server told so.
    pub fn park(&self, ticket: Ticket, call: Box<ClientCall>, limit: Duration) {
        let this = Arc::downgrade(&self.0);
        let expiry = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(inner) = this.upgrade() {
                Parked(inner).remove(&ticket);
            }
        });
        let entry = Entry { call, _expiry: AbortOnDropHandle::new(expiry) };
        self.lock().calls.insert(ticket, entry);
    }

    /// Gives a call back, once.
    pub fn take(&self, ticket: &Ticket) -> Option<Box<ClientCall>> {
        self.remove(ticket).map(|entry| entry.call)
    }

    /// How many calls are parked.
    pub fn count(&self) -> usize {
        self.lock().calls.len()
    }

    fn remove(&self, ticket: &Ticket) -> Option<Entry> {
        let mut table = self.lock();
        let entry = table.calls.remove(ticket)?;
        let principal = &entry.call.request().principal;
        if let Some(count) = table.counts.get_mut(principal) {
            *count -= 1;
            if *count == 0 {
                table.counts.remove(principal);
            }
        }
        Some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock can panic half-way through a change.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `error.data` of a refusal: answers come at the pace of people.
const RETRY_LATER: &str = r#"{"retry_after":30}"#;
