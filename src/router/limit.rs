//! How many requests are worked on at once, and which: each one's place can be looked at, and taken back.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::{Era, ErrorKind, Principal, ServerName};
use crate::protocol::Message;
use crate::supervisor::ServerHandle;
use crate::upstream::Fault;

/// Parts of the list, so that workers seldom meet at one lock. A lock is held for a few moves.
const SHARDS: usize = 16;

/// The requests that are worked on, and their cap. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    count: AtomicUsize,
    cap: AtomicUsize,
    next: AtomicU64,
    shards: [Mutex<Shard>; SHARDS],
}

/// Slots are used again, so that a call allocates nothing once the gateway is warm.
#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    /// The number of the request in it; 0 for none.
    number: u64,
    entry: Option<Entry>,
    recall: Arc<Recall>,
}

/// How a request hears that an operator takes it back.
#[derive(Debug, Default)]
struct Recall {
    /// The number of the last request of this slot that was taken back.
    number: AtomicU64,
    bell: Notify,
}

/// One request that is worked on.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number here.
    pub number: u64,
    /// The request.
    pub visit: Visit,
    /// The server that it goes to, once that is known.
    pub server: Option<ServerHandle>,
}

/// What is known of a request when it comes in.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When it came.
    pub since: Instant,
    /// Who asks.
    pub principal: Principal,
    /// What is asked.
    pub work: Work,
}

/// What a request asks.
#[derive(Clone, Debug)]
pub enum Work {
    /// A message of MCP.
    Message {
        /// In which era.
        era: Era,
        /// The server whose endpoint it came in at; none for the merged one.
        endpoint: Option<ServerName>,
        /// The message.
        message: Message,
    },
    /// An exchange with a service.
    Service {
        /// Its name.
        name: ServerName,
        /// The method of HTTP.
        method: http::Method,
    },
}

/// One request's place; dropping it frees the place.
#[derive(Debug)]
pub struct InFlight {
    gate: Gate,
    number: u64,
    slot: usize,
    recall: Arc<Recall>,
}

impl Gate {
    /// A gate that lets `cap` requests in at once.
    pub fn new(cap: usize) -> Gate {
        let shards = std::array::from_fn(|_| Mutex::default());
        Gate(Arc::new(Inner {
            count: AtomicUsize::new(0),
            cap: AtomicUsize::new(cap),
            next: AtomicU64::new(1),
            shards,
        }))
    }

    /// Lets a request in, unless the cap is reached.
    pub fn enter(&self, visit: impl FnOnce() -> Visit) -> Option<InFlight> {
        if self.0.count.fetch_add(1, Ordering::Relaxed) >= self.cap() {
            self.0.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { number, visit: visit(), server: None };
        let mut shard = self.shard(number);
        let slot = match shard.free.pop() {
            Some(free) => free,
            None => {
                shard.slots.push(Slot { number: 0, entry: None, recall: Arc::default() });
                shard.slots.len() - 1
            }
        };
        let place = &mut shard.slots[slot];
        (place.number, place.entry) = (number, Some(entry));
        let recall = Arc::clone(&place.recall);
        Some(InFlight { gate: self.clone(), number, slot, recall })
    }

    /// Requests that are in.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The cap.
    pub fn cap(&self) -> usize {
        self.0.cap.load(Ordering::Relaxed)
    }

    /// Takes another cap; requests above it go on.
    pub fn set_cap(&self, cap: usize) {
        self.0.cap.store(cap, Ordering::Relaxed);
    }

    /// All that are in, the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for number in 0..SHARDS as u64 {
            all.extend(self.shard(number).slots.iter().filter_map(|slot| slot.entry.clone()));
        }
        all.sort_by_key(|entry| entry.number);
        all
    }

    /// Takes a request back: it is withdrawn at its server, and its client is told. False if it is not in (any more).
    pub fn recall(&self, number: u64) -> bool {
        let shard = self.shard(number);
        let found = shard.slots.iter().find(|slot| slot.number == number && number != 0);
        if let Some(slot) = found {
            // The number first: whoever hears the bell looks at it.
            slot.recall.number.store(number, Ordering::Release);
            slot.recall.bell.notify_waiters();
        }
        found.is_some()
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, Shard> {
        // A slot is whole after each step.
        self.0.shards[(number % SHARDS as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// Notes where the request goes.
    pub fn goes_to(&self, server: &ServerHandle) {
        if let Some(entry) = &mut self.gate.shard(self.number).slots[self.slot].entry {
            entry.server = Some(server.clone());
        }
    }

    /// A token that hears of the recall.
    pub fn recalled(&self) -> Recalled {
        Recalled { number: self.number, recall: Arc::clone(&self.recall) }
    }
}

/// How a call ends that an operator takes back. Nothing is known of what its server has done by then.
pub(super) fn taken_back() -> Fault {
    Fault::unknown(ErrorKind::Cancelled, "the call was cancelled by an administrator of the gateway")
}

/// Hears whether an operator takes a request back. The default hears of none.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// 0 for none, which never comes back: the first to be told of is number 1.
    number: u64,
    recall: Arc<Recall>,
}

impl Recalled {
    /// Whether the request has been taken back.
    pub fn is_back(&self) -> bool {
        self.number != 0 && self.recall.number.load(Ordering::Acquire) == self.number
    }

    /// Resolves when the request is taken back.
    pub async fn heard(&self) {
        loop {
            // Before the look, so that no bell is missed.
            let bell = self.recall.bell.notified();
            if self.is_back() {
                return;
            }
            bell.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let entry = {
            let mut shard = self.gate.shard(self.number);
            let place = &mut shard.slots[self.slot];
            place.number = 0;
            let entry = place.entry.take();
            shard.free.push(self.slot);
            entry
        };
        // What it held is freed outside the lock.
        drop(entry);
        self.gate.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn visit() -> Visit {
        let text = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b"}}"#;
        Visit {
            since: Instant::now(),
            principal: Principal::anonymous(),
            work: Work::Message {
                era: Era::Modern,
                endpoint: None,
                message: Message::parse(Bytes::from_static(text)).unwrap(),
            },
        }
    }

    fn enter(gate: &Gate) -> Option<InFlight> {
        gate.enter(visit)
    }

    #[test]
    fn the_cap_holds_and_a_refusal_leaves_no_trace() {
        let gate = Gate::new(2);
        let places: Vec<InFlight> = (0..2).filter_map(|_| enter(&gate)).collect();
        assert!(enter(&gate).is_none());
        assert_eq!((gate.count(), gate.entries().len()), (2, 2));
        drop(places);
        assert_eq!((gate.count(), gate.entries().len()), (0, 0));
        gate.clone().set_cap(0);
        assert!(enter(&gate).is_none(), "a reload holds for every clone");
    }

    #[test]
    fn slots_are_used_again_and_numbers_are_not() {
        let gate = Gate::new(10);
        for round in 0..1_000 {
            let places = [enter(&gate).unwrap(), enter(&gate).unwrap()];
            let numbers: Vec<u64> = gate.entries().iter().map(|entry| entry.number).collect();
            assert_eq!(numbers, [2 * round + 1, 2 * round + 2]);
            drop(places);
        }
        let slots: usize = (0..SHARDS as u64).map(|number| gate.shard(number).slots.len()).sum();
        assert!(slots <= SHARDS, "{slots}");
    }

    #[tokio::test]
    async fn a_recall_reaches_its_request_before_and_while_it_listens_and_no_other() {
        use tokio::time::{Duration, timeout};
        let gate = Gate::new(2 * SHARDS);
        let place = enter(&gate).unwrap();
        let number = gate.entries()[0].number;
        let listener = place.recalled();
        let listening = tokio::spawn(async move { listener.heard().await });
        tokio::task::yield_now().await;
        assert!(gate.recall(number));
        timeout(Duration::from_secs(5), listening).await.unwrap().unwrap();
        timeout(Duration::from_secs(5), place.recalled().heard()).await.expect("told later, too");
        drop(place);
        assert!(!gate.recall(number), "it has gone");
        // The next one in the same slot is another.
        let next: Vec<InFlight> = (0..SHARDS).map(|_| enter(&gate).unwrap()).collect();
        for place in &next {
            let heard = place.recalled();
            assert!(ready_at_once(heard.heard()).await.is_none());
        }
        assert!(!gate.recall(0));
    }

    /// The result of a future that is ready at once.
    async fn ready_at_once<T>(work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
