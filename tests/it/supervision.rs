//! The supervision floor: whatever a child does, its own callers get a prompt and named error, and nobody else notices.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::{
    Counter, Gateway, Legacy, Modern, code_of, conformance, eventually, message_of, processes, scripted,
    section, shell, stats, text_of,
};

/// From a child's death to its callers' errors. What is seen is a few milliseconds.
const PROMPT: Duration = Duration::from_millis(250);

/// The process id of a scripted server.
async fn pid(client: &Legacy, server: &str) -> u64 {
    whoami(client, server).await["pid"].as_u64().expect("a pid")
}

async fn whoami(client: &Legacy, server: &str) -> Value {
    serde_json::from_str(&client.text(&format!("{server}__whoami"), json!({})).await).expect("JSON")
}

/// Starts so many calls that hang, and waits until the server has them all.
async fn hanging(client: &Legacy, server: &str, count: u64) -> JoinSet<(Value, Instant)> {
    let mut counter = Counter::start(client, &format!("{server}__stats")).await;
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let (client, tool) = (client.clone(), format!("{server}__hang"));
        calls.spawn(async move { (client.call(&tool, json!({})).await, Instant::now()) });
    }
    counter.reach(count).await;
    calls
}

#[tokio::test]
async fn a_killed_child_fails_its_64_calls_at_once_and_the_same_session_is_served_again() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &scripted("other", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let victim = pid(&client, "s").await;
    let other = pid(&client, "other").await;
    let bystander = {
        let client = client.clone();
        tokio::spawn(async move { client.call("other__sleep", json!({ "ms": 500 })).await })
    };
    let mut calls = hanging(&client, "s", 64).await;
    let killed = Instant::now();
    processes::kill(victim);
    let mut slowest = Duration::ZERO;
    while let Some(call) = calls.join_next().await {
        let (answer, at) = call.unwrap();
        slowest = slowest.max(at - killed);
        assert_eq!(code_of(&answer), -31502, "{answer}");
        let message = message_of(&answer);
        assert!(message.contains("'s'") && message.contains("SIGKILL"), "{message}");
    }
    println!("64 callers knew of the death after {slowest:?}");
    assert!(slowest < PROMPT, "{slowest:?}");
    assert_eq!(client.text("s__echo", json!({ "message": "again" })).await, "again");
    assert_ne!(pid(&client, "s").await, victim);
    assert_eq!(text_of(&bystander.await.unwrap()), "slept", "a call to another server goes on");
    assert_eq!(pid(&client, "other").await, other);
}

#[tokio::test]
async fn an_exit_during_a_call_is_named_with_its_status() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let answer = client.call("s__crash", json!({ "code": 7 })).await;
    assert_eq!(code_of(&answer), -31502);
    let message = message_of(&answer);
    assert!(
        message.contains("'s'") && message.contains("status 7") || message.contains("code 7"),
        "{message}"
    );
    assert_eq!(client.text("s__echo", json!({ "message": "again" })).await, "again");
}

#[tokio::test]
async fn a_child_that_closes_its_stdout_is_replaced() {
    // The refused probe, the handshake and the list are three messages; the fourth is the last.
    let gateway = Gateway::start(&scripted("s", &["--era", "legacy", "--close-stdout-after", "4"])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut broken = 0;
    for round in 0..12 {
        let answer = client.call("s__echo", json!({ "message": round.to_string() })).await;
        match answer.get("error") {
            None => assert_eq!(text_of(&answer), round.to_string()),
            Some(_) => {
                broken += 1;
                // The link broke under the call, or the next life is not up yet.
                assert!([-31502, -31503].contains(&code_of(&answer)), "{answer}");
                assert!(message_of(&answer).contains("'s'"), "{answer}");
                if broken > 2 {
                    break;
                }
            }
        }
    }
    assert!(broken > 0, "a closed stdout must be seen");
}

#[tokio::test]
async fn a_crash_loop_ends_in_backoff_or_failure_and_costs_other_servers_nothing() {
    let config = scripted("loop", &["--crash-loop"]) + "start_timeout = \"5s\"\n" + &scripted("fine", &[]);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("fine", &["ready"]).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for round in 0..20 {
        let started = Instant::now();
        assert_eq!(
            client.text("fine__echo", json!({ "message": round.to_string() })).await,
            round.to_string()
        );
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    let readiness = gateway.in_state("loop", &["backoff", "failed"]).await;
    assert_eq!(readiness["status"], "degraded");
    let told = readiness["degraded"]["loop"].as_str().expect("a reason");
    assert!(told.contains("status 1") || told.contains("code 1"), "the reason names the exit: {told}");
    let tools = client.request("tools/list", json!({})).await.json();
    assert!(
        tools["result"]["tools"]
            .as_array()
            .unwrap()
            .iter()
            .all(|tool| tool["name"].as_str().unwrap().starts_with("fine__"))
    );
    assert_eq!(tools["result"]["_meta"]["dev.trunkline/unavailable"], json!(["loop"]));
    let refused = client.call("loop__echo", json!({})).await;
    assert_eq!(code_of(&refused), -31503);
    assert!(message_of(&refused).contains("'loop'"), "{refused}");
}

#[tokio::test]
async fn an_exit_during_the_handshake_is_named_and_tried_again() {
    let config = scripted("s", &["--exit-during-handshake"]) + &scripted("fine", &[]);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("fine", &["ready"]).await;
    let readiness = gateway.in_state("s", &["backoff", "failed"]).await;
    let told = readiness["degraded"]["s"].as_str().expect("a reason");
    assert!(told.contains("status 3") || told.contains("code 3"), "{told}");
    assert_eq!(readiness["status"], "degraded");
}

#[tokio::test]
async fn a_server_that_is_silent_to_the_probe_comes_up_as_a_legacy_one() {
    let started = Instant::now();
    let gateway = Gateway::start(&scripted("s", &["--era", "both", "--silent-discover"])).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__echo", json!({ "message": "up" })).await, "up");
    let seen = stats(&client, "s__stats").await;
    assert_eq!((&seen["discovers"], &seen["initializes"]), (&json!(1), &json!(1)));
    assert!(gateway.log().contains("version=2025-11-25"), "it is spoken to as a legacy server");
}

/// It finds the probe and `initialize` in its pipe when it wakes up, and answers both.
#[tokio::test]
async fn a_slow_server_of_both_eras_is_spoken_to_in_the_era_of_the_last_word_that_it_got() {
    let gateway = Gateway::start(&scripted("s", &["--era", "both", "--slow-start", "3500"])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let seen = stats(&client, "s__stats").await;
    assert_eq!((&seen["discovers"], &seen["initializes"]), (&json!(1), &json!(1)));
    assert!(gateway.log().contains("version=2025-11-25"), "{}", gateway.log());
}

#[tokio::test]
async fn a_server_that_exits_on_the_probe_comes_up_as_a_legacy_one() {
    let gateway = Gateway::start(&scripted("s", &["--exit-on-discover"])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let seen = stats(&client, "s__stats").await;
    assert_eq!((&seen["discovers"], &seen["initializes"]), (&json!(0), &json!(1)), "in its second life");
}

#[tokio::test]
async fn a_burst_on_stderr_is_drained_and_noise_on_stdout_is_skipped() {
    let gateway =
        Gateway::start(&scripted("s", &["--stderr-burst", "200000", "--banner", "Welcome to my server!"]))
            .await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__garbage", json!({})).await, "after the garbage");
    assert_eq!(client.text("s__echo", json!({ "message": "after" })).await, "after");
    assert!(gateway.log().contains("Welcome to my server!"), "the noise is quoted in the log");
}

#[tokio::test]
async fn a_reply_of_ten_megabytes_arrives_whole() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let big = client.text("s__big", json!({ "bytes": 10_000_000 })).await;
    assert_eq!(big.len(), 10_000_000);
    assert!(big.bytes().all(|byte| byte == b'x'));
}

#[tokio::test]
async fn a_line_above_the_cap_fails_its_link_with_a_named_error_and_no_other() {
    let config: String =
        ["s", "t"].iter().map(|name| scripted(name, &[]) + "max_message = \"1MiB\"\n").collect();
    let gateway = Gateway::start(&(config + &scripted("other", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let other = pid(&client, "other").await;
    for (server, tool, arguments) in
        [("s", "big", json!({ "bytes": 2_000_000 })), ("t", "endless", json!({}))]
    {
        let answer = client.call(&format!("{server}__{tool}"), arguments).await;
        assert_eq!(code_of(&answer), -31502, "{answer}");
        let message = message_of(&answer);
        assert!(message.contains(&format!("'{server}'")) && message.contains("max_message"), "{message}");
        let again = client.text(&format!("{server}__echo"), json!({ "message": "again" })).await;
        assert_eq!(again, "again");
    }
    assert_eq!(pid(&client, "other").await, other);
}

#[tokio::test]
async fn answers_that_nobody_waits_for_are_ignored() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let before = pid(&client, "s").await;
    assert_eq!(client.text("s__dup", json!({})).await, "first", "the first answer counts");
    assert_eq!(client.text("s__unknown-id", json!({})).await, "after the answer that nobody asked for");
    assert_eq!(client.text("s__echo", json!({ "message": "after" })).await, "after");
    assert_eq!(pid(&client, "s").await, before, "the link lives on");
}

#[tokio::test]
async fn a_question_under_the_id_of_a_waiting_call_is_no_answer_to_it() {
    let gateway = Gateway::start(&scripted("s", &["--era", "legacy"])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    // The server asks under the id of the very call, and tells what it was answered.
    let refused: Value = serde_json::from_str(&client.text("s__ask", json!({})).await).unwrap();
    assert_eq!(refused["error"]["code"], -32601, "no client capabilities were declared: {refused}");
    let pong: Value =
        serde_json::from_str(&client.text("s__ask", json!({ "method": "ping" })).await).unwrap();
    assert_eq!(pong["result"], json!({}));
}

#[tokio::test]
async fn a_call_past_its_timeout_gets_the_named_error_and_is_withdrawn_at_the_server() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&(scripted("s", &["--era", era]) + "call_timeout = \"400ms\"\n")).await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let started = Instant::now();
        let answer = client.call("s__hang", json!({})).await;
        let waited = started.elapsed();
        assert_eq!(code_of(&answer), -31504, "{answer}");
        let message = message_of(&answer);
        assert!(message.contains("'s'") && message.contains("call_timeout"), "{message}");
        assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(2), "{waited:?}");
        eventually("the server hears of it", || async {
            (stats(&client, "s__stats").await["cancellations"] == 1).then_some(())
        })
        .await;
        // Progress moves the deadline.
        let steady = json!({ "name": "s__stream", "arguments": { "notes": 10, "ms": 80 }, "_meta": { "progressToken": 1 } });
        let steady = client.request("tools/call", steady).await.messages();
        assert_eq!(text_of(steady.last().expect("an answer")), "10 notes", "{era}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_fails_for_good_and_says_what_to_do() {
    let config = section("lost", "no-such-program-anywhere", &[]) + &scripted("fine", &[]);
    let gateway = Gateway::launch(&config).await;
    let readiness = gateway.in_state("lost", &["failed"]).await;
    assert_eq!(readiness["status"], "degraded");
    let told = readiness["degraded"]["lost"].as_str().expect("a reason").to_owned();
    assert!(told.contains("no-such-program-anywhere") && told.contains("PATH"), "{told}");
    let client = Legacy::open(&gateway, "/mcp").await;
    let started = Instant::now();
    let refused = client.call("lost__echo", json!({})).await;
    assert_eq!(code_of(&refused), -31503, "{refused}");
    assert!(message_of(&refused).contains("no-such-program-anywhere"), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(1), "nobody waits for a server that cannot come");
    assert_eq!(client.text("fine__echo", json!({ "message": "up" })).await, "up");
}

#[tokio::test]
async fn a_call_to_a_server_that_is_still_coming_up_waits_for_it() {
    let config = scripted("slow", &["--slow-start", "700"]) + &scripted("fine", &[]);
    let gateway = Gateway::launch(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.text("slow__echo", json!({ "message": "at last" })).await })
    };
    gateway.in_state("fine", &["ready"]).await;
    assert_eq!(client.text("fine__echo", json!({ "message": "meanwhile" })).await, "meanwhile");
    assert_eq!(waiting.await.unwrap(), "at last");
}

#[tokio::test]
async fn lists_of_several_pages_are_complete_and_in_order() {
    let gateway = Gateway::start(&(scripted("one", &[]) + &scripted("three", &["--pages", "3"]))).await;
    let names = async |path: &str| -> Vec<String> {
        let client = Legacy::open(&gateway, path).await;
        let list = client.request("tools/list", json!({})).await.json();
        assert_eq!(list["result"].get("nextCursor"), None);
        let tools = list["result"]["tools"].as_array().expect("tools").clone();
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    };
    let (one, three) = (names("/mcp/one").await, names("/mcp/three").await);
    assert_eq!((one.len(), one.first().map(String::as_str)), (25, Some("echo")));
    assert_eq!(three, one);
    let prefixed = |server: &str| one.iter().map(|name| format!("{server}__{name}")).collect::<Vec<_>>();
    assert_eq!(
        names("/mcp").await,
        [prefixed("one"), prefixed("three")].concat(),
        "in the order of configuration"
    );
}

#[tokio::test]
async fn a_server_of_which_one_list_fails_is_ready_with_the_others() {
    let case = r#"*'"prompts/list"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32603,"message":"out of prompts"}}' ;;"#;
    let gateway = Gateway::start(&shell("sh", r#""tools":{},"prompts":{}"#, case)).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let tools = client.request("tools/list", json!({})).await.json();
    assert_eq!(tools["result"]["tools"][0]["name"], "sh__odd");
    let prompts = client.request("prompts/list", json!({})).await.json();
    assert_eq!(prompts["result"]["prompts"], json!([]));
    assert!(gateway.log().contains("out of prompts"), "the failure is in the log");
}

#[tokio::test]
async fn a_server_that_reads_nothing_costs_its_callers_an_error_and_others_nothing() {
    // It shakes hands, lists its tool, and then never reads again.
    let case = r#"*'"tools/call"'*) exec sleep 1000 ;;"#;
    let config = shell("deaf", r#""tools":{}"#, case)
        + "call_timeout = \"4s\"\nstop_grace = \"100ms\"\n"
        + &scripted("fine", &[]);
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        calls.spawn(async move { client.call("deaf__odd", json!({ "text": "x".repeat(1_000_000) })).await });
    }
    let started = Instant::now();
    assert_eq!(client.text("fine__echo", json!({ "message": "fine" })).await, "fine");
    // Before any of the others has been given up.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    while let Some(answer) = timeout(Duration::from_secs(10), calls.join_next()).await.expect("in time") {
        let answer = answer.unwrap();
        assert!([-31504, -31429].contains(&code_of(&answer)), "{answer}");
        assert!(message_of(&answer).contains("'deaf'"), "{answer}");
    }
}

#[tokio::test]
async fn children_get_a_cleared_environment() {
    let gateway = Gateway::start(&(scripted("s", &[]) + "env = { IT_OWN = \"1\" }\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let told = whoami(&client, "s").await;
    let names: Vec<&str> =
        told["env"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"IT_OWN") && names.contains(&"PATH"), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with("CARGO") || name.starts_with("TRUNKLINE")),
        "{names:?}"
    );
}

#[tokio::test]
async fn ready_means_that_every_tool_can_be_called() {
    for _ in 0..8 {
        let gateway =
            Gateway::start(&(conformance("a", &[]) + &conformance("b", &["--era", "legacy"]))).await;
        // The first request that the gateway sees after it says that it is ready.
        let answer = Modern::new(&gateway, "/mcp").call("b__json_schema_2020_12_tool", json!({})).await;
        assert_eq!(text_of(&answer), "Called with {}");
        let listed = Modern::new(&gateway, "/mcp").request("tools/list", json!({})).await;
        assert!(listed.text().contains("\"a__test_simple_text\""));
    }
}

#[tokio::test]
async fn an_answer_that_was_written_before_the_exit_arrives() {
    let case = r#"*'"tools/call"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"last words"}]}}'; exit 0 ;;"#;
    let names = ["a", "b", "c", "d", "e", "f"];
    let config: String = names.iter().map(|name| shell(name, r#""tools":{}"#, case)).collect();
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for name in names {
        assert_eq!(client.text(&format!("{name}__odd"), json!({})).await, "last words");
    }
}

#[tokio::test]
async fn a_server_that_dies_again_and_again_is_given_a_rest_and_its_callers_are_told_at_once() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &scripted("fine", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for deaths in 0.. {
        assert!(deaths < 20, "a budget of restarts has an end");
        let readiness = gateway.in_state("s", &["ready", "failed"]).await;
        if readiness["servers"]["s"] == "failed" {
            break;
        }
        let answer = client.call("s__crash", json!({})).await;
        assert!([-31502, -31503].contains(&code_of(&answer)), "{answer}");
    }
    let asked = Instant::now();
    let refused = client.call("s__echo", json!({ "message": "x" })).await;
    assert_eq!(code_of(&refused), -31503, "{refused}");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(client.text("fine__echo", json!({ "message": "fine" })).await, "fine");
}
