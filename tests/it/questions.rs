//! Questions of legacy servers to legacy clients: on the right client's right stream, or refused; and whose links are
//! whose.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Backend, Counter, Gateway, Legacy, Open, code_of, eventually, message_of, over_http, scripted, stats,
    text_of,
};

/// Everything that a client can be asked.
fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": {}, "roots": {} })
}

fn isolated(name: &str, isolation: &str) -> String {
    scripted(name, &["--era", "legacy"]) + &format!("isolation = \"{isolation}\"\n")
}

fn asking(name: &str) -> String {
    scripted(name, &["--era", "legacy"]) + "questions = true\n"
}

fn call(id: u64, tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": 1 } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// Answers a question by repeating it, so that an answer shows which question it is for.
fn repeat(question: &Value) -> Value {
    let asked = &question["params"];
    match question["method"].as_str().expect("a method") {
        "elicitation/create" => json!({ "action": "accept", "content": { "value": asked["message"] } }),
        "sampling/createMessage" => json!({ "echo": asked["messages"][0]["content"]["text"] }),
        other => json!({ "roots": [], "asked": other }),
    }
}

async fn reply(client: &Legacy, question: &Value, result: Value) {
    let body = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }).to_string();
    assert_eq!(client.raw(body).await.status, 202);
}

/// The next question on a stream.
async fn question(open: &mut Open) -> Value {
    let message = open.message().await.expect("a question");
    assert!(message["method"].is_string() && !message["id"].is_null(), "{message}");
    message
}

/// Calls a tool, repeats every question as its answer, and returns the reply and how often it was asked.
async fn converse(client: &Legacy, id: u64, tool: &str, arguments: Value) -> (Value, usize) {
    let (answer, asked) = conversation(client, id, tool, arguments).await;
    (answer, asked.len())
}

/// The same with the questions.
async fn conversation(client: &Legacy, id: u64, tool: &str, arguments: Value) -> (Value, Vec<Value>) {
    let mut open = client.post(call(id, tool, &arguments)).await;
    if open.header("content-type") == Some("application/json") {
        return (open.whole().await.json(), Vec::new());
    }
    let mut asked = Vec::new();
    loop {
        let message = open.message().await.expect("a reply");
        if message["method"].is_null() {
            assert_eq!(message["id"], id, "{message}");
            return (message, asked);
        }
        if !message["id"].is_null() {
            reply(client, &message, repeat(&message)).await;
            asked.push(message["params"]["message"].clone());
        }
    }
}

/// What the server was told when its connection was opened.
async fn declared(client: &Legacy) -> Value {
    serde_json::from_str(&client.text("s__declared", json!({})).await).expect("JSON")
}

async fn pid(client: &Legacy) -> u64 {
    let told: Value = serde_json::from_str(&client.text("s__whoami", json!({})).await).expect("JSON");
    told["pid"].as_u64().expect("a pid")
}

#[tokio::test]
async fn a_legacy_servers_questions_reach_its_client_and_the_answers_come_back() {
    let backend = Backend::start("scripted-server", &["--era", "legacy"]).await;
    for entry in
        [isolated("s", "session"), isolated("s", "principal"), asking("s"), over_http("s", &backend.url)]
    {
        let gateway = Gateway::start(&entry).await;
        let client = Legacy::able(&gateway, "/mcp", everything()).await;
        for method in ["elicitation/create", "sampling/createMessage"] {
            let arguments = json!({ "method": method, "text": "x", "count": 3, "rounds": 2 });
            let (answer, asked) = converse(&client, 1, "s__inquire", arguments).await;
            let told = text_of(&answer);
            assert_eq!(asked, 6, "{entry}: {told}");
            for part in ["x/1/1", "x/1/2", "x/1/3", "x/2/1", "x/2/2", "x/2/3"] {
                assert!(told.contains(&format!("\"{part}\"")), "{entry}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn a_link_declares_what_its_clients_declared_and_roots_only_where_nobody_shares_it() {
    let cases = [
        (scripted("s", &["--era", "legacy"]), json!({})),
        (asking("s"), json!({ "sampling": {}, "elicitation": {} })),
        (isolated("s", "session"), everything()),
        (isolated("s", "principal"), everything()),
        (isolated("s", "session") + "questions = false\n", json!({})),
    ];
    for (entry, expected) in cases {
        let gateway = Gateway::start(&entry).await;
        let client = Legacy::able(&gateway, "/mcp", everything()).await;
        assert_eq!(declared(&client).await, expected, "{entry}");
        let plain = Legacy::open(&gateway, "/mcp").await;
        assert_eq!(declared(&plain).await, json!({}), "{entry}");
    }
}

#[tokio::test]
async fn what_a_client_did_not_declare_is_not_put_to_it() {
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let client = Legacy::able(&gateway, "/mcp", json!({ "elicitation": {} })).await;
    let sampling = json!({ "method": "sampling/createMessage" });
    let (answer, asked) = converse(&client, 1, "s__inquire", sampling).await;
    assert_eq!(asked, 0, "{answer}");
    assert!(text_of(&answer).contains("-32601"), "{answer}");
    let (answer, asked) = converse(&client, 1, "s__inquire", json!({ "text": "still" })).await;
    assert_eq!((asked, text_of(&answer).contains("still/1/1")), (1, true), "{answer}");
}

#[tokio::test]
async fn a_question_that_nobody_can_attribute_is_refused_and_the_cure_is_named() {
    let gateway = Gateway::start(&asking("s")).await;
    let one = Legacy::able(&gateway, "/mcp", everything()).await;
    let two = Legacy::able(&gateway, "/mcp", everything()).await;
    assert_eq!(pid(&one).await, pid(&two).await, "who declares the same shares one child");
    let mut counter = Counter::start(&two, "s__stats").await;
    let other = one.clone();
    let hanging = tokio::spawn(async move { other.call("s__hang", json!({})).await });
    counter.reach(1).await;
    let (answer, asked) = converse(&two, 1, "s__inquire", json!({})).await;
    assert_eq!(asked, 0, "{answer}");
    assert!(text_of(&answer).contains("isolation = \\\"session\\\""), "{answer}");
    hanging.abort();
}

#[tokio::test]
async fn a_question_is_taken_back_and_progress_is_carried_both_ways() {
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let client = Legacy::able(&gateway, "/mcp", everything()).await;
    let mut open = client.post(call(1, "s__retract", &json!({}))).await;
    let asked = question(&mut open).await;
    let token = asked["params"]["_meta"]["progressToken"].clone();
    assert_ne!(token, json!("the server's own"), "{asked}");
    client.notify("notifications/progress", json!({ "progressToken": token, "progress": 5 })).await;
    let cancelled = open.message().await.expect("a cancellation");
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    let answer = open.message().await.expect("a reply");
    let report: Value = serde_json::from_str(&text_of(&answer)).unwrap();
    assert_eq!(report, json!({ "progressToken": "the server's own", "progress": 5 }));
}

#[tokio::test]
async fn a_clients_refusal_goes_to_the_server_as_it_is() {
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let client = Legacy::able(&gateway, "/mcp", everything()).await;
    let mut open = client.post(call(1, "s__inquire", &json!({}))).await;
    let asked = question(&mut open).await;
    let error = json!({ "code": -1, "message": "the user said no", "data": { "why": [1.50] } });
    client.raw(json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }).to_string()).await;
    let answer = open.message().await.expect("a reply");
    assert_eq!(serde_json::from_str::<Value>(&text_of(&answer)).unwrap(), json!([error]));
}

#[tokio::test]
async fn an_open_question_stops_the_clock_and_has_a_limit_of_its_own() {
    let waits = "call_timeout = \"300ms\"\nmax_call_time = \"300ms\"\nanswer_timeout = \"1500ms\"\n";
    let gateway = Gateway::start(&(isolated("s", "session") + waits)).await;
    let client = Legacy::able(&gateway, "/mcp", everything()).await;
    let mut open = client.post(call(1, "s__inquire", &json!({}))).await;
    question(&mut open).await;
    // Nobody answers. The call outlives its timeout, the question does not outlive its own.
    let cancelled = open.message().await.expect("a cancellation");
    assert_eq!(cancelled["method"], "notifications/cancelled", "{cancelled}");
    let answer = open.message().await.expect("a reply");
    assert!(text_of(&answer).contains("answer_timeout"), "{answer}");
}

#[tokio::test]
async fn cancelling_the_call_ends_its_questions_at_the_server() {
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let client = Legacy::able(&gateway, "/mcp", everything()).await;
    let mut open = client.post(call(7, "s__inquire", &json!({}))).await;
    question(&mut open).await;
    client.notify("notifications/cancelled", json!({ "requestId": 7 })).await;
    assert_eq!(open.message().await.expect("a cancellation")["method"], "notifications/cancelled");
    assert_eq!(code_of(&open.message().await.expect("a reply")), -31499);
    eventually("the server hears of it", || async {
        (stats(&client, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_session_has_its_own_child_until_it_ends() {
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let (one, two) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp/s").await);
    let own: Value = serde_json::from_str(&two.text("whoami", json!({})).await).unwrap();
    let (first, second) = (pid(&one).await, own["pid"].as_u64().unwrap());
    assert_ne!(first, second);
    assert_eq!(pid(&one).await, first, "the same for the same session");
    assert_eq!(gateway.metric("trunkline_server_links{server=\"s\"}").await, Some(2.0));
    assert_eq!(one.delete().await.status, 204);
    eventually("its child has gone", || async { (!alive(first)).then_some(()) }).await;
    assert!(alive(second));
}

#[tokio::test]
async fn sessions_of_one_principal_share_its_child() {
    let gateway = Gateway::start(&isolated("s", "principal")).await;
    let (one, two) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    assert_eq!(pid(&one).await, pid(&two).await);
    let able = Legacy::able(&gateway, "/mcp", everything()).await;
    assert_ne!(pid(&one).await, pid(&able).await, "but not with one that can be asked more");
}

#[tokio::test]
async fn more_links_than_may_be_are_refused_with_a_hint() {
    let gateway = Gateway::start(&(isolated("s", "session") + "max_links = 1\n")).await;
    let (one, two) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    pid(&one).await;
    let refused = two.call("s__whoami", json!({})).await;
    assert_eq!(code_of(&refused), -31429, "{refused}");
    assert!(message_of(&refused).contains("max_links"), "{refused}");
    assert!(refused["error"]["data"]["retry_after"].as_u64().is_some_and(|seconds| seconds > 0), "{refused}");
    assert_eq!(one.delete().await.status, 204);
    pid(&two).await;
}

/// A session whose child has gone must not be given another in silence.
async fn assert_begins_anew(client: &Legacy) {
    let body = call(1, "s__whoami", &json!({}));
    let refused = client.raw(body.clone()).await;
    assert_eq!((refused.status, code_of(&refused.json())), (404, -32001), "{}", refused.text());
    assert!(message_of(&refused.json()).contains("initialize"), "{}", refused.text());
    assert_eq!(client.raw(body).await.status, 404, "it stays so");
}

#[tokio::test]
async fn a_session_that_has_lost_its_child_begins_anew() {
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let (client, other) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    pid(&other).await;
    assert_eq!(code_of(&client.call("s__crash", json!({})).await), -31502);
    assert_begins_anew(&client).await;
    pid(&other).await;
    pid(&Legacy::open(&gateway, "/mcp").await).await;
}

#[tokio::test]
async fn an_idle_link_is_closed_and_its_session_told() {
    let gateway = Gateway::start(&(isolated("s", "session") + "link_idle = \"1s\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let child = pid(&client).await;
    eventually("its child has gone", || async { (!alive(child)).then_some(()) }).await;
    assert_begins_anew(&client).await;
}

#[tokio::test]
async fn a_restarted_gateway_goes_on_with_a_session_unless_it_had_a_child_of_its_own() {
    let config = isolated("s", "session") + &scripted("shared", &[]);
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    pid(&client).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
    let again = Gateway::launch_again(&gateway, &config, 0).await;
    again.ready().await;
    let client = client.at(&again);
    assert_eq!(client.text("shared__echo", json!({ "message": "on" })).await, "on");
    assert_begins_anew(&client).await;
}

fn alive(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Many conversations of clients that give everything the same number. Each answer must be the one for its own question,
/// and each question the client's own: its call's where they are `told_apart`, and any of its calls' where they are not.
/// `refused` counts those that the gateway would not guess about.
async fn interleave(
    gateway: &Gateway,
    clients: &[&'static str],
    calls: usize,
    told_apart: bool,
) -> (usize, usize) {
    let (mut tasks, mut answered, mut refused) = (JoinSet::new(), 0, 0);
    for &name in clients {
        let client = Legacy::able(gateway, "/mcp", everything()).await;
        for worker in 0..WORKERS {
            let client = client.clone();
            tasks.spawn(async move {
                let mut tally = (0, 0);
                for nth in 0..calls / WORKERS {
                    let text = format!("{name}-{worker}-{nth}");
                    let (answer, asked) =
                        conversation(&client, 1, "s__inquire", json!({ "text": text })).await;
                    let told = text_of(&answer);
                    let own = |asked: &Value| asked.as_str().is_some_and(|asked| asked.starts_with(name));
                    assert!(asked.iter().all(own), "{text} was asked {asked:?}");
                    if told.contains(&format!("\"{text}/1/1\"")) {
                        assert!(!told_apart || asked == [json!(format!("{text}/1/1"))], "{asked:?}");
                        tally.0 += 1;
                    } else {
                        assert!(told.contains("isolation = ") && !told.contains("/1/1"), "{text}: {told}");
                        tally.1 += 1;
                    }
                }
                tally
            });
        }
    }
    while let Some(tally) = tasks.join_next().await {
        let (good, bad) = tally.expect("a worker");
        answered += good;
        refused += bad;
    }
    (answered, refused)
}

const WORKERS: usize = 8;
/// Enough that any crossing that depends on timing has had its chance.
const CALLS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_shared_pipe_no_question_crosses_and_what_cannot_be_attributed_is_refused() {
    let gateway = Gateway::start(&asking("s")).await;
    let (answered, refused) = interleave(&gateway, &["one", "two"], CALLS / 2, false).await;
    assert_eq!(answered + refused, CALLS);
    assert!(refused > 0, "with {WORKERS} calls of two clients at a time, most cannot be attributed");
    let client = Legacy::able(&gateway, "/mcp", everything()).await;
    let (_, asked) = converse(&client, 1, "s__inquire", json!({})).await;
    assert_eq!(asked, 1, "a call that is alone is asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_every_question_is_its_own_calls() {
    let backend = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let gateway = Gateway::start(&over_http("s", &backend.url)).await;
    assert_eq!(interleave(&gateway, &["one", "two"], CALLS / 2, true).await, (CALLS, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_shared_pipe_a_session_whose_calls_alone_are_in_flight_is_asked_for_each_of_them() {
    let gateway = Gateway::start(&asking("s")).await;
    assert_eq!(interleave(&gateway, &["one"], CALLS / 5, false).await, (CALLS / 5, 0));
}

#[tokio::test]
async fn on_a_shared_pipe_a_call_that_was_given_up_keeps_questions_from_other_sessions_alone() {
    let gateway = Gateway::start(&asking("s")).await;
    let one = Legacy::able(&gateway, "/mcp", everything()).await;
    let two = Legacy::able(&gateway, "/mcp", everything()).await;
    assert_eq!(pid(&one).await, pid(&two).await, "who declares the same shares one child");
    // Its server never answers it, as one does that obeys.
    let mut counter = Counter::start(&two, "s__stats").await;
    let withdraw = async {
        counter.reach(1).await;
        one.notify("notifications/cancelled", json!({ "requestId": 7 })).await;
    };
    let (_given_up, ()) = tokio::join!(one.post(call(7, "s__hang", &json!({}))), withdraw);
    eventually("the server hears of it", || async {
        (stats(&one, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
    let (answer, asked) = conversation(&one, 1, "s__inquire", json!({ "text": "mine" })).await;
    assert_eq!(asked, [json!("mine/1/1")], "whichever of its calls asks, it is this session that is meant");
    assert!(text_of(&answer).contains("\"mine/1/1\""), "{answer}");
    let (answer, asked) = conversation(&two, 1, "s__inquire", json!({ "text": "another's" })).await;
    assert!(asked.is_empty(), "the call that was given up may ask: {asked:?}");
    assert!(text_of(&answer).contains("isolation = "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_child_each_no_question_of_one_session_reaches_another() {
    // Both sessions have several calls at a time: any of a session's own calls may carry its question.
    let gateway = Gateway::start(&isolated("s", "session")).await;
    let (mut tasks, mut seen) = (JoinSet::new(), BTreeSet::new());
    for name in ["one", "two"] {
        let client = Legacy::able(&gateway, "/mcp", everything()).await;
        seen.insert(pid(&client).await);
        for _ in 0..WORKERS {
            let client = client.clone();
            tasks.spawn(async move {
                for _ in 0..CALLS / WORKERS / 8 {
                    let (answer, _) = converse(&client, 1, "s__inquire", json!({ "text": name })).await;
                    assert!(
                        text_of(&answer).contains(&format!("\"{name}/1/1\"")),
                        "{name} was told {answer}"
                    );
                }
            });
        }
    }
    assert_eq!(seen.len(), 2, "a child each");
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a worker");
    }
}
