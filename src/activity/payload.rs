//! Payloads of calls that are kept beside their rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

/// What a call brought and what it was answered, as it is kept: cut to its size and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payload {
    /// The request's message.
    pub request: String,
    /// The reply's message.
    pub reply: String,
}

/// Bytes of payloads that may wait for the file. Beyond it rows go without theirs.
const WAITING: usize = 32 << 20;

/// What is left of `WAITING`.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A payload on its way, neither redacted nor whole; it holds its share of the room.
#[derive(Debug)]
pub(super) struct Waiting {
    pub request: Part,
    pub reply: Part,
    room: Room,
}

/// The beginning of a message.
#[derive(Debug)]
pub(super) struct Part {
    pub text: Box<str>,
    /// Whether there was more.
    pub cut: bool,
}

impl Room {
    /// Copies the beginnings of both messages; nothing if there is no room.
    pub fn take(&self, request: &str, reply: &str, cap: usize) -> Option<Box<Waiting>> {
        let (request, reply) = (part(request, cap), part(reply, cap));
        let bytes = request.text.len() + reply.text.len();
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > WAITING {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Box::new(Waiting { request, reply, room: self.clone() }))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.request.text.len() + self.reply.text.len(), Ordering::Relaxed);
    }
}

fn part(text: &str, cap: usize) -> Part {
    let end = text.floor_char_boundary(cap);
    Part { text: text.get(..end).unwrap_or_default().into(), cut: end < text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_cut_and_takes_room_while_it_waits() {
        let room = Room::default();
        let waiting = room.take("ünder", "x", 2).unwrap();
        assert_eq!((&*waiting.request.text, waiting.request.cut), ("ü", true));
        assert_eq!((&*waiting.reply.text, waiting.reply.cut), ("x", false));
        let large = "x".repeat(WAITING);
        assert!(room.take(&large, "", WAITING).is_none(), "three bytes are taken");
        drop(waiting);
        assert!(room.take(&large, "", WAITING).is_some());
    }
}
