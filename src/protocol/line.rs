//! Line framing for pipes: one message a line, with a cap.

use bytes::{Bytes, BytesMut};

/// A line longer than the cap. The link that reads it cannot know where the next message starts, and ends.
#[derive(Debug, thiserror::Error)]
#[error("a line is longer than {cap} bytes")]
pub struct LineTooLong {
    /// The cap in bytes.
    pub cap: usize,
}

/// Cuts a byte stream into lines. Bytes go in through [`LineBuffer::buffer`], lines come out of
/// [`LineBuffer::next_line`] without being copied.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: BytesMut,
    searched: usize,
    cap: usize,
    skipping: bool,
}

impl LineBuffer {
    /// A buffer for lines of at most `cap` bytes, the line feed not counted.
    pub fn new(cap: usize) -> LineBuffer {
        LineBuffer { bytes: BytesMut::new(), searched: 0, cap, skipping: false }
    }

    /// Where the next bytes are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Gives up the line that was too long: what is still to come of it is thrown away. Only for a reader who knows
    /// that a line feed begins a new message whatever stood before it.
    pub fn skip(&mut self) {
        // A line that had ended is out of the buffer already.
        if self.searched > 0 {
            self.bytes.clear();
            self.searched = 0;
            self.skipping = true;
        }
    }

    /// The next whole line without its line ending, `None` until there is one. Empty lines are skipped.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        if self.skipping {
            match memchr::memchr(b'\n', &self.bytes) {
                Some(at) => {
                    let _ = self.bytes.split_to(at + 1);
                    self.skipping = false;
                }
                None => {
                    self.bytes.clear();
                    return Ok(None);
                }
            }
        }
        loop {
            match memchr::memchr(b'\n', &self.bytes[self.searched..]) {
                Some(at) => {
                    let mut line = self.bytes.split_to(self.searched + at + 1);
                    self.searched = 0;
                    line.truncate(line.len() - 1);
                    if line.last() == Some(&b'\r') {
                        line.truncate(line.len() - 1);
                    }
                    if line.len() > self.cap {
                        return Err(LineTooLong { cap: self.cap });
                    }
                    if !line.is_empty() {
                        return Ok(Some(line.freeze()));
                    }
                }
                None => {
                    self.searched = self.bytes.len();
                    // A carriage return at the end may belong to the line ending.
                    let ending = usize::from(self.bytes.last() == Some(&b'\r'));
                    if self.searched - ending > self.cap {
                        return Err(LineTooLong { cap: self.cap });
                    }
                    return Ok(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]], cap: usize) -> Result<Vec<Bytes>, LineTooLong> {
        let mut buffer = LineBuffer::new(cap);
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.buffer().extend_from_slice(chunk);
            while let Some(line) = buffer.next_line()? {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    #[test]
    fn lines_come_out_whole_however_they_were_cut() {
        let cut: &[&[u8]] = &[b"on", b"e\ntw", b"o\r\n\n\r\nthr", b"ee\nrest"];
        assert_eq!(lines(cut, 10).unwrap(), ["one", "two", "three"]);
    }

    #[test]
    fn a_line_over_the_cap_is_refused_whether_it_ends_or_not() {
        assert!(lines(&[b"12345\n"], 5).is_ok());
        assert!(lines(&[b"123456\n"], 5).is_err());
        assert!(lines(&[b"123", b"456"], 5).is_err());
        assert_eq!(lines(&[b"12345\r", b"\n"], 5).unwrap(), ["12345"]);
    }

    #[test]
    fn a_line_that_is_given_up_costs_the_next_one_nothing() {
        for chunks in [
            &[&b"123456"[..], b"789\nnext\n"][..],
            &[b"123456\nnext\n"],
            &[b"123456", b"", b"7", b"\nnext\n"],
        ] {
            let mut buffer = LineBuffer::new(5);
            let mut seen = Vec::new();
            for chunk in chunks {
                buffer.buffer().extend_from_slice(chunk);
                loop {
                    match buffer.next_line() {
                        Ok(Some(line)) => seen.push(line),
                        Ok(None) => break,
                        Err(_) => buffer.skip(),
                    }
                }
            }
            assert_eq!(seen, ["next"], "{chunks:?}");
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(parts in proptest::collection::vec("[a-z]{1,9}", 1..20), cut in 1usize..7) {
            let text = parts.join("\n") + "\n";
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(lines(&chunks, 9).unwrap(), parts);
        }
    }
}
