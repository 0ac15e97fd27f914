//! Replacing our bytes of a message, and no others.

use bytes::{BufMut, Bytes, BytesMut};

use super::skim::Span;

/// What takes the place of a span.
#[derive(Clone, Debug)]
pub enum Patch {
    /// These bytes.
    Bytes(Bytes),
    /// The number that the link mints when the message leaves: its request id, or the progress token that is equal
    /// to it.
    Minted,
}

/// A message with edits that have yet to be carried out. An insertion is an edit of an empty span.
#[derive(Clone, Debug)]
pub struct Splice {
    text: Bytes,
    edits: Vec<(Span, Patch)>,
}

/// Edits of an ordinary call: id, name, progress token, and one to spare.
const USUAL_EDITS: usize = 4;

impl Splice {
    /// A splice of `text` without edits.
    pub fn new(text: Bytes) -> Splice {
        Splice { text, edits: Vec::with_capacity(USUAL_EDITS) }
    }

    /// Replaces `span` by `patch`. Edits may come in any order but must not overlap; of two at one place the first
    /// given comes first.
    pub fn edit(&mut self, span: Span, patch: Patch) {
        let at = self.edits.partition_point(|(other, _)| (other.start, other.end) <= (span.start, span.end));
        self.edits.insert(at, (span, patch));
    }

    /// Replaces `span` by `bytes`.
    pub fn replace(&mut self, span: Span, bytes: impl Into<Bytes>) {
        self.edit(span, Patch::Bytes(bytes.into()));
    }

    /// Inserts `bytes` before the byte at `at`.
    pub fn insert(&mut self, at: usize, bytes: impl Into<Bytes>) {
        self.replace(at..at, bytes);
    }

    /// The most that [`Splice::write`] can append, in bytes.
    pub fn max_len(&self) -> usize {
        let added: usize = self.edits.iter().map(|(_, patch)| patch.max_len()).sum();
        self.text.len() + added
    }

    /// Appends the edited message to `out`, with `minted` where the link's number belongs.
    pub fn write(&self, minted: u64, out: &mut BytesMut) {
        out.reserve(self.max_len());
        let mut done = 0;
        for (span, patch) in &self.edits {
            out.put_slice(&self.text[done..span.start]);
            match patch {
                Patch::Bytes(bytes) => out.put_slice(bytes),
                Patch::Minted => put_number(minted, out),
            }
            done = span.end;
        }
        out.put_slice(&self.text[done..]);
    }

    /// The edited message on its own.
    pub fn to_bytes(&self, minted: u64) -> Bytes {
        let mut out = BytesMut::new();
        self.write(minted, &mut out);
        out.freeze()
    }
}

/// Digits of the largest `u64`.
const MAX_DIGITS: usize = 20;

impl Patch {
    fn max_len(&self) -> usize {
        match self {
            Patch::Bytes(bytes) => bytes.len(),
            Patch::Minted => MAX_DIGITS,
        }
    }
}

/// Appends `number` in decimal, without an allocation.
pub fn put_number(mut number: u64, out: &mut BytesMut) {
    let mut digits = [0u8; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// Blanks out raw line feeds and carriage returns in place. In well-formed JSON they stand between tokens only, so
/// the message means the same, and fits on one line of a pipe or of an event stream.
pub fn onto_one_line(text: &mut [u8]) {
    for at in memchr::memchr2_iter(b'\n', b'\r', text).collect::<Vec<_>>() {
        text[at] = b' ';
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_named_bytes_change() {
        let text = Bytes::from_static(br#"{ "id" : "a", "x":1, "name":"s__t"}"#);
        let mut splice = Splice::new(text);
        splice.replace(28..34, Bytes::from_static(b"\"t\""));
        splice.edit(9..12, Patch::Minted);
        splice.insert(1, Bytes::from_static(b"!"));
        assert_eq!(
            splice.to_bytes(18_446_744_073_709_551_615),
            br#"{! "id" : 18446744073709551615, "x":1, "name":"t"}"#[..]
        );
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for number in [0, 9, 10, 1_234_567, u64::MAX] {
            let mut out = BytesMut::new();
            put_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn without_edits_the_bytes_are_the_same(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Splice::new(Bytes::from(text.clone())).to_bytes(0), Bytes::from(text));
        }

        #[test]
        fn an_edit_leaves_what_stands_before_and_behind(
            before in "[a-z]{0,20}", old in "[A-Z]{0,20}", new in "[0-9]{0,20}", behind in "[a-z]{0,20}",
        ) {
            let mut splice = Splice::new(Bytes::from(format!("{before}{old}{behind}")));
            splice.replace(before.len()..before.len() + old.len(), Bytes::from(new.clone()));
            prop_assert_eq!(splice.to_bytes(0), Bytes::from(format!("{before}{new}{behind}")));
        }
    }
}
