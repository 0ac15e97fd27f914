//! A stream that outlives its connections, so that a legacy client that lost one goes on where it stopped
//! (2025-11-25, `basic/transports`, "Resumability and Redelivery").
//!
//! Every event has an id, and what was said lately is kept. The newest connection hears what is said; the specification
//! allows each message on one connection only. Who comes back names the last event that it has seen, and gets what came
//! after it, as far as it is still kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::random;
use crate::protocol::{RawId, sse};

use super::event_id::{EventId, OWN_STREAM, Position};
use super::keep::{Keep, Share};
use super::queue::{self, Reader, Writer};

/// Events kept before the answer: what a tool reports in a few seconds, and far more than a person reads.
const MAX_EVENTS: usize = 256;
/// Bytes of them. The answer itself may be as large as the budget of all sessions allows.
const MAX_BYTES: usize = 1024 * 1024;
/// What a kept event costs beside its bytes.
const OVERHEAD: usize = 128;
/// Connections of one stream that may be open at once. A client that has lost the network leaves one behind each time
/// until the system notices; only the newest hears anything.
const MAX_CONNECTIONS: usize = 4;

/// How a session's streams behave.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Whether a stream opens with an event that has an id and no data, and its clients poll: since 2025-11-25. Older
    /// clients take empty data for a broken message.
    pub polls: bool,
    /// After how long a connection of a client that polls is closed.
    pub poll_after: Option<Duration>,
}

/// The streams of one session.
#[derive(Debug)]
pub struct Home {
    mark: u32,
    manners: Manners,
    keep: Keep,
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    newest: u64,
    by_number: HashMap<u64, Arc<Stream>>,
}

impl Home {
    /// A session without streams yet.
    pub fn new(manners: Manners, keep: Keep) -> Arc<Home> {
        Arc::new(Home { mark: random::next_u64() as u32, manners, keep, streams: Mutex::default() })
    }

    /// A stream for the answer to `call`, or for the answers of a batch.
    pub fn open(self: &Arc<Self>, call: Option<&RawId>) -> Arc<Stream> {
        let mut streams = self.lock();
        streams.newest += 1;
        let number = streams.newest;
        let stream = self.make(number, call);
        streams.by_number.insert(number, Arc::clone(&stream));
        stream
    }

    /// The stream of what belongs to no call, and whether nobody has asked for it before.
    pub fn own(self: &Arc<Self>) -> (Arc<Stream>, bool) {
        let mut streams = self.lock();
        if let Some(own) = streams.by_number.get(&OWN_STREAM) {
            return (Arc::clone(own), false);
        }
        let stream = self.make(OWN_STREAM, None);
        streams.by_number.insert(OWN_STREAM, Arc::clone(&stream));
        (stream, true)
    }

    /// The stream of this position, if this session has given the position out and the stream is still here.
    pub fn find(&self, position: &Position) -> Option<Arc<Stream>> {
        self.keep.reap();
        if position.mark != self.mark {
            return None;
        }
        self.lock().by_number.get(&position.stream).cloned()
    }

    /// Ends every stream.
    pub fn retire(&self) {
        let all: Vec<_> = self.lock().by_number.drain().map(|(_, stream)| stream).collect();
        all.iter().for_each(|stream| stream.retire());
    }

    /// Whether anything is kept here for a client that may come back.
    pub fn is_empty(&self) -> bool {
        self.lock().by_number.is_empty()
    }

    fn make(self: &Arc<Self>, number: u64, call: Option<&RawId>) -> Arc<Stream> {
        Arc::new(Stream {
            id: EventId::new(self.mark, number, call),
            manners: self.manners,
            keep: self.keep.clone(),
            home: Arc::downgrade(self),
            state: Mutex::default(),
        })
    }

    fn forget(&self, stream: u64) {
        self.lock().by_number.remove(&stream);
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    id: EventId,
    manners: Manners,
    keep: Keep,
    home: Weak<Home>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// The number of the newest event.
    newest: u64,
    /// The number of the newest event that is not kept any more, or never was.
    lost: u64,
    connections: Vec<Connection>,
    /// Since when it has been seen to have no connection.
    alone: Option<Instant>,
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    /// There is more to come.
    #[default]
    Open,
    /// Everything has been said, and is kept for who has not heard it.
    Said,
    /// Nothing is kept any more.
    Retired,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    event: Bytes,
    at: Instant,
    _share: Share,
}

#[derive(Debug)]
struct Connection {
    writer: Writer,
    since: Instant,
}

/// The stream is no longer there to be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired;

impl Stream {
    /// Says something. It reaches the newest connection, if there is one, and whoever comes back in time.
    pub fn push(&self, message: &[u8]) {
        let share = self.keep.take(message.len() + OVERHEAD);
        let mut state = self.lock();
        if state.end == End::Open {
            state.make_room(message.len(), self.keep.age());
            self.say(&mut state, message, share);
        }
    }

    /// Says an answer. If there is no room to keep it, `instead` is kept in its place, for who has not heard the answer
    /// itself.
    pub fn answer(&self, answer: &[u8], instead: impl FnOnce() -> Bytes) {
        let share = self.keep.take(answer.len() + OVERHEAD);
        let mut state = self.lock();
        if state.end != End::Open {
            return;
        }
        if share.is_some() {
            self.say(&mut state, answer, share);
        } else {
            let number = state.newest + 1;
            self.say(&mut state, answer, None);
            let event = sse::event(Some(&self.id.at(number)), &[&instead()]);
            // Small, and the alternative is a client that waits in vain: it is kept whatever the budget says.
            if let Some(share) = self.keep.take(0) {
                state.keep(number, event, share);
            }
        }
    }

    /// Everything has been said.
    pub fn end(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.end != End::Open {
            return;
        }
        state.end = End::Said;
        state.end_connections();
        drop(state);
        self.keep.finished(self);
    }

    /// Opens a connection. It begins after the event number `after`; without one, with what comes next.
    pub fn connect(&self, after: Option<u64>) -> Result<Reader, Retired> {
        let (writer, reader) = queue::queue();
        let mut state = self.lock();
        if state.end == End::Retired {
            return Err(Retired);
        }
        // Nothing of this can fail: the reader is in our hands, and far more fits into its queue than is kept.
        if after.is_none() && self.manners.polls {
            let _ = writer.push(sse::priming(&self.id.at(state.newest), RETRY));
        }
        if let Some(after) = after {
            if after < state.lost {
                let gone = state.lost - after - state.kept_between(after, state.lost);
                if gone > 0 {
                    let _ = writer.push(sse::comment(&format!("{gone} events are not held any more")));
                }
            }
            for kept in state.kept.iter().filter(|kept| kept.number > after) {
                let _ = writer.push(kept.event.clone());
            }
        }
        if state.end == End::Said {
            writer.end();
            return Ok(reader);
        }
        state.connections.retain(|connection| !connection.writer.is_gone());
        if state.connections.len() >= MAX_CONNECTIONS {
            state.connections.remove(0).writer.end();
        }
        state.connections.push(Connection { writer, since: Instant::now() });
        state.alone = None;
        Ok(reader)
    }

    /// Whether everything after event `number` is still kept.
    pub fn holds_all_after(&self, number: u64) -> bool {
        let state = self.lock();
        number >= state.lost && number <= state.newest
    }

    /// Keeps silent connections open.
    pub fn keep_alive(&self) {
        for connection in &self.lock().connections {
            let _ = connection.writer.push_if_idle(sse::KEEP_ALIVE);
        }
    }

    /// After how long connections are closed, if they are.
    pub fn poll_after(&self) -> Option<Duration> {
        self.manners.poll_after.filter(|_| self.manners.polls)
    }

    /// Closes connections that have been open for long enough, if the client polls. The stream goes on, and the client
    /// comes back for the rest when the retry time that it is told has passed.
    pub fn hang_up(&self) {
        let Some(after) = self.poll_after() else { return };
        let now = Instant::now();
        let mut state = self.lock();
        state.connections.retain(|connection| {
            let stays = now.saturating_duration_since(connection.since) < after;
            if !stays {
                let _ = connection.writer.push(sse::retry(RETRY));
                connection.writer.end();
            }
            stays
        });
    }

    /// For how long nobody has been connected, as far as was looked.
    pub fn alone_for(&self) -> Duration {
        let now = Instant::now();
        let mut state = self.lock();
        state.connections.retain(|connection| !connection.writer.is_gone());
        if !state.connections.is_empty() {
            state.alone = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*state.alone.get_or_insert(now))
    }

    /// Whether somebody is connected.
    pub fn is_connected(&self) -> bool {
        self.lock().connections.iter().any(|connection| !connection.writer.is_gone())
    }

    /// Whether nothing can be said on it any more, or nobody can come back to it because its session is gone from memory.
    pub fn is_over(&self) -> bool {
        self.home.strong_count() == 0 || self.lock().end != End::Open
    }

    /// How long something is kept for a client that has gone.
    pub fn age(&self) -> Duration {
        self.keep.age()
    }

    /// Ends every connection and forgets what was kept.
    pub fn retire(&self) {
        let mut state = self.lock();
        state.end = End::Retired;
        state.end_connections();
        (state.kept, state.kept_bytes) = (VecDeque::new(), 0);
        drop(state);
        if let Some(home) = self.home.upgrade() {
            home.forget(self.id.stream());
        }
    }

    /// Says goodbye at the end of the gateway: clients that poll are told when to come back.
    pub fn farewell(&self) {
        let mut state = self.lock();
        if self.manners.polls {
            for connection in &state.connections {
                let _ = connection.writer.push(sse::retry(RETRY));
            }
        }
        state.end_connections();
    }

    fn say(&self, state: &mut State, message: &[u8], share: Option<Share>) {
        state.newest += 1;
        let number = state.newest;
        let event = sse::event(Some(&self.id.at(number)), &[message]);
        while let Some(newest) = state.connections.last()
            && newest.writer.push(event.clone()).is_err()
        {
            state.connections.pop();
        }
        match share {
            Some(share) => state.keep(number, event, share),
            None => state.lost = number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock; a poisoned state would still be a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a client that polls comes back, in milliseconds: soon enough that a person does not notice, and seldom enough
/// that ten thousand of them cost little.
const RETRY: u64 = 1000;

impl State {
    fn keep(&mut self, number: u64, event: Bytes, share: Share) {
        self.kept_bytes += event.len();
        self.kept.push_back(Kept { number, event, at: Instant::now(), _share: share });
    }

    fn make_room(&mut self, bytes: usize, age: Duration) {
        let now = Instant::now();
        while let Some(oldest) = self.kept.front()
            && (self.kept.len() >= MAX_EVENTS
                || self.kept_bytes + bytes > MAX_BYTES
                || now.saturating_duration_since(oldest.at) >= age)
        {
            self.kept_bytes -= oldest.event.len();
            self.lost = self.lost.max(oldest.number);
            self.kept.pop_front();
        }
    }

    /// Events that are kept with numbers above `after` and up to `last`.
    fn kept_between(&self, after: u64, last: u64) -> u64 {
        self.kept.iter().filter(|kept| kept.number > after && kept.number <= last).count() as u64
    }

    fn end_connections(&mut self) {
        for connection in self.connections.drain(..) {
            connection.writer.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(60);
    const POLLS: Manners = Manners { polls: true, poll_after: None };
    const OLDER: Manners = Manners { polls: false, poll_after: None };

    fn home(limit: usize, manners: Manners) -> (Keep, Arc<Home>) {
        let keep = Keep::new(limit, AGE);
        (keep.clone(), Home::new(manners, keep))
    }

    fn call(home: &Arc<Home>) -> Arc<Stream> {
        home.open(Some(&RawId::from_number(1)))
    }

    /// What waits to be read, and whether the end came.
    fn waiting(reader: &mut Reader) -> (Vec<String>, bool) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut events = Vec::new();
        loop {
            match reader.poll_next(&mut cx) {
                std::task::Poll::Ready(Some(event)) => {
                    let text = String::from_utf8(event.to_vec()).unwrap();
                    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
                    events.push(data.unwrap_or(text.trim_end()).to_owned());
                }
                std::task::Poll::Ready(None) => return (events, true),
                std::task::Poll::Pending => return (events, false),
            }
        }
    }

    fn finish(stream: &Arc<Stream>, answer: &[u8]) {
        stream.answer(answer, instead);
        stream.end();
    }

    fn instead() -> Bytes {
        Bytes::from_static(b"not held")
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_gets_what_came_after_and_the_end() {
        let (keep, home) = home(1 << 20, OLDER);
        let stream = call(&home);
        let mut first = stream.connect(None).unwrap();
        for text in ["a", "b", "c"] {
            stream.push(text.as_bytes());
        }
        assert_eq!(waiting(&mut first), (vec!["a".into(), "b".into(), "c".into()], false));
        drop(first);
        stream.push(b"d");
        assert_eq!(waiting(&mut stream.connect(Some(2)).unwrap()), (vec!["c".into(), "d".into()], false));
        finish(&stream, b"e");
        assert_eq!(waiting(&mut stream.connect(Some(4)).unwrap()), (vec!["e".into()], true));
        stream.push(b"after the end");
        tokio::time::advance(AGE).await;
        keep.reap();
        assert_eq!(stream.connect(Some(4)).unwrap_err(), Retired);
        assert!(home.is_empty());
        drop(stream);
        assert_eq!(keep.used(), 0, "everything was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_is_counted_and_the_newest_stay() {
        let (keep, home) = home(64 << 20, OLDER);
        let stream = call(&home);
        for number in 1..=MAX_EVENTS + 10 {
            stream.push(number.to_string().as_bytes());
        }
        let (events, _) = waiting(&mut stream.connect(Some(2)).unwrap());
        assert_eq!((events[0].as_str(), events[1].as_str()), (": 8 events are not held any more", "11"));
        assert_eq!(events.len(), MAX_EVENTS + 1);
        assert!(stream.holds_all_after(10) && !stream.holds_all_after(9));
        assert!(!stream.holds_all_after(10_000), "nobody has seen what was not said yet");
        let large = vec![b'x'; MAX_BYTES / 2];
        (0..8).for_each(|_| stream.push(&large));
        assert!(keep.used() < 2 * MAX_BYTES, "{}", keep.used());
        tokio::time::advance(AGE).await;
        stream.push(b"young");
        assert_eq!(waiting(&mut stream.connect(Some(0)).unwrap()).0[1..], ["young"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_room_reaches_who_listens_and_who_comes_back_is_told() {
        let (_, home) = home(1000, POLLS);
        let stream = call(&home);
        let mut listening = stream.connect(None).unwrap();
        let large = "x".repeat(2000);
        finish(&stream, large.as_bytes());
        assert_eq!(waiting(&mut listening), (vec![String::new(), large], true));
        assert_eq!(waiting(&mut stream.connect(Some(0)).unwrap()), (vec!["not held".into()], true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_finished_makes_room_for_what_is_at_work_and_never_the_other_way_round() {
        let (keep, home) = home(4 * (1000 + OVERHEAD), OLDER);
        let streams: Vec<_> = (0..4).map(|_| call(&home)).collect();
        for stream in &streams[..3] {
            finish(stream, &[b'x'; 1000]);
        }
        streams[3].push(&[b'y'; 1000]);
        let busy = call(&home);
        busy.push(&[b'z'; 1000]);
        assert!(streams[0].connect(Some(0)).is_err(), "the oldest went");
        assert!(streams[1].connect(Some(0)).is_ok());
        for _ in 0..10 {
            busy.push(&[b'z'; 1000]);
        }
        assert!(keep.used() <= 4 * (1000 + OVERHEAD));
        assert_eq!(
            waiting(&mut streams[3].connect(Some(0)).unwrap()).0.len(),
            1,
            "still at work, still there"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_goes_takes_everything_with_it() {
        let (keep, home) = home(1 << 20, OLDER);
        let stream = call(&home);
        stream.push(b"a");
        let mut reader = stream.connect(None).unwrap();
        home.retire();
        assert_eq!((waiting(&mut reader).1, stream.is_over(), keep.used()), (true, true, 0));
        let (own, fresh) = home.own();
        assert!(fresh && !own.is_over());
        drop(home);
        assert!(own.is_over(), "nobody can come back to it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_too_slow_is_cut_off_and_comes_back_for_what_is_kept() {
        let (_, home) = home(64 << 20, OLDER);
        let stream = call(&home);
        let mut slow = stream.connect(None).unwrap();
        for number in 1..=2000 {
            stream.push(number.to_string().as_bytes());
        }
        let (read, ended) = waiting(&mut slow);
        assert!(ended && read.len() < 2000, "{}", read.len());
        let (events, _) = waiting(&mut stream.connect(Some(read.len() as u64)).unwrap());
        assert_eq!(events.last().map(String::as_str), Some("2000"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_polls_is_let_go_and_how_long_nobody_was_there_is_known() {
        let after = Some(Duration::from_secs(10));
        for polls in [true, false] {
            let (_, home) = home(1 << 20, Manners { polls, poll_after: after });
            let stream = call(&home);
            let mut reader = stream.connect(None).unwrap();
            stream.hang_up();
            assert!(!waiting(&mut reader).1, "too early");
            tokio::time::advance(Duration::from_secs(10)).await;
            stream.hang_up();
            assert_eq!(waiting(&mut reader).1, polls);
            drop(reader);
            assert_eq!(stream.alone_for(), Duration::ZERO);
            tokio::time::advance(Duration::from_secs(5)).await;
            assert_eq!(stream.alone_for(), Duration::from_secs(5));
            let _back = stream.connect(Some(0)).unwrap();
            assert_eq!(stream.alone_for(), Duration::ZERO);
        }
    }
}
