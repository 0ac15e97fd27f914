//! The activity log of a real gateway: every call has its row, and the command shows it.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::servers::PROGRAM;
use crate::support::{Backend, Gateway, Legacy, Modern, eventually, scripted, service, wire};

/// What `trunkline activity` prints, as JSON, the oldest first.
pub fn activity(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(PROGRAM);
    command.arg("activity").arg("--config").arg(gateway.folder().join("gateway.toml"));
    command.arg("--data-dir").arg(gateway.folder().join("data")).arg("--json").args(arguments);
    let output = command.output().expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Rows of `initialize`, and all others.
fn introduced(rows: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    rows.into_iter().partition(|row| row["method"] == "initialize")
}

#[tokio::test]
async fn every_call_of_either_era_has_a_row_that_says_how_it_went() {
    let mut gateway = Gateway::start(&(scripted("s", &[]) + "call_timeout = \"300ms\"\n")).await;
    let legacy = Legacy::open(&gateway, "/mcp").await;
    let modern = Modern::new(&gateway, "/mcp/s");
    legacy.call("s__echo", json!({ "message": "x" })).await;
    modern.call("echo", json!({ "message": "x" })).await;
    legacy.request("tools/list", json!({})).await;
    legacy.call("s__sleep", json!({ "ms": 60_000 })).await;
    legacy.call("nowhere__echo", json!({})).await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;

    let (welcome, rows) = introduced(activity(&gateway, &[]));
    assert_eq!(welcome.len(), 1, "{welcome:?}");
    let brief = |row: &Value| {
        let word = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {} {}",
            word("era"),
            word("endpoint"),
            word("server"),
            word("method"),
            word("name"),
            word("outcome")
        )
    };
    let found: Vec<String> = rows.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            "legacy - s tools/call echo ok",
            "modern s s tools/call echo ok",
            "legacy - - tools/list - ok",
            "legacy - s tools/call sleep timeout",
            "legacy - - tools/call nowhere__echo invalid_params",
        ]
    );
    for row in &rows {
        assert_eq!((&row["client"], &row["client_version"]), (&json!("it"), &json!("1")), "{row}");
        assert_eq!((&row["principal"], &row["request"]), (&json!("anonymous"), &json!("1")), "{row}");
        assert!(row["bytes_in"].as_u64() > Some(40) && row["bytes_out"].as_u64() > Some(40), "{row}");
        assert_eq!(row["session"].is_string(), row["era"] == "legacy", "{row}");
        assert!(!row.to_string().contains(&legacy.session), "the session's id is no part of a row");
    }
    let echo = &rows[0];
    assert_eq!(
        (&echo["generation"], &echo["breaker"], &echo["code"]),
        (&json!(1), &json!("closed"), &Value::Null)
    );
    let parts = echo["queue_us"].as_u64().unwrap() + echo["upstream_us"].as_u64().unwrap();
    assert!(parts <= echo["total_us"].as_u64().unwrap() + 2, "{echo}");
    assert_eq!((&rows[3]["code"], &rows[3]["cancelled_by"]), (&json!(-31504), &json!("deadline")));
    assert!(rows[3]["total_us"].as_u64() >= Some(300_000), "{}", rows[3]);
    assert_eq!(activity(&gateway, &["--errors"]).len(), 2);
    assert_eq!(activity(&gateway, &["--slow", "300ms"]).len(), 1);
    assert_eq!(activity(&gateway, &["--server", "s", "--tool", "echo", "--since", "1h"]).len(), 2);
    assert_eq!(activity(&gateway, &["--limit", "1"]), rows[4..]);
    let stats = activity(&gateway, &["--stats", "tool"]);
    let echo = stats.iter().find(|stat| stat["key"] == "s echo").expect("a figure");
    assert_eq!((&echo["calls"], &echo["errors"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn the_log_can_be_read_while_the_gateway_writes_it() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    client.call("s__echo", json!({ "message": "x" })).await;
    eventually("the row is on file", || async {
        let rows = activity(&gateway, &["--client", "it", "--tool", "echo"]);
        (rows.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_its_client_withdraws_says_so() {
    let mut gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.call("s__sleep", json!({ "ms": 60_000 })).await })
    };
    gateway.in_flight(1).await;
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    call.await.unwrap();
    let modern = Modern::new(&gateway, "/mcp");
    let body =
        Modern::body(&json!(2), "tools/call", json!({ "name": "s__sleep", "arguments": { "ms": 60_000 } }));
    let left = tokio::spawn(async move { modern.post(&body).await.whole().await });
    gateway.in_flight(1).await;
    left.abort();
    gateway.in_flight(0).await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    let rows = activity(&gateway, &["--tool", "sleep"]);
    let ends: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row["outcome"].as_str().unwrap(), row["cancelled_by"].as_str().unwrap()))
        .collect();
    assert_eq!(ends, [("cancelled", "client"), ("cancelled", "disconnect")]);
}

#[tokio::test]
async fn a_gateway_without_the_log_keeps_no_file() {
    let mut gateway =
        Gateway::start(&("[activity]\nenabled = false\n".to_owned() + &scripted("s", &[]))).await;
    Legacy::open(&gateway, "/mcp").await.call("s__echo", json!({ "message": "x" })).await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    assert!(!gateway.folder().join("data/activity.db").exists());
}

#[tokio::test]
async fn the_messages_of_a_failed_call_are_kept_where_it_is_asked_for_and_without_secrets() {
    let config = scripted("s", &[])
        + "capture = \"errors\"\nenv = { KEY = \"canary-5f3a9c\" }\n"
        + &scripted("t", &[]);
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let told = json!({ "code": -32000, "password": "canary-7d21", "message": "the key is canary-5f3a9c" });
    for tool in ["s__refuse", "t__refuse", "s__echo"] {
        client.call(tool, told.clone()).await;
    }
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    let (_, rows) = introduced(activity(&gateway, &[]));
    assert!(rows[1]["payload"].is_null() && rows[2]["payload"].is_null(), "{rows:?}");
    let request = rows[0]["payload"]["request"].as_str().unwrap();
    assert!(request.contains(r#""password":"***""#) && request.contains("the key is ***"), "{request}");
    assert!(rows[0]["payload"]["reply"].as_str().unwrap().contains("-32000"), "{}", rows[0]);
    let file = std::fs::read(gateway.folder().join("data/activity.db")).unwrap();
    for secret in ["canary-5f3a9c", "canary-7d21"] {
        assert!(!file.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in the file");
    }
}

#[tokio::test]
async fn one_principals_rows_are_exported_and_erased_while_the_gateway_runs() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for _ in 0..3 {
        client.call("s__echo", json!({ "message": "x" })).await;
    }
    let exported = eventually("the rows are on file", || async {
        let rows = activity(&gateway, &["--principal", "anonymous", "--all"]);
        (rows.len() == 4).then_some(rows)
    })
    .await;
    assert!(exported.is_sorted_by_key(|row| row["id"].as_i64()), "the oldest first");
    let mut command = Command::new(PROGRAM);
    command.arg("activity").arg("--config").arg(gateway.folder().join("gateway.toml"));
    command.arg("--data-dir").arg(gateway.folder().join("data")).args([
        "--principal",
        "anonymous",
        "--erase",
    ]);
    let output = command.output().expect("run");
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("4 rows"),
        "{output:?}"
    );
    let left = activity(&gateway, &[]);
    assert_eq!((left.len(), &left[0]["kind"], &left[0]["lost"]), (1, &json!("gap"), &json!(4)));
}

#[tokio::test]
async fn a_result_from_memory_a_better_prompt_and_a_request_to_a_service_show_in_their_rows() {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url)
        + "breaker = { failures = 1, open = \"1h\" }\n[enhance]\nservice = \"o\"\n[enhance.clients.private]\nprivacy = \"none\"\n"
        + &scripted("s", &[])
        + "[servers.s.tools]\ncache = { meta = \"1h\" }\nenhance = { echo = \"auto\" }\n";
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    client.call("meta", json!({})).await;
    client.call("meta", json!({})).await;
    client.call("echo", json!({ "message": "hello" })).await;
    client.call("echo", json!({})).await;
    let params = json!({ "name": "echo", "arguments": { "message": "secret" } }).to_string();
    let private = [("x-client-name", "private")];
    wire::request(gateway.address, "POST", "/mcp/s/tools/call", &private, params).await.whole().await;
    for headers in [&[][..], &[], &private] {
        let prompt = json!({ "prompt": "a poem" }).to_string();
        wire::request(gateway.address, "POST", "/enhance", headers, prompt).await.whole().await;
    }
    let named = [("x-client-name", "curl")];
    assert_eq!(gateway.get("/services/o/api/version?key=secret", &named).await.status, 200);
    wire::request(gateway.address, "PUT", "/services/o/x", &[], "12345").await.whole().await;
    ollama.behave(json!({ "fail": 500 })).await;
    assert_eq!(gateway.get("/services/o/api/version", &[]).await.status, 500);
    assert_eq!(gateway.get("/services/o/api/version", &[]).await.status, 503);
    gateway.signal(Signal::TERM);
    gateway.ended().await;

    let rows = activity(&gateway, &[]);
    let calls: Vec<Value> = rows
        .iter()
        .filter(|row| row["method"] == "tools/call")
        .map(|row| json!([row["name"], row["cache"], row["enhanced"]]))
        .collect();
    assert_eq!(
        calls,
        [
            json!(["meta", "miss", null]),
            json!(["meta", "hit", null]),
            json!(["echo", null, "yes"]),
            json!(["echo", null, null]),
            json!(["echo", null, "no"]),
        ]
    );
    let asked = rows.iter().filter(|row| row["server"] == "o");
    let asked: Vec<Value> = asked
        .map(|row| {
            json!([row["server"], row["client"], row["method"], row["name"], row["outcome"], row["code"]])
        })
        .collect();
    assert_eq!(
        asked,
        [
            json!(["o", "curl", "GET", "/services/o/api/version", "ok", null]),
            json!(["o", null, "PUT", "/services/o/x", "ok", null]),
            json!(["o", null, "GET", "/services/o/api/version", "upstream_error", 500]),
            json!(["o", null, "GET", "/services/o/api/version", "unavailable", 503]),
        ]
    );
    let put = rows.iter().find(|row| row["method"] == "PUT").unwrap();
    assert!(put["bytes_in"] == 5 && put["bytes_out"].as_i64() > Some(10), "{put}");
    let breaker: Vec<&Value> =
        rows.iter().filter(|row| row["server"] == "o").map(|row| &row["breaker"]).collect();
    assert_eq!(breaker, ["closed", "closed", "closed", "open"]);
    let prompts: Vec<Value> = rows
        .iter()
        .filter(|row| row["name"] == "/enhance")
        .map(|row| json!([row["client"], row["enhanced"], row["cache"]]))
        .collect();
    let expected =
        [json!([null, "yes", "miss"]), json!([null, "yes", "hit"]), json!(["private", "no", null])];
    assert_eq!(prompts, expected);
    let told = rows.iter().find(|row| row["enhanced"] == "no" && row["name"] == "echo").unwrap();
    assert_eq!(told["client"], "private", "who speaks no MCP says its name in a header");
}

#[tokio::test]
async fn a_fault_in_the_configuration_does_not_hide_the_log() {
    let config = "[gateway]\ndata_dir = \"data\"\n".to_owned() + &scripted("s", &[]);
    let mut gateway = Gateway::start(&config).await;
    Legacy::open(&gateway, "/mcp").await.call("s__echo", json!({ "message": "x" })).await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    let (file, data) = (gateway.folder().join("gateway.toml"), gateway.folder().join("data"));
    let data = data.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let output =
            command.arg("activity").arg("--config").arg(&file).args(arguments).output().expect("run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };

    std::fs::write(&file, config.replace("[gateway]", "[gateway]\nlisen = 5")).unwrap();
    let (code, shown, said) = run(&[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(shown.contains("s echo"), "{shown}");
    assert!(said.contains("warning: unknown key `gateway.lisen`") && said.contains(data), "{said}");
    let (code, _, said) = run(&["--principal", "anonymous", "--erase"]);
    assert_eq!(code, Some(78), "what cannot be undone waits for a whole configuration: {said}");
    assert!(said.contains("--data-dir"), "{said}");

    // A file that says nothing may have said where the log is.
    std::fs::write(&file, "data_dir = \"data").unwrap();
    let (code, shown, said) = run(&[]);
    assert_eq!((code, shown.as_str()), (Some(78), ""), "{said}");
    let (code, shown, said) = run(&["--data-dir", data]);
    assert_eq!(code, Some(3), "{said}");
    assert!(shown.contains("s echo"), "{shown}");
    let (code, _, said) = run(&["--data-dir", data, "--principal", "anonymous", "--erase"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("rows of anonymous erased"), "{said}");
}
