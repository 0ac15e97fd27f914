//! Bytes from a socket, cut into replies. Pure: it never touches the socket.

use std::ops::Range;

use memchr::memmem;

use super::head::{Framing, Head, parse_head};

/// Free room offered to each read.
const READ_ROOM: usize = 16 * 1024;
/// The longest reply accepted.
const MAX_REPLY: usize = 16 * 1024 * 1024;

/// One connection's incoming bytes.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    used: usize,
    taken: usize,
    body: Range<usize>,
    chunks: Vec<u8>,
    /// The last head in full; a head with the same bytes means the same.
    last: Option<(Vec<u8>, Head)>,
}

/// A complete reply.
#[derive(Debug)]
pub struct Received<'a> {
    /// Its head.
    pub head: &'a Head,
    /// Its body, without chunk framing.
    pub body: &'a [u8],
}

impl Inbox {
    /// Room for the next read.
    pub fn room(&mut self) -> &mut [u8] {
        if self.taken > 0 {
            self.bytes.copy_within(self.taken..self.used, 0);
            self.used -= self.taken;
            self.taken = 0;
        }
        if self.bytes.len() - self.used < READ_ROOM {
            self.bytes.resize(self.used + READ_ROOM, 0);
        }
        &mut self.bytes[self.used..]
    }

    /// Says how much of the room was filled.
    pub fn filled(&mut self, count: usize) {
        self.used += count;
    }

    /// Whether every byte that came belongs to a reply that was taken.
    pub fn is_empty(&self) -> bool {
        self.used == self.taken
    }

    /// The head of the reply that is arriving.
    pub fn head(&mut self) -> Result<Option<&Head>, String> {
        let bytes = &self.bytes[self.taken..self.used];
        if !self.last.as_ref().is_some_and(|(known, _)| bytes.starts_with(known)) {
            let Some(head) = parse_head(bytes)? else {
                return Ok(None);
            };
            self.last = Some((bytes[..head.len].to_vec(), head));
        }
        Ok(self.last.as_ref().map(|(_, head)| head))
    }

    /// Takes the next reply if it is complete; [`Self::received`] then has it.
    pub fn take(&mut self) -> Result<bool, String> {
        let Some((len, framing)) = self.head()?.map(|head| (head.len, head.framing)) else {
            return Ok(false);
        };
        let start = self.taken + len;
        let rest = &self.bytes[start..self.used];
        let body_len = match framing {
            Framing::Length(length) => Some(length).filter(|length| *length <= rest.len()),
            Framing::Chunked => decode_chunks(rest, &mut self.chunks)?,
        };
        let Some(body_len) = body_len else {
            return if rest.len() > MAX_REPLY { Err("the reply has no end".into()) } else { Ok(false) };
        };
        self.taken = start + body_len;
        self.body = start..self.taken;
        Ok(true)
    }

    /// The reply taken last, until the next read.
    pub fn received(&self) -> Option<Received<'_>> {
        let (_, head) = self.last.as_ref()?;
        let body = match head.framing {
            Framing::Chunked => &self.chunks,
            Framing::Length(_) => self.bytes.get(self.body.clone())?,
        };
        Some(Received { head, body })
    }
}

/// Decodes a whole chunked body into `out`; its length on the wire, or `None` while it is incomplete.
fn decode_chunks(bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, String> {
    out.clear();
    let mut at = 0;
    loop {
        let Some(line) = memmem::find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = str::from_utf8(&bytes[at..at + line])
            .ok()
            .and_then(|text| {
                usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16).ok()
            })
            .filter(|size| *size <= MAX_REPLY)
            .ok_or("a chunk has no size")?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk is longer than its size".into());
        }
        out.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

/// The JSON messages of an event stream's body.
pub fn events(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"data:"))
        .map(<[u8]>::trim_ascii)
        .filter(|data| !data.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(inbox: &mut Inbox, bytes: &[u8]) {
        inbox.room()[..bytes.len()].copy_from_slice(bytes);
        inbox.filled(bytes.len());
    }

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\ndat\r\n5\r\na: 1\n\r\n0\r\n\r\n";

    #[test]
    fn a_reply_cut_anywhere_arrives_whole() {
        for (bytes, body) in [(PLAIN, b"body".as_slice()), (CHUNKED, b"data: 1\n".as_slice())] {
            for cut in 1..bytes.len() {
                let mut inbox = Inbox::default();
                feed(&mut inbox, &bytes[..cut]);
                assert!(!inbox.take().unwrap(), "cut at {cut}");
                feed(&mut inbox, &bytes[cut..]);
                assert!(inbox.take().unwrap());
                assert_eq!(inbox.received().unwrap().body, body);
                assert!(inbox.is_empty());
            }
        }
    }

    #[test]
    fn replies_follow_each_other_even_with_other_heads() {
        let mut inbox = Inbox::default();
        for bytes in [PLAIN, PLAIN, CHUNKED, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"] {
            feed(&mut inbox, bytes);
        }
        let mut seen = Vec::new();
        while inbox.take().unwrap() {
            let received = inbox.received().unwrap();
            seen.push((received.head.status, received.body.to_vec()));
        }
        assert_eq!(seen.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 200, 404]);
        assert_eq!(seen[1].1, b"body");
    }

    #[test]
    fn more_than_one_reply_shows() {
        let mut inbox = Inbox::default();
        feed(&mut inbox, PLAIN);
        feed(&mut inbox, b"HTTP");
        assert!(inbox.take().unwrap());
        assert!(!inbox.is_empty());
    }

    #[test]
    fn broken_chunks_are_refused() {
        let mut out = Vec::new();
        assert!(decode_chunks(b"zz\r\n", &mut out).is_err());
        assert!(decode_chunks(b"1\r\nabc\r\n", &mut out).is_err());
        assert!(decode_chunks(b"ffffffffffffffff\r\n", &mut out).is_err());
    }

    #[test]
    fn events_are_their_data_lines() {
        let body = b"id: 1\ndata:\n\nevent: message\r\ndata: {\"a\":1}\r\n\r\n: alive\n\ndata:{\"b\":2}\n\n";
        assert_eq!(events(body).collect::<Vec<_>>(), [b"{\"a\":1}".as_slice(), b"{\"b\":2}"]);
    }
}
