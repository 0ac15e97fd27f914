//! The calls that wait for a reply on one link, by the number that the link minted for them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::{Delivery, Fault};
use super::mailbox::Sender;

/// Bits of a minted number that say where the call stands in the table; the rest tell it from the calls that stood
/// there before. 53 bits in all, because some servers read numbers as IEEE doubles.
const PLACE_BITS: u32 = 20;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
const TURN_MASK: u64 = (1 << (53 - PLACE_BITS)) - 1;

/// Abandoned calls that are remembered. More of them change nothing: one is enough to make stray notes nobody's.
const MAX_ABANDONED: usize = 1024;

/// The table of one link.
#[derive(Debug, Default)]
pub struct Pending(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    turn: u64,
    clients: usize,
    /// Clients' calls that were given up without their reply. The server may still be talking about them.
    abandoned: Vec<u64>,
    closed: Option<Fault>,
}

#[derive(Debug, Default)]
struct Slot {
    number: u64,
    /// Whether a client waits, or the gateway itself (a probe, a list, a listen stream).
    client: bool,
    sender: Option<Sender>,
}

impl Pending {
    /// Enters a call and mints its number. Fails with the link's last words when it has closed.
    pub fn enter(&self, sender: Sender, client: bool) -> Result<u64, Fault> {
        let mut table = self.lock();
        if let Some(fault) = &table.closed {
            return Err(Fault { delivery: Delivery::NotDelivered, ..fault.clone() });
        }
        table.clients += usize::from(client);
        table.turn = (table.turn + 1) & TURN_MASK;
        let place = table.free.pop().unwrap_or(table.slots.len());
        let number = (table.turn << PLACE_BITS) | place as u64;
        let slot = Slot { number, client, sender: Some(sender) };
        match table.slots.get_mut(place) {
            Some(free) => *free = slot,
            None => table.slots.push(slot),
        }
        Ok(number)
    }

    /// Takes a call out: its reply has come, or nobody waits any more. `None` for a number that is not waiting.
    pub fn take(&self, number: u64) -> Option<Sender> {
        let mut table = self.lock();
        let place = (number & PLACE_MASK) as usize;
        let slot = table.slots.get_mut(place).filter(|slot| slot.number == number)?;
        let sender = slot.sender.take()?;
        let client = slot.client;
        table.clients -= usize::from(client);
        table.free.push(place);
        Some(sender)
    }

    /// Takes a call out whose caller has gone. Until its reply comes, nobody can tell whose a stray note is.
    pub fn abandon(&self, number: u64) -> Option<Sender> {
        let sender = self.take(number)?;
        let mut table = self.lock();
        let place = (number & PLACE_MASK) as usize;
        let client = table.slots.get(place).is_some_and(|slot| slot.client);
        if client && table.abandoned.len() < MAX_ABANDONED {
            table.abandoned.push(number);
        }
        Some(sender)
    }

    /// Notes that the reply of an abandoned call has come after all; false if there was no such call.
    pub fn late_reply(&self, number: u64) -> bool {
        let mut table = self.lock();
        let found = table.abandoned.iter().position(|abandoned| *abandoned == number);
        found.is_some_and(|at| {
            table.abandoned.swap_remove(at);
            true
        })
    }

    /// The mailbox of a waiting call.
    pub fn get(&self, number: u64) -> Option<Sender> {
        let table = self.lock();
        let slot = table.slots.get((number & PLACE_MASK) as usize).filter(|slot| slot.number == number)?;
        slot.sender.clone()
    }

    /// The only client's call in flight, if there is exactly one and no other was abandoned unanswered.
    pub fn sole_client(&self) -> Option<Sender> {
        let table = self.lock();
        if table.clients != 1 || !table.abandoned.is_empty() {
            return None;
        }
        table.slots.iter().filter(|slot| slot.client).find_map(|slot| slot.sender.clone())
    }

    /// Whose a note is that names no call: on a link that one client owns the call that came last, on others the only
    /// one.
    pub fn party(&self, owned: bool) -> Option<Sender> {
        if owned { self.last_client() } else { self.sole_client() }
    }

    /// The client's call that came last, of however many are in flight.
    pub fn last_client(&self) -> Option<Sender> {
        let table = self.lock();
        let latest = table.slots.iter().filter(|slot| slot.client && slot.sender.is_some());
        latest.max_by_key(|slot| slot.number >> PLACE_BITS).and_then(|slot| slot.sender.clone())
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        let table = self.lock();
        table.slots.len() - table.free.len()
    }

    /// Fails every call that waits, and every later one, with `fault`.
    pub fn close(&self, fault: &Fault) {
        let mut table = self.lock();
        if table.closed.is_none() {
            table.closed = Some(fault.clone());
        }
        let waiting: Vec<Sender> = table.slots.iter_mut().filter_map(|slot| slot.sender.take()).collect();
        table.slots.clear();
        table.free.clear();
        table.clients = 0;
        drop(table);
        for sender in waiting {
            sender.finish(Err(fault.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;
    use crate::upstream::mailbox::{Event, mailbox};

    #[test]
    fn a_number_is_good_for_one_call_only() {
        let pending = Pending::default();
        let first = pending.enter(mailbox().0, true).unwrap();
        assert!(pending.take(first).is_some());
        let second = pending.enter(mailbox().0, true).unwrap();
        assert_ne!(first, second);
        assert!(pending.take(first).is_none(), "a late reply must not reach the call that came after");
        assert!(pending.take(second).is_some());
        assert!(pending.in_flight() == 0);
    }

    #[test]
    fn numbers_stay_exact_in_a_double() {
        let pending = Pending(Mutex::new(Table { turn: TURN_MASK - 1, ..Table::default() }));
        let number = pending.enter(mailbox().0, true).unwrap();
        assert_eq!(number as f64 as u64, number);
        assert!(number < 1 << 53);
    }

    #[test]
    fn only_a_single_clients_call_is_the_sole_one() {
        let pending = Pending::default();
        pending.enter(mailbox().0, false).unwrap();
        assert!(pending.sole_client().is_none());
        let one = pending.enter(mailbox().0, true).unwrap();
        assert!(pending.sole_client().is_some());
        pending.enter(mailbox().0, true).unwrap();
        assert!(pending.sole_client().is_none());
        pending.take(one);
        assert!(pending.sole_client().is_some());
    }

    #[test]
    fn after_an_abandoned_call_nobody_is_the_sole_one_until_its_reply_has_come() {
        let pending = Pending::default();
        let gone = pending.enter(mailbox().0, true).unwrap();
        assert!(pending.abandon(gone).is_some());
        pending.enter(mailbox().0, true).unwrap();
        assert!(
            pending.sole_client().is_none(),
            "the server may still be talking about the one that has gone"
        );
        assert!(pending.late_reply(gone));
        assert!(pending.sole_client().is_some());
        assert!(!pending.late_reply(gone));
    }

    #[tokio::test]
    async fn closing_fails_those_who_wait_and_those_who_come_later() {
        let pending = Pending::default();
        let (sender, mut receiver) = mailbox();
        pending.enter(sender, true).unwrap();
        pending.close(&Fault::unknown(ErrorKind::ServerFailed, "exited"));
        assert!(matches!(std::future::poll_fn(|cx| receiver.poll_next(cx)).await, Event::Failed(_)));
        assert!(pending.enter(mailbox().0, true).is_err());
        assert!(pending.in_flight() == 0);
    }
}
