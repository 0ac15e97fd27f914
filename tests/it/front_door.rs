//! Every way in has the same door, and what it lets in or keeps out changes while the gateway runs.

use rustix::process::Signal;
use serde_json::json;

use crate::support::keys::{key_command, new_key};
use crate::support::{
    Gateway, Legacy, Modern, Pipe, Reply, Stub, demo, eventually, service, text_of, wire, within,
};

const ASKING: &str = "[limits]\nfailed_logins = \"none\"\n[auth]\nanonymous = \"never\"\n";

async fn known(gateway: &Gateway, arguments: &[&str]) -> String {
    let bearer = format!("Bearer {}", new_key(gateway, arguments));
    eventually("the key is known", || async {
        (gateway.get("/metrics", &[("authorization", &bearer)]).await.status == 200).then_some(())
    })
    .await;
    bearer
}

fn initialize() -> String {
    let params = json!({ "protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }).to_string()
}

async fn session(gateway: &Gateway, bearer: &str) -> String {
    let reply = wire::post(gateway.address, "/mcp", &[("authorization", bearer)], initialize()).await;
    reply.whole().await.header("mcp-session-id").expect("a session").to_owned()
}

/// A plain service that answers everything, and its entry.
async fn plain() -> (Stub, String) {
    let stub = Stub::start(|_| ("200 OK".to_owned(), "{\"models\":[]}".to_owned())).await;
    let entry = service("plain", &stub.url("")) + "\n[enhance]\nservice = \"plain\"\n";
    (stub, entry)
}

#[tokio::test]
async fn every_way_in_asks_for_a_credential() {
    let (_stub, entry) = plain().await;
    let gateway = Gateway::start(&(ASKING.to_owned() + &entry + &demo("demo"))).await;
    for (method, path) in [
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("DELETE", "/mcp"),
        ("POST", "/mcp/demo/tools/list"),
        ("GET", "/sse"),
        ("GET", "/sse/demo"),
        ("POST", "/messages?session_id=1"),
        ("GET", "/services/plain/x"),
        ("POST", "/services/nothing/x"),
        ("POST", "/enhance"),
        ("POST", "/ollama/enhance"),
        ("POST", "/enhance/reset"),
        ("GET", "/metrics"),
    ] {
        let body = format!("[{}]", initialize());
        let reply = wire::request(gateway.address, method, path, &wire::MCP_HEADERS, body).await;
        assert_eq!(reply.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn what_all_share_is_reset_by_those_alone_who_administer() {
    let (_stub, entry) = plain().await;
    let gateway = Gateway::start(&(ASKING.to_owned() + &entry + &demo("demo"))).await;
    for (arguments, status) in [(&["user"][..], 403), (&["operator", "--scope", "admin"][..], 200)] {
        let bearer = known(&gateway, arguments).await;
        for path in ["/enhance/reset", "/ollama/reset"] {
            let headers = [("authorization", bearer.as_str())];
            let reply = wire::post(gateway.address, path, &headers, String::new()).await.whole().await;
            assert_eq!(reply.status, status, "{path}: {}", reply.text());
        }
    }
    let log = gateway.log();
    assert!(log.contains("audit") && log.contains("key:operator"), "{log}");
}

#[tokio::test]
async fn what_was_open_to_anybody_ends_when_nobody_is_let_in_without_a_credential() {
    let gateway = Gateway::start(&demo("demo")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut stream = client.stream().await;
    let reload = |config: &str| {
        std::fs::write(gateway.folder().join("gateway.toml"), config.to_owned() + &demo("demo")).unwrap();
        gateway.signal(Signal::HUP);
    };
    reload(ASKING);
    within("the stream ends", async { while stream.message().await.is_some() {} }).await;
    let bearer = known(&gateway, &["watcher"]).await;
    eventually("the session ends", || async {
        let metrics = gateway.get("/metrics", &[("authorization", &bearer)]).await;
        metrics.text().contains("\ntrunkline_sessions 0\n").then_some(())
    })
    .await;
    // Who is let in again begins anew, and what is opened then stays open.
    reload("");
    eventually("the session is gone", || async {
        let reply = client.request("tools/list", json!({})).await;
        (reply.status == 404).then_some(())
    })
    .await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let _stream = client.stream().await;
    assert_eq!(text_of(&client.call("demo__echo", json!({ "message": "x" })).await), "x");
}

#[tokio::test]
async fn every_way_in_counts_for_the_callers_limit() {
    let (_stub, entry) = plain().await;
    let limits = "[limits]\nprincipal = \"1/d burst 1\"\n[auth]\nanonymous = \"never\"\n";
    let gateway = Gateway::start(&(limits.to_owned() + &entry + &demo("demo"))).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (name, path, body) in [
        ("mcp", "/mcp", initialize()),
        ("rest", "/mcp/demo/tools/list", "{}".to_owned()),
        ("service", "/services/plain/x", String::new()),
        ("enhance", "/enhance", json!({ "prompt": "a prompt" }).to_string()),
    ] {
        let bearer = known(&gateway, &[name]).await;
        let headers = [("authorization", bearer.as_str())];
        let ask = async || wire::post(gateway.address, path, &headers, body.clone()).await.whole().await;
        let (first, second) = (ask().await, ask().await);
        assert_eq!((first.status, second.status), (200, 429), "{name}: {} {}", first.text(), second.text());
        assert!(second.header("retry-after").is_some(), "{name}");
    }
    // Each element of a batch is a request.
    let bearer = known(&gateway, &["batch"]).await;
    let id = session(&gateway, &bearer).await;
    let headers = [("authorization", bearer.as_str()), ("mcp-session-id", id.as_str())];
    let answers = wire::post(gateway.address, "/mcp", &headers, format!("[{list}]")).await.whole().await;
    assert_eq!(answers.json()[0]["error"]["code"], -31429, "{}", answers.text());
    // So is what is sent over the oldest transport.
    let bearer = known(&gateway, &["oldest"]).await;
    let headers = [("authorization", bearer.as_str()), ("accept", "text/event-stream")];
    let mut stream = wire::request(gateway.address, "GET", "/sse", &headers, "").await;
    let endpoint = stream.fields().await.and_then(|event| event.data).expect("the endpoint");
    for expected in [None, Some(-31429)] {
        let sent = wire::post(gateway.address, &endpoint, &headers[..1], initialize()).await;
        assert_eq!(sent.status, 202);
        let answer = stream.message().await.expect("an answer");
        assert_eq!(answer["error"]["code"].as_i64(), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_revoked_key_ends_what_it_has_opened_and_no_more() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let (mine, other) = (known(&gateway, &["mine"]).await, known(&gateway, &["other"]).await);
    let (own, foreign) = (session(&gateway, &mine).await, session(&gateway, &other).await);
    let open = async |bearer: &str, path: &str, id: &str| {
        let headers = [("authorization", bearer), ("mcp-session-id", id), ("accept", "text/event-stream")];
        let stream = wire::request(gateway.address, "GET", path, &headers, "").await;
        assert_eq!(stream.status, 200, "{path}");
        stream
    };
    let mut streams = Vec::new();
    for path in ["/mcp", "/sse"] {
        streams.push(open(&mine, path, &own).await);
    }
    let listen = Modern::body(&json!(1), "subscriptions/listen", json!({ "notifications": {} }));
    let headers = [
        ("authorization", mine.as_str()),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ];
    streams.push(wire::post(gateway.address, "/mcp", &headers, listen.to_string()).await);
    let mut stays = open(&other, "/mcp", &foreign).await;
    gateway_reaches(&gateway, &other, "trunkline_streams", 4.0).await;
    gateway_reaches(&gateway, &other, "trunkline_sessions", 2.0).await;

    assert!(key_command(&gateway, &["revoke", "mine"]).status.success());
    for stream in &mut streams {
        while stream.event().await.is_some() {}
    }
    gateway_reaches(&gateway, &other, "trunkline_streams", 1.0).await;
    gateway_reaches(&gateway, &other, "trunkline_sessions", 1.0).await;
    let still = tokio::time::timeout(std::time::Duration::from_millis(50), stays.event());
    assert!(still.await.is_err(), "nobody else's stream ends");

    // The session is void for good: a new key for the same name does not open it.
    let again = known(&gateway, &["mine"]).await;
    let headers = [("authorization", again.as_str()), ("mcp-session-id", own.as_str())];
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(wire::post(gateway.address, "/mcp", &headers, ping).await.status, 404);
}

#[tokio::test]
async fn a_session_goes_on_with_the_next_key_of_its_principal() {
    let gateway = Gateway::start(&(ASKING.to_owned() + &demo("demo"))).await;
    let old = new_key(&gateway, &["mine"]);
    let new = known(&gateway, &["mine", "--another"]).await;
    let id = session(&gateway, &format!("Bearer {old}")).await;
    assert!(key_command(&gateway, &["revoke", &old[..11]]).status.success());
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ask = async |bearer: &str| {
        let headers = [("authorization", bearer), ("mcp-session-id", id.as_str())];
        wire::post(gateway.address, "/mcp", &headers, ping).await.status
    };
    eventually("the old key is void", || async {
        (ask(&format!("Bearer {old}")).await == 401).then_some(())
    })
    .await;
    assert_eq!(ask(&new).await, 200);
}

async fn gateway_metric(gateway: &Gateway, bearer: &str, name: &str) -> f64 {
    let text = gateway.get("/metrics", &[("authorization", bearer)]).await;
    let line = text.text().lines().find(|line| line.split(' ').next() == Some(name)).map(str::to_owned);
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(-1.0)
}

async fn gateway_reaches(gateway: &Gateway, bearer: &str, name: &str, wanted: f64) {
    eventually(&format!("{name} is {wanted}"), || async {
        (gateway_metric(gateway, bearer, name).await == wanted).then_some(())
    })
    .await;
}

/// Writes a configuration and asks for it.
fn reload(gateway: &Gateway, config: &str) {
    let file = gateway.folder().join("gateway.toml");
    std::fs::write(file.with_extension("new"), config).expect("written");
    std::fs::rename(file.with_extension("new"), file).expect("renamed");
    gateway.signal(Signal::HUP);
}

#[tokio::test]
async fn a_reload_changes_who_may_use_what_and_clients_hear_of_it() {
    let gateway = Gateway::start(&(demo("a") + &demo("b"))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut changes = client.stream().await;
    gateway.streams(1).await;
    let tools = async || {
        let list = client.request("tools/list", json!({})).await.json();
        let names = list["result"]["tools"].as_array().expect("tools").iter();
        names.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert!(tools().await.iter().any(|name| name.starts_with("b__")));
    let rules = "[policy.rules.all]\nallow = [\"a/echo\"]\n";
    reload(&gateway, &(rules.to_owned() + &demo("a") + &demo("b")));
    let told = changes.message().await.expect("a change");
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(tools().await, ["a__echo"]);
    let refused = client.call("b__echo", json!({ "text": "x" })).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    // Other rules of the same number are others.
    let rules = "[policy.rules.all]\nallow = [\"b/echo\"]\n";
    reload(&gateway, &(rules.to_owned() + &demo("a") + &demo("b")));
    eventually("the rules are taken", || async { (tools().await == ["b__echo"]).then_some(()) }).await;
}

#[tokio::test]
async fn a_reload_changes_limits_and_keeps_what_has_been_used_of_the_others() {
    let config = |principal: &str, more: &str| {
        format!("[limits]\nprincipal = \"{principal}\"\n{more}") + &demo("demo")
    };
    let gateway = Gateway::start(&config("1/d burst 3", "")).await;
    let modern = Modern::new(&gateway, "/mcp");
    let ask = async || modern.request("tools/list", json!({})).await.status;
    assert_eq!([ask().await, ask().await, ask().await, ask().await], [200, 200, 200, 429]);
    let taken = |gateway: &Gateway| gateway.log().matches("configuration reloaded").count();
    reload(&gateway, &config("1/d burst 3", "total = \"1/d burst 100\"\n"));
    eventually("the first is taken", || async { (taken(&gateway) == 1).then_some(()) }).await;
    assert_eq!(ask().await, 429, "a reload gives nobody anything back");
    reload(&gateway, &config("1/d burst 1", ""));
    eventually("the second is taken", || async { (taken(&gateway) == 2).then_some(()) }).await;
    assert_eq!([ask().await, ask().await], [200, 429], "another limit begins anew");
    reload(&gateway, &config("none", ""));
    eventually("the third is taken", || async { (taken(&gateway) == 3).then_some(()) }).await;
    assert_eq!(ask().await, 200);
}

#[tokio::test]
async fn a_reload_changes_who_is_asked() {
    let gateway = Gateway::start(&demo("demo")).await;
    let knock =
        async || -> Reply { wire::post(gateway.address, "/mcp", &[], initialize()).await.whole().await };
    assert_eq!(knock().await.status, 200);
    reload(
        &gateway,
        &("[auth]\nanonymous = \"never\"\nrequired_scopes = [\"team\"]\n".to_owned() + &demo("demo")),
    );
    let refused = eventually("it asks", || async { Some(knock().await).filter(|reply| reply.status == 401) });
    assert!(refused.await.header("www-authenticate").expect("a challenge").ends_with("scope=\"team\""));
    eventually("the reload says what has changed", || async {
        gateway.log().contains("auth.anonymous").then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_starts_the_gateway_on_pipes_is_let_in_and_deny_holds_for_them_too() {
    let rules = "[auth]\nanonymous = \"never\"\n[policy.rules.ci]\nprincipals = [\"key:ci\"]\nallow = [\"demo/*\"]\n\
                 [policy.rules.nobody]\ndeny = [\"demo/add\"]\n";
    let mut pipe = Pipe::own(&(rules.to_owned() + &demo("demo")), &[]);
    pipe.open().await;
    let list = pipe.request(1, "tools/list", json!({})).await;
    let names: Vec<_> =
        list["result"]["tools"].as_array().expect("tools").iter().map(|t| &t["name"]).collect();
    assert!(names.contains(&&json!("demo__echo")) && !names.contains(&&json!("demo__add")), "{names:?}");
}
