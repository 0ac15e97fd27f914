//! `trunkline stdio`: one client on pipes, with a fleet of its own and as a bridge to a running gateway.

use rmcp::service::ClientServiceExt;
use rmcp::transport::TokioChildProcess;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rmcp_client::{Listener, all_of_it, legacy, modern};
use crate::support::clients::text_of;
use crate::support::processes::{alive, marked, none_left, unique_name};
use crate::support::stub::Stub;
use crate::support::{Gateway, Modern, Pipe, code_of, demo, eventually, message_of, pipe, scripted, within};

/// The parameters of a modern request.
fn with_meta(mut params: Value) -> Value {
    params["_meta"] = Modern::meta();
    params
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

#[tokio::test]
async fn both_eras_speak_on_one_pipe_at_once_and_nothing_else_does() {
    let mut pipe = Pipe::own(&(demo("demo") + &scripted("s", &["--banner", "hello"])), &[]);
    let welcome = pipe.open().await;
    assert_eq!(welcome["protocolVersion"], "2025-11-25");
    pipe.send(1, "tools/call", call("demo__echo", json!({ "message": "old" }))).await;
    pipe.send("1", "tools/call", with_meta(call("s__echo", json!({ "message": "new" })))).await;
    assert_eq!(text_of(&pipe.answer(1).await), "old");
    let new = pipe.answer("1").await;
    assert_eq!((text_of(&new).as_str(), &new["result"]["resultType"]), ("new", &json!("complete")));
    let discovered = pipe.request(2, "server/discover", with_meta(json!({}))).await;
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]));
    pipe.close();
    assert!(pipe.ended().await.success());
}

#[tokio::test]
async fn an_sdk_of_either_era_finds_everything_through_its_own_fleet_and_through_a_running_gateway() {
    let gateway = Gateway::start(&demo("demo")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, demo("demo")).unwrap();
    let (file, data) = (file.to_str().unwrap().to_owned(), folder.path().join("data"));
    let url = format!("http://{}", gateway.address);
    let own = ["--config", &file, "--data-dir", data.to_str().unwrap()];
    let bridge = ["--connect", url.as_str(), "--server", "demo"];
    for (args, prefix) in [(&own[..], "demo__"), (&bridge[..], "")] {
        for (lifecycle, old) in [(legacy(), true), (modern(), false)] {
            let transport = TokioChildProcess::new(pipe::command(args)).unwrap();
            let connected = Listener::default().serve_with_lifecycle(transport, lifecycle);
            all_of_it(within("rmcp connects", connected).await.expect("connected"), prefix, old).await;
        }
    }
}

#[tokio::test]
async fn a_question_reaches_the_client_and_its_answer_the_server() {
    let gateway = Gateway::start(&demo("demo")).await;
    for mut pipe in [Pipe::own(&demo("demo"), &[]), Pipe::to(&gateway, &[])] {
        pipe.open().await;
        pipe.send(7, "tools/call", call("demo__ask", json!({ "question": "Which?" }))).await;
        let asked = pipe.heard("elicitation/create").await;
        assert_eq!(asked["params"]["message"], "Which?");
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "accept", "content": { "answer": "this" } } });
        pipe.say(&answer.to_string()).await;
        let told = pipe.answer(7).await;
        assert!(text_of(&told).contains("this"), "{told}");
    }
}

#[tokio::test]
async fn a_batch_of_the_version_that_has_them_is_answered_as_one() {
    let mut pipe = Pipe::own(&demo("demo"), &[]);
    let params = json!({ "protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } });
    assert_eq!(pipe.request(0, "initialize", params).await["result"]["protocolVersion"], "2025-03-26");
    pipe.say(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":"2","method":"ping"}]"#)
        .await;
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let line: Value = serde_json::from_str(&pipe.line().await.expect("a line")).unwrap();
        answers.extend(line.as_array().cloned().unwrap_or_else(|| vec![line]));
    }
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert!(ids.contains(&&json!(1)) && ids.contains(&&json!("2")), "{answers:?}");
}

#[tokio::test]
async fn clients_on_pipes_hear_of_changes_in_the_way_of_their_era() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let mut old = Pipe::to(&gateway, &[]);
    let mut new = Pipe::to(&gateway, &[]);
    old.open().await;
    new.send(
        "l",
        "subscriptions/listen",
        with_meta(json!({ "notifications": { "toolsListChanged": true } })),
    )
    .await;
    let acknowledged = new.heard("notifications/subscriptions/acknowledged").await;
    assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }));
    eventually("the legacy client's stream is open", || async {
        (gateway.metric("trunkline_streams").await >= Some(2.0)).then_some(())
    })
    .await;
    old.request(1, "tools/call", call("s__list-changed", json!({}))).await;
    old.heard("notifications/tools/list_changed").await;
    let note = new.heard("notifications/tools/list_changed").await;
    assert_eq!(note["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    new.notify("notifications/cancelled", json!({ "requestId": "l" })).await;
    eventually("the stream has ended", || async {
        (gateway.metric("trunkline_streams").await == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_withdrawn_call_is_withdrawn_at_the_server_and_never_answered() {
    let mut pipe = Pipe::own(&scripted("s", &[]), &["--server", "s"]);
    pipe.open().await;
    let stats = async |pipe: &mut Pipe| -> Value {
        let told = pipe.request("stats", "tools/call", call("stats", json!({}))).await;
        serde_json::from_str(&text_of(&told)).unwrap()
    };
    pipe.send(1, "tools/call", call("hang", json!({}))).await;
    pipe.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    pipe.send(2, "tools/call", with_meta(call("hang", json!({})))).await;
    // The call has reached the server when the two of them have, as the one before may never have.
    while stats(&mut pipe).await["calls"].as_u64().unwrap() < 2 {}
    pipe.notify("notifications/cancelled", json!({ "requestId": 2 })).await;
    while stats(&mut pipe).await["cancellations"].as_u64().unwrap() < 1 {}
    pipe.close();
    assert!(pipe.ended().await.success());
    let answers: Vec<&Value> =
        pipe.rest().iter().filter(|message| message["id"] == 1 || message["id"] == 2).collect();
    assert!(answers.is_empty(), "{answers:?}");
}

#[tokio::test]
async fn the_end_of_the_input_lets_calls_finish_and_leaves_no_process() {
    let name = unique_name();
    let config = format!("[gateway]\nshutdown_grace = \"1m\"\n{}", marked(&scripted("s", &[]), &name));
    let mut pipe = Pipe::own(&config, &[]);
    pipe.open().await;
    eventually("the server has been started", || async { (!alive(&name).is_empty()).then_some(()) }).await;
    pipe.send(1, "tools/call", call("s__sleep", json!({ "ms": 300 }))).await;
    pipe.close();
    assert_eq!(text_of(&pipe.answer(1).await), "slept");
    assert!(pipe.ended().await.success());
    none_left(&name).await;

    // A call that does not finish is ended with a word.
    let config = format!("[gateway]\nshutdown_grace = \"100ms\"\n{}", marked(&scripted("s", &[]), &name));
    let mut pipe = Pipe::own(&config, &[]);
    pipe.open().await;
    pipe.send(2, "tools/call", call("s__hang", json!({}))).await;
    pipe.close();
    let hung = pipe.answer(2).await;
    assert_eq!(code_of(&hung), -31503, "{hung}");
    assert!(pipe.ended().await.success());
    none_left(&name).await;
}

#[tokio::test]
async fn a_client_that_sends_sigterm_is_obeyed_at_once_and_no_process_is_left() {
    let name = unique_name();
    let mut pipe = Pipe::own(&marked(&scripted("s", &[]), &name), &[]);
    pipe.open().await;
    pipe.send(1, "tools/call", call("s__hang", json!({}))).await;
    pipe.terminate();
    assert!(pipe.ended().await.success());
    none_left(&name).await;
}

#[tokio::test]
async fn what_is_no_message_or_too_long_is_answered_and_the_next_line_is_read() {
    let mut pipe = Pipe::own(&format!("[gateway]\nmax_body = \"1KiB\"\n{}", scripted("s", &[])), &[]);
    pipe.open().await;
    for (line, code) in [("hello".to_owned(), -32700), ("{}".to_owned(), -32600), ("x".repeat(5000), -32600)]
    {
        pipe.say(&line).await;
        let refusal = pipe.find("a refusal", |message| message.get("error").is_some()).await;
        assert_eq!((code_of(&refusal), &refusal["id"]), (code, &Value::Null), "{refusal}");
    }
    assert_eq!(pipe.request(1, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_bridge_outlives_its_gateway_and_makes_no_call_twice() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let script = crate::support::recorded("s", &calls, "");
    let mut gateway = Gateway::start(&script).await;
    let mut pipe = Pipe::to(&gateway, &[]);
    pipe.open().await;
    assert_eq!(
        text_of(&pipe.request(1, "tools/call", call("s__echo", json!({ "message": "a" }))).await),
        "a"
    );

    // A call in flight when the gateway dies is answered with an error, and is not made again.
    pipe.send(2, "tools/call", call("s__hang", json!({ "mark": "once" }))).await;
    let seen = || std::fs::read_to_string(&calls).unwrap_or_default().matches("once").count();
    eventually("the call has arrived", || async { (seen() == 1).then_some(()) }).await;
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    let lost = pipe.answer(2).await;
    assert!(message_of(&lost).contains("not repeated"), "{lost}");

    let port = gateway.address.port();
    let again = Gateway::launch_again(&gateway, &script, port).await;
    again.ready().await;
    assert_eq!(
        text_of(&pipe.request(3, "tools/call", call("s__echo", json!({ "message": "b" }))).await),
        "b"
    );
    // The recording begins anew with the server.
    assert_eq!(seen(), 0);

    // One with another key knows nothing of the session: a new one is opened, and nobody notices.
    again.signal(Signal::TERM);
    let mut again = again;
    again.ended().await;
    std::fs::remove_dir_all(again.folder().join("data")).unwrap();
    let stranger = Gateway::launch_again(&again, &script, port).await;
    stranger.ready().await;
    assert_eq!(
        text_of(&pipe.request(4, "tools/call", call("s__echo", json!({ "message": "c" }))).await),
        "c"
    );
    let modern = pipe.request(5, "tools/call", with_meta(call("s__echo", json!({ "message": "d" })))).await;
    assert_eq!(text_of(&modern), "d");
    pipe.close();
    assert!(pipe.ended().await.success());
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_told_by_its_address() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{unused}");
    let mut pipe = Pipe::start(pipe::command(&["--connect", &url]));
    let refusal = pipe.request(1, "server/discover", with_meta(json!({}))).await;
    assert_eq!(code_of(&refusal), -31503);
    assert!(message_of(&refusal).contains(&url), "{refusal}");
    pipe.close();
    assert!(pipe.ended().await.success());
}

#[tokio::test]
async fn a_credential_comes_from_the_environment_or_a_file_and_never_by_the_command_line() {
    let stub = Stub::start(|_| ("401 Unauthorized".to_owned(), String::new())).await;
    let (url, folder) = (stub.url(""), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    std::fs::write(&file, "filed\n").unwrap();
    let with = |args: &[&str]| pipe::command(&[&["--connect", url.as_str()], args].concat());
    for (mut command, word) in [
        (with(&[]), "usual"),
        (with(&["--token-env", "IT_OTHER"]), "other"),
        (with(&["--token-file", file.to_str().unwrap()]), "filed"),
    ] {
        command.env("TRUNKLINE_TOKEN", "usual").env("IT_OTHER", "other");
        let mut pipe = Pipe::start(command);
        let refused = pipe.request(1, "server/discover", with_meta(json!({}))).await;
        assert!(message_of(&refused).contains("refuses the credential"), "{refused}");
        let sent = stub.seen().pop().expect("a request").headers;
        assert!(sent.contains(&("authorization".to_owned(), format!("Bearer {word}"))), "{sent:?}");
    }
    for args in [&["--token", "word"][..], &["--connect", "http://h", "--token-env", "IT_NO_SUCH_VARIABLE"]] {
        let mut pipe = Pipe::start(pipe::command(args));
        assert!(!pipe.ended().await.success(), "{args:?}");
    }
}
