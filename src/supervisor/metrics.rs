//! What the supervisor counts.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::base::ServerName;
use crate::telemetry::names;
use crate::upstream::Counts;

/// The states seen so far, so that the one that is left can be set to 0.
#[derive(Debug, Default)]
pub(super) struct ServerMetrics(Mutex<HashMap<String, &'static str>>);

impl ServerMetrics {
    /// Records the state of a server, the number of its last start, and whether it got there by a fall.
    pub fn state(&self, server: &str, state: &'static str, generation: u64, fell: bool) {
        names::SERVER_GENERATION.gauge(&[server]).set(generation as f64);
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned(), state);
        if let Some(before) = before.filter(|before| *before != state) {
            names::SERVER_STATE.gauge(&[server, before]).set(0.0);
        }
        names::SERVER_STATE.gauge(&[server, state]).set(1.0);
        if fell {
            names::SERVER_RESTARTS.counter(&[server]).increment(1);
        }
    }

    /// A server that is no longer in the fleet is in no state.
    pub fn forget(&self, server: &ServerName) {
        let name = server.as_str();
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(before) = before {
            names::SERVER_STATE.gauge(&[name, before]).set(0.0);
        }
        names::SERVER_IN_FLIGHT.gauge(&[name]).set(0.0);
        names::SERVER_PLACES.gauge(&[name]).set(0.0);
        names::SERVER_PENDING.gauge(&[name]).set(0.0);
    }

    /// Adds what a link counted in its life.
    pub fn link(&self, server: &ServerName, counts: &Counts) {
        let server = server.as_str();
        names::STDOUT_NOISE.counter(&[server]).increment(counts.noise.load(Ordering::Relaxed));
        names::DROPPED_NOTIFICATIONS
            .counter(&[server])
            .increment(counts.dropped_notes.load(Ordering::Relaxed));
    }
}
