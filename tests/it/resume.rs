//! Streams that outlive their connections: what was missed comes after, to the one who missed it and to nobody else.

use serde_json::{Value, json};

use crate::support::{
    Event, Fields, Gateway, Legacy, Open, code_of, eventually, message_of, scripted, stats, text_of,
};

fn stream(id: &Value, notes: u64, ms: u64) -> String {
    let params = json!({
        "name": "s__stream",
        "arguments": { "notes": notes, "ms": ms },
        "_meta": { "progressToken": "t" },
    });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// The fields of the next event that is more than a comment.
async fn next(open: &mut Open) -> Option<Fields> {
    loop {
        let fields = open.fields().await?;
        if fields != Fields::default() {
            return Some(fields);
        }
    }
}

/// The next message, with the id of its event.
async fn message(open: &mut Open) -> (String, Value) {
    loop {
        let fields = next(open).await.expect("the stream goes on");
        if let Some(data) = fields.data.filter(|data| !data.is_empty()) {
            return (fields.id.expect("an id"), serde_json::from_str(&data).expect("JSON"));
        }
    }
}

/// Reads to the end.
async fn rest(mut open: Open) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(message) = open.message().await {
        all.push(message);
    }
    all
}

#[tokio::test]
async fn a_stream_that_broke_goes_on_where_it_stopped() {
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let gateway = Gateway::start(&scripted("s", &[])).await;
        let client = Legacy::open_as(&gateway, "/mcp", version).await;
        let mut open = client.post(stream(&json!("ä \"1\""), 6, 150)).await;
        let (_, first) = message(&mut open).await;
        let (last, second) = message(&mut open).await;
        assert_eq!((&first["params"]["progress"], &second["params"]["progress"]), (&json!(1), &json!(2)));
        drop(open);
        let resumed = client.resume(&last).await;
        assert_eq!((resumed.status, resumed.header("content-type")), (200, Some("text/event-stream")));
        let rest = rest(resumed).await;
        let steps: Vec<&Value> = rest[..4].iter().map(|note| &note["params"]["progress"]).collect();
        assert_eq!(steps, [3, 4, 5, 6], "{version}: nothing twice, nothing left out");
        assert_eq!((&rest[4]["id"], text_of(&rest[4])), (&json!("ä \"1\""), "6 notes".to_owned()));
        assert_eq!(stats(&client, "s__stats").await["cancellations"], 0);
    }
}

#[tokio::test]
async fn an_answer_waits_for_the_client_that_lost_its_stream() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut open = client.post(stream(&json!(7), 2, 100)).await;
    let primed = open.fields().await.expect("an event");
    assert_eq!(
        (primed.data.as_deref(), primed.retry),
        (Some(""), Some(1000)),
        "the first event is for coming back"
    );
    drop(open);
    gateway.in_flight(0).await;
    // It is there for who asks again, too: the first answer to the question may be lost like the stream was.
    for _ in 0..2 {
        let rest = rest(client.resume(primed.id.as_ref().expect("an id")).await).await;
        assert_eq!((rest.len(), text_of(&rest[2])), (3, "2 notes".to_owned()));
    }
}

#[tokio::test]
async fn what_is_not_held_any_more_is_said_in_an_answer_to_the_call() {
    let short = "[gateway.replay]\nage = \"100ms\"\n";
    let none = "[gateway.replay]\nmemory = \"0\"\n";
    for replay in [short, none] {
        let config = replay.to_owned() + &scripted("s", &[]);
        let mut gateway = Gateway::start(&config).await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let mut open = client.post(stream(&json!("x"), 1, 50)).await;
        let (id, _) = message(&mut open).await;
        drop(open);
        gateway.in_flight(0).await;
        let answer = eventually("it is held no longer", || async {
            let rest = rest(client.resume(&id).await).await;
            rest.last().filter(|last| last.get("error").is_some()).cloned()
        })
        .await;
        assert_eq!((&answer["id"], code_of(&answer)), (&json!("x"), -31504));
        assert!(message_of(&answer).contains("gateway.replay"), "{answer}");
        // Nor does another process know anything of it.
        gateway.signal(rustix::process::Signal::KILL);
        gateway.ended().await;
        let again = Gateway::launch_again(&gateway, &config, 0).await;
        let answers = rest(client.at(&again).resume(&id).await).await;
        assert_eq!((answers.len(), &answers[0]["id"], code_of(&answers[0])), (1, &json!("x"), -31504));
    }
}

#[tokio::test]
async fn an_event_id_is_of_no_use_in_another_session() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let (client, other) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    let mut open = client.post(stream(&json!(1), 2, 50)).await;
    let (id, _) = message(&mut open).await;
    drop(open);
    // The other session has a stream of the same number.
    let own = rest(other.post(stream(&json!(2), 1, 10)).await).await;
    assert_eq!(text_of(own.last().expect("an answer")), "1 notes");
    gateway.in_flight(0).await;
    let answers = rest(other.resume(&id).await).await;
    assert_eq!((answers.len(), code_of(&answers[0])), (1, -31504), "{answers:?}");
    assert_eq!(rest(client.resume(&id).await).await.len(), 2);
    for id in ["", "1", "not an id", "zzzzzzzz.1.1"] {
        let refused = client.resume(id).await.whole().await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, -32600), "{id}");
    }
}

#[tokio::test]
async fn a_client_that_polls_is_let_go_and_comes_back_for_the_rest() {
    let config = "[gateway.replay]\npoll_after = \"200ms\"\n".to_owned() + &scripted("s", &[]);
    let gateway = Gateway::start(&config).await;
    let body = |tool: &str| stream(&json!(1), 1, 1500).replace("s__stream", tool);
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut open = client.post(body("s__stream")).await;
    let primed = next(&mut open).await.expect("the first event");
    assert_eq!((primed.data.as_deref(), primed.retry), (Some(""), Some(1000)));
    let (id, note) = message(&mut open).await;
    assert_eq!(note["params"]["progress"], 1);
    let parting = next(&mut open).await.expect("a word of when to come back");
    assert_eq!(parting, Fields { retry: Some(1000), ..Fields::default() });
    assert_eq!(open.event().await, None, "the connection ends before the answer");
    // Whoever comes back early is let go again, and loses nothing by it.
    let mut position = id;
    let answer = loop {
        let mut open = client.resume(&position).await;
        let mut answer = None;
        while let Some(fields) = next(&mut open).await {
            if let (Some(id), Some(data)) = (fields.id, fields.data) {
                position = id;
                answer = Some(serde_json::from_str::<Value>(&data).expect("JSON"));
            }
        }
        if let Some(answer) = answer {
            break answer;
        }
    };
    assert_eq!(text_of(&answer), "1 notes");
    // Older clients know nothing of this: their streams stay, and no event comes without data.
    let older = Legacy::open_as(&gateway, "/mcp", "2025-06-18").await;
    let whole = older.raw(body("s__stream")).await;
    assert_eq!(whole.messages().len(), 2, "{}", whole.text());
    assert!(!whole.text().contains("retry"), "{}", whole.text());
}

#[tokio::test]
async fn changes_are_heard_of_after_a_break_and_of_an_unknown_time_everything_may_have_changed() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let (client, other) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    let mut open = client.stream().await;
    let primed = next(&mut open).await.expect("the first event");
    drop(open);
    assert_eq!(other.text("s__list-changed", json!({})).await, "added `extra`");
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    let mut resumed = client.resume(&primed.id.expect("an id")).await;
    let (_, note) = message(&mut resumed).await;
    assert_eq!(note, changed);
    let mut lost = client.resume("00000000.0.17").await;
    let mut methods = Vec::new();
    for _ in 0..3 {
        methods.push(message(&mut lost).await.1["method"].as_str().expect("a method").to_owned());
    }
    assert_eq!(
        methods,
        ["tools", "prompts", "resources"].map(|list| format!("notifications/{list}/list_changed"))
    );
}

#[tokio::test]
async fn of_several_streams_the_newest_hears_and_when_it_goes_the_one_before() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &scripted("t", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let (mut first, mut second) = (client.stream().await, client.stream().await);
    client.text("s__list-changed", json!({})).await;
    let (_, note) = message(&mut second).await;
    assert_eq!(note["method"], "notifications/tools/list_changed");
    drop(second);
    gateway.streams(1).await;
    client.text("t__list-changed", json!({})).await;
    let (_, note) = message(&mut first).await;
    assert_eq!(note["method"], "notifications/tools/list_changed");
    // It was one message, the second: the first reached the newest alone.
    let mut more = Vec::new();
    for _ in 0..4 {
        more.push(client.stream().await);
    }
    assert_eq!(first.event().await, None, "the oldest of too many ends");
    assert_eq!(client.delete().await.status, 204);
    for mut stream in more {
        while let Some(event) = stream.event().await {
            assert_eq!(event, Event::Comment);
        }
    }
}

#[tokio::test]
async fn a_call_whose_client_is_away_can_be_cancelled_and_ends_with_its_session() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut open = client.post(stream(&json!(5), 1, 60_000)).await;
    let (id, _) = message(&mut open).await;
    drop(open);
    client.notify("notifications/cancelled", json!({ "requestId": 5 })).await;
    let answers = rest(client.resume(&id).await).await;
    assert_eq!((answers.len(), code_of(&answers[0])), (1, -31499));
    let mut open = client.post(stream(&json!(6), 1, 60_000)).await;
    let (id, _) = message(&mut open).await;
    drop(open);
    assert_eq!(client.delete().await.status, 204);
    assert_eq!(client.resume(&id).await.status, 404);
    gateway.in_flight(0).await;
}
