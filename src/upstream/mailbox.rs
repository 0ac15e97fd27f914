//! Where a link leaves what belongs to one call: notes, then the reply.
//!
//! A channel of our own, because the common call has one reply and nothing before it: one allocation, and no buffer
//! until a note comes. The sender never waits. A reader that does not keep up loses its oldest notes, which are
//! counted; the reply is never lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::protocol::Message;

use super::fault::Fault;
use super::inquiry::Inquiry;

/// Notes kept for a reader that does not keep up. A tool that reports a hundred steps a second is ten times over
/// what any interface draws; two seconds of that are kept.
pub const MAX_NOTES: usize = 256;
/// Bytes of notes kept, for servers whose notes are large.
pub const MAX_NOTE_BYTES: usize = 1024 * 1024;

/// What belongs to a call.
#[derive(Debug)]
pub enum Event {
    /// A notification that goes before the reply: progress, a log line, a change on a listen stream.
    Note(Message),
    /// The server wants to know something before it goes on.
    Question(Inquiry),
    /// The reply: a result or an error of the server. The last event.
    Reply(Message),
    /// There will be no reply. The last event.
    Failed(Fault),
}

#[derive(Debug, Default)]
struct State {
    notes: VecDeque<Message>,
    note_bytes: usize,
    questions: VecDeque<Inquiry>,
    dropped: u64,
    end: Option<Result<Message, Fault>>,
    waker: Option<Waker>,
}

/// The link's end.
#[derive(Clone, Debug)]
pub struct Sender(Arc<Mutex<State>>);

/// The call's end.
#[derive(Debug)]
pub struct Receiver(Arc<Mutex<State>>);

/// A fresh mailbox.
pub fn mailbox() -> (Sender, Receiver) {
    let state = Arc::new(Mutex::new(State::default()));
    (Sender(Arc::clone(&state)), Receiver(state))
}

impl Sender {
    /// Leaves a note. Returns how many older notes had to make room.
    pub fn note(&self, note: Message) -> u64 {
        let mut state = lock(&self.0);
        let dropped_before = state.dropped;
        state.note_bytes += note.text().len();
        state.notes.push_back(note);
        while state.notes.len() > MAX_NOTES || (state.note_bytes > MAX_NOTE_BYTES && state.notes.len() > 1) {
            if let Some(old) = state.notes.pop_front() {
                state.note_bytes -= old.text().len();
                state.dropped += 1;
            }
        }
        let dropped = state.dropped - dropped_before;
        wake(state);
        dropped
    }

    /// Leaves a question. It is never dropped for want of room: how many are open is bounded by its link. After the
    /// end nobody answers, and the question is refused.
    pub fn ask(&self, inquiry: Inquiry) {
        let mut state = lock(&self.0);
        if state.end.is_some() {
            drop(state);
            return drop(inquiry);
        }
        state.questions.push_back(inquiry);
        wake(state);
    }

    /// Leaves the reply, or says why there is none. The first one counts.
    pub fn finish(self, end: Result<Message, Fault>) {
        let mut state = lock(&self.0);
        if state.end.is_none() {
            state.end = Some(end);
        }
        wake(state);
    }
}

impl Receiver {
    /// The next event. After a `Reply` or `Failed` it waits for ever.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut state = lock(&self.0);
        if let Some(note) = state.notes.pop_front() {
            state.note_bytes -= note.text().len();
            return Poll::Ready(Event::Note(note));
        }
        if let Some(inquiry) = state.questions.pop_front() {
            return Poll::Ready(Event::Question(inquiry));
        }
        match state.end.take() {
            Some(Ok(reply)) => Poll::Ready(Event::Reply(reply)),
            Some(Err(fault)) => Poll::Ready(Event::Failed(fault)),
            None => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

fn wake(mut state: std::sync::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    // No code that can panic runs under the lock; a poisoned state would still be a whole one.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::ErrorKind;
    use crate::protocol::write;

    fn note(text: &str) -> Message {
        Message::parse(write::notification("n", Some(&format!("{{\"x\":\"{text}\"}}")))).unwrap()
    }

    async fn next(receiver: &mut Receiver) -> Event {
        std::future::poll_fn(|cx| receiver.poll_next(cx)).await
    }

    #[tokio::test]
    async fn notes_come_in_order_and_before_the_reply() {
        let (sender, mut receiver) = mailbox();
        sender.note(note("1"));
        sender.note(note("2"));
        sender.finish(Ok(
            Message::parse(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#)).unwrap()
        ));
        for expected in ["1", "2"] {
            let Event::Note(note) = next(&mut receiver).await else { panic!() };
            assert!(note.params().contains(expected));
        }
        assert!(matches!(next(&mut receiver).await, Event::Reply(_)));
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_the_end() {
        let (sender, mut receiver) = mailbox();
        let reader = tokio::spawn(async move { next(&mut receiver).await });
        tokio::task::yield_now().await;
        sender.finish(Err(Fault::unknown(ErrorKind::ServerFailed, "gone")));
        assert!(matches!(reader.await.unwrap(), Event::Failed(_)));
    }

    #[tokio::test]
    async fn a_slow_reader_loses_the_oldest_notes_and_no_reply() {
        let (sender, mut receiver) = mailbox();
        let dropped: u64 = (0..MAX_NOTES + 10).map(|n| sender.note(note(&n.to_string()))).sum();
        assert_eq!(dropped, 10);
        sender.finish(Err(Fault::unknown(ErrorKind::Timeout, "late")));
        let Event::Note(first) = next(&mut receiver).await else { panic!() };
        assert!(first.params().contains("\"10\""));
        for _ in 1..MAX_NOTES {
            assert!(matches!(next(&mut receiver).await, Event::Note(_)));
        }
        assert!(matches!(next(&mut receiver).await, Event::Failed(_)));
    }
}
