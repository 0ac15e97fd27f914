//! How often kept results are of use, by server.

use crate::base::ServerName;
use crate::telemetry::{Counter, names};

/// What became of a request whose answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Answered from memory.
    Hit,
    /// Answered by the server, for want of a kept result.
    Miss,
    /// Answered by the server, because the client wanted no kept result.
    Bypass,
}

impl Became {
    const ALL: [Became; 3] = [Became::Hit, Became::Miss, Became::Bypass];

    /// The word for it, in metrics and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Became::Hit => "hit",
            Became::Miss => "miss",
            Became::Bypass => "bypass",
        }
    }
}

/// Requests to one server whose answers may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Answered from memory.
    pub hits: u64,
    /// Answered by the server, for want of a kept result.
    pub misses: u64,
    /// Answered by the server, because the client wanted no kept result.
    pub bypassed: u64,
}

/// The same, counted.
#[derive(Default)]
pub(super) struct Counts {
    counters: Option<[Counter; 3]>,
    numbers: [u64; 3],
}

impl Counts {
    /// Counts one request to `server`.
    pub fn add(&mut self, server: &ServerName, became: Became) {
        self.numbers[became as usize] += 1;
        let counters = self.counters.get_or_insert_with(|| {
            Became::ALL.map(|became| names::RESULT_CACHE.counter(&[server.as_str(), became.as_str()]))
        });
        counters[became as usize].increment(1);
    }

    /// What has been counted.
    pub fn so_far(&self) -> Asked {
        let [hits, misses, bypassed] = self.numbers;
        Asked { hits, misses, bypassed }
    }
}
