//! What every parser that meets the outside promises for any input, one function each.
//!
//! The fuzz targets and `tests/corpus.rs` share this file: what a fuzzer has found is replayed by `cargo test`. Each
//! function panics when its promise is broken, and does nothing else.

use bytes::Bytes;
use serde_json::value::RawValue;
use trunkline::base::{Era, Error, ErrorKind, SealKey};
use trunkline::protocol::line::LineBuffer;
use trunkline::protocol::sse::{Decoder, Event};
use trunkline::protocol::{
    ClientCapabilities, Kind, Message, MessageError, Params, Patch, RawId, Span, Splice, header, params,
    skim, sse, translate, write,
};
use trunkline::session::{Facts, Position};

/// A message that is taken is JSON, gives back its own bytes, and can be given another id without any other change.
pub fn message(data: &[u8]) {
    let text = Bytes::copy_from_slice(data);
    let message = match Message::parse(text.clone()) {
        Ok(message) => message,
        Err(MessageError::Syntax(_) | MessageError::Invalid { id: None, .. }) => return,
        Err(MessageError::Invalid { id: Some(id), .. }) => {
            let answer = write::error(Some(&id), &Error::new(ErrorKind::InvalidRequest, "no"), Era::Modern);
            assert_eq!(Message::parse(answer).map(|answer| answer.id()).ok(), Some(Some(id)));
            return;
        }
    };
    assert!(is_json(data), "what is no JSON must not pass");
    assert_eq!(message.text(), &text);
    assert_eq!(Splice::new(text.clone()).to_bytes(0), text, "without edits nothing changes");
    match message.kind() {
        Kind::Request => assert!(message.id().is_some() && message.method_span().is_some()),
        Kind::Notification => assert!(message.id().is_none() && message.method_span().is_some()),
        Kind::Result => assert!(message.id().is_some() && message.method_span().is_none()),
        Kind::Error => assert!(message.method_span().is_none()),
    }
    if let Some(span) = message.id_span() {
        let mut splice = Splice::new(text.clone());
        splice.edit(span.clone(), Patch::Minted);
        let Ok(edited) = Message::parse(splice.to_bytes(MINTED)) else {
            panic!("another id makes no other message")
        };
        assert_eq!(edited.id(), Some(RawId::from_number(MINTED)));
        assert_eq!((edited.kind(), edited.method()), (message.kind(), message.method()));
        assert_eq!((edited.params(), edited.payload()), (message.params(), message.payload()));
        let at = edited.id_span().unwrap_or_default();
        assert_eq!(edited.text()[..at.start], text[..span.start]);
        assert_eq!(edited.text()[at.end..], text[span.end..]);
    }
}

/// The places of routed fields are places of JSON values inside `params`.
pub fn params(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data)) else { return };
    let Ok(params) = Params::read(&message) else { return };
    let Some(whole) = params.span.clone() else { return };
    let top = [
        &params.name,
        &params.uri,
        &params.reference,
        &params.cursor,
        &params.request_id,
        &params.progress_token,
        &params.level,
        &params.notifications,
        &params.request_state,
    ];
    for span in top {
        check_place(&message, span, &whole);
        let _ = params::string_at(&message, span);
    }
    if let Some(meta) = params.meta {
        check_place(&message, &Some(meta.span.clone()), &whole);
        let fields = [
            &meta.protocol_version,
            &meta.client_capabilities,
            &meta.client_info,
            &meta.log_level,
            &meta.progress_token,
            &meta.subscription_id,
        ];
        for span in fields {
            check_place(&message, span, &meta.span);
        }
        if let Some(span) = meta.client_capabilities {
            let declared = ClientCapabilities::read(&message.as_str()[span]);
            assert_eq!(ClientCapabilities::read(&declared.to_json()), declared);
        }
    }
}

/// Lines come out whole and in order however the stream is cut; only a line over the cap ends it. The first byte is
/// the cap, the second the size of the pieces.
pub fn line(data: &[u8]) {
    let [cap, piece, stream @ ..] = data else { return };
    let cap = usize::from(*cap);
    let mut buffer = LineBuffer::new(cap);
    let mut read = Vec::new();
    let mut refused = false;
    'pieces: for piece in stream.chunks(usize::from(*piece).max(1)) {
        buffer.buffer().extend_from_slice(piece);
        loop {
            match buffer.next_line() {
                Ok(Some(line)) => read.push(line),
                Ok(None) => break,
                Err(_) => {
                    refused = true;
                    break 'pieces;
                }
            }
        }
    }
    let whole: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    let bare = |line: &&[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    let ended = whole.split_last().map_or(&[][..], |(_, ended)| ended);
    let expected: Vec<Vec<u8>> = ended.iter().map(bare).filter(|line| !line.is_empty()).collect();
    if refused {
        assert!(whole.iter().any(|line| line.len() > cap), "a line within the cap was refused");
        assert!(expected.len() >= read.len());
    } else {
        assert!(expected.iter().all(|line| line.len() <= cap), "a line over the cap was let through");
        assert_eq!(read.len(), expected.len());
    }
    assert!(read.iter().zip(&expected).all(|(read, expected)| read == expected));
}

/// Events do not depend on how the stream is cut, and what we write we read back. The first byte is the size of the
/// pieces.
pub fn sse(data: &[u8]) {
    let [piece, stream @ ..] = data else { return };
    for cap in [16, 1 << 20] {
        let whole = events(stream, stream.len().max(1), cap);
        // In pieces, a line over the cap is seen before its end; otherwise the events are the same.
        if let Some(pieces) = events(stream, usize::from(*piece).max(1), cap) {
            assert_eq!(whole, Some(pieces));
        }
    }
    let written = sse::event(None, &[stream]);
    let expected: Vec<u8> =
        stream.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
    let event = Event { data: Bytes::from(expected), ..Event::default() };
    assert_eq!(events(&written, usize::from(*piece).max(1), 1 << 20), Some(vec![event]));
}

fn events(stream: &[u8], piece: usize, cap: usize) -> Option<Vec<Event>> {
    let mut decoder = Decoder::new(cap);
    let mut events = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        while let Some(event) = decoder.next_event().ok()? {
            events.push(event);
        }
    }
    Some(events)
}

/// A header value that is decoded can be encoded and decoded again, and every text survives the way.
pub fn header(data: &[u8]) {
    let round = |text: &str| {
        let encoded = header::encode_value(text).into_owned();
        assert!(encoded.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7E)), "{encoded:?}");
        assert_eq!(header::decode_value(encoded.as_bytes()).as_deref(), Some(text));
    };
    if let Some(decoded) = header::decode_value(data) {
        round(&decoded);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        round(text);
    }
}

/// A result that is translated is a message still, and keeps every field that is not the other era's, byte for byte;
/// a request that is translated carries what its era requires.
pub fn translate(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data)) else { return };
    match message.kind() {
        Kind::Result => {
            let at = message.payload_span().unwrap_or(0..0);
            let before = fields(message.payload());
            for cacheable in [false, true] {
                let mut splice = Splice::new(message.text().clone());
                translate::result_to_modern(
                    &mut splice,
                    message.as_str(),
                    at.clone(),
                    SERVER_INFO,
                    cacheable,
                );
                let after = edited(&splice, &message);
                if let (Some(before), Some(after)) = (&before, fields(after.payload())) {
                    let kept: Vec<_> = after.iter().filter(|(key, _)| !is_modern(key)).collect();
                    assert_eq!(kept, before.iter().filter(|(key, _)| !is_modern(key)).collect::<Vec<_>>());
                    assert!(after.iter().any(|(key, _)| key == "resultType"));
                }
            }
            let mut splice = Splice::new(message.text().clone());
            translate::result_to_legacy(&mut splice, message.as_str(), at);
            let after = edited(&splice, &message);
            if let (Some(before), Some(after)) = (before, fields(after.payload())) {
                let gone = |key: &str| matches!(key, "resultType" | "ttlMs" | "cacheScope");
                assert_eq!(after, before.into_iter().filter(|(key, _)| !gone(key)).collect::<Vec<_>>());
            }
        }
        Kind::Request => {
            let Ok(params) = Params::read(&message) else { return };
            let mut splice = Splice::new(message.text().clone());
            let behind = message.method_span().map_or(0, |span| span.end + 1);
            let version = format!(r#""{}":"2026-07-28""#, params::key::PROTOCOL_VERSION);
            let carries = params.meta.as_ref().is_some_and(|meta| meta.is_modern());
            translate::request_to_modern(
                &mut splice,
                message.as_str(),
                &params,
                behind,
                (&version, ""),
                |_| false,
            );
            let after = edited(&splice, &message);
            if !carries {
                let Ok(read) = Params::read(&after) else { panic!("params can still be read") };
                assert!(read.meta.is_some_and(|meta| meta.protocol_version.is_some()));
            }
            let mut splice = Splice::new(message.text().clone());
            let none = ("", None);
            translate::meta(&mut splice, message.as_str(), &params, 0, none, translate::is_modern_field);
            let after = edited(&splice, &message);
            let Ok(read) = Params::read(&after) else { panic!("params can still be read") };
            assert!(!read.meta.as_ref().is_some_and(|meta| meta.is_modern()));
            let beside = |message: &Message| {
                fields(message.params())
                    .map(|fields| fields.into_iter().filter(|(key, _)| key != "_meta").collect::<Vec<_>>())
            };
            assert_eq!(beside(&after), beside(&message));
        }
        Kind::Notification | Kind::Error => {}
    }
}

fn edited(splice: &Splice, before: &Message) -> Message {
    let text = splice.to_bytes(0);
    assert!(is_json(&text), "a translation must leave JSON: {}", String::from_utf8_lossy(&text));
    let Ok(after) = Message::parse(text) else { panic!("a translation must leave a message") };
    assert_eq!((after.kind(), after.id()), (before.kind(), before.id()));
    after
}

fn is_modern(key: &str) -> bool {
    matches!(key, "resultType" | "ttlMs" | "cacheScope" | "_meta")
}

fn fields(object: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let walked = skim::each_field(object, |key, span| {
        found.push((key.to_owned(), object[span].to_owned()));
        Ok(())
    });
    walked.ok().map(|()| found)
}

/// Nobody without the key makes an id that opens; whatever is sealed as a session is read without harm, and what was
/// read can be sealed and read again.
pub fn seal(data: &[u8]) {
    let key = SealKey::from_bytes(&[7; 32]);
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(key.open(SESSION, text), None);
        assert!(Facts::open(text, &key).is_none());
    }
    assert_eq!(key.open(SESSION, &key.seal(SESSION, data)).as_deref(), Some(data));
    if let Some(facts) = Facts::open(&key.seal(SESSION, data), &key) {
        let again = Facts::open(&facts.seal(&key), &key);
        assert_eq!(again.as_ref().map(|facts| facts.version), Some(facts.version));
        assert_eq!(again.clone().and_then(|again| Facts::open(&again.seal(&key), &key)), again);
    }
}

/// Whether `payload` is read as a session: tells the replay that the purpose below is still the sessions' own.
pub fn is_a_session(payload: &[u8]) -> bool {
    let key = SealKey::from_bytes(&[7; 32]);
    Facts::open(&key.seal(SESSION, payload), &key).is_some()
}

/// What session ids are sealed for.
const SESSION: &[u8] = b"trunkline session v2";
/// A number as links mint them.
const MINTED: u64 = 4_503_599_627_370_497;
const SERVER_INFO: &str = r#"{"name":"s","version":"1"}"#;

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

fn check_place(message: &Message, span: &Option<Span>, inside: &Span) {
    let Some(span) = span else { return };
    assert!(inside.start <= span.start && span.end <= inside.end);
    assert!(is_json(message.as_str()[span.clone()].as_bytes()));
}

/// What is read from `Last-Event-ID` says the same when it is written again, and what it carries back to the client is an
/// id that may stand in a message.
pub fn event_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(position) = Position::read(text) else { return };
    assert_eq!(Position::read(&position.to_string()).as_ref(), Some(&position));
    if let Some(call) = &position.call {
        let answer = write::error(Some(call), &Error::new(ErrorKind::Timeout, "no"), Era::Legacy);
        assert_eq!(Message::parse(answer).map(|answer| answer.id()).ok(), Some(Some(call.clone())));
    }
}
