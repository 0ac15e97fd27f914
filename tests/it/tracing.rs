//! Trace context: carried on in the body and in headers, whichever way it came.

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, Legacy, Modern, over_http, scripted, text_of};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// What a server on pipes, and one behind a URL, find of the trace of a call: in `_meta`, and in headers.
async fn found(gateway: &Gateway, meta: Value, headers: &[(&str, &str)]) -> Vec<(Value, Value)> {
    let mut found = Vec::new();
    let legacy = Legacy::open(gateway, "/mcp").await;
    for modern in [true, false] {
        for server in ["pipe-old", "pipe-new", "url-old", "url-new"] {
            let call = async |tool: &str| {
                let name = format!("{server}__{tool}");
                let params = json!({ "name": name, "arguments": {}, "_meta": meta });
                let answer = if modern {
                    let usual = [
                        ("mcp-protocol-version", "2026-07-28"),
                        ("mcp-method", "tools/call"),
                        ("mcp-name", &name),
                    ];
                    let body = Modern::body(&json!(1), "tools/call", params).to_string();
                    Modern::new(gateway, "/mcp")
                        .with_headers(&[&usual[..], headers].concat(), body)
                        .await
                        .whole()
                        .await
                } else {
                    let session = [("mcp-session-id", legacy.session.as_str())];
                    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
                    crate::support::wire::post(
                        gateway.address,
                        "/mcp",
                        &[&session[..], headers].concat(),
                        body.to_string(),
                    )
                    .await
                    .whole()
                    .await
                };
                serde_json::from_str::<Value>(&text_of(&answer.json())).unwrap()
            };
            let in_meta = call("meta").await["_meta"].clone();
            let in_headers = if server.starts_with("url") { call("headers").await } else { Value::Null };
            found.push((in_meta, in_headers));
        }
    }
    found
}

#[tokio::test]
async fn a_trace_is_carried_on_in_the_body_and_in_headers_whichever_way_it_came() {
    let old = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let new = Backend::start("scripted-server", &["--era", "modern"]).await;
    let config = scripted("pipe-old", &["--era", "legacy"])
        + &scripted("pipe-new", &["--era", "modern"])
        + &over_http("url-old", &old.url)
        + &over_http("url-new", &new.url);
    let gateway = Gateway::start(&config).await;
    let headers = [("traceparent", PARENT), ("tracestate", "a=b"), ("baggage", "k=v")];
    let meta = json!({ "traceparent": PARENT, "tracestate": "a=b", "baggage": "k=v", "kept": 1 });
    for (meta, headers) in [(json!({ "kept": 1 }), &headers[..]), (meta, &[])] {
        for (in_meta, in_headers) in found(&gateway, meta.clone(), headers).await {
            assert_eq!(in_meta["kept"], 1);
            for (name, value) in [("traceparent", PARENT), ("tracestate", "a=b"), ("baggage", "k=v")] {
                assert_eq!(in_meta[name], value, "{name} {in_meta}");
                assert!(in_headers.is_null() || in_headers[name] == value, "{name} {in_headers}");
            }
        }
    }
    // What is malformed goes nowhere, and takes nothing with it. Baggage needs no trace.
    let meta = json!({ "kept": 1, "traceparent": "00-0-0-0", "tracestate": "a=b", "other": 2 });
    for (in_meta, in_headers) in found(&gateway, meta, &[("traceparent", "x"), ("baggage", "k=v")]).await {
        assert_eq!((&in_meta["kept"], &in_meta["other"]), (&json!(1), &json!(2)), "{in_meta}");
        assert_eq!(in_meta["baggage"], "k=v", "{in_meta}");
        assert!(in_headers.is_null() || in_headers["baggage"] == "k=v", "{in_headers}");
        for name in ["traceparent", "tracestate"] {
            assert!(
                in_meta.get(name).is_none() && in_headers.get(name).is_none(),
                "{name} {in_meta} {in_headers}"
            );
        }
    }
}
