//! Trace context: `traceparent`, `tracestate` and `baggage`, in `_meta` (specification 2026-07-28, `basic/index`,
//! "OpenTelemetry trace context") and in HTTP headers (W3C Trace Context; W3C Baggage).
//!
//! Where the gateway makes no spans of a request, it passes on what it got; where it does, its span takes the caller's
//! place ([`Trace::go_on`]). What is malformed goes no further.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::message::Message;
use super::params::{Meta, Params, string_at};
use super::skim;
use super::traceparent::{SpanContext, TraceId};

/// The caller's place in its trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What the application adds.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Bytes of `tracestate` that are passed on: what W3C Trace Context §3.3.1.5 asks of everybody.
const MAX_STATE: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;
/// What a `traceparent` needs as a field, and most of what is ever added to it.
const FIELDS_ROOM: usize = 128;
/// Bytes of `baggage` that are passed on: W3C Baggage, "Limits".
const MAX_BAGGAGE: usize = 8192;

/// A caller's trace context, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which trace, if the caller is in one.
    pub id: Option<TraceId>,
    /// Whether it stands in the request's `_meta`, and so goes on there by itself.
    pub in_body: bool,
    parent: Option<Box<str>>,
    state: Option<Box<str>>,
    baggage: Option<Box<str>>,
}

impl Trace {
    /// The context of a request: that of its `_meta`, else that of its headers. Baggage needs no trace (W3C Baggage,
    /// "Abstract": it is defined apart from Trace Context).
    pub fn read(message: &Message, params: &Params, headers: &HeaderMap) -> Option<Box<Trace>> {
        let meta = params.meta.as_ref();
        if let Some(parent) = meta.and_then(|meta| string_at(message, &meta.traceparent))
            && let Some(id) = parse(&parent)
        {
            let state = meta.and_then(|meta| string_at(message, &meta.tracestate));
            let baggage = meta.and_then(|meta| string_at(message, &meta.baggage));
            return Some(Trace::new(Some((id, &parent)), state, baggage, true));
        }
        let outer = joined(headers, &BAGGAGE).filter(|baggage| is_baggage(baggage)).map(Cow::Owned);
        if let Some(parent) = only(headers, &TRACEPARENT)
            && let Some(id) = parse(parent)
        {
            let state = joined(headers, &TRACESTATE).map(Cow::Owned);
            return Some(Trace::new(Some((id, parent)), state, outer, false));
        }
        let inner = meta.and_then(|meta| string_at(message, &meta.baggage)).filter(|text| is_baggage(text));
        let in_body = inner.is_some();
        inner.or(outer).map(|baggage| Trace::new(None, None, Some(baggage), in_body))
    }

    fn new(
        parent: Option<(TraceId, &str)>,
        state: Option<Cow<'_, str>>,
        baggage: Option<Cow<'_, str>>,
        in_body: bool,
    ) -> Box<Trace> {
        let state = state.filter(|state| is_state(state)).map(|state| state.into());
        let baggage = baggage.filter(|baggage| is_baggage(baggage)).map(|baggage| baggage.into());
        let (id, parent) = parent.map(|(id, parent)| (id, parent.into())).unzip();
        Box::new(Trace { id, in_body, parent, state, baggage })
    }

    /// Where the caller is in its trace.
    pub fn context(&self) -> Option<SpanContext> {
        self.parent.as_deref().and_then(SpanContext::parse)
    }

    /// What vendors add.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// From here on the request is at `context`, in a trace that may begin with it. Whatever else came with it goes on.
    pub fn go_on(trace: &mut Option<Box<Trace>>, context: SpanContext) {
        let parent = Some(context.text().into_boxed_str());
        let trace = trace.get_or_insert_with(|| {
            Box::new(Trace { id: None, in_body: false, parent: None, state: None, baggage: None })
        });
        // What stands in the body gives way.
        (trace.id, trace.in_body, trace.parent) = (Some(context.trace), false, parent);
    }

    /// The headers that carry it.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        self.parts().into_iter().filter_map(move |(name, text)| Some((name, value(text?)?)))
    }

    /// The fields of `_meta` that carry it, JSON text without braces.
    pub fn fields(&self) -> String {
        let mut fields = String::with_capacity(FIELDS_ROOM);
        for (name, text) in self.parts() {
            let Some(text) = text else { continue };
            let comma = if fields.is_empty() { "" } else { "," };
            for piece in [comma, "\"", name.as_str(), "\":", &skim::quote(text)] {
                fields.push_str(piece);
            }
        }
        fields
    }

    fn parts(&self) -> [(HeaderName, Option<&str>); 3] {
        [
            (TRACEPARENT, self.parent.as_deref()),
            (TRACESTATE, self.state.as_deref()),
            (BAGGAGE, self.baggage.as_deref()),
        ]
    }
}

/// Which trace fields of a `_meta` do not go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfit {
    parent: bool,
    state: bool,
    baggage: bool,
}

impl Unfit {
    /// Looks at the fields of a message. A state without the parent that it belongs to means nothing.
    pub fn of(message: &Message, meta: &Meta) -> Unfit {
        let there = |span: &Option<skim::Span>| span.is_some();
        let parent = string_at(message, &meta.traceparent).is_some_and(|parent| parse(&parent).is_some());
        let state = string_at(message, &meta.tracestate).is_some_and(|state| is_state(&state));
        let baggage = string_at(message, &meta.baggage).is_some_and(|baggage| is_baggage(&baggage));
        Unfit {
            parent: there(&meta.traceparent) && !parent,
            state: there(&meta.tracestate) && !(state && parent),
            baggage: there(&meta.baggage) && !baggage,
        }
    }

    /// Whether the field `name` does not go on.
    pub fn drops(&self, name: &str) -> bool {
        match name {
            "traceparent" => self.parent,
            "tracestate" => self.state,
            "baggage" => self.baggage,
            _ => false,
        }
    }
}

/// Whether `name` is a field of `_meta` that carries trace context.
pub fn is_trace_field(name: &str) -> bool {
    matches!(name, "traceparent" | "tracestate" | "baggage")
}

/// The trace's id, if `text` is a `traceparent`.
pub fn parse(text: &str) -> Option<TraceId> {
    SpanContext::parse(text).map(|context| context.trace)
}

/// Where a client says in its headers that it is.
pub fn in_headers(headers: &HeaderMap) -> Option<SpanContext> {
    only(headers, &TRACEPARENT).and_then(SpanContext::parse)
}

/// Whether `text` is a `tracestate` (W3C Trace Context §3.3).
fn is_state(text: &str) -> bool {
    let key = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value = |byte: u8| matches!(byte, 0x20..=0x7E) && !matches!(byte, b',' | b'=');
    let member = |member: &str| {
        let Some((name, text)) = member.split_once('=') else { return false };
        (1..=256).contains(&name.len())
            && name.bytes().all(key)
            && text.len() <= 256
            && text.bytes().all(value)
    };
    let mut members =
        text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|m| !m.is_empty());
    text.len() <= MAX_STATE && members.clone().count() <= MAX_STATE_MEMBERS && members.all(member)
}

/// Whether `text` is a `baggage` (W3C Baggage, "Header Content").
fn is_baggage(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let octet = |byte: u8| matches!(byte, 0x21..=0x7E) && !matches!(byte, b'"' | b',' | b';' | b'\\');
    let pair = |pair: &str, bare: bool| {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t'])),
            None if bare => (pair.trim_matches([' ', '\t']), ""),
            None => return false,
        };
        !name.is_empty() && name.bytes().all(token) && value.bytes().all(octet)
    };
    let member = |member: &str| {
        let mut parts = member.split(';');
        parts.next().is_some_and(|first| pair(first, false)) && parts.all(|property| pair(property, true))
    };
    text.len() <= MAX_BAGGAGE && text.split(',').all(member)
}

/// A header that stands there once, as text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// A header that may be spread over several lines.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.join(","))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    fn read(meta: &str, headers: &[(HeaderName, &str)]) -> (Option<Box<Trace>>, Unfit) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{meta}}}}}"#);
        let message = Message::parse(Bytes::from(text)).unwrap();
        let params = Params::read(&message).unwrap();
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| {
            map.append(name.clone(), value.parse().unwrap());
        });
        (Trace::read(&message, &params, &map), Unfit::of(&message, params.meta.as_ref().unwrap()))
    }

    #[test]
    fn the_body_comes_before_the_headers_and_both_are_read() {
        let other = PARENT.replace("0af7", "ffff");
        let in_body = format!(r#"{{"traceparent":"{PARENT}","baggage":"a=1;p, b = 2"}}"#);
        let (trace, unfit) = read(&in_body, &[(TRACEPARENT, &other), (TRACESTATE, "x=y")]);
        let trace = trace.unwrap();
        assert_eq!(trace.id.unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(trace.in_body);
        assert_eq!(trace.fields(), format!(r#""traceparent":"{PARENT}","baggage":"a=1;p, b = 2""#));
        assert_eq!(unfit, Unfit::default());
        let lines = [(TRACEPARENT, PARENT), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")];
        let (trace, _) = read("{}", &lines);
        let headers: Vec<String> = trace
            .unwrap()
            .headers()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(headers, [format!("traceparent: {PARENT}"), "tracestate: a=1,b=2".to_owned()]);
    }

    #[test]
    fn baggage_needs_no_trace() {
        let (trace, unfit) = read(r#"{"baggage":"a=1","tracestate":"x=y"}"#, &[(BAGGAGE, "b=2")]);
        let trace = trace.unwrap();
        assert_eq!((trace.id, trace.in_body, trace.fields()), (None, true, r#""baggage":"a=1""#.to_owned()));
        assert!(unfit.drops("tracestate") && !unfit.drops("baggage"));
        let (trace, _) = read("{}", &[(BAGGAGE, "b=2"), (TRACESTATE, "x=y")]);
        let trace = trace.unwrap();
        assert_eq!((trace.in_body, trace.fields()), (false, r#""baggage":"b=2""#.to_owned()));
        assert!(read(r#"{"baggage":"no"}"#, &[(BAGGAGE, "no")]).0.is_none());
    }

    #[test]
    fn what_is_malformed_is_dropped() {
        for bad in [
            "",
            "00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
            let (trace, unfit) = read(&format!(r#"{{"traceparent":"{bad}","tracestate":"a=b"}}"#), &[]);
            assert!(trace.is_none() && unfit.drops("traceparent") && unfit.drops("tracestate"), "{bad}");
        }
        assert!(parse(&format!("01{}-more", &PARENT[2..])).is_some(), "a later version may say more");
        let (trace, unfit) =
            read(&format!(r#"{{"traceparent":"{PARENT}","tracestate":"no","baggage":7}}"#), &[]);
        assert_eq!(trace.unwrap().headers().count(), 1);
        assert!(unfit.drops("tracestate") && unfit.drops("baggage") && !unfit.drops("traceparent"));
        assert!(!is_state(&"a=b,".repeat(200)) && !is_baggage(&"a=b,".repeat(2100)) && !is_baggage("a=b c"));
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_readers(text in any::<String>()) {
            let _ = (parse(&text), is_state(&text), is_baggage(&text));
        }
    }
}
