//! Results of `resources/read`, kept for as long as their modern server allows (2026-07-28, `server/utilities/caching`).
//!
//! A result is kept for whoever read it, or for everybody if the server calls it public. It is dropped when its time is
//! over, when the server says that the resource has changed, and with the generation that gave it. One that is being read
//! again is read once; those who want it meanwhile wait for that.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{Era, FINGERPRINT, Principal, ServerName, fingerprint};
use crate::protocol::{Message, Splice, method, skim, translate};
use crate::supervisor::{ServerHandle, Updated};
use crate::telemetry::{Counter, names};

use super::request::Request;

/// Bytes of results kept in all.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The largest result kept: what is larger costs its reader more to take than its server to give.
const MAX_ENTRY: usize = 1024 * 1024;
/// What an entry weighs beside its result.
const OVERHEAD: usize = 256;
/// The longest time that anything is kept, whatever its server says.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// How long a reader waits for another who reads the same: longer than that, and it asks by itself.
const FLIGHT_WAIT: Duration = Duration::from_secs(10);

type Print = [u8; FINGERPRINT];
/// A resource of a server, and whose reading of it; none for everybody's.
type Key = (Print, Option<Print>);

/// The cache. Cloning is cheap.
#[derive(Clone, Default)]
pub(super) struct Reads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: HashMap<Print, Vec<(Option<Print>, Entry)>>,
    /// In the order in which they came; those that have been replaced are passed over.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    /// Grows with everything that comes.
    stamp: u64,
    /// Grows with everything that is dropped for being out of date.
    outdated: u64,
    flights: HashMap<Key, watch::Receiver<()>>,
    counts: HashMap<ServerName, [Counter; 2]>,
}

struct Entry {
    result: Bytes,
    until: Instant,
    generation: u64,
    stamp: u64,
}

/// A result to be.
pub(super) struct Place {
    reads: Reads,
    resource: Print,
    reader: Print,
    outdated: u64,
    /// Others wait for this one.
    flight: Option<(Key, watch::Sender<()>)>,
}

/// What the cache says to a reader.
pub(super) enum Look {
    /// The result, JSON text for the reader's era.
    Hit(Vec<u8>),
    /// It has to be read; the place is for the answer.
    Miss(Place),
}

enum Found {
    Hit(Vec<u8>),
    Miss(Place),
    Wait(watch::Receiver<()>),
}

impl Reads {
    /// Looks for what `request` reads; none if it is not to be kept.
    pub async fn look(&self, request: &Request, server: &ServerHandle) -> Option<Look> {
        let modern = || server.offer().peer.as_ref().is_some_and(|peer| peer.era() == Era::Modern);
        if request.message.method() != method::RESOURCES_READ
            || !modern()
            || !is_plain(request.message.params())
        {
            return None;
        }
        let uri = crate::protocol::params::string_at(&request.message, &request.params.uri)?;
        let resource = print_of(server.name(), &uri);
        let reader = print(&request.principal);
        let generation = server.live().map(|live| live.generation);
        let mut patience = true;
        loop {
            let found = self.find((resource, reader), generation, request.era, patience, Instant::now());
            match found {
                Found::Hit(result) => {
                    self.lock().count(server.name(), true);
                    return Some(Look::Hit(result));
                }
                Found::Miss(place) => {
                    self.lock().count(server.name(), false);
                    return Some(Look::Miss(place));
                }
                Found::Wait(mut flight) => {
                    // Its end is what is waited for; it never says anything.
                    let _ = tokio::time::timeout(FLIGHT_WAIT, flight.changed()).await;
                    patience = false;
                }
            }
        }
    }

    /// Drops what servers say has changed, until `shutdown`.
    pub async fn follow(self, mut updates: broadcast::Receiver<Updated>, shutdown: CancellationToken) {
        while let Some(update) = shutdown.run_until_cancelled(updates.recv()).await {
            match update {
                Ok(updated) => self.lock().drop_resource(print_of(&updated.server, &updated.uri)),
                // What was missed may be anything.
                Err(broadcast::error::RecvError::Lagged(_)) => self.lock().drop_all(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn find(
        &self,
        (resource, reader): (Print, Print),
        generation: Option<u64>,
        era: Era,
        patience: bool,
        now: Instant,
    ) -> Found {
        let mut state = self.lock();
        let mut flight = None;
        for (whose, entry) in state.entries.get(&resource).into_iter().flatten() {
            if whose.is_some_and(|whose| whose != reader) {
                continue;
            }
            if now < entry.until && generation.is_none_or(|generation| generation == entry.generation) {
                return Found::Hit(entry.shown(era, now));
            }
            // It could be kept, and has to be read again: once.
            flight = Some((resource, *whose));
        }
        if let Some(running) = flight.and_then(|key| state.flights.get(&key)).filter(|_| patience) {
            return Found::Wait(running.clone());
        }
        let flight = flight.map(|key| {
            let (sender, receiver) = watch::channel(());
            state.flights.insert(key, receiver);
            (key, sender)
        });
        Found::Miss(Place { reads: self.clone(), resource, reader, outdated: state.outdated, flight })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Keeps a server's answer, if it allows that.
    pub fn fill(self, reply: &Message, generation: u64) {
        let result = reply.payload();
        if reply.kind() != crate::protocol::Kind::Result || result.len() > MAX_ENTRY {
            return;
        }
        let (mut ttl, mut public, mut complete) = (0, false, true);
        let walked = skim::each_field(result, |name, span| {
            match name {
                "ttlMs" => ttl = result[span].parse::<u64>().unwrap_or(0),
                "cacheScope" => public = &result[span] == "\"public\"",
                "resultType" => complete = &result[span] == "\"complete\"",
                _ => {}
            }
            Ok(())
        });
        if walked.is_err() || ttl == 0 || !complete {
            return;
        }
        let key = (self.resource, (!public).then_some(self.reader));
        let until = Instant::now() + Duration::from_millis(ttl).min(MAX_TTL);
        let mut state = self.reads.lock();
        // An answer that set out before a change was announced may be from before it.
        if state.outdated == self.outdated {
            state.put(key, Bytes::copy_from_slice(result.as_bytes()), until, generation);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((key, _)) = &self.flight {
            self.reads.lock().flights.remove(key);
        }
    }
}

impl State {
    fn put(&mut self, (resource, whose): Key, result: Bytes, until: Instant, generation: u64) {
        self.remove((resource, whose), None);
        self.stamp += 1;
        self.bytes += result.len() + OVERHEAD;
        let entry = Entry { result, until, generation, stamp: self.stamp };
        self.entries.entry(resource).or_default().push((whose, entry));
        self.order.push_back(((resource, whose), self.stamp));
        // What has been replaced waits in the order for its turn; it must not wait for ever.
        while self.bytes > MAX_BYTES || self.order.len() > 2 * MAX_BYTES / OVERHEAD {
            let Some((key, stamp)) = self.order.pop_front() else { return };
            self.remove(key, Some(stamp));
        }
    }

    /// Removes an entry; with a stamp, only that one.
    fn remove(&mut self, (resource, whose): Key, stamp: Option<u64>) {
        let Some(entries) = self.entries.get_mut(&resource) else { return };
        let mut freed = 0;
        entries.retain(|(other, entry)| {
            let goes = *other == whose && stamp.is_none_or(|stamp| stamp == entry.stamp);
            freed += if goes { entry.result.len() + OVERHEAD } else { 0 };
            !goes
        });
        if entries.is_empty() {
            self.entries.remove(&resource);
        }
        self.bytes -= freed;
    }

    fn drop_resource(&mut self, resource: Print) {
        self.outdated += 1;
        for (_, entry) in self.entries.remove(&resource).into_iter().flatten() {
            self.bytes -= entry.result.len() + OVERHEAD;
        }
    }

    fn drop_all(&mut self) {
        self.outdated += 1;
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
    }

    fn count(&mut self, server: &ServerName, hit: bool) {
        let counts = self.counts.entry(server.clone()).or_insert_with(|| {
            ["hit", "miss"].map(|outcome| names::READ_CACHE.counter(&[server.as_str(), outcome]))
        });
        counts[usize::from(!hit)].increment(1);
    }
}

impl Entry {
    /// The result for a client of `era`. A modern one may keep it for as long as is left of its time.
    fn shown(&self, era: Era, now: Instant) -> Vec<u8> {
        let text = std::str::from_utf8(&self.result).unwrap_or("{}");
        let mut splice = Splice::new(self.result.clone());
        match era {
            Era::Legacy => translate::result_to_legacy(&mut splice, text, 0..text.len()),
            Era::Modern => {
                if let Some(ttl) = skim::field(text, "ttlMs") {
                    splice.replace(ttl, self.until.saturating_duration_since(now).as_millis().to_string());
                }
            }
        }
        splice.to_bytes(0).to_vec()
    }
}

/// Whether a request names nothing but a resource: answers to questions are no part of what a result is kept under.
fn is_plain(params: &str) -> bool {
    let mut plain = true;
    let walked = skim::each_field(params, |name, _| {
        plain &= matches!(name, "uri" | "_meta");
        Ok(())
    });
    plain && walked.is_ok()
}

fn print(principal: &Principal) -> Print {
    fingerprint(principal.as_str().as_bytes())
}

fn print_of(server: &ServerName, uri: &str) -> Print {
    fingerprint(format!("{server}\0{uri}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Print = [1; FINGERPRINT];
    const ADA: Print = [2; FINGERPRINT];
    const BOB: Print = [3; FINGERPRINT];

    fn reply(fields: &str) -> Message {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"contents":[]{fields}}}}}"#);
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn look(reads: &Reads, reader: Print, era: Era) -> Result<String, Place> {
        let found = reads.find((S, reader), Some(1), era, false, Instant::now());
        match found {
            Found::Hit(text) => Ok(String::from_utf8(text).unwrap()),
            Found::Miss(place) => Err(place),
            Found::Wait(_) => panic!("nobody waits without patience"),
        }
    }

    fn fill(reads: &Reads, reader: Print, fields: &str) {
        let Err(place) = look(reads, reader, Era::Modern) else { panic!("there already") };
        place.fill(&reply(fields), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_private_never_crosses_principals_and_what_is_public_does() {
        let reads = Reads::default();
        fill(&reads, ADA, r#","ttlMs":5000,"cacheScope":"private""#);
        assert!(look(&reads, ADA, Era::Modern).is_ok() && look(&reads, BOB, Era::Modern).is_err());
        let reads = Reads::default();
        fill(&reads, ADA, r#","ttlMs":5000,"cacheScope":"public""#);
        assert!(look(&reads, ADA, Era::Modern).is_ok() && look(&reads, BOB, Era::Modern).is_ok());
        let reads = Reads::default();
        fill(&reads, ADA, r#","ttlMs":5000"#);
        assert!(look(&reads, BOB, Era::Modern).is_err(), "who says nothing means private");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_the_time_is_told_and_then_it_is_over() {
        let reads = Reads::default();
        fill(&reads, ADA, r#","ttlMs":5000,"resultType":"complete""#);
        tokio::time::advance(Duration::from_millis(1500)).await;
        let shown = look(&reads, ADA, Era::Modern).ok().unwrap();
        assert_eq!(shown, r#"{"contents":[],"ttlMs":3500,"resultType":"complete"}"#);
        assert_eq!(look(&reads, ADA, Era::Legacy).ok().unwrap(), r#"{"contents":[]}"#);
        tokio::time::advance(Duration::from_millis(3500)).await;
        assert!(look(&reads, ADA, Era::Modern).is_err());
    }

    #[test]
    fn what_may_not_be_kept_is_not() {
        for fields in
            ["", r#","ttlMs":0"#, r#","ttlMs":-5"#, r#","ttlMs":5000,"resultType":"input_required""#]
        {
            let reads = Reads::default();
            fill(&reads, ADA, fields);
            assert!(look(&reads, ADA, Era::Modern).is_err(), "{fields}");
        }
        assert!(is_plain(r#"{"uri":"a","_meta":{}}"#));
        assert!(
            !is_plain(r#"{"uri":"a","inputResponses":{}}"#) && !is_plain(r#"{"uri":"a","requestState":"x"}"#)
        );
    }

    #[test]
    fn a_change_drops_it_and_what_was_on_its_way() {
        let reads = Reads::default();
        fill(&reads, ADA, r#","ttlMs":5000"#);
        reads.lock().drop_resource(S);
        let Err(place) = look(&reads, ADA, Era::Modern) else { panic!("dropped") };
        reads.lock().drop_resource([9; FINGERPRINT]);
        place.fill(&reply(r#","ttlMs":5000"#), 1);
        assert!(look(&reads, ADA, Era::Modern).is_err(), "it set out before the change");
        fill(&reads, ADA, r#","ttlMs":5000"#);
        let other = reads.find((S, ADA), Some(2), Era::Modern, false, Instant::now());
        assert!(matches!(other, Found::Miss(_)), "another generation");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_read_again_once_and_the_others_wait() {
        let reads = Reads::default();
        fill(&reads, ADA, r#","ttlMs":10"#);
        tokio::time::advance(Duration::from_millis(10)).await;
        let Err(place) = look(&reads, ADA, Era::Modern) else { panic!("over") };
        let found = reads.find((S, ADA), Some(1), Era::Modern, true, Instant::now());
        let Found::Wait(mut waiting) = found else { panic!("somebody reads it") };
        let found = reads.find((S, BOB), Some(1), Era::Modern, true, Instant::now());
        assert!(matches!(found, Found::Miss(_)), "what is private is nothing to wait for");
        place.fill(&reply(r#","ttlMs":10"#), 1);
        assert!(waiting.changed().await.is_err(), "the end of the flight wakes");
        assert!(look(&reads, ADA, Era::Modern).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let mut state = State::default();
        let large = Bytes::from(vec![b'x'; MAX_ENTRY]);
        for n in 0..100_u8 {
            state.put(([n; FINGERPRINT], None), large.clone(), Instant::now(), 1);
            state.put(([n; FINGERPRINT], None), large.clone(), Instant::now(), 1);
            assert!(state.bytes <= MAX_BYTES);
        }
        assert!(
            state.entries.contains_key(&[99; FINGERPRINT]) && !state.entries.contains_key(&[0; FINGERPRINT])
        );
    }
}
