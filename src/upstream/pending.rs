//! The calls that wait for a reply on one link, by the number that the link minted for them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::{Delivery, Fault};
use super::mailbox::Sender;
use super::party::Party;

/// Bits of a minted number that say where the call stands in the table; the rest tell it from the calls that stood
/// there before. 53 bits in all, because some servers read numbers as IEEE doubles.
const PLACE_BITS: u32 = 20;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
const TURN_MASK: u64 = (1 << (53 - PLACE_BITS)) - 1;

/// Abandoned calls that are remembered. With more of them a server is far beyond telling whose its stray notes are.
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
    abandoned: Vec<(u64, Party)>,
    /// Whether there were more of them than are remembered.
    unaccounted: bool,
    closed: Option<Fault>,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    party: Party,
    sender: Option<Sender>,
}

impl Slot {
    /// The mailbox, if a client waits.
    fn waiting(&self) -> Option<&Sender> {
        self.sender.as_ref().filter(|_| self.party.is_client())
    }
}

impl Pending {
    /// Enters a call and mints its number. Fails with the link's last words when it has closed.
    pub fn enter(&self, sender: Sender, party: Party) -> Result<u64, Fault> {
        let mut table = self.lock();
        if let Some(fault) = &table.closed {
            return Err(Fault { delivery: Delivery::NotDelivered, ..fault.clone() });
        }
        table.clients += usize::from(party.is_client());
        table.turn = (table.turn + 1) & TURN_MASK;
        let place = table.free.pop().unwrap_or(table.slots.len());
        let number = (table.turn << PLACE_BITS) | place as u64;
        let slot = Slot { number, party, sender: Some(sender) };
        match table.slots.get_mut(place) {
            Some(free) => *free = slot,
            None => table.slots.push(slot),
        }
        Ok(number)
    }

    /// Takes a call out: its reply has come, or nobody waits any more. `None` for a number that is not waiting.
    pub fn take(&self, number: u64) -> Option<Sender> {
        self.lock().take(number).map(|(_, sender)| sender)
    }

    /// Takes a call out whose caller has gone. Until its reply comes, a stray note may be about it.
    pub fn abandon(&self, number: u64) -> Option<Sender> {
        let mut table = self.lock();
        let (party, sender) = table.take(number)?;
        if party.is_client() {
            if table.abandoned.len() < MAX_ABANDONED {
                table.abandoned.push((number, party));
            } else {
                table.unaccounted = true;
            }
        }
        Some(sender)
    }

    /// Notes that the reply of an abandoned call has come after all; false if there was no such call.
    pub fn late_reply(&self, number: u64) -> bool {
        let mut table = self.lock();
        let found = table.abandoned.iter().position(|(abandoned, _)| *abandoned == number);
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

    /// Whose a note or a question is that names no call, and that client's call that came last: on a link that one client
    /// owns, that client's. On others it is nobody's unless every call that it may be about, those that were given up
    /// unanswered included, is of one client, and one of them is in flight.
    pub fn owner(&self, owned: bool) -> Option<(Party, Sender)> {
        let table = self.lock();
        let last = table.last(|_| true)?;
        let party = last.party;
        if !owned && (table.clients > 1 || !table.abandoned.is_empty() || table.unaccounted) {
            let of_one = |other: Party| party.is_one_client_with(other);
            let waiting = || table.slots.iter().filter(|slot| slot.waiting().is_some());
            let all_of_one = !table.unaccounted
                && table.abandoned.iter().all(|(_, other)| of_one(*other))
                && waiting().all(|slot| of_one(slot.party));
            if !all_of_one {
                return None;
            }
        }
        Some((party, last.sender.clone()?))
    }

    /// The call that came last of a client that has been told apart already.
    pub fn last_of(&self, owned: bool, party: Party) -> Option<Sender> {
        let table = self.lock();
        table.last(|other| owned || party.is_one_client_with(other)).and_then(|slot| slot.sender.clone())
    }

    /// Calls in flight of such a client.
    pub fn in_flight_of(&self, owned: bool, party: Party) -> usize {
        let table = self.lock();
        let waiting = table.slots.iter().filter(|slot| slot.waiting().is_some());
        waiting.filter(|slot| owned || party.is_one_client_with(slot.party)).count()
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

impl Table {
    fn take(&mut self, number: u64) -> Option<(Party, Sender)> {
        let place = (number & PLACE_MASK) as usize;
        let slot = self.slots.get_mut(place).filter(|slot| slot.number == number)?;
        let (party, sender) = (slot.party, slot.sender.take()?);
        self.clients -= usize::from(party.is_client());
        self.free.push(place);
        Some((party, sender))
    }

    /// The client's call that came last, of those in flight whose party is `of`.
    fn last(&self, of: impl Fn(Party) -> bool) -> Option<&Slot> {
        let waiting = self.slots.iter().filter(|slot| slot.waiting().is_some() && of(slot.party));
        waiting.max_by_key(|slot| slot.number >> PLACE_BITS)
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
        let first = pending.enter(mailbox().0, Party::Somebody).unwrap();
        assert!(pending.take(first).is_some());
        let second = pending.enter(mailbox().0, Party::Somebody).unwrap();
        assert_ne!(first, second);
        assert!(pending.take(first).is_none(), "a late reply must not reach the call that came after");
        assert!(pending.take(second).is_some());
        assert!(pending.in_flight() == 0);
    }

    #[test]
    fn numbers_stay_exact_in_a_double() {
        let pending = Pending(Mutex::new(Table { turn: TURN_MASK - 1, ..Table::default() }));
        let number = pending.enter(mailbox().0, Party::Somebody).unwrap();
        assert_eq!(number as f64 as u64, number);
        assert!(number < 1 << 53);
    }

    const ONE: Party = Party::Session([1; 16]);
    const TWO: Party = Party::Session([2; 16]);

    fn enter(pending: &Pending, party: Party) -> u64 {
        pending.enter(mailbox().0, party).unwrap()
    }

    fn owner(pending: &Pending) -> Option<Party> {
        pending.owner(false).map(|(party, _)| party)
    }

    #[test]
    fn what_names_no_call_is_the_clients_whose_calls_alone_are_in_flight() {
        let pending = Pending::default();
        enter(&pending, Party::Gateway);
        assert_eq!(owner(&pending), None);
        enter(&pending, ONE);
        enter(&pending, ONE);
        assert_eq!(owner(&pending), Some(ONE), "any of its calls");
        let other = enter(&pending, TWO);
        assert_eq!(owner(&pending), None);
        assert!(pending.owner(true).is_some(), "but all are one client's where one owns the link");
        pending.take(other);
        assert_eq!(owner(&pending), Some(ONE));
    }

    #[test]
    fn calls_that_say_nothing_of_their_client_are_never_taken_for_one_clients() {
        let pending = Pending::default();
        let first = enter(&pending, Party::Somebody);
        assert_eq!(owner(&pending), Some(Party::Somebody));
        enter(&pending, Party::Somebody);
        assert_eq!(owner(&pending), None);
        pending.abandon(first);
        assert_eq!(owner(&pending), None, "the server may still be talking about the one that has gone");
        assert!(pending.late_reply(first));
        assert_eq!(owner(&pending), Some(Party::Somebody));
    }

    #[test]
    fn a_call_that_was_given_up_may_be_meant_until_its_reply_has_come() {
        let pending = Pending::default();
        let gone = enter(&pending, ONE);
        assert!(pending.abandon(gone).is_some());
        assert_eq!(owner(&pending), None, "nobody is there to be asked");
        enter(&pending, ONE);
        assert_eq!(owner(&pending), Some(ONE), "whichever of its calls is meant");
        let other = enter(&pending, TWO);
        pending.take(other);
        assert_eq!(owner(&pending), Some(ONE));
        let other = enter(&pending, TWO);
        pending.abandon(other);
        assert_eq!(owner(&pending), None);
        assert!(pending.late_reply(other));
        assert_eq!(owner(&pending), Some(ONE));
        assert!(!pending.late_reply(other));
    }

    #[test]
    fn with_more_given_up_than_are_remembered_nobody_is_meant() {
        let pending = Pending::default();
        let gone: Vec<u64> = (0..=MAX_ABANDONED).map(|_| enter(&pending, ONE)).collect();
        gone.iter().for_each(|number| drop(pending.abandon(*number)));
        assert_eq!(gone.iter().filter(|number| pending.late_reply(**number)).count(), MAX_ABANDONED);
        enter(&pending, ONE);
        assert_eq!(owner(&pending), None);
    }

    #[tokio::test]
    async fn closing_fails_those_who_wait_and_those_who_come_later() {
        let pending = Pending::default();
        let (sender, mut receiver) = mailbox();
        pending.enter(sender, Party::Somebody).unwrap();
        pending.close(&Fault::unknown(ErrorKind::ServerFailed, "exited"));
        assert!(matches!(std::future::poll_fn(|cx| receiver.poll_next(cx)).await, Event::Failed(_)));
        assert!(pending.enter(mailbox().0, Party::Somebody).is_err());
        assert!(pending.in_flight() == 0);
    }
}
