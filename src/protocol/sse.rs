//! Server-sent events (WHATWG HTML, "Server-sent events"): writing ours, reading a server's.

use bytes::{BufMut, Bytes, BytesMut};

use super::splice::onto_one_line;

/// A comment, which keeps a silent stream open and means nothing.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// One `message` event that carries `data`, with an event id if the stream can be resumed.
pub fn event(id: Option<&str>, data: &[&[u8]]) -> Bytes {
    let length: usize = data.iter().map(|part| part.len()).sum();
    let mut out = BytesMut::with_capacity(length + id.map_or(0, str::len) + 16);
    if let Some(id) = id {
        out.put_slice(b"id: ");
        out.put_slice(id.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_slice(b"data: ");
    let start = out.len();
    for part in data {
        out.put_slice(part);
    }
    onto_one_line(&mut out[start..]);
    out.put_slice(b"\n\n");
    out.freeze()
}

/// An event that carries an id and no data, by which a client can come back to a stream on which nothing has been said
/// yet, and after how many milliseconds it should (2025-11-25, `basic/transports`).
pub fn priming(id: &str, retry: u64) -> Bytes {
    Bytes::from(format!("id: {id}\nretry: {retry}\ndata: \n\n"))
}

/// An event of another name than `message`; `data` is one line.
pub fn named(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// After how many milliseconds a client should come back to a stream that is about to be closed.
pub fn retry(retry: u64) -> Bytes {
    Bytes::from(format!("retry: {retry}\n\n"))
}

/// A comment, for whoever looks at the stream; `text` is one line.
pub fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {text}\n\n"))
}

/// An event as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; empty means `message`.
    pub name: String,
    /// The `data` lines, joined by line feeds.
    pub data: Bytes,
    /// The `id` field, if the event had one.
    pub id: Option<String>,
    /// The `retry` field in milliseconds.
    pub retry: Option<u64>,
}

/// An event longer than the cap.
#[derive(Debug, thiserror::Error)]
#[error("a server-sent event is longer than {cap} bytes")]
pub struct EventTooLong {
    /// The cap in bytes.
    pub cap: usize,
}

/// Reads events from a byte stream that arrives in pieces. Line endings may be LF, CR LF or CR.
#[derive(Debug)]
pub struct Decoder {
    pending: BytesMut,
    searched: usize,
    after_cr: bool,
    at_start: bool,
    cap: usize,
    event: Partial,
}

#[derive(Debug, Default)]
struct Partial {
    name: String,
    data: BytesMut,
    has_data: bool,
    id: Option<String>,
    retry: Option<u64>,
}

impl Decoder {
    /// A decoder that refuses events of more than `cap` bytes of data.
    pub fn new(cap: usize) -> Decoder {
        Decoder {
            pending: BytesMut::new(),
            searched: 0,
            after_cr: false,
            at_start: true,
            cap,
            event: Partial::default(),
        }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// The next whole event, `None` until there is one. Events without data are reported only if they carry an id
    /// or a retry time, which a reader must remember.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLong> {
        while let Some(line) = self.next_line()? {
            if !line.is_empty() {
                self.field(&line)?;
                continue;
            }
            let done = std::mem::take(&mut self.event);
            if done.has_data || done.id.is_some() || done.retry.is_some() {
                let Partial { name, data, id, retry, .. } = done;
                return Ok(Some(Event { name, data: data.freeze(), id, retry }));
            }
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Result<Option<BytesMut>, EventTooLong> {
        if self.at_start {
            // The mark may come in pieces; nothing is looked for before it is known to be there or not.
            if self.pending.len() < BOM.len() && BOM.starts_with(&self.pending) {
                return Ok(None);
            }
            if self.pending.starts_with(BOM) {
                let _ = self.pending.split_to(BOM.len());
            }
            self.at_start = false;
        }
        if self.after_cr && !self.pending.is_empty() {
            if self.pending[0] == b'\n' {
                let _ = self.pending.split_to(1);
            }
            self.after_cr = false;
        }
        match memchr::memchr2(b'\n', b'\r', &self.pending[self.searched..]) {
            Some(at) => {
                let mut line = self.pending.split_to(self.searched + at + 1);
                self.searched = 0;
                self.after_cr = line.last() == Some(&b'\r');
                line.truncate(line.len() - 1);
                Ok(Some(line))
            }
            None => {
                self.searched = self.pending.len();
                if self.searched > self.cap { Err(EventTooLong { cap: self.cap }) } else { Ok(None) }
            }
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), EventTooLong> {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.event.has_data {
                    self.event.data.put_u8(b'\n');
                }
                self.event.has_data = true;
                self.event.data.put_slice(value);
                if self.event.data.len() > self.cap {
                    return Err(EventTooLong { cap: self.cap });
                }
            }
            b"event" => self.event.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.event.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" => self.event.retry = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()),
            _ => {}
        }
        Ok(())
    }
}

/// A byte order mark may open the stream.
const BOM: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::new(1000);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(event) = decoder.next_event().unwrap() {
                events.push(event);
            }
        }
        events
    }

    fn data(text: &str) -> Event {
        Event { data: Bytes::copy_from_slice(text.as_bytes()), ..Event::default() }
    }

    #[test]
    fn what_we_write_we_read_back_on_one_line() {
        let written = event(Some("7"), &[b"{\"a\":\n", b"1}"]);
        assert_eq!(written, "id: 7\ndata: {\"a\": 1}\n\n");
        assert_eq!(decode(&[&written]), [Event { id: Some("7".to_owned()), ..data("{\"a\": 1}") }]);
    }

    #[test]
    fn every_line_ending_and_comment_and_field_of_the_standard_is_read() {
        let stream = b"\xEF\xBB\xBF: hello\r\nevent: x\rdata:a\ndata: b\r\n\r\nid: 1\nretry: 250\n\n\n";
        let first = Event { name: "x".to_owned(), ..data("a\nb") };
        let second = Event { id: Some("1".to_owned()), retry: Some(250), ..Event::default() };
        assert_eq!(decode(&[stream]), [first, second]);
    }

    #[test]
    fn a_byte_order_mark_in_pieces_is_one() {
        for cut in 1..4 {
            let stream = b"\xEF\xBB\xBFdata: a\n\n";
            assert_eq!(decode(&[&stream[..cut], &stream[cut..]]), [data("a")], "{cut}");
        }
        assert_eq!(decode(&[b"d", b"ata: a\n\n"]), [data("a")]);
    }

    #[test]
    fn an_event_over_the_cap_is_refused_whether_its_line_ends_or_not() {
        let mut decoder = Decoder::new(5);
        decoder.push(b"data: 123456");
        assert!(decoder.next_event().is_err());
        let mut decoder = Decoder::new(9);
        decoder.push(b"data:1234\ndata:5678\ndata:9\n");
        assert!(decoder.next_event().is_err());
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(texts in proptest::collection::vec("[a-z{}:]{0,9}", 1..9), cut in 1usize..9,
                                    ending in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]) {
            let stream: String = texts.iter().map(|t| format!("data: {t}{ending}{ending}")).collect();
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();
            prop_assert_eq!(decode(&pieces), texts.iter().map(|t| data(t)).collect::<Vec<_>>());
        }
    }
}
