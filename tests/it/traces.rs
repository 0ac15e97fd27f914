//! Spans of requests: what hangs below what, from the client through the gateway to its server, and what they say.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::activity::activity;
use crate::support::collector::{attribute, hex};
use crate::support::wire;
use crate::support::{
    Backend, Collector, Gateway, Legacy, Modern, Pipe, eventually, over_http, scripted, text_of,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A client's span, as its `traceparent`.
fn caller(span: u64, flags: &str) -> String {
    format!("00-{TRACE}-{span:016x}-{flags}")
}

/// Calls a tool with this much more in `_meta` and these headers; the answer.
async fn call(gateway: &Gateway, modern: bool, tool: &str, meta: Value, headers: &[(&str, &str)]) -> Value {
    let params = json!({ "name": tool, "arguments": {}, "_meta": meta });
    let legacy;
    let (usual, body) = match modern {
        true => {
            let usual = vec![
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "tools/call"),
                ("mcp-name", tool),
            ];
            (usual, Modern::body(&json!("mine"), "tools/call", params))
        }
        false => {
            legacy = Legacy::open(gateway, "/mcp").await;
            let body = json!({ "jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": params });
            (vec![("mcp-session-id", legacy.session.as_str())], body)
        }
    };
    let all = [&usual[..], headers].concat();
    wire::post(gateway.address, "/mcp", &all, body.to_string()).await.whole().await.json()
}

/// The `traceparent` that a server found: in `_meta`, or in the headers.
fn found(answer: &Value) -> String {
    let told: Value = serde_json::from_str(&text_of(answer)).unwrap();
    let found = told["_meta"].get("traceparent").or(told.get("traceparent"));
    found.unwrap_or_else(|| panic!("no trace in {told}")).as_str().unwrap().to_owned()
}

/// The span of a kind below another.
async fn below(collector: &Collector, parent: &str, kind: SpanKind) -> Span {
    let what = format!("a {kind:?} span below {parent}");
    collector.span(&what, |span| hex(&span.parent_span_id) == parent && span.kind() == kind).await
}

#[tokio::test]
async fn a_call_hangs_below_its_clients_span_and_its_servers_below_the_call_in_both_eras() {
    let (old, new) = (
        Backend::start("scripted-server", &["--era", "legacy"]).await,
        Backend::start("scripted-server", &["--era", "modern"]).await,
    );
    let collector = Collector::start().await;
    let config = [
        scripted("pipe-old", &["--era", "legacy"]),
        scripted("pipe-new", &["--era", "modern"]),
        over_http("url-old", &old.url),
        over_http("url-new", &new.url),
        collector.section(),
        "sample_ratio = 0\nresource = [\"deployment.environment.name=test\"]\n".to_owned(),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let mut number = 1;
    for modern in [true, false] {
        for server in ["pipe-old", "pipe-new", "url-old", "url-new"] {
            for (in_body, tool) in [(true, "meta"), (false, "meta"), (true, "headers")] {
                if tool == "headers" && server.starts_with("pipe") {
                    continue;
                }
                number += 1;
                let parent = caller(number, "01");
                let (meta, headers) = match in_body {
                    true => (json!({ "traceparent": parent, "tracestate": "v=1" }), vec![]),
                    false => (json!({}), vec![("traceparent", &*parent), ("tracestate", "v=1")]),
                };
                let name = format!("{server}__{tool}");
                let told = found(&call(&gateway, modern, &name, meta, &headers).await);
                let served = below(&collector, &format!("{number:016x}"), SpanKind::Server).await;
                let sent = below(&collector, &hex(&served.span_id), SpanKind::Client).await;
                let at = format!("00-{TRACE}-{}-01", hex(&sent.span_id));
                assert_eq!(told, at, "{name}: the server is below the span that it was asked under");
                for span in [&served, &sent] {
                    assert_eq!((hex(&span.trace_id), &*span.trace_state), (TRACE.to_owned(), "v=1"));
                    assert!(span.start_time_unix_nano >= served.start_time_unix_nano);
                    assert!(span.end_time_unix_nano <= served.end_time_unix_nano);
                }
                assert_eq!(
                    (served.name, &*sent.name),
                    (format!("tools/call {name}"), &*format!("tools/call {tool}"))
                );
                let version = |era: bool| if era { "2026-07-28" } else { "2025-11-25" };
                assert_eq!(
                    attribute(&sent, "mcp.protocol.version"),
                    version(server.ends_with("new")),
                    "{name}"
                );
                let pipe = if server.starts_with("pipe") { "pipe" } else { "tcp" };
                assert_eq!(attribute(&sent, "network.transport"), pipe);
                assert_eq!(attribute(&sent, "server.address").is_empty(), pipe == "pipe");
            }
        }
    }
    // What a client says of itself, and what the gateway does.
    let export = collector.exports().remove(0);
    assert_eq!(export.line, "POST /v1/traces HTTP/1.1");
    assert!(export.headers.contains(&("content-type".to_owned(), "application/x-protobuf".to_owned())));
    let resource = export.request.resource_spans[0].resource.clone().unwrap();
    let names: Vec<&str> = resource.attributes.iter().map(|attribute| &*attribute.key).collect();
    for name in ["service.name", "service.version", "service.instance.id", "deployment.environment.name"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
}

#[tokio::test]
async fn who_brings_a_trace_decides_and_others_are_drawn() {
    let collector = Collector::start().await;
    let entry = scripted("s", &[]) + &collector.section();
    let gateway = Gateway::start(&(entry.clone() + "sample_ratio = 0\n")).await;
    for modern in [true, false] {
        // Not recorded: as it came, to the last letter.
        let unsampled = caller(1, "00");
        let told = call(&gateway, modern, "s__meta", json!({ "traceparent": unsampled }), &[]).await;
        assert_eq!(found(&told), unsampled);
        // Not drawn: its server hears so, and records nothing either.
        let told = found(&call(&gateway, modern, "s__meta", json!({}), &[]).await);
        assert!(told.starts_with("00-") && told.ends_with("-02"), "{told}");
        assert!(!told.contains(TRACE));
    }
    let told = found(&call(&gateway, true, "s__meta", json!({ "traceparent": caller(2, "01") }), &[]).await);
    let (_, span) = told[..52].rsplit_once('-').unwrap();
    collector.span("the call that is recorded", |found| hex(&found.span_id) == span).await;
    assert_eq!(collector.spans().len(), 2, "{:?}", collector.spans());

    // Everything: the trace begins here, and its row names it.
    let gateway = Gateway::start(&entry).await;
    let told = found(&call(&gateway, true, "s__meta", json!({}), &[]).await);
    assert!(told.ends_with("-03"), "{told}");
    let trace = &told[3..35];
    let served = |span: &Span| hex(&span.trace_id) == trace && span.kind() == SpanKind::Server;
    let served = collector.span("a trace that begins here", served).await;
    assert!(served.parent_span_id.is_empty());
    let row = eventually("the row", || async { activity(&gateway, &["--trace", trace]).pop() }).await;
    assert_eq!(row["tool"].as_str().or(row["name"].as_str()), Some("meta"), "{row}");
}

#[tokio::test]
async fn an_error_shows_where_it_arose() {
    let collector = Collector::start().await;
    let entry = scripted("s", &[]) + "call_timeout = \"300ms\"\n";
    let fragile = scripted("fragile", &[]);
    let slow = scripted("slow", &[])
        + "call_timeout = \"100ms\"\nbreaker = { failures = 1, open = \"10m\" }\nhealth_interval = \"none\"\n";
    let gateway = Gateway::start(&(entry + &fragile + &slow + &collector.section())).await;
    let mut number = 100;
    for modern in [true, false] {
        for (tool, status, ours, theirs) in [
            ("s__echo", 0, "", Some("")),
            ("s__fail", 2, "tool_error", Some("tool_error")),
            ("s__refuse", 2, "-32602", Some("-32602")),
            ("s__hang", 2, "-31504", Some("timeout")),
            ("s__nobody", 2, "-32602", None),
        ] {
            number += 1;
            let meta = json!({ "traceparent": caller(number, "01") });
            let answer = call(&gateway, modern, tool, meta, &[]).await;
            let served = below(&collector, &format!("{number:016x}"), SpanKind::Server).await;
            let told = served.status.clone().unwrap_or_default();
            assert_eq!((told.code, &*attribute(&served, "error.type")), (status, ours), "{tool} {served:?}");
            assert_eq!(attribute(&served, "jsonrpc.request.id"), "mine");
            let Some(theirs) = theirs else {
                assert_eq!(served.name, "tools/call", "nobody makes up names of spans");
                assert!(!told.message.is_empty());
                continue;
            };
            let sent = below(&collector, &hex(&served.span_id), SpanKind::Client).await;
            assert_eq!(attribute(&sent, "error.type"), theirs, "{tool}");
            // The gateway's own words are there; a server's are its business.
            let words = if ours == "-31504" { answer["error"]["message"].as_str().unwrap() } else { "" };
            assert_eq!(told.message, words, "{tool}");
        }
    }
    // A call that kills its server, and one that the breaker refuses: it asks nobody.
    call(&gateway, true, "fragile__crash", json!({ "traceparent": caller(200, "01") }), &[]).await;
    let served = below(&collector, &format!("{:016x}", 200), SpanKind::Server).await;
    let sent = below(&collector, &hex(&served.span_id), SpanKind::Client).await;
    assert_eq!(attribute(&sent, "error.type"), "server_failed");
    call(&gateway, true, "slow__hang", json!({ "traceparent": caller(201, "01") }), &[]).await;
    let answer = call(&gateway, true, "slow__echo", json!({ "traceparent": caller(202, "01") }), &[]).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("is not called for now"), "{answer}");
    let refused = format!("{:016x}", 202);
    let served = below(&collector, &refused, SpanKind::Server).await;
    assert_eq!(attribute(&served, "trunkline.outcome"), "unavailable");
    let asked = |span: &Span| span.parent_span_id == served.span_id;
    assert!(!collector.spans().iter().any(asked), "nobody was asked");
}

#[tokio::test]
async fn a_call_that_its_client_ends_says_who_ended_it() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&(scripted("s", &[]) + &collector.section())).await;
    // A modern client goes away.
    let params =
        json!({ "name": "s__hang", "_meta": { "traceparent": caller(1, "01"), "progressToken": 1 } });
    let body = Modern::body(&json!(1), "tools/call", params);
    let client = Modern::new(&gateway, "/mcp");
    let left = tokio::spawn(async move { client.post(&body).await.whole().await });
    gateway.in_flight(1).await;
    left.abort();
    let served = below(&collector, &format!("{:016x}", 1), SpanKind::Server).await;
    assert_eq!(attribute(&served, "error.type"), "cancelled");
    assert_eq!(attribute(&served, "trunkline.cancelled_by"), "disconnect");
    assert_eq!(attribute(&served, "rpc.response.status_code"), "", "nobody was answered");
    // A legacy client says that it does not want it any more.
    let client = Legacy::open(&gateway, "/mcp").await;
    let params = json!({ "name": "s__hang", "_meta": { "traceparent": caller(2, "01") } });
    let (asking, params) = (client.clone(), params.clone());
    let asked = tokio::spawn(async move { asking.request("tools/call", params).await });
    gateway.in_flight(1).await;
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    let served = below(&collector, &format!("{:016x}", 2), SpanKind::Server).await;
    assert_eq!(attribute(&served, "trunkline.cancelled_by"), "client");
    let sent = below(&collector, &hex(&served.span_id), SpanKind::Client).await;
    assert_eq!(attribute(&sent, "error.type"), "cancelled");
    drop(asked);
}

#[tokio::test]
async fn what_the_gateway_answers_itself_is_one_span() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&(scripted("s", &[]) + &collector.section())).await;
    let legacy = Legacy::open(&gateway, "/mcp").await;
    legacy.request("tools/list", json!({})).await;
    Modern::new(&gateway, "/mcp").request("server/discover", json!({})).await;
    for name in ["initialize", "tools/list", "server/discover"] {
        let served = collector.span(name, |span| span.name == name).await;
        assert_eq!((served.kind(), served.status.clone()), (SpanKind::Server, None), "{name}");
        let version = if name == "server/discover" { "2026-07-28" } else { "2025-11-25" };
        assert_eq!(attribute(&served, "mcp.protocol.version"), version, "{name}");
        assert!(!collector.spans().iter().any(|span| span.parent_span_id == served.span_id), "{name}");
    }
}

#[tokio::test]
async fn a_request_that_goes_on_with_a_parked_call_is_linked_to_it() {
    let collector = Collector::start().await;
    let entry = scripted("s", &["--era", "legacy"]) + "isolation = \"session\"\n";
    let gateway = Gateway::start(&(entry + &collector.section())).await;
    let client = Modern::new(&gateway, "/mcp");
    let ask = async |span: u64, more: Value| {
        let mut params = json!({ "name": "s__inquire", "arguments": { "text": "x" }, "_meta": {
            "traceparent": caller(span, "01"),
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        }});
        more.as_object().unwrap().iter().for_each(|(key, value)| params[key] = value.clone());
        client.post(&Modern::body(&json!(span), "tools/call", params)).await.whole().await.json()
    };
    let asked = ask(1, json!({})).await;
    let key = asked["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answers = json!({ key: { "action": "accept", "content": { "value": "v" } } });
    let state = asked["result"]["requestState"].clone();
    let done = ask(2, json!({ "requestState": state, "inputResponses": answers })).await;
    assert!(done["result"]["content"].is_array(), "{done}");
    let mut sent = Vec::new();
    for span in [1, 2] {
        let served = below(&collector, &format!("{span:016x}"), SpanKind::Server).await;
        sent.push(below(&collector, &hex(&served.span_id), SpanKind::Client).await);
    }
    assert!(sent[0].links.is_empty());
    assert_eq!(sent[1].links[0].span_id, sent[0].span_id, "{sent:?}");
}

#[tokio::test]
async fn a_reload_begins_and_ends_the_spans() {
    let collector = Collector::start().await;
    let entry = scripted("s", &[]);
    let gateway = Gateway::start(&entry).await;
    let reload = async |config: &str, is_on: &dyn Fn(&str) -> bool| {
        std::fs::write(gateway.folder().join("gateway.toml"), config).unwrap();
        gateway.signal(Signal::HUP);
        eventually("the reload holds", || async {
            let told =
                found(&call(&gateway, true, "s__meta", json!({ "traceparent": caller(7, "01") }), &[]).await);
            is_on(&told).then_some(told)
        })
        .await
    };
    let untouched = |told: &str| told == caller(7, "01");
    let told = found(&call(&gateway, true, "s__meta", json!({ "traceparent": caller(7, "01") }), &[]).await);
    assert!(untouched(&told), "without a collector nothing is another on the wire: {told}");
    let told = reload(&(entry.clone() + &collector.section()), &|told| !untouched(told)).await;
    collector.span("a span after the reload", |span| told.contains(&hex(&span.span_id))).await;
    reload(&entry, &untouched).await;
    assert!(!gateway.log().contains("wait for a restart: traces"), "{}", gateway.log());
}

#[tokio::test]
async fn a_client_on_pipes_is_told_apart() {
    let collector = Collector::start().await;
    let mut pipe = Pipe::own(&(scripted("s", &[]) + &collector.section()), &[]);
    let meta = json!({ "traceparent": caller(5, "01") });
    let params = json!({ "name": "s__echo", "arguments": {}, "_meta": meta });
    pipe.say(&Modern::body(&json!(1), "tools/call", params).to_string()).await;
    let served = below(&collector, &format!("{:016x}", 5), SpanKind::Server).await;
    assert_eq!(attribute(&served, "network.transport"), "pipe");
}
