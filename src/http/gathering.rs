//! The answers to the requests of one batch: gathered into one array, or onto one stream as soon as something precedes
//! them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::session::{Gone, Reader, Session, Stream};

/// What is gathered. Shared by the exchange and by the tasks of the requests, which go on without it.
pub struct Gathering {
    state: Mutex<State>,
    changed: Notify,
    session: Arc<Session>,
    /// Whether the client can read a stream.
    events: bool,
}

struct State {
    answers: Vec<Option<Bytes>>,
    left: usize,
    stream: Option<Arc<Stream>>,
    reader: Option<Reader>,
}

/// What the exchange answers with.
pub enum Gathered {
    /// Every answer, in the order of the requests.
    Array(Vec<Bytes>),
    /// A stream.
    Stream(Reader),
}

impl Gathering {
    /// Room for so many answers.
    pub fn new(session: Arc<Session>, requests: usize, events: bool) -> Arc<Gathering> {
        let state = State { answers: vec![None; requests], left: requests, stream: None, reader: None };
        Arc::new(Gathering { state: Mutex::new(state), changed: Notify::new(), session, events })
    }

    /// Takes the answer to the request number `at`; `instead` is what it becomes where it cannot be kept.
    pub fn answer(&self, at: usize, answer: Bytes, instead: impl FnOnce() -> Bytes) {
        let mut state = self.lock();
        match &state.stream {
            Some(stream) => stream.answer(&answer, instead),
            None => {
                if let Some(place) = state.answers.get_mut(at) {
                    *place = Some(answer);
                }
            }
        }
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            state.stream.as_ref().inspect(|stream| stream.end());
            self.changed.notify_one();
        }
    }

    /// Says something before the answers, if the client can read a stream.
    pub fn say(&self, message: &[u8]) -> Result<(), Gone> {
        if !self.events {
            return Err(Gone);
        }
        let mut state = self.lock();
        self.stream_of(&mut state).push(message);
        Ok(())
    }

    /// The stream, if there is one by now.
    pub fn stream(&self) -> Option<Arc<Stream>> {
        self.lock().stream.clone()
    }

    /// Makes a stream of it, because nothing has been said for too long.
    pub fn open(&self) {
        if self.events {
            self.stream_of(&mut self.lock());
        }
    }

    /// Waits until there is something to answer with.
    pub async fn gathered(&self) -> Gathered {
        loop {
            {
                let mut state = self.lock();
                if let Some(reader) = state.reader.take() {
                    return Gathered::Stream(reader);
                }
                if state.left == 0 {
                    return Gathered::Array(state.answers.iter_mut().filter_map(Option::take).collect());
                }
            }
            self.changed.notified().await;
        }
    }

    fn stream_of(&self, state: &mut State) -> Arc<Stream> {
        if let Some(stream) = &state.stream {
            return Arc::clone(stream);
        }
        let stream = self.session.streams().open(None);
        // Fresh, so that it cannot have been retired.
        state.reader = stream.connect(None).ok();
        state.answers.iter_mut().filter_map(Option::take).for_each(|answer| stream.push(&answer));
        state.stream = Some(Arc::clone(&stream));
        self.changed.notify_one();
        stream
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock; a poisoned state would still be a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
