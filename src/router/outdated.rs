//! What makes a kept result old before its time: its server says that the resource has changed, or has been started again.

use std::collections::HashMap;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::base::{FINGERPRINT, ServerName};
use crate::supervisor::{Fleet, ServerChange, ServerEvent, Updated};

use super::keepable::print_of;
use super::results::{Entry, Print, Results, State};

/// Which server of a name answers, and which start of it; no start while there is none.
pub(super) type Starts = HashMap<ServerName, (u64, Option<u64>)>;

impl Results {
    /// Drops what is old, until `shutdown`.
    pub(super) async fn follow(self, fleet: &Fleet, shutdown: CancellationToken) {
        let (mut updates, mut events, mut changes) = (fleet.updates(), fleet.events(), fleet.changes());
        let follow = async {
            loop {
                let goes_on = tokio::select! {
                    updated = updates.recv() => self.updated(updated),
                    event = events.recv() => self.happened(event, fleet),
                    // A reload has put another server in the place of one.
                    changed = changes.changed() => {
                        self.lock().drop_earlier(starts(fleet));
                        changed.is_ok()
                    }
                };
                if !goes_on {
                    return;
                }
            }
        };
        shutdown.run_until_cancelled(follow).await;
    }

    /// False when nothing more is to come.
    fn updated(&self, updated: Result<Updated, RecvError>) -> bool {
        match updated {
            Ok(updated) => self.lock().drop_resource(print_of(&updated.server, &updated.uri)),
            // What was missed may be anything.
            Err(RecvError::Lagged(_)) => self.lock().drop_resources(),
            Err(RecvError::Closed) => return false,
        }
        true
    }

    /// False when nothing more is to come.
    fn happened(&self, event: Result<ServerEvent, RecvError>, fleet: &Fleet) -> bool {
        match event {
            // Only the next start of a server outdates what the one before said: while it sleeps, that is good.
            Ok(ServerEvent { change: ServerChange::State { state: "ready", .. }, .. })
            | Err(broadcast::error::RecvError::Lagged(_)) => self.lock().drop_earlier(starts(fleet)),
            Ok(_) => {}
            Err(RecvError::Closed) => return false,
        }
        true
    }
}

fn starts(fleet: &Fleet) -> Starts {
    let servers = fleet.servers();
    let start = |server: &crate::supervisor::ServerHandle| {
        let generation = server.live().map(|live| live.generation);
        (server.name().clone(), (server.instance(), generation))
    };
    servers.iter().map(start).collect()
}

impl State {
    pub(super) fn drop_resource(&mut self, resource: Print) {
        self.changes += 1;
        self.kept.remove_range((resource, None)..=(resource, Some([u8::MAX; FINGERPRINT])));
    }

    fn drop_resources(&mut self) {
        self.changes += 1;
        self.kept.remove_where(|entry| entry.as_told);
    }

    /// Drops what was said by servers that have gone, and by earlier starts of those that are there.
    fn drop_earlier(&mut self, now: Starts) {
        if self.starts == now {
            return;
        }
        self.kept.remove_where(|entry| !now.contains_key(&entry.server) || entry.is_of_before(&now));
        self.starts = now;
    }
}

impl Entry {
    /// Whether another server of that name answers by now, or a later start of it.
    pub(super) fn is_of_before(&self, now: &Starts) -> bool {
        now.get(&self.server).is_some_and(|(instance, generation)| {
            *instance != self.instance || generation.is_some_and(|generation| generation > self.generation)
        })
    }
}
