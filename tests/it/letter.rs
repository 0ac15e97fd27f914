//! The letter of the wire: ids, fields and numbers come and go as they were written, and nobody gets another's answer.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Gateway, Legacy, Modern, Reply, code_of, eventually, message_of, recorded, scripted, shell, text_of, wire,
};

/// The fields of a JSON object as they are spelt.
fn raw_fields(text: &str) -> HashMap<String, Box<RawValue>> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn raw_id(reply: &Reply) -> String {
    raw_fields(reply.text())["id"].get().to_owned()
}

fn echo(id: &str, message: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"s__echo","arguments":{{"message":"{message}"}}}}}}"#
    )
}

#[tokio::test]
async fn an_id_comes_back_byte_for_byte() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let ids = [
        "\"1\"",
        "1",
        "0",
        "-7",
        "9007199254740993",
        "123456789012345678901234567890",
        r#""\u0031\u00e9\/""#,
        "\"\"",
    ];
    for id in ids {
        let answered = client.raw(echo(id, id.trim_matches('"').replace('\\', "").as_str())).await;
        assert_eq!(raw_id(&answered), id, "a server's result");
        let listed = client.raw(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)).await;
        assert_eq!(raw_id(&listed), id, "the gateway's own result");
        let refused = client.raw(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"no/such"}}"#)).await;
        assert_eq!(raw_id(&refused), id, "an error");
        assert_eq!((refused.status, code_of(&refused.json())), (200, -32601));
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for id in ["null", "1.5", "1e3", "{}", "[1]", "true"] {
        let refused = client.raw(echo(id, "x")).await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, -32600), "{id}");
        assert!(message_of(&refused.json()).contains("\"id\""), "{}", refused.text());
        assert_eq!(refused.json().get("id").unwrap_or(&Value::Null), &Value::Null);
    }
    assert_eq!(client.text("s__echo", json!({ "message": "after" })).await, "after");
}

#[tokio::test]
async fn one_id_in_flight_twice_on_one_session_gets_both_answers_to_the_right_places() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.call("s__sleep", json!({ "ms": 300 })).await });
    for round in 0..20 {
        let message = round.to_string();
        assert_eq!(client.text("s__echo", json!({ "message": message })).await, message);
    }
    assert!(!slow.is_finished(), "it was in flight all the while");
    assert_eq!(text_of(&slow.await.unwrap()), "slept");
}

/// Forty calls at a time, over several sessions and eras, all under the same id and the same progress token.
#[tokio::test]
async fn equal_ids_and_equal_progress_tokens_never_cross() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &scripted("t", &["--era", "legacy"]))).await;
    let mut calls = JoinSet::new();
    for number in 1..=40_u64 {
        let server = if number % 2 == 0 { "s" } else { "t" };
        let token = if number % 3 == 0 { json!("same") } else { json!(7) };
        // The number of notes tells whose they are.
        let arguments = json!({ "notes": number, "ms": 2 });
        let params = json!({ "name": format!("{server}__stream"), "arguments": arguments, "_meta": { "progressToken": token } });
        let (legacy, modern) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp"));
        calls.spawn(async move {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params.clone() });
            let mut open = match number % 4 {
                0 => modern.post(&Modern::body(&json!(1), "tools/call", params)).await,
                _ => legacy.post(body.to_string()).await,
            };
            for step in 1..=number {
                let note = open.message().await.expect("a note");
                let expected = json!({ "progressToken": token, "progress": step, "total": number });
                assert_eq!((&note["method"], &note["params"]), (&json!("notifications/progress"), &expected));
            }
            let answer = open.message().await.expect("an answer");
            assert_eq!((&answer["id"], text_of(&answer)), (&json!(1), format!("{number} notes")));
            assert_eq!(open.event().await, None, "nothing comes after the answer");
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn two_hundred_interleaved_calls_of_one_session_all_get_their_own_answer() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let client = client.clone();
        calls.spawn(async move {
            // A spread of sizes, so that answers overtake each other.
            let message = number.to_string().repeat(1 + number % 50);
            assert_eq!(client.text("s__echo", json!({ "message": message })).await, message);
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_request_reaches_the_server_as_it_was_written_but_for_id_token_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    let gateway = Gateway::start(&recorded("s", &file, "--era legacy")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let arguments =
        r#"{"z":1,"a":1.50,"big":123456789012345678901234567890,"e":1E+2,"u":"\u00e9\/é","message":"x"}"#;
    let sent = format!(
        r#"{{ "x-unknown":[1.0, 2] , "method":"tools/call","params":{{"unheardOf":true,"arguments":{arguments},"name":"s__echo"}},"id":"client","jsonrpc":"2.0"}}"#
    );
    let answer = client.raw(sent.clone()).await;
    assert_eq!(text_of(&answer.json()), "x");
    let line = eventually("the call is in the record", || async {
        let record = std::fs::read_to_string(&file).unwrap_or_default();
        record.lines().find(|line| line.contains("unheardOf")).map(str::to_owned)
    })
    .await;
    let id = raw_fields(&line)["id"].get().to_owned();
    assert!(id.parse::<u64>().is_ok(), "the id is the gateway's own: {id}");
    assert_eq!(line, sent.replace("\"client\"", &id).replace("s__echo", "echo"));
}

#[tokio::test]
async fn a_result_reaches_the_client_as_it_was_written_but_for_the_id() {
    let odd = r#""result" : {"z":1,"a":1.50,"content":[],"big":123456789012345678901234567890,"e":1E400,"u":"\u00e9\/"}"#;
    let case = format!(
        r#"*'"tools/call"'*) printf '%s\n' '{{ "unheardOf":[1.0] , "id" : '"$id"' , {odd} , "jsonrpc" : "2.0" }}' ;;"#
    );
    let gateway = Gateway::start(&shell("sh", r#""tools":{}"#, &case)).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let body = r#"{"jsonrpc":"2.0","id":"\u0041","method":"tools/call","params":{"name":"sh__odd"}}"#;
    let answer = client.raw(body).await;
    assert_eq!(
        answer.text(),
        format!(r#"{{ "unheardOf":[1.0] , "id" : "\u0041" , {odd} , "jsonrpc" : "2.0" }}"#)
    );
    // A modern client's result gets what its era requires, and keeps everything else.
    let answer = Modern::new(&gateway, "/mcp").request("tools/call", json!({ "name": "sh__odd" })).await;
    let result = raw_fields(raw_fields(answer.text())["result"].get());
    assert_eq!(result["big"].get(), "123456789012345678901234567890");
    assert_eq!((result["a"].get(), result["e"].get(), result["u"].get()), ("1.50", "1E400", r#""\u00e9\/""#));
    assert_eq!(result["resultType"].get(), "\"complete\"");
}

#[tokio::test]
async fn fields_that_nobody_knows_survive_in_both_directions_and_eras() {
    let gateway =
        Gateway::start(&(scripted("old", &["--era", "legacy"]) + &scripted("new", &["--era", "modern"])))
            .await;
    let (legacy, modern) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp"));
    for server in ["old", "new"] {
        let params = json!({
            "name": format!("{server}__meta"), "arguments": { "x": [1, { "y": null }] }, "unheardOf": { "kept": true },
            "_meta": { "com.example/trace": "abc", "progressToken": "mine" },
        });
        for answer in [
            legacy.request("tools/call", params.clone()).await,
            modern.request("tools/call", params.clone()).await,
        ] {
            let seen: Value = serde_json::from_str(&text_of(&answer.json())).unwrap();
            assert_eq!(seen["name"], "meta");
            assert_eq!(
                (&seen["arguments"], &seen["unheardOf"]),
                (&params["arguments"], &params["unheardOf"])
            );
            assert_eq!(seen["_meta"]["com.example/trace"], "abc");
            assert!(seen["_meta"]["progressToken"].is_number(), "the token is the gateway's own: {seen}");
        }
        for answer in [
            legacy.call(&format!("{server}__structured"), json!({})).await,
            modern.call(&format!("{server}__structured"), json!({})).await,
        ] {
            let result = &answer["result"];
            assert_eq!(result["content"], json!([{ "type": "unheard-of", "x": 1.0 }]));
            assert_eq!(result["structuredContent"], json!({ "big": 12_345_678_901_234_567_890_u64 }));
            assert_eq!(result["unheardOf"], json!({ "kept": true }));
        }
    }
}

#[tokio::test]
async fn a_body_of_many_lines_is_one_line_to_a_server_on_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    let gateway = Gateway::start(&recorded("s", &file, "--era legacy")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let pretty = serde_json::to_string_pretty(
        &json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": { "name": "s__echo", "arguments": { "message": "a\nb\r\n" } } }),
    )
    .unwrap();
    for body in [pretty.clone(), pretty.replace('\n', "\r\n"), format!("\n\n{pretty}\n\n")] {
        let answer = client.raw(body).await;
        assert_eq!((answer.json()["id"].clone(), text_of(&answer.json())), (json!(5), "a\nb\r\n".to_owned()));
    }
    let record = std::fs::read_to_string(&file).unwrap();
    for line in record.lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0");
    }
}

#[tokio::test]
async fn a_body_above_the_cap_is_refused_by_413() {
    let gateway = Gateway::start(&format!("[gateway]\nmax_body = \"2KiB\"\n{}", scripted("s", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let fitting = echo("1", &"x".repeat(1500));
    assert_eq!(client.raw(fitting).await.status, 200);
    let refused = client.raw(echo("1", &"x".repeat(2048))).await;
    assert_eq!((refused.status, code_of(&refused.json())), (413, -32600));
    assert!(message_of(&refused.json()).contains("gateway.max_body"), "{}", refused.text());
    assert_eq!(client.text("s__echo", json!({ "message": "after" })).await, "after");
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_the_right_code() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for body in ["", "{", "hello", r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#] {
        let refused = client.raw(body).await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, -32700), "{body}");
    }
    let refused = client.raw(&b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"[..]).await;
    assert_eq!((refused.status, code_of(&refused.json())), (400, -32700), "not UTF-8");
    let invalid = [
        "1",
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
    ];
    for body in invalid {
        let refused = client.raw(body).await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, -32600), "{body}");
    }
}

#[tokio::test]
async fn a_batch_is_refused_and_the_refusal_says_that_it_is_one() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let refused = client.raw(format!("[{},{}]", echo("1", "a"), echo("2", "b"))).await;
    assert_eq!((refused.status, code_of(&refused.json())), (400, -32600));
    let message = message_of(&refused.json()).to_lowercase();
    assert!(message.contains("batch") || message.contains("array"), "{message}");
}

#[tokio::test]
async fn another_content_type_is_refused_by_415() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let reply = wire::post(gateway.address, "/mcp", &[("content-type", kind)], echo("1", "x")).await;
        assert_eq!(reply.status, 415, "{kind}");
    }
    let none = wire::request(gateway.address, "POST", "/mcp", &[("accept", "*/*")], echo("1", "x")).await;
    assert_eq!(none.status, 415, "no content type");
    let client = Legacy::open(&gateway, "/mcp").await;
    let headers =
        [("content-type", "Application/JSON; charset=utf-8"), ("mcp-session-id", client.session.as_str())];
    let taken = wire::post(gateway.address, "/mcp", &headers, echo("1", "x")).await.whole().await;
    assert_eq!(text_of(&taken.json()), "x");
}

#[tokio::test]
async fn an_unknown_endpoint_is_refused_by_404_and_the_known_ones_are_named() {
    let gateway = Gateway::start(&(scripted("one", &[]) + &scripted("two", &[]))).await;
    let refused = wire::post(gateway.address, "/mcp/three", &[], echo("1", "x")).await.whole().await;
    assert_eq!(refused.status, 404);
    let message = refused.json();
    let message = message_of(&message);
    for name in ["/mcp/three", "/mcp and", "/mcp/one", "/mcp/two"] {
        assert!(message.contains(name), "{name} is not in: {message}");
    }
    let elsewhere = gateway.get("/nothing", &[]).await;
    assert_eq!(elsewhere.status, 404);
    assert!(elsewhere.text().contains("/mcp"), "{}", elsewhere.text());
}

#[tokio::test]
async fn other_methods_are_refused_by_405_and_the_allowed_ones_are_named() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for method in ["HEAD", "PUT", "PATCH"] {
        for path in ["/mcp", "/mcp/s"] {
            let reply = wire::request(gateway.address, method, path, &[], "").await.whole().await;
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("allow"), Some("GET, POST, DELETE, OPTIONS"));
        }
    }
}

#[tokio::test]
async fn a_request_of_an_odd_shape_is_answered_and_never_dropped() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let cases: BTreeMap<&str, i64> = BTreeMap::from([
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s__no-such"}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nobody__echo"}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"zzz"}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x://y"}}"#, -32002),
        (r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}"#, -32601),
    ]);
    for (body, code) in cases {
        let refused = client.raw(body).await;
        assert_eq!((refused.status, code_of(&refused.json())), (200, code), "{body}: {}", refused.text());
        assert_eq!(refused.json()["id"], 1);
    }
}
