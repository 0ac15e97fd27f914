use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use crate::base::{ErrorKind, Version};
use crate::config;
use crate::protocol::trace::{TRACEPARENT, Trace};
use crate::protocol::traceparent::SpanContext;
use crate::protocol::{Message, Params};
use crate::telemetry::{Outcome, Recorder};

use super::begin::RequestSpan;
use super::ended::{Ended, Ending, Transport, Upstream};
use super::otlp::{Resource, partly};
use super::pack::pack;
use super::pipeline::{Pipeline, pipeline};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
const MS: Duration = Duration::from_millis(1);

fn options() -> config::Traces {
    config::Traces {
        endpoint: "http://collector:4318/v1/traces".parse().unwrap(),
        headers: Vec::new(),
        ca_file: None,
        sample_ratio: config::Decimal::new(1.0).unwrap(),
        service_name: "front".to_owned(),
        resource: vec![("deployment.environment.name".to_owned(), "test".to_owned())],
        queue: 512,
        delay: MS,
        timeout: MS,
    }
}

/// A request with this `_meta` and these headers, begun with a share of those without a trace.
fn begun(
    share: f64,
    meta: &str,
    headers: &[&str],
) -> (Option<Box<RequestSpan>>, Option<Box<Trace>>, super::exporter::Queue) {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{meta}}}}}"#);
    let message = Message::parse(Bytes::from(text)).unwrap();
    let mut map = HeaderMap::new();
    headers.iter().for_each(|text| {
        map.append(TRACEPARENT, text.parse().unwrap());
    });
    let mut trace = Trace::read(&message, &Params::read(&message).unwrap(), &map);
    let (pipeline, queue) = made(share, 4);
    (RequestSpan::begin(pipeline, &mut trace, &map), trace, queue)
}

fn made(share: f64, queue: usize) -> (Arc<Pipeline>, super::exporter::Queue) {
    let sample_ratio = config::Decimal::new(share).unwrap();
    let (pipeline, queue) = pipeline(&config::Traces { sample_ratio, queue, ..options() });
    (Arc::new(pipeline), queue)
}

/// Where a request goes on, as its server sees it.
fn at(trace: Option<&Trace>) -> SpanContext {
    trace.and_then(Trace::context).expect("a trace")
}

fn ending() -> Ending<'static> {
    Ending {
        method: "tools/call",
        asked: "files__read",
        known: true,
        id: r#""a\"7""#,
        version: Version::parse("2026-07-28"),
        outcome: Outcome::Ok,
        code: 0,
        by: "",
        cache: "miss",
        server: "files",
        total: 9 * MS,
        upstream: Some(Upstream {
            name: "read",
            id: 41,
            version: Version::parse("2025-11-25").unwrap(),
            transport: Transport::Http(Some(("files.example", 8443))),
            after: 2 * MS,
            took: 6 * MS,
        }),
    }
}

fn spans(ended: Ended) -> Vec<Span> {
    let body = Resource::new(&options()).export(&[ended]);
    let mut all = ExportTraceServiceRequest::decode(body).unwrap().resource_spans;
    assert_eq!((all.len(), all[0].scope_spans.len()), (1, 1));
    std::mem::take(&mut all[0].scope_spans[0].spans)
}

/// An attribute as text; empty if it is not there.
fn attribute(span: &Span, name: &str) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|found| found.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn a_recorded_trace_goes_on_at_our_span() {
    for (meta, headers) in [
        (format!(r#"{{"traceparent":"{PARENT}","tracestate":"v=1","baggage":"a=1"}}"#), &[][..]),
        ("{}".to_owned(), &[PARENT]),
    ] {
        let (span, trace, _) = begun(0.0, &meta, headers);
        let (span, trace, caller) = (span.unwrap(), trace.unwrap(), SpanContext::parse(PARENT).unwrap());
        let on = at(Some(&trace));
        assert_eq!((on.trace, on.span, on.is_sampled()), (caller.trace, span.client, true));
        assert_ne!((on.span, span.server), (caller.span, span.client));
        assert!(!trace.in_body, "what stands in the body must give way");
        if headers.is_empty() {
            let expected = format!(r#""traceparent":"{on}","tracestate":"v=1","baggage":"a=1""#);
            assert_eq!(trace.fields(), expected, "what came beside it goes on");
        }
    }
}

#[test]
fn a_trace_that_is_not_recorded_goes_on_as_it_came() {
    let unsampled = PARENT.replace("-01", "-00");
    let (span, trace, _) = begun(1.0, &format!(r#"{{"traceparent":"{unsampled}"}}"#), &[]);
    let trace = trace.unwrap();
    assert!(span.is_none() && trace.in_body);
    assert_eq!(trace.fields(), format!(r#""traceparent":"{unsampled}""#));
}

#[test]
fn a_request_without_a_trace_begins_one_and_its_server_hears_whether_it_is_recorded() {
    let (span, trace, _) = begun(1.0, r#"{"traceparent":"bad","baggage":"a=1"}"#, &[]);
    let (span, on) = (span.unwrap(), at(trace.as_deref()));
    assert_eq!((span.parent, on.span, on.flags), (None, span.client, 3));
    assert!(trace.unwrap().fields().ends_with(r#","baggage":"a=1""#));
    let (span, trace, _) = begun(0.0, "{}", &[]);
    assert!(span.is_none());
    assert_eq!(at(trace.as_deref()).flags, 2);
    assert_ne!(at(begun(0.0, "{}", &[]).1.as_deref()).trace, at(trace.as_deref()).trace);
}

#[test]
fn a_call_is_two_spans_by_the_conventions() {
    let other = "00-11111111111111111111111111111111-2222222222222222-00";
    let (span, _, _) = begun(0.0, &format!(r#"{{"traceparent":"{PARENT}","tracestate":"v=1"}}"#), &[other]);
    let span = span.unwrap();
    let made = spans(pack(&span, &ending()));
    let [served, sent] = &made[..] else { panic!("{made:?}") };
    let caller = SpanContext::parse(PARENT).unwrap();
    assert_eq!((served.kind(), sent.kind()), (SpanKind::Server, SpanKind::Client));
    assert_eq!((&*served.name, &*sent.name), ("tools/call files__read", "tools/call read"));
    for one in &made {
        assert_eq!((&one.trace_id[..], &*one.trace_state), (&caller.trace.bytes()[..], "v=1"));
        assert_eq!(one.status, None);
        for (name, value) in [
            ("mcp.method.name", "tools/call"),
            ("gen_ai.operation.name", "execute_tool"),
            ("trunkline.server", "files"),
            ("trunkline.outcome", "ok"),
            ("error.type", ""),
            ("mcp.session.id", ""),
        ] {
            assert_eq!(attribute(one, name), value, "{name}");
        }
    }
    assert_eq!(served.parent_span_id, caller.span.bytes());
    assert_eq!((&served.span_id, &sent.span_id[..]), (&sent.parent_span_id, &span.client.bytes()[..]));
    // Bits 8 and 9: whether the parent is elsewhere is known, and it is.
    assert_eq!((served.flags, sent.flags), (0x301, 0x101));
    for (name, ours, theirs) in [
        ("gen_ai.tool.name", "files__read", "read"),
        ("jsonrpc.request.id", "a\"7", "41"),
        ("mcp.protocol.version", "2026-07-28", "2025-11-25"),
        ("network.transport", "tcp", "tcp"),
        ("server.address", "", "files.example"),
        ("server.port", "", "8443"),
        ("trunkline.cache", "miss", ""),
    ] {
        assert_eq!(
            (attribute(served, name), attribute(sent, name)),
            (ours.to_owned(), theirs.to_owned()),
            "{name}"
        );
    }
    let lasts = |span: &Span| span.end_time_unix_nano - span.start_time_unix_nano;
    assert_eq!((lasts(served), lasts(sent)), (9_000_000, 6_000_000));
    assert_eq!(sent.start_time_unix_nano - served.start_time_unix_nano, 2_000_000);
    let [link] = &served.links[..] else { panic!("{served:?}") };
    assert_eq!((&link.trace_id[..], &link.span_id[..]), (&[0x11; 16][..], &[0x22; 8][..]));
}

#[test]
fn an_error_is_told_by_its_code_or_by_what_went_wrong() {
    let failed = |outcome, code, by, note: fn(&RequestSpan)| {
        let (span, _, _) = begun(1.0, "{}", &[]);
        let span = span.unwrap();
        note(&span);
        let made = spans(pack(&span, &Ending { outcome, code, by, ..ending() }));
        let told = |span: &Span| {
            let status = span.status.clone().unwrap_or_default();
            let texts = ["error.type", "rpc.response.status_code"].map(|name| attribute(span, name));
            (status.code, status.message, texts.join(" "))
        };
        (told(&made[0]), told(&made[1]))
    };
    let nothing = |_: &RequestSpan| {};
    let error = |text: &str| (2, String::new(), text.to_owned());
    assert_eq!(
        failed(Outcome::UpstreamError, -32602, "", nothing),
        (error("-32602 -32602"), error("-32602 -32602"))
    );
    assert_eq!(
        failed(Outcome::Ok, 0, "", RequestSpan::tool_failed),
        (error("tool_error "), error("tool_error "))
    );
    // The gateway answers with a code; its server has answered nothing.
    let said = |text: &str| (2, "too late".to_owned(), text.to_owned());
    assert_eq!(
        failed(Outcome::Failed(ErrorKind::Timeout), -31504, "deadline", |span| span.failed("too late")),
        (said("-31504 -31504"), said("timeout "))
    );
    assert_eq!(
        failed(Outcome::Failed(ErrorKind::Cancelled), -31499, "disconnect", nothing),
        (error("cancelled "), error("cancelled "))
    );
}

#[test]
fn no_client_makes_up_names_of_spans_nor_texts_without_end() {
    let (span, _, _) = begun(1.0, "{}", &[]);
    let span = span.unwrap();
    let long = "ü".repeat(100_000);
    let unknown = Ending { asked: &long, known: false, upstream: None, ..ending() };
    let made = spans(pack(&span, &unknown));
    assert_eq!((made.len(), &*made[0].name), (1, "tools/call"));
    assert_eq!(attribute(&made[0], "gen_ai.tool.name"), "ü".repeat(512));
    let invented = Ending { method: &long, id: &long, server: &long, upstream: None, ..ending() };
    let made = spans(pack(&span, &invented));
    assert_eq!(made[0].name, "other");
    assert!(made[0].encoded_len() < 8_000, "{}", made[0].encoded_len());
}

#[test]
fn without_room_spans_are_counted_and_nobody_waits() {
    let (recorder, handle) = Recorder::new();
    metrics::with_local_recorder(&recorder, || {
        let (pipeline, mut queue) = made(1.0, 3);
        for _ in 0..5 {
            RequestSpan::begin(Arc::clone(&pipeline), &mut None, &HeaderMap::new()).unwrap().end(&ending());
        }
        assert_eq!(std::iter::from_fn(|| queue.queued.try_recv().ok()).count(), 3);
    });
    let text = handle.render();
    // Two requests of two spans each.
    assert!(text.contains("trunkline_trace_spans_total{outcome=\"queue_full\"} 4"), "{text}");
}

#[test]
fn what_a_collector_says_of_a_batch_is_read() {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess as Partial, ExportTraceServiceResponse as Response,
    };
    let read =
        |partial: Option<Partial>| partly(Response { partial_success: partial }.encode_to_vec().into());
    let said = |rejected_spans, text: &str| Some(Partial { rejected_spans, error_message: text.to_owned() });
    assert_eq!(read(None), None);
    assert_eq!(read(said(0, "")), None, "some collectors say nothing at length");
    assert_eq!(read(said(3, "too old")), Some((3, "too old".to_owned())));
    assert_eq!(read(said(0, "slow down")), Some((0, "slow down".to_owned())));
    assert_eq!(partly(Bytes::from_static(b"{}")), None);
}
