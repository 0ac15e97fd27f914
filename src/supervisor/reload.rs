//! From one fleet to the next while calls go on: who stays, who comes, who leaves.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::base::ServerName;
use crate::config::{self, Replace};

use super::fleet::{Fleet, Members};
use super::handle::{Retired, ServerHandle};
use super::launch::era_key;
use super::machine::State;
use super::snapshot::Offer;

/// What a new list of servers means for the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Servers that were not there before.
    pub added: Vec<ServerName>,
    /// Servers whose entry is another; the next takes the place of the last when it is ready.
    pub replaced: Vec<ServerName>,
    /// Servers that are no longer wanted.
    pub removed: Vec<ServerName>,
    /// Servers that go on as they are.
    pub unchanged: usize,
}

impl Applied {
    /// Whether the fleet is what it was.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.replaced.is_empty() && self.removed.is_empty()
    }
}

impl Fleet {
    /// Makes the fleet into one of these servers, and returns at once.
    ///
    /// A server whose entry is the same keeps its process, its generation and its calls. A new one is in the fleet at
    /// once, and its lists are when it is ready. One that has changed is started beside the one that serves, and takes
    /// its place when it is ready (`replace = "overlap"`), or follows it (`"stop_first"`). Who leaves finishes its calls
    /// within `drain_timeout`. No server waits for another.
    pub fn apply(&self, servers: Vec<config::Server>) -> Applied {
        let mut applied = Applied::default();
        let mut successors = self.lock();
        let before = self.servers();
        let mut members = Vec::new();
        for config in servers.into_iter().filter(|server| server.enabled) {
            let name = config.name.clone();
            match before.get(name.as_str()).cloned() {
                None => {
                    members.push(self.add(config));
                    applied.added.push(name);
                }
                Some(current) if is_same(current.config(), &config) => {
                    // A change that is taken back before it took effect has not happened.
                    if let Some(never) = successors.remove(&name) {
                        self.retire(never, Retired::Removed, Duration::ZERO);
                    }
                    applied.unchanged += 1;
                    members.push(current);
                }
                Some(current) => {
                    let waiting = successors.get(&name).is_some_and(|next| is_same(next.config(), &config));
                    if waiting {
                        applied.unchanged += 1;
                        members.push(current);
                        continue;
                    }
                    if let Some(never) = successors.remove(&name) {
                        self.retire(never, Retired::Removed, Duration::ZERO);
                    }
                    members.push(self.replace(current, config, &mut successors));
                    applied.replaced.push(name);
                }
            }
        }
        let next = Members::new(members);
        for gone in before.iter().filter(|server| next.get(server.name().as_str()).is_none()) {
            applied.removed.push(gone.name().clone());
            if let Some(never) = successors.remove(gone.name()) {
                self.retire(never, Retired::Removed, Duration::ZERO);
            }
            self.retire(gone.clone(), Retired::Removed, gone.config().drain_timeout);
        }
        self.publish(next);
        applied
    }

    fn add(&self, config: config::Server) -> ServerHandle {
        let (server, owner) = self.0.yard.server(config, Offer::default(), None);
        server.0.joined.store(true, Ordering::Relaxed);
        self.0.yard.owners.spawn(owner.run(server.0.leave.clone()));
        server
    }

    /// Starts the next one of a server; what comes back is in the fleet meanwhile.
    fn replace(
        &self,
        current: ServerHandle,
        config: config::Server,
        successors: &mut HashMap<ServerName, ServerHandle>,
    ) -> ServerHandle {
        let known = era_key(current.config()) == era_key(&config);
        let offer = if known { (*current.offer()).clone() } else { Offer::default() };
        let (policy, drain) = (config.replace, config.drain_timeout);
        let (next, owner) = self.0.yard.server(config, offer, Some(&current));
        let serves = current.live().is_some() || current.is_dormant();
        if policy == Replace::Overlap && serves {
            self.0.yard.owners.spawn(owner.run(next.0.leave.clone()));
            successors.insert(next.name().clone(), next.clone());
            self.0.yard.owners.spawn(self.clone().await_successor(next));
            return current;
        }
        next.0.joined.store(true, Ordering::Relaxed);
        self.retire(current.clone(), Retired::Replaced(next.clone()), drain);
        let leave = next.0.leave.clone();
        self.0.yard.owners.spawn(async move {
            current.0.gone.cancelled().await;
            owner.run(leave).await;
        });
        next
    }

    /// Waits until a server can take its place, and gives it that.
    async fn await_successor(self, next: ServerHandle) {
        let mut status = next.status();
        let mut told = false;
        loop {
            let ready = match &status.borrow_and_update().state {
                State::Ready { .. } | State::Dormant => true,
                State::Failed { reason, .. } | State::Backoff { reason, .. } if !told => {
                    told = true;
                    warn!(server = %next.name(), "its new entry does not come up ({reason}); the one before goes on serving");
                    false
                }
                _ => false,
            };
            if ready {
                return self.promote(next);
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = next.0.leave.cancelled() => return,
            }
        }
    }

    fn promote(&self, next: ServerHandle) {
        let mut successors = self.lock();
        // Another reload may have decided otherwise since.
        if !successors.get(next.name()).is_some_and(|waiting| waiting.is(&next)) {
            return;
        }
        successors.remove(next.name());
        let before = self.servers();
        let servers = before.iter().map(|server| match server.name() == next.name() {
            true => next.clone(),
            false => server.clone(),
        });
        let members = Members::new(servers.collect());
        next.0.joined.store(true, Ordering::Relaxed);
        if let Some(last) = before.get(next.name().as_str()) {
            self.retire(last.clone(), Retired::Replaced(next.clone()), next.config().drain_timeout);
        }
        self.publish(members);
        let status = next.0.status.borrow();
        self.0.yard.resources.metrics.state(
            next.name().as_str(),
            status.state.as_str(),
            status.generation,
            false,
        );
        info!(server = %next.name(), generation = status.generation, "its new entry serves");
    }

    fn publish(&self, members: Members) {
        self.0.current.store(Arc::new(members));
        self.0.yard.changes.send_modify(|changes| *changes += 1);
    }

    /// Lets a server finish its calls within `drain`, and stops it then. Calls that come late are told, or go to the
    /// one that follows.
    fn retire(&self, server: ServerHandle, how: Retired, drain: Duration) {
        let removed = matches!(how, Retired::Removed) && server.0.joined.load(Ordering::Relaxed);
        if let Retired::Replaced(next) = &how {
            next.inherit_sessions_of(&server);
        }
        // It is set once: a server is retired by whoever takes it out of the fleet, under the lock.
        let _ = server.0.retired.set(how);
        let metrics = Arc::clone(&self.0.yard.resources.metrics);
        self.0.yard.owners.spawn(async move {
            server.drain(drain).await;
            server.0.leave.cancel();
            server.0.gone.cancelled().await;
            if removed {
                metrics.forget(server.name());
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, ServerHandle>> {
        self.0.successors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerHandle {
    /// Waits until no call is in flight, at most `patience`.
    async fn drain(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        // Every place at once: those who wait for one already come first.
        let places = u32::try_from(self.config().max_in_flight).unwrap_or(u32::MAX);
        let all = async {
            for link in std::iter::once(self.clone()).chain(self.pooled()) {
                let _ = Arc::clone(&link.0.permits).acquire_many_owned(places).await;
                let _ = link.0.resting.subscribe().wait_for(|resting| *resting == 0).await;
            }
        };
        tokio::select! {
            () = all => {}
            () = self.0.leave.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {
                let calls = self.in_flight();
                if calls > 0 && !patience.is_zero() {
                    warn!(server = %self.name(), calls, "calls are still in flight after drain_timeout, and are ended");
                }
            }
        }
    }

    /// Whether the two are one server.
    fn is(&self, other: &ServerHandle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Whether a server of the one entry is a server of the other. How it would be replaced says nothing about it.
fn is_same(one: &config::Server, other: &config::Server) -> bool {
    let other = config::Server { replace: one.replace, drain_timeout: one.drain_timeout, ..other.clone() };
    *one == other
}
