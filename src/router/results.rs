//! Results that are kept: of `resources/read` for as long as their modern server allows (2026-07-28,
//! `server/utilities/caching`), and of the tools that the operator has named.
//!
//! A result is kept for whoever asked, or for everybody if the server (of a tool: the operator) calls it public. It is
//! dropped when its time is over, when the server says that the resource has changed, with the generation that gave it,
//! and on an operator's word. One that is being asked for is asked for once; those who want it meanwhile wait for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::cache::{Bounds, Cache};
use crate::base::{Era, FINGERPRINT, ServerName};
use crate::catalog::CatalogHandle;
use crate::protocol::{Message, Splice, skim, translate};
use crate::telemetry::names;
use crate::upstream::Peer;

use super::asked::{Asked, Became, Counts};
use super::keepable::{self, Age, Wanted};
use super::mark;
use super::outdated::Starts;
use super::request::Request;
use super::resolve::Target;

/// The largest result kept: what is larger costs its reader more to take than its server to give.
const MAX_ENTRY: usize = 1024 * 1024;
/// The most results kept: 32 MiB of small ones.
const MAX_ENTRIES: usize = 32 * 1024;
/// What an entry weighs beside its result.
const OVERHEAD: usize = 512;
/// The longest time that anything is kept on its server's word, whatever that is.
const MAX_TTL: Duration = Duration::from_secs(3600);

pub(super) type Print = [u8; FINGERPRINT];
/// What was asked, and whose answer it is; none for everybody's.
pub(super) type Key = (Print, Option<Print>);

/// Results that are kept. Cloning is cheap.
#[derive(Clone)]
pub struct Results(Arc<Mutex<State>>);

pub(super) struct State {
    pub kept: Cache<Key, Entry>,
    /// Grows with everything that servers take back.
    pub changes: u64,
    /// Who answers by now.
    pub starts: Starts,
    /// Grows when everything is forgotten.
    clears: u64,
    flights: HashMap<Key, watch::Receiver<Flight>>,
    counts: HashMap<ServerName, Counts>,
}

#[derive(Clone)]
pub(super) struct Entry {
    result: Bytes,
    kept: Instant,
    until: Instant,
    pub instance: u64,
    pub generation: u64,
    pub server: ServerName,
    /// The tool whose result it is; none for a resource.
    tool: Option<Arc<str>>,
    /// Who said it, which decides what clients of the other era need.
    peer: Arc<Peer>,
    /// Whether its own words say how long it may be kept.
    pub as_told: bool,
}

/// How far a question is that others wait with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flight {
    Running,
    /// There is an answer, kept or not.
    Landed,
}

/// What the cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultsStatus {
    /// Results that are kept.
    pub entries: usize,
    /// What they weigh.
    pub bytes: usize,
    /// Results that had to go for want of room.
    pub evicted: u64,
    /// By server.
    pub servers: Vec<(ServerName, Asked)>,
}

/// A result to be. Dropping it says that there will be none, and whoever waits asks in its place.
pub(super) struct Place {
    results: Results,
    wanted: Wanted,
    changes: u64,
    clears: u64,
    /// Others wait for this one.
    flight: Option<(Key, watch::Sender<Flight>)>,
}

/// What the cache says to a request.
pub(super) enum Look {
    /// The result, JSON text for the client's era.
    Hit(Vec<u8>),
    /// It has to be asked for, and why; the place is for the answer.
    Miss(Place, Became),
}

enum Found {
    Hit(Entry),
    Miss(Place),
    Wait(watch::Receiver<Flight>),
}

impl Results {
    /// A cache that keeps so many bytes.
    pub fn new(bytes: u64) -> Results {
        Results(Arc::new(Mutex::new(State {
            kept: Cache::new(bounds(bytes)),
            changes: 0,
            starts: Starts::new(),
            clears: 0,
            flights: HashMap::new(),
            counts: HashMap::new(),
        })))
    }

    /// Keeps so many bytes from now on.
    pub fn set_size(&self, bytes: u64) {
        self.lock().kept.set_bounds(bounds(bytes));
    }

    /// Forgets every result, or those of one server, or of one tool there, and says how many there were. What is on its
    /// way is not kept.
    pub fn clear(&self, server: Option<&str>, tool: Option<&str>) -> usize {
        let mut state = self.lock();
        state.clears += 1;
        state.kept.remove_where(|entry| {
            server.is_none_or(|name| entry.server.as_str() == name)
                && (tool.is_none() || entry.tool.as_deref() == tool)
        })
    }

    /// What it holds.
    pub fn status(&self) -> ResultsStatus {
        let state = self.lock();
        let mut servers: Vec<_> =
            state.counts.iter().map(|(name, counts)| (name.clone(), counts.so_far())).collect();
        servers.sort_by(|one, other| one.0.cmp(&other.0));
        ResultsStatus {
            entries: state.kept.len(),
            bytes: state.kept.weight(),
            evicted: state.kept.evicted(),
            servers,
        }
    }

    /// Tells what is counted only when somebody asks.
    pub fn tell_metrics(&self) {
        let now = self.status();
        names::RESULT_CACHE_ENTRIES.gauge(&[]).set(now.entries as f64);
        names::RESULT_CACHE_BYTES.gauge(&[]).set(now.bytes as f64);
        names::RESULT_CACHE_EVICTED.counter(&[]).absolute(now.evicted);
    }

    /// Looks for what `request` asks; none if it is not to be kept.
    pub(super) async fn look(
        &self,
        request: &Request,
        target: &Target,
        catalog: &CatalogHandle,
    ) -> Option<Look> {
        let wanted = keepable::wanted(request, target, catalog)?;
        let patience = Instant::now() + wanted.patience;
        let mut patient = true;
        loop {
            match self.find(&wanted, patient, Instant::now()) {
                Found::Hit(entry) => {
                    self.lock().count(&wanted.server, Became::Hit);
                    return Some(Look::Hit(entry.shown(request.era, Instant::now())));
                }
                Found::Miss(place) => {
                    let became = if wanted.fresh { Became::Bypass } else { Became::Miss };
                    self.lock().count(&wanted.server, became);
                    return Some(Look::Miss(place, became));
                }
                Found::Wait(mut flight) => {
                    let landed = flight.wait_for(|flight| *flight == Flight::Landed);
                    let waited = Box::pin(tokio::time::timeout_at(patience, landed)).await;
                    // One that was given up is taken up by the first who hears of it.
                    patient = matches!(waited, Ok(Err(_)));
                }
            }
        }
    }

    fn find(&self, wanted: &Wanted, patient: bool, now: Instant) -> Found {
        let mut state = self.lock();
        let (whose, any) = match &wanted.age {
            Age::AsTold => ([Some(wanted.reader), None], None),
            Age::For { public: true, .. } => ([None, None], Some((wanted.what, None))),
            Age::For { .. } => ([Some(wanted.reader); 2], Some((wanted.what, Some(wanted.reader)))),
        };
        // Whether it can be kept is known beforehand, or from the last time.
        let mut flight = any;
        let keys = whose.map(|whose| (wanted.what, whose));
        for key in keys {
            let Some(entry) = state.kept.peek(&key) else { continue };
            let current = !wanted.fresh
                && wanted.instance == entry.instance
                && wanted.generation.is_none_or(|generation| generation == entry.generation);
            if current && let Some(entry) = state.kept.get(&key, now) {
                return Found::Hit(entry);
            }
            flight = Some(key);
        }
        if let Some(running) =
            keys.iter().find_map(|key| state.flights.get(key)).filter(|_| patient && !wanted.fresh)
        {
            return Found::Wait(running.clone());
        }
        let flight = flight.map(|key| {
            let (sender, receiver) = watch::channel(Flight::Running);
            state.flights.insert(key, receiver);
            (key, sender)
        });
        let (changes, clears) = (state.changes, state.clears);
        Found::Miss(Place { results: self.clone(), wanted: wanted.clone(), changes, clears, flight })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Keeps a server's answer, if that may be.
    pub fn fill(self, reply: &Message, generation: u64, peer: &Arc<Peer>) {
        if let Some((age, public)) = self.may_keep(reply) {
            let now = Instant::now();
            let key = (self.wanted.what, (!public).then_some(self.wanted.reader));
            let entry = Entry {
                result: Bytes::copy_from_slice(reply.payload().as_bytes()),
                kept: now,
                until: now + age,
                instance: self.wanted.instance,
                generation,
                server: self.wanted.server.clone(),
                tool: self.wanted.tool.clone(),
                peer: Arc::clone(peer),
                as_told: matches!(self.wanted.age, Age::AsTold),
            };
            let weight = entry.result.len() + OVERHEAD;
            let mut state = self.results.lock();
            // An answer that set out before a change was announced may be from before it.
            let outdated =
                entry.as_told && state.changes != self.changes || entry.is_of_before(&state.starts);
            if !outdated && state.clears == self.clears {
                state.kept.put(key, entry, weight, age, now);
            }
        }
        self.land();
    }

    /// There is an answer, which is for its client alone.
    pub fn leave(self) {
        self.land();
    }

    fn land(&self) {
        if let Some((_, told)) = &self.flight {
            told.send_replace(Flight::Landed);
        }
    }

    fn may_keep(&self, reply: &Message) -> Option<(Duration, bool)> {
        let result = reply.payload();
        if reply.kind() != crate::protocol::Kind::Result || result.len() > MAX_ENTRY {
            return None;
        }
        let (mut ttl, mut public, mut whole) = (0, false, true);
        let walked = skim::each_field(result, |name, span| {
            match name {
                "ttlMs" => ttl = result[span].parse::<u64>().unwrap_or(0),
                "cacheScope" => public = &result[span] == "\"public\"",
                "resultType" => whole &= &result[span] == "\"complete\"",
                "isError" => whole &= &result[span] == "false",
                // A task is one caller's, and its result is yet to come.
                "task" => whole = false,
                _ => {}
            }
            Ok(())
        });
        let told = match self.wanted.age {
            Age::AsTold => (Duration::from_millis(ttl).min(MAX_TTL), public),
            Age::For { age, public } => (age, public),
        };
        (walked.is_ok() && whole && !told.0.is_zero()).then_some(told)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((key, sender)) = &self.flight {
            let mut state = self.results.lock();
            // One that was waited for too long has been overtaken by another.
            if state.flights.get(key).is_some_and(|flight| flight.same_channel(&sender.subscribe())) {
                state.flights.remove(key);
            }
        }
    }
}

impl State {
    fn count(&mut self, server: &ServerName, became: Became) {
        self.counts.entry(server.clone()).or_default().add(server, became);
    }
}

impl Entry {
    /// The result for a client of `era`. A modern one may keep a resource for as long as is left of its time; the result
    /// of a tool says how old it is.
    fn shown(&self, era: Era, now: Instant) -> Vec<u8> {
        let result = match self.as_told {
            true => self.result.clone(),
            false => {
                let age = now.saturating_duration_since(self.kept).as_millis();
                mark::result(&self.result, &format!(r#""{}":{{"ageMs":{age}}}"#, mark::CACHE))
            }
        };
        let text = std::str::from_utf8(&result).unwrap_or("{}");
        let mut splice = Splice::new(result.clone());
        match (era, self.peer.era()) {
            (Era::Legacy, Era::Modern) => translate::result_to_legacy(&mut splice, text, 0..text.len()),
            (Era::Modern, Era::Legacy) => {
                translate::result_to_modern(&mut splice, text, 0..text.len(), &self.peer.server_info, false);
            }
            (Era::Modern, Era::Modern) => {
                if let Some(ttl) = skim::field(text, "ttlMs").filter(|_| self.as_told) {
                    splice.replace(ttl, self.until.saturating_duration_since(now).as_millis().to_string());
                }
            }
            (Era::Legacy, Era::Legacy) => {}
        }
        splice.to_bytes(0).to_vec()
    }
}

fn bounds(bytes: u64) -> Bounds {
    Bounds { entries: MAX_ENTRIES, weight: usize::try_from(bytes).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use crate::base::Version;

    use super::*;

    const S: Print = [1; FINGERPRINT];
    const ADA: Print = [2; FINGERPRINT];
    const BOB: Print = [3; FINGERPRINT];
    const SECOND: Duration = Duration::from_secs(1);
    const TOOL: Age = Age::For { age: SECOND, public: false };

    fn results() -> Results {
        Results::new(1 << 20)
    }

    fn wanted(reader: Print, age: Age) -> Wanted {
        let server = ServerName::new("s").unwrap();
        let (tool, fresh) = ((age != Age::AsTold).then(|| "t".into()), false);
        Wanted {
            what: S,
            reader,
            age,
            patience: SECOND,
            server,
            tool,
            fresh,
            instance: 7,
            generation: Some(1),
        }
    }

    fn peer(version: Version) -> Arc<Peer> {
        let (capabilities, server_info) = ("{}".into(), r#"{"name":"s"}"#.into());
        Arc::new(Peer { version, capabilities, server_info, instructions: None })
    }

    fn look(results: &Results, wanted: &Wanted, era: Era) -> Result<String, Box<Place>> {
        match results.find(wanted, false, Instant::now()) {
            Found::Hit(entry) => Ok(String::from_utf8(entry.shown(era, Instant::now())).unwrap()),
            Found::Miss(place) => Err(Box::new(place)),
            Found::Wait(_) => panic!("nobody waits without patience"),
        }
    }

    fn fill(results: &Results, wanted: &Wanted, fields: &str) {
        let Err(place) = look(results, wanted, Era::Modern) else { panic!("there already") };
        fill_place(*place, fields);
    }

    fn fill_place(place: Place, fields: &str) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"contents":[]{fields}}}}}"#);
        place.fill(&Message::parse(Bytes::from(text)).unwrap(), 1, &peer(Version::LATEST_MODERN));
    }

    fn knows(results: &Results, reader: Print, age: Age) -> bool {
        look(results, &wanted(reader, age), Era::Modern).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_private_never_crosses_principals_and_what_is_public_does() {
        for (age, fields, shared) in [
            (Age::AsTold, r#","ttlMs":5000,"cacheScope":"private""#, false),
            (Age::AsTold, r#","ttlMs":5000,"cacheScope":"public""#, true),
            (Age::AsTold, r#","ttlMs":5000"#, false),
            (TOOL, r#","cacheScope":"public""#, false),
            (Age::For { age: SECOND, public: true }, "", true),
        ] {
            let results = results();
            fill(&results, &wanted(ADA, age), fields);
            assert!(knows(&results, ADA, age), "{fields}");
            assert_eq!(knows(&results, BOB, age), shared, "{fields}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_the_time_is_told_and_then_it_is_over() {
        let (results, ada) = (results(), wanted(ADA, Age::AsTold));
        fill(&results, &ada, r#","ttlMs":5000,"resultType":"complete""#);
        tokio::time::advance(Duration::from_millis(1500)).await;
        let shown = look(&results, &ada, Era::Modern).ok().unwrap();
        assert_eq!(shown, r#"{"contents":[],"ttlMs":3500,"resultType":"complete"}"#);
        assert_eq!(look(&results, &ada, Era::Legacy).ok().unwrap(), r#"{"contents":[]}"#);
        tokio::time::advance(Duration::from_millis(3500)).await;
        assert!(!knows(&results, ADA, Age::AsTold));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tools_result_says_how_old_it_is_in_either_era() {
        let (results, ada) = (results(), wanted(ADA, TOOL));
        let Err(place) = look(&results, &ada, Era::Legacy) else { panic!("there already") };
        let reply = Message::parse(Bytes::from_static(br#"{"id":1,"jsonrpc":"2.0","result":{"a":1}}"#));
        place.fill(&reply.unwrap(), 1, &peer(Version::LATEST_LEGACY));
        tokio::time::advance(Duration::from_millis(250)).await;
        let mark = r#""dev.trunkline/cache":{"ageMs":250}"#;
        let shown = look(&results, &ada, Era::Legacy).ok().unwrap();
        assert_eq!(shown, format!(r#"{{"_meta":{{{mark}}},"a":1}}"#));
        let shown = look(&results, &ada, Era::Modern).ok().unwrap();
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#;
        assert_eq!(shown, format!(r#"{{"resultType":"complete","_meta":{{{server},{mark}}},"a":1}}"#));
    }

    #[test]
    fn what_may_not_be_kept_is_not() {
        let ttl = r#","ttlMs":5000"#;
        for (age, fields) in [
            (Age::AsTold, ""),
            (Age::AsTold, r#","ttlMs":0"#),
            (Age::AsTold, r#","ttlMs":-5"#),
            (Age::AsTold, &format!(r#"{ttl},"resultType":"input_required""#)),
            (TOOL, r#","resultType":"input_required""#),
            (TOOL, r#","resultType":"task""#),
            (TOOL, r#","isError":true"#),
            (TOOL, r#","task":{"taskId":"t"}"#),
        ] {
            let results = results();
            fill(&results, &wanted(ADA, age), fields);
            assert!(!knows(&results, ADA, age), "{fields}");
        }
        let (results, ada) = (results(), wanted(ADA, TOOL));
        let Err(place) = look(&results, &ada, Era::Modern) else { panic!("there already") };
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#;
        place.fill(&Message::parse(Bytes::from(error)).unwrap(), 1, &peer(Version::LATEST_MODERN));
        assert!(!knows(&results, ADA, TOOL));
    }

    #[test]
    fn a_change_drops_it_and_what_was_on_its_way() {
        let (results, ada) = (results(), wanted(ADA, Age::AsTold));
        fill(&results, &ada, r#","ttlMs":5000"#);
        results.lock().drop_resource(S);
        let Err(place) = look(&results, &ada, Era::Modern) else { panic!("dropped") };
        results.lock().drop_resource([9; FINGERPRINT]);
        fill_place(*place, r#","ttlMs":5000"#);
        assert!(!knows(&results, ADA, Age::AsTold), "it set out before the change");
        fill(&results, &ada, r#","ttlMs":5000"#);
        for next in [Wanted { generation: Some(2), ..ada.clone() }, Wanted { instance: 8, ..ada }] {
            assert!(look(&results, &next, Era::Modern).is_err(), "another start");
        }
    }

    #[test]
    fn everything_is_forgotten_on_request_and_so_is_what_is_on_its_way() {
        let (results, ada) = (results(), wanted(ADA, TOOL));
        for (server, tool, gone) in [
            (Some("other"), None, false),
            (Some("s"), Some("other"), false),
            (Some("s"), Some("t"), true),
            (Some("s"), None, true),
        ] {
            results.clear(None, None);
            fill(&results, &ada, "");
            assert_eq!(results.clear(server, tool), usize::from(gone), "{server:?} {tool:?}");
        }
        let Err(place) = look(&results, &ada, Era::Modern) else { panic!("forgotten") };
        assert_eq!(results.clear(None, None), 0);
        fill_place(*place, "");
        assert!(!knows(&results, ADA, TOOL), "it set out before");
        fill(&results, &ada, "");
        results.set_size(0);
        assert!(!knows(&results, ADA, TOOL), "no room");
        assert_eq!(results.status().entries, 0);
    }

    #[test]
    fn whoever_wants_no_kept_result_asks_and_what_comes_is_kept_instead() {
        let (results, ada) = (results(), wanted(ADA, TOOL));
        fill(&results, &ada, r#","n":1"#);
        let fresh = Wanted { fresh: true, ..ada.clone() };
        let Found::Miss(place) = results.find(&fresh, true, Instant::now()) else {
            panic!("not from memory")
        };
        let Found::Miss(second) = results.find(&fresh, true, Instant::now()) else {
            panic!("waits for nobody")
        };
        drop(second);
        fill_place(place, r#","n":2"#);
        assert!(look(&results, &ada, Era::Modern).ok().unwrap().contains(r#""n":2"#));
    }

    fn waits(results: &Results, wanted: &Wanted) -> Option<watch::Receiver<Flight>> {
        match results.find(wanted, true, Instant::now()) {
            Found::Wait(flight) => Some(flight),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_for_again_once_and_the_others_wait() {
        let (results, ada, bob) = (results(), wanted(ADA, Age::AsTold), wanted(BOB, Age::AsTold));
        fill(&results, &ada, r#","ttlMs":10"#);
        tokio::time::advance(Duration::from_millis(10)).await;
        let Err(place) = look(&results, &ada, Era::Modern) else { panic!("over") };
        let waiting = waits(&results, &ada).expect("somebody reads it");
        assert!(waits(&results, &bob).is_none(), "what is private is nothing to wait for");
        fill_place(*place, r#","ttlMs":10"#);
        assert!(*waiting.borrow() == Flight::Landed && knows(&results, ADA, Age::AsTold));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_is_called_once_and_one_that_gives_up_hands_over() {
        let (results, ada) = (results(), wanted(ADA, TOOL));
        let Err(place) = look(&results, &ada, Era::Modern) else { panic!("nothing is known yet") };
        let mut waiting = waits(&results, &ada).expect("somebody calls it");
        drop(place);
        assert!(waiting.wait_for(|flight| *flight == Flight::Landed).await.is_err());
        let Found::Miss(place) = results.find(&ada, true, Instant::now()) else { panic!("nobody else does") };
        let mut waiting = waits(&results, &ada).expect("now somebody does");
        place.leave();
        let landed = waiting.wait_for(|flight| *flight == Flight::Landed).await;
        assert!(landed.is_ok(), "an answer that is not kept ends the wait too");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_waited_for_too_long_leaves_the_one_who_overtook_alone() {
        let (results, ada) = (results(), wanted(ADA, TOOL));
        let Err(slow) = look(&results, &ada, Era::Modern) else { panic!("nothing is known yet") };
        let Err(quick) = look(&results, &ada, Era::Modern) else { panic!("nothing is known yet") };
        drop(slow);
        assert!(waits(&results, &ada).is_some(), "the second is still under way");
        drop(quick);
        assert!(waits(&results, &ada).is_none());
    }
}
