//! The sessions of legacy clients: the id carries what matters, memory holds the rest while it is of use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::seal::SealKey;
use crate::base::{Error, ErrorKind, Level, Principal, Version, fingerprint};
use crate::protocol::{ClientCapabilities, ClientInfo, Message, RawId, id};
use crate::store::Store;

use super::facts::{Facts, seconds};
use super::keep::Keep;
use super::resumable::{Home, Manners};
use super::watched::Watched;

/// How the sessions behave.
pub struct SessionOptions {
    /// Seals the ids.
    pub key: SealKey,
    /// How long a session lives that nobody uses.
    pub ttl: Duration,
    /// The most sessions held in memory.
    pub cap: usize,
    /// Where deletions outlive the process.
    pub store: Option<Store>,
    /// What is kept for clients that lost a stream.
    pub keep: Keep,
    /// After how long a stream is closed whose client polls.
    pub poll_after: Option<Duration>,
}

/// All sessions. Cloning is cheap.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    options: SessionOptions,
    /// `ttl` and `cap` of the options as they are by now.
    ttl: AtomicU64,
    cap: AtomicUsize,
    /// What was issued by then, in seconds since 1970, was over when `ttl` was raised, and stays so.
    over: AtomicU64,
    live: RwLock<HashMap<Arc<str>, Arc<Session>>>,
    /// Hashes of deleted ids that would still open.
    revoked: RwLock<HashMap<[u8; 16], SystemTime>>,
    started: Instant,
    /// The same in seconds since 1970.
    began: u64,
}

/// What a client says of itself at `initialize`.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it can be asked.
    pub capabilities: ClientCapabilities,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    id: Arc<str>,
    /// The hash by which others know it; every call names it.
    fingerprint: [u8; 16],
    pub(super) facts: Facts,
    /// Whether an earlier process opened it.
    inherited: bool,
    client: Arc<ClientInfo>,
    calls: Mutex<Vec<(RawId, Arc<Notify>)>>,
    pub(super) streams: AtomicU32,
    /// Questions that the client has not answered yet, by the number we asked them under.
    questions: Mutex<HashMap<u64, mpsc::Sender<Heard>>>,
    next_question: AtomicU64,
    /// What the client wants to hear of.
    watched: Arc<Watched>,
    /// Its streams, once there has been one.
    home: OnceLock<Arc<Home>>,
    keep: Keep,
    poll_after: Option<Duration>,
    /// Seconds since the gateway started.
    pub(super) last_used: AtomicU64,
    /// When that was.
    started: Instant,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How often idle sessions are looked for.
const REAP_EVERY: Duration = Duration::from_secs(60);
/// Idle sessions among which the oldest makes room when the cap is reached. A sample is enough: an evicted session
/// comes back by its id.
const EVICTION_SAMPLE: usize = 64;

impl Sessions {
    /// An empty registry. Deleted ids of earlier runs come with [`Sessions::revoked`].
    pub fn new(options: SessionOptions) -> Sessions {
        Sessions(Arc::new(Inner {
            ttl: AtomicU64::new(millis(options.ttl)),
            cap: AtomicUsize::new(options.cap),
            over: AtomicU64::new(0),
            options,
            live: RwLock::default(),
            revoked: RwLock::default(),
            started: Instant::now(),
            began: seconds(SystemTime::now()),
        }))
    }

    /// Takes another life and another number of sessions, from now on and for those that are open too. A longer life brings
    /// nothing back: of what had been deleted, nothing is known any more once it was over.
    pub fn set_limits(&self, ttl: Duration, cap: usize) {
        let before = self.ttl();
        if ttl > before {
            let over = seconds(SystemTime::now()).saturating_sub(before.as_secs());
            self.0.over.fetch_max(over, Ordering::Relaxed);
        }
        self.0.ttl.store(millis(ttl), Ordering::Relaxed);
        self.0.cap.store(cap, Ordering::Relaxed);
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(self.0.ttl.load(Ordering::Relaxed))
    }

    /// Takes ids that were deleted in an earlier run.
    pub fn revoked(&self, ids: impl IntoIterator<Item = ([u8; 16], SystemTime)>) {
        self.0.revoked.write().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// Opens a session.
    pub fn open(
        &self,
        version: Version,
        endpoint: &str,
        principal: &Principal,
        client: Client,
    ) -> Result<Arc<Session>, Error> {
        let facts = Facts {
            version,
            endpoint: endpoint.to_owned(),
            principal: principal.clone(),
            capabilities: client.capabilities,
            issued: seconds(SystemTime::now()),
            client_name: client.name,
            client_version: client.version,
        };
        let id: Arc<str> = facts.seal(&self.0.options.key).into();
        self.enter(id, facts, false)
    }

    /// The session of this id, opened at this endpoint by this principal. Forged, expired, deleted and foreign ids
    /// are not told apart.
    pub fn find(&self, id: &str, endpoint: &str, principal: &Principal) -> Result<Arc<Session>, Error> {
        let known = self.0.live.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let session = match known {
            Some(session) => session,
            None => self.recall(id)?,
        };
        if session.facts.endpoint != endpoint || session.facts.principal != *principal {
            return Err(not_found());
        }
        session.touch();
        Ok(session)
    }

    /// Ends a session: its calls are withdrawn, its streams end, its id is void for good.
    pub fn delete(&self, session: &Session) {
        let expires = session.facts.expires_at(self.ttl());
        let hash = session.fingerprint;
        // In this order: whoever finds it gone from memory finds it revoked.
        self.0.revoked.write().unwrap_or_else(PoisonError::into_inner).insert(hash, expires);
        self.0.live.write().unwrap_or_else(PoisonError::into_inner).remove(&session.id);
        if let Some(store) = &self.0.options.store {
            store.revoke(hash, expires);
        }
        if let Some(home) = session.home.get() {
            home.retire();
        }
        session.watched.clear();
        for (_, cancel) in session.lock().iter() {
            cancel.notify_one();
        }
        session.lock_questions().clear();
    }

    /// The sessions in memory whose principal is one of these.
    pub fn opened_by(&self, is_one: impl Fn(&Principal) -> bool) -> Vec<Arc<Session>> {
        let live = self.0.live.read().unwrap_or_else(PoisonError::into_inner);
        live.values().filter(|session| is_one(&session.facts.principal)).cloned().collect()
    }

    /// Sessions in memory.
    pub fn count(&self) -> usize {
        self.0.live.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets what is idle, until `shutdown`.
    pub async fn reap_until(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(REAP_EVERY)).await.is_some() {
            let now = SystemTime::now();
            self.0.options.keep.reap();
            self.0
                .revoked
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|_, expires| *expires > now);
            let limit = self.now().saturating_sub(self.ttl().as_secs());
            let idle =
                |session: &Session| session.last_used.load(Ordering::Relaxed) < limit && session.is_idle();
            self.0.live.write().unwrap_or_else(PoisonError::into_inner).retain(|_, session| !idle(session));
        }
    }

    /// Every session in memory.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.0.live.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    pub(super) fn now(&self) -> u64 {
        since(self.0.started)
    }

    /// A session that this process does not know (any more): its id says it all.
    fn recall(&self, id: &str) -> Result<Arc<Session>, Error> {
        let facts = Facts::open(id, &self.0.options.key).ok_or_else(not_found)?;
        let over = facts.issued <= self.0.over.load(Ordering::Relaxed);
        if over || facts.expired(self.ttl(), SystemTime::now()) {
            return Err(not_found());
        }
        // Whole seconds: one that was opened in the very second of the start counts as inherited, and begins anew.
        let inherited = facts.issued <= self.0.began;
        self.enter(id.into(), facts, inherited)
    }

    fn enter(&self, id: Arc<str>, facts: Facts, inherited: bool) -> Result<Arc<Session>, Error> {
        let mut live = self.0.live.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = live.get(&id) {
            return Ok(Arc::clone(known));
        }
        // Under the lock, so that a deletion comes either before this look or after the entry.
        let fingerprint = fingerprint(id.as_bytes());
        if self.0.revoked.read().unwrap_or_else(PoisonError::into_inner).contains_key(&fingerprint) {
            return Err(not_found());
        }
        if live.len() >= self.0.cap.load(Ordering::Relaxed) {
            self.make_room(&mut live)?;
        }
        let client = ClientInfo { name: facts.client_name.clone(), version: facts.client_version.clone() };
        let session = Arc::new(Session {
            id: Arc::clone(&id),
            fingerprint,
            facts,
            inherited,
            client: Arc::new(client),
            calls: Mutex::default(),
            streams: AtomicU32::new(0),
            watched: Arc::default(),
            questions: Mutex::default(),
            next_question: AtomicU64::new(1),
            home: OnceLock::new(),
            keep: self.0.options.keep.clone(),
            poll_after: self.0.options.poll_after,
            last_used: AtomicU64::new(self.now()),
            started: self.0.started,
        });
        live.insert(id, Arc::clone(&session));
        Ok(session)
    }

    fn make_room(&self, live: &mut HashMap<Arc<str>, Arc<Session>>) -> Result<(), Error> {
        let oldest = live
            .values()
            .filter(|session| session.is_idle())
            .take(EVICTION_SAMPLE)
            // One that watches resources, or may come back for a stream, would lose that; it goes last.
            .min_by_key(|session| {
                (session.has_something_to_lose(), session.last_used.load(Ordering::Relaxed))
            })
            .map(|session| Arc::clone(&session.id));
        match oldest {
            Some(id) => {
                live.remove(&id);
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Overloaded,
                format!("the gateway has {} busy sessions, as many as it may (max_sessions)", live.len()),
            )),
        }
    }
}

impl Session {
    /// The id, for `Mcp-Session-Id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What its client has said of itself.
    pub fn client(&self) -> &Arc<ClientInfo> {
        &self.client
    }

    /// The version agreed on.
    pub fn version(&self) -> Version {
        self.facts.version
    }

    /// The level that the client has asked for.
    pub fn log_level(&self) -> Option<Level> {
        self.watched.level()
    }

    /// Notes the level that the client asks for.
    pub fn set_log_level(&self, level: Level) {
        self.watched.set_level(level);
    }

    /// Registers a call under the client's id, so that it can be withdrawn.
    pub fn begin(self: &Arc<Self>, id: &RawId) -> Ticket {
        let cancel = Arc::new(Notify::new());
        self.lock().push((id.clone(), Arc::clone(&cancel)));
        Ticket { session: Arc::clone(self), cancel }
    }

    /// Withdraws the call with this id. An id that is in flight twice names no call, and none is withdrawn.
    pub fn cancel(&self, id: &RawId) -> bool {
        let calls = self.lock();
        let mut matching = calls.iter().filter(|(other, _)| other == id);
        match (matching.next(), matching.next()) {
            (Some((_, cancel)), None) => {
                cancel.notify_one();
                true
            }
            _ => false,
        }
    }

    /// What the client can be asked.
    pub fn capabilities(&self) -> ClientCapabilities {
        self.facts.capabilities
    }

    /// Resources that the client wants to hear of.
    pub fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// Prepares a question: the id to ask it under, and where its answer will be.
    pub fn ask(self: &Arc<Self>) -> Asked {
        let number = self.next_question.fetch_add(1, Ordering::Relaxed);
        let (say, heard) = mpsc::channel(MAX_HEARD);
        self.lock_questions().insert(number, say);
        Asked { session: Arc::clone(self), number, heard }
    }

    /// Takes the client's answer to a question; false if nobody waits for it.
    pub fn answer(&self, message: Message) -> bool {
        let number = message.id_bytes().and_then(id::minted);
        let waiting = number.and_then(|number| self.lock_questions().remove(&number));
        // There is always room: reports of progress leave one place free.
        waiting.is_some_and(|waiting| waiting.try_send(Heard::Answer(message)).is_ok())
    }

    /// Takes what the client reports of its progress with the question of this number; false if nobody waits for it.
    /// What comes faster than it is passed on is dropped.
    pub fn progress(&self, number: u64, message: Message) -> bool {
        let waiting = self.lock_questions().get(&number).cloned();
        waiting.is_some_and(|waiting| {
            waiting.capacity() <= 1 || waiting.try_send(Heard::Progress(message)).is_ok()
        })
    }

    /// The session as those know it who keep something for it.
    pub fn key(&self) -> ([u8; 16], bool) {
        (self.fingerprint, self.inherited)
    }

    fn lock_questions(&self) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Heard>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session's streams.
    pub fn streams(&self) -> &Arc<Home> {
        self.home.get_or_init(|| {
            let polls = self.facts.version >= Version::V2025_11_25;
            Home::new(Manners { polls, poll_after: self.poll_after }, self.keep.clone())
        })
    }

    fn has_something_to_lose(&self) -> bool {
        !self.watched.is_empty() || self.home.get().is_some_and(|home| !home.is_empty())
    }

    /// Marks the session as having an open stream while the guard lives.
    pub fn hold_stream(self: &Arc<Self>) -> StreamHold {
        self.streams.fetch_add(1, Ordering::Relaxed);
        StreamHold(Arc::clone(self))
    }

    /// The session is in use at this moment.
    fn touch(&self) {
        self.last_used.store(since(self.started), Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0 && self.lock().is_empty()
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(RawId, Arc<Notify>)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's entry in its session; dropping it takes the entry out.
#[derive(Debug)]
pub struct Ticket {
    session: Arc<Session>,
    cancel: Arc<Notify>,
}

/// What a client says to a question.
#[derive(Debug)]
pub enum Heard {
    /// Its result or error.
    Answer(Message),
    /// A notification of its progress.
    Progress(Message),
}

/// What a client may say to a question before anybody has listened: reports that come faster are of no use.
const MAX_HEARD: usize = 16;

/// A question on its way. Dropping it means that nobody waits for the answer any more.
#[derive(Debug)]
pub struct Asked {
    session: Arc<Session>,
    number: u64,
    heard: mpsc::Receiver<Heard>,
}

impl Asked {
    /// The id of the request to the client.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What the client says next; `None` if its session has gone.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// The client's answer; `None` if its session has gone.
    pub async fn answer(&mut self) -> Option<Message> {
        loop {
            if let Heard::Answer(answer) = self.heard.recv().await? {
                return Some(answer);
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.session.lock_questions().remove(&self.number);
    }
}

impl Ticket {
    /// The session that the call belongs to.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Resolves when the client has withdrawn the call.
    pub async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.touch();
        let mut calls = self.session.lock();
        if let Some(at) = calls.iter().position(|(_, cancel)| Arc::ptr_eq(cancel, &self.cancel)) {
            calls.swap_remove(at);
            if calls.is_empty() {
                // A session that once had many calls at a time must not keep the room for them.
                *calls = Vec::new();
            }
        }
    }
}

/// Keeps a session from being idle.
#[derive(Debug)]
pub struct StreamHold(Arc<Session>);

impl Drop for StreamHold {
    fn drop(&mut self) {
        // Who has listened all the while has used the session all the while.
        self.0.touch();
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Seconds since the start, and one more, so that a limit of 0 is older than everything.
fn since(started: Instant) -> u64 {
    started.elapsed().as_secs() + 1
}

fn not_found() -> Error {
    Error::new(
        ErrorKind::SessionNotFound,
        "the session is not known here; send `initialize` to open a new one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(cap: usize, key: &SealKey) -> Sessions {
        let keep = Keep::new(1 << 20, Duration::from_secs(60));
        let ttl = Duration::from_secs(3600);
        Sessions::new(SessionOptions { key: key.clone(), ttl, cap, store: None, keep, poll_after: None })
    }

    fn open(sessions: &Sessions) -> Arc<Session> {
        sessions.open(Version::LATEST_LEGACY, "", &Principal::anonymous(), Client::default()).unwrap()
    }

    #[tokio::test]
    async fn another_process_with_the_same_key_carries_on() {
        let key = SealKey::random();
        let id = open(&sessions(10, &key)).id().to_owned();
        assert_eq!(
            sessions(10, &key).find(&id, "", &Principal::anonymous()).unwrap().version(),
            Version::LATEST_LEGACY
        );
        assert!(sessions(10, &SealKey::random()).find(&id, "", &Principal::anonymous()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_listened_all_the_while_has_used_the_session_until_the_stream_ended() {
        let sessions = sessions(10, &SealKey::random());
        let shutdown = CancellationToken::new();
        tokio::spawn(sessions.clone().reap_until(shutdown.clone()));
        let session = open(&sessions);
        let hold = session.hold_stream();
        tokio::time::sleep(Duration::from_secs(7200)).await;
        drop(hold);
        tokio::time::sleep(Duration::from_secs(3500)).await;
        assert_eq!(sessions.count(), 1, "its time runs from the end of the stream");
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(sessions.count(), 0);
        shutdown.cancel();
    }

    #[tokio::test]
    async fn a_session_is_not_known_at_another_endpoint() {
        let sessions = sessions(10, &SealKey::random());
        let id = open(&sessions).id().to_owned();
        assert_eq!(
            sessions.find(&id, "files", &Principal::anonymous()).unwrap_err().kind,
            ErrorKind::SessionNotFound
        );
    }

    #[tokio::test]
    async fn a_deleted_session_stays_deleted_and_its_calls_are_withdrawn() {
        let sessions = sessions(10, &SealKey::random());
        let session = open(&sessions);
        let ticket = session.begin(&RawId::from_number(1));
        let (stream, _) = session.streams().own();
        let mut reader = stream.connect(None).unwrap();
        sessions.delete(&session);
        ticket.cancelled().await;
        while std::future::poll_fn(|cx| reader.poll_next(cx)).await.is_some() {}
        assert!(stream.is_over(), "the stream ends with its session");
        assert!(sessions.find(session.id(), "", &Principal::anonymous()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_life_brings_no_session_back_that_was_over() {
        let sessions = sessions(10, &SealKey::random());
        let (deleted, idle) = (open(&sessions), open(&sessions).id().to_owned());
        sessions.set_limits(Duration::ZERO, 10);
        sessions.delete(&deleted);
        let shutdown = CancellationToken::new();
        tokio::spawn(sessions.clone().reap_until(shutdown.clone()));
        tokio::time::sleep(2 * REAP_EVERY).await;
        assert_eq!(sessions.count(), 0);
        sessions.set_limits(Duration::from_secs(3600), 10);
        for id in [deleted.id(), &idle] {
            assert!(sessions.find(id, "", &Principal::anonymous()).is_err());
        }
        shutdown.cancel();
    }

    #[tokio::test]
    async fn at_the_cap_an_idle_session_makes_room_and_comes_back_by_its_id() {
        let sessions = sessions(2, &SealKey::random());
        let first = open(&sessions).id().to_owned();
        for _ in 0..5 {
            open(&sessions);
        }
        assert_eq!(sessions.count(), 2);
        assert!(sessions.find(&first, "", &Principal::anonymous()).is_ok());
        let busy: Vec<StreamHold> =
            (0..2).map(|_| open(&sessions)).map(|session| session.hold_stream()).collect();
        let refused = sessions
            .open(Version::LATEST_LEGACY, "", &Principal::anonymous(), Client::default())
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Overloaded);
        drop(busy);
    }

    #[tokio::test]
    async fn a_cancel_for_an_id_that_is_in_flight_twice_withdraws_none() {
        let sessions = sessions(10, &SealKey::random());
        let session = open(&sessions);
        let id = RawId::from_number(1);
        let first = session.begin(&id);
        let second = session.begin(&id);
        assert!(!session.cancel(&id));
        drop(second);
        assert!(session.cancel(&id));
        first.cancelled().await;
    }

    #[test]
    fn a_session_without_streams_is_small() {
        let id = Facts {
            version: Version::LATEST_LEGACY,
            endpoint: "x".repeat(24),
            principal: Principal::anonymous(),
            capabilities: ClientCapabilities::NONE,
            issued: 0,
            client_name: "x".repeat(64),
            client_version: "x".repeat(64),
        }
        .seal(&SealKey::random());
        assert!(size_of::<Session>() + 2 * id.len() < 1024, "{}", size_of::<Session>());
    }
}
