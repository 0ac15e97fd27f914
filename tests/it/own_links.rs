//! Links of one client's own: what is said there reaches that client, all of it, and nobody else.

use serde_json::{Value, json};

use crate::support::processes::{alive, kill, marked, unique_name};
use crate::support::{
    Gateway, Legacy, Modern, Open, conformance, eventually, scripted, shell, stats, text_of,
};

const WATCHED: &str = "test://watched-resource";

fn isolated(entry: String, isolation: &str) -> String {
    entry + &format!("isolation = \"{isolation}\"\nquestions = true\n")
}

/// The names of the tools that a client is shown.
fn tools(list: &Value) -> Vec<String> {
    let tools = list["result"]["tools"].as_array().expect("tools");
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

async fn shows(client: &Legacy, tool: &str) -> bool {
    tools(&client.request("tools/list", json!({})).await.json()).iter().any(|shown| shown == tool)
}

/// Everything that comes on a stream before the gateway ends it.
async fn rest(mut stream: Open) -> Vec<String> {
    let mut methods = Vec::new();
    while let Some(message) = stream.message().await {
        methods.push(message["method"].as_str().unwrap_or_default().to_owned());
    }
    methods
}

#[tokio::test]
async fn a_change_at_a_link_of_ones_own_is_told_to_its_owner_who_sees_it_and_to_nobody_else() {
    let mut gateway = Gateway::start(&isolated(scripted("s", &["--era", "legacy"]), "session")).await;
    let (one, two) = (Legacy::open(&gateway, "/mcp/s").await, Legacy::open(&gateway, "/mcp/s").await);
    let (mut heard, silent) = (one.stream().await, two.stream().await);
    assert!(!shows(&one, "extra").await && !shows(&two, "extra").await);
    assert_eq!(one.text("list-changed", json!({})).await, "added `extra`");
    let note = heard.message().await.expect("a note");
    assert_eq!(note["method"], "notifications/tools/list_changed");
    assert!(shows(&one, "extra").await, "the owner sees what has changed");
    assert_eq!(one.text("extra", json!({})).await, "extra");
    assert!(!shows(&two, "extra").await, "it is the owner's alone");
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(rest(silent).await, Vec::<String>::new());
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_modern_client_hears_of_changes_at_the_link_of_its_principal() {
    let gateway = Gateway::start(&isolated(scripted("s", &["--era", "legacy"]), "principal")).await;
    let client = Modern::new(&gateway, "/mcp/s");
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let mut heard = client.post(&Modern::body(&json!("l"), "subscriptions/listen", filter)).await;
    let acknowledged = heard.message().await.expect("an acknowledgement");
    assert_eq!(acknowledged["params"]["notifications"], json!({ "toolsListChanged": true }));
    assert!(!tools(&client.request("tools/list", json!({})).await.json()).contains(&"extra".to_owned()));
    assert_eq!(text_of(&client.call("list-changed", json!({})).await), "added `extra`");
    let note = heard.message().await.expect("a note");
    assert_eq!(note["method"], "notifications/tools/list_changed");
    assert_eq!(note["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    let list = client.request("tools/list", json!({})).await.json();
    assert!(tools(&list).contains(&"extra".to_owned()));
    assert_eq!(list["result"]["cacheScope"], "private", "one principal's list is nobody else's");
}

#[tokio::test]
async fn a_subscription_on_a_link_of_ones_own_is_heard_by_its_owner_alone() {
    for path in ["/mcp/c", "/mcp"] {
        let entry = conformance("c", &["--transport", "stdio", "--era", "legacy"]);
        let mut gateway = Gateway::start(&isolated(entry, "session")).await;
        let (one, two) = (Legacy::open(&gateway, path).await, Legacy::open(&gateway, path).await);
        let (mut heard, silent) = (one.stream().await, two.stream().await);
        for client in [&one, &two] {
            let subscribed = client.request("resources/subscribe", json!({ "uri": WATCHED })).await.json();
            assert_eq!(subscribed["result"], json!({}), "{path}");
        }
        let trigger =
            if path == "/mcp" { "c__test_trigger_resource_update" } else { "test_trigger_resource_update" };
        one.text(trigger, json!({})).await;
        let note = heard.message().await.expect("a note");
        assert_eq!(note["method"], "notifications/resources/updated");
        assert_eq!(note["params"], json!({ "uri": WATCHED }));
        gateway.signal(rustix::process::Signal::TERM);
        assert_eq!(rest(silent).await, Vec::<String>::new(), "{path}");
        assert!(gateway.ended().await.success());
    }
}

#[tokio::test]
async fn a_subscription_is_taken_up_again_when_the_link_of_ones_own_has_been_started_anew() {
    let name = unique_name();
    let entry = marked(&conformance(&name, &["--transport", "stdio", "--era", "legacy"]), &name);
    let gateway = Gateway::start(&isolated(entry, "principal")).await;
    let shared = alive(&name);
    let client = Legacy::open(&gateway, &format!("/mcp/{name}")).await;
    let mut heard = client.stream().await;
    client.request("resources/subscribe", json!({ "uri": WATCHED })).await;
    let own: Vec<u32> = alive(&name).into_iter().filter(|pid| !shared.contains(pid)).collect();
    assert!(!own.is_empty(), "the client has a process of its own");
    own.iter().for_each(|pid| kill(u64::from(*pid)));
    let note = tokio::spawn(async move { heard.message().await });
    // A call may come before the subscription of the new process; a later one does not.
    eventually("an update", || async {
        client.call("test_trigger_resource_update", json!({})).await;
        note.is_finished().then_some(())
    })
    .await;
    assert_eq!(note.await.unwrap().expect("a note")["params"], json!({ "uri": WATCHED }));
}

#[tokio::test]
async fn a_change_of_roots_is_told_to_the_link_of_its_client_and_to_no_other() {
    let gateway = Gateway::start(&isolated(scripted("s", &["--era", "legacy"]), "session")).await;
    let roots = json!({ "roots": { "listChanged": true } });
    let one = Legacy::able(&gateway, "/mcp", roots.clone()).await;
    let two = Legacy::able(&gateway, "/mcp/s", roots.clone()).await;
    assert_eq!(one.text("s__declared", json!({})).await, roots.to_string());
    assert_eq!(two.text("declared", json!({})).await, roots.to_string());
    let told = async |client: &Legacy, tool: &str| {
        stats(client, tool).await["others"]["notifications/roots/list_changed"].as_u64().unwrap_or(0)
    };
    for (client, expected) in [(&one, (1, 0)), (&two, (1, 1))] {
        client.notify("notifications/roots/list_changed", json!({})).await;
        assert_eq!((told(&one, "s__stats").await, told(&two, "stats").await), expected);
    }
}

#[tokio::test]
async fn log_lines_of_a_link_of_ones_own_arrive_though_another_call_was_given_up_or_is_at_work() {
    let gateway = Gateway::start(&isolated(scripted("s", &["--era", "legacy"]), "session")).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    // Its process is there, so that calls reach it in the order in which they are made.
    assert_eq!(client.text("echo", json!({ "message": "up" })).await, "up");
    let hanging = json!({ "name": "hang", "arguments": {} });
    let body = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": hanging });
    let other = client.clone();
    let at_work = body(8).to_string();
    let _at_work = tokio::spawn(async move { other.raw(at_work).await });
    let withdraw = async {
        gateway.in_flight(2).await;
        client.notify("notifications/cancelled", json!({ "requestId": 7 })).await;
    };
    let (_given_up, ()) = tokio::join!(client.post(body(7).to_string()), withdraw);
    let params = json!({ "name": "log", "arguments": { "level": "info", "text": "mine" } });
    let messages = client.request("tools/call", params).await.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0]["params"]["data"], "mine");
}

#[tokio::test]
async fn log_lines_of_a_link_of_ones_own_arrive_while_no_call_is_in_flight_at_the_level_that_was_asked_for() {
    // It says two lines behind its answer, one of them about details.
    let log = |level: &str| {
        let params = format!(r#"{{"level":"{level}","data":"behind the answer"}}"#);
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{params}}}"#)
    };
    let cases = format!(
        r#"*'"tools/call"'*) printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"content":[]}}}}' '{}' '{}' ;;
*'"logging/setLevel"'*) printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"',"result":{{}}}}' ;;"#,
        log("debug"),
        log("error")
    );
    let entry = isolated(shell("s", r#""tools":{},"logging":{}"#, &cases), "session");
    let mut gateway = Gateway::start(&entry).await;
    let other = Legacy::open(&gateway, "/mcp/s").await;
    let silent = other.stream().await;
    for (path, tool) in [("/mcp", "s__odd"), ("/mcp/s", "odd")] {
        let client = Legacy::open(&gateway, path).await;
        let mut heard = client.stream().await;
        client.call(tool, json!({})).await;
        for level in ["debug", "error"] {
            let note = heard.message().await.expect("a line");
            assert_eq!(note["params"], json!({ "level": level, "data": "behind the answer" }), "{path}");
        }
        client.request("logging/setLevel", json!({ "level": "error" })).await;
        client.call(tool, json!({})).await;
        let note = heard.message().await.expect("a line");
        assert_eq!(note["params"]["level"], "error", "{path}");
    }
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(rest(silent).await, Vec::<String>::new(), "it is nobody else's");
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_server_shows_each_client_the_tools_of_what_that_client_declares() {
    let entry = scripted("s", &["--era", "legacy", "--tools-by-capability"]) + "questions = true\n";
    let gateway = Gateway::start(&entry).await;
    let plain = Legacy::open(&gateway, "/mcp/s").await;
    let able = Legacy::able(&gateway, "/mcp/s", json!({ "elicitation": {} })).await;
    assert!(!shows(&plain, "confide").await);
    assert!(shows(&able, "confide").await);
    assert_eq!(able.text("confide", json!({})).await, "confided");
    let declares = |capabilities: Value| json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": capabilities } });
    let modern = Modern::new(&gateway, "/mcp/s");
    for (declared, shown) in [(json!({}), false), (json!({ "elicitation": {} }), true)] {
        let list = modern.request("tools/list", declares(declared)).await.json();
        assert_eq!(tools(&list).contains(&"confide".to_owned()), shown);
    }
}

#[tokio::test]
async fn a_subscription_that_its_server_refused_is_asked_for_again() {
    // The second time it is granted, and an update follows.
    let case = r#"*'"resources/subscribe"'*) tried="x$tried"; case "$tried" in
x) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32602,"message":"not yet"}}' ;;
*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"odd:1"}}' ;;
esac ;;"#;
    let gateway = Gateway::start(&shell("sh", r#""tools":{},"resources":{"subscribe":true}"#, case)).await;
    let client = Legacy::open(&gateway, "/mcp/sh").await;
    let mut heard = client.stream().await;
    let subscribed = client.request("resources/subscribe", json!({ "uri": "odd:1" })).await.json();
    assert_eq!(subscribed["result"], json!({}));
    let note = loop {
        let note = heard.message().await.expect("a note");
        if note["method"] != "notifications/resources/list_changed" {
            break note;
        }
    };
    assert_eq!(note["params"], json!({ "uri": "odd:1" }));
}

#[tokio::test]
async fn a_server_introduces_itself_on_the_link_of_ones_own_by_what_its_client_declares() {
    let able = r#"*'"initialize"'*'"elicitation"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"able","version":"1"},"instructions":"ask"}}' ;;"#;
    let entry = shell("s", r#""tools":{}"#, able);
    for how in ["isolation = \"session\"\n", "isolation = \"principal\"\n", ""] {
        let gateway = Gateway::start(&(entry.clone() + how + "questions = true\n")).await;
        for (declared, name, said) in
            [(json!({ "elicitation": {} }), "able", json!("ask")), (json!({}), "shell", Value::Null)]
        {
            let client = Legacy::able(&gateway, "/mcp/s", declared.clone()).await;
            let told = &client.welcome;
            let found = (&told["serverInfo"]["name"], &told["instructions"]);
            assert_eq!(found, (&json!(name), &said), "{how}: {told}");
            assert_eq!(told["capabilities"]["logging"].is_object(), name == "able", "{how}: {told}");
            let params = json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": declared } });
            let modern = Modern::new(&gateway, "/mcp/s").request("server/discover", params).await.json();
            let told = &modern["result"];
            let info = &told["_meta"]["io.modelcontextprotocol/serverInfo"];
            assert_eq!((&info["name"], &told["instructions"]), (&json!(name), &said), "{how}: {told}");
            assert_eq!(told["cacheScope"], "private", "{how}: {told}");
        }
    }
}
