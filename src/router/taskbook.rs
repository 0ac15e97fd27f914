//! Whose the tasks of the servers are: who was told their ids first. Bounded; what is forgotten is still found by its id.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{FINGERPRINT, Principal, ServerName, fingerprint};
use crate::supervisor::{ServerHandle, TaskNote};

/// Tasks whose holder is remembered. A record is a hundred bytes.
pub(super) const MAX_REMEMBERED: usize = 100_000;
/// What servers say of tasks that nobody holds yet: the answer that names a new task may still be on its way.
const MAX_EARLY: usize = 256;
/// How long it may be on its way.
const EARLY: Duration = Duration::from_secs(5);

pub(super) type Print = [u8; FINGERPRINT];

/// News that one who passes them on may be behind. Nobody may rely on any.
pub(super) const NEWS: usize = 1024;

/// A server has said something of a task.
#[derive(Clone, Debug)]
pub struct TaskNews {
    /// The id under which its holder knows the task.
    pub id: String,
    /// The session that it was made in, if there is one.
    pub session: Option<Print>,
    /// The notification, with that id.
    pub note: Bytes,
}

/// The link that a task is of: another process of the same server may use the same ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub server: &'a ServerName,
    pub scope: Option<Print>,
}

impl<'a> Source<'a> {
    pub fn of(server: &'a ServerHandle) -> Source<'a> {
        Source { server: server.name(), scope: server.scope() }
    }

    /// What stands for the task `id`.
    pub fn task(&self, id: &str) -> Print {
        let scope = self.scope.unwrap_or_default();
        fingerprint(&[self.server.as_str().as_bytes(), b"\0", &scope, id.as_bytes()].concat())
    }
}

/// Who holds a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub principal: Print,
    /// The session in which it was made; a modern client has none.
    pub session: Option<Print>,
}

#[derive(Default)]
pub(super) struct Book {
    of: HashMap<Print, Holder>,
    order: VecDeque<Print>,
    early: VecDeque<(Print, TaskNote, Instant)>,
}

impl Book {
    /// Notes who holds a task. One that was just `made` is its maker's, whoever had one of the same id before; another is
    /// its first holder's. Returns what the server has said of it already.
    pub fn remember(&mut self, task: Print, holder: Holder, made: bool) -> Vec<TaskNote> {
        let known = self.of.get(&task).is_some_and(|known| known.principal == holder.principal);
        if (made || !known) && self.of.insert(task, holder).is_none() {
            self.order.push_back(task);
        }
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        let (due, rest) = std::mem::take(&mut self.early).into_iter().partition(|(other, ..)| *other == task);
        self.early = rest;
        let due: VecDeque<(Print, TaskNote, Instant)> = due;
        due.into_iter().filter(|(.., since)| since.elapsed() < EARLY).map(|(_, note, _)| note).collect()
    }

    /// Who holds a task.
    pub fn holder(&self, task: Print) -> Option<Holder> {
        self.of.get(&task).copied()
    }

    /// Keeps what a server says of a task that nobody holds yet.
    pub fn keep(&mut self, task: Print, note: TaskNote) {
        self.early.retain(|(.., since)| since.elapsed() < EARLY);
        if self.early.len() >= MAX_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((task, note, Instant::now()));
    }
}

/// What stands for a principal.
pub(super) fn print(principal: &Principal) -> Print {
    fingerprint(principal.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    const ADA: Holder = Holder { principal: [1; FINGERPRINT], session: Some([2; FINGERPRINT]) };
    const BOB: Holder = Holder { principal: [3; FINGERPRINT], session: None };

    fn note() -> TaskNote {
        let text = br#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"1"}}"#;
        let note = Message::parse(Bytes::from_static(text)).unwrap();
        TaskNote { server: ServerName::new("s").unwrap(), scope: None, note }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut book = Book::default();
        let task = |n: usize| fingerprint(n.to_string().as_bytes());
        (0..=MAX_REMEMBERED).for_each(|n| drop(book.remember(task(n), ADA, true)));
        assert_eq!((book.holder(task(0)), book.holder(task(5))), (None, Some(ADA)));
        assert!(book.of.len() <= MAX_REMEMBERED && book.order.len() <= MAX_REMEMBERED);
        (0..=MAX_EARLY).for_each(|_| book.keep(task(0), note()));
        assert_eq!(book.early.len(), MAX_EARLY);
    }

    #[test]
    fn a_task_is_its_makers_and_then_its_first_holders() {
        let mut book = Book::default();
        let task = [7; FINGERPRINT];
        book.remember(task, ADA, true);
        book.remember(task, Holder { session: None, ..ADA }, false);
        assert_eq!(book.holder(task), Some(ADA), "who only asks after it does not take it");
        book.remember(task, BOB, true);
        assert_eq!(book.holder(task), Some(BOB), "another process may use the id again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_before_a_task_is_known_waits_a_moment_for_its_holder() {
        let mut book = Book::default();
        let (task, other) = ([7; FINGERPRINT], [8; FINGERPRINT]);
        book.keep(task, note());
        assert!(book.remember(other, ADA, true).is_empty());
        assert_eq!(book.remember(task, ADA, true).len(), 1);
        assert!(book.remember(task, ADA, true).is_empty(), "it is told once");
        book.keep(other, note());
        tokio::time::advance(EARLY).await;
        assert!(book.remember(other, ADA, true).is_empty());
    }

    #[test]
    fn tasks_of_two_links_of_one_server_are_two() {
        let server = ServerName::new("s").unwrap();
        let at = |scope| Source { server: &server, scope }.task("task-1");
        assert_ne!(at(None), at(Some([1; FINGERPRINT])));
        assert_ne!(at(Some([2; FINGERPRINT])), at(Some([1; FINGERPRINT])));
    }
}
