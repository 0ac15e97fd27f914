//! The administration interface: what it shows, what it does, and who may use it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::keys::new_key;
use crate::support::wire::{self, Reply};
use crate::support::{
    Counter, Gateway, Legacy, Modern, code_of, demo, eventually, message_of, schema, scripted, section,
    service, stats,
};

const INTENT: (&str, &str) = ("x-trunkline", "1");

/// A server that cannot be started.
fn broken(name: &str) -> String {
    section(name, "/nowhere/at/all", &[])
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.get(&format!("/api/v1{path}"), &[]).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

async fn order(gateway: &Gateway, method: &str, path: &str) -> Reply {
    wire::request(gateway.address, method, &format!("/api/v1{path}"), &[INTENT], "").await.whole().await
}

async fn act(gateway: &Gateway, server: &str, act: &str) {
    let reply = order(gateway, "POST", &format!("/servers/{server}/{act}")).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
}

async fn in_state(gateway: &Gateway, server: &str, wanted: &str) -> Value {
    eventually(&format!("{server} is {wanted}"), || async {
        let detail = get(gateway, &format!("/servers/{server}")).await;
        (detail["state"] == wanted).then_some(detail)
    })
    .await
}

async fn tools(client: &Modern) -> BTreeSet<String> {
    let answer = client.request("tools/list", json!({})).await.json();
    let names = answer["result"]["tools"].as_array().expect("tools").iter();
    names.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

/// The only call in flight.
async fn the_call(gateway: &Gateway) -> Value {
    eventually("one call is in flight at its server", || async {
        let calls = get(gateway, "/calls").await;
        let calls = calls["calls"].as_array().expect("calls");
        (calls.len() == 1 && !calls[0]["server"].is_null()).then(|| calls[0].clone())
    })
    .await
}

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let nobody = service("o", "http://127.0.0.1:1");
    let gateway = Gateway::launch(&(scripted("s", &[]) + &broken("b") + &nobody)).await;
    in_state(&gateway, "s", "ready").await;
    in_state(&gateway, "b", "failed").await;
    new_key(&gateway, &["ann"]);
    let admin = format!("Bearer {}", new_key(&gateway, &["root", "--scope", "admin"]));
    let admin = ("authorization", admin.as_str());
    eventually("its key is known", || async {
        (gateway.get("/metrics", &[admin]).await.status == 200).then_some(())
    })
    .await;
    let legacy = Legacy::open(&gateway, "/mcp").await;
    let _stream = legacy.stream().await;
    let hanging = {
        let client = Modern::new(&gateway, "/mcp");
        tokio::spawn(async move { client.call("s__hang", json!({})).await })
    };
    let call = the_call(&gateway).await["id"].to_string();
    let session = get(&gateway, "/sessions").await["sessions"][0]["id"].as_str().expect("an id").to_owned();
    let stream = get(&gateway, "/streams").await["streams"][0]["id"].to_string();
    let document = get(&gateway, "/openapi.json").await;
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if method == "parameters" || path == "/events" || path == "/activity/export" {
                continue;
            }
            // The call last: its client and its session go with it.
            let id = if path.starts_with("/calls") {
                &call
            } else if path.starts_with("/streams") {
                &stream
            } else {
                &session
            };
            let name = if path.starts_with("/services") { "o" } else { "s" };
            let name = if path.starts_with("/keys") { "ann" } else { name };
            let filled = path.replace("{name}", name).replace("{act}", "reset").replace("{id}", id);
            let filled = match (method.as_str(), path.as_str()) {
                ("delete", "/activity") => "/activity?principal=x".to_owned(),
                (_, "/policy/explain") => "/policy/explain?principal=key:ann&tool=s__echo".to_owned(),
                _ => filled,
            };
            let (method, at) = (method.to_ascii_uppercase(), format!("/api/v1{filled}"));
            let reply =
                wire::request(gateway.address, &method, &at, &[INTENT, admin], "").await.whole().await;
            let described = &operation["responses"][reply.status.to_string()];
            let schema = &described["content"]["application/json"]["schema"];
            assert!(
                reply.status < 300 && schema.is_object(),
                "{method} {filled}: {} {}",
                reply.status,
                reply.text()
            );
            let faults = schema::faults(&document, schema, &reply.json(), filled.as_str());
            assert!(faults.is_empty(), "{}", faults.join("\n"));
            seen += 1;
        }
    }
    assert_eq!(seen, 26);
    hanging.await.unwrap();
    // Refusals have their form, too.
    let refused = &document["components"]["schemas"]["Refused"];
    for (method, path, status) in [
        ("GET", "/servers/nobody", 404),
        ("POST", "/servers/s/explode", 404),
        ("GET", "/services/s", 404),
        ("POST", "/services/o/restart", 404),
        ("DELETE", "/calls/999999", 404),
        ("DELETE", "/calls/x", 404),
        ("DELETE", "/sessions/0011", 404),
        ("DELETE", "/streams/999999", 404),
        ("GET", "/nothing/here", 404),
        ("POST", "/status", 405),
        ("GET", "/activity?sever=s", 400),
        ("GET", "/activity?since=yesterday", 400),
        ("GET", "/activity?limit=0", 400),
        ("GET", "/activity?before=1&after=1", 400),
        ("GET", "/activity/stats?by=mood", 400),
        ("DELETE", "/activity", 400),
        ("DELETE", "/keys/nobody", 403),
        ("GET", "/policy/explain?principal=key:ann", 400),
        ("GET", "/policy/explain?tool=s__echo", 400),
        ("GET", "/policy/explain?principal=key:ann&tool=s__echo&prompt=s__echo", 400),
        ("GET", "/policy/explain?principal=key:ann&tool=echo", 400),
        ("GET", "/policy/explain?principal=key:ann&tool=nobody__echo", 404),
    ] {
        let reply = order(&gateway, method, path).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        let faults = schema::faults(&document, refused, &reply.json(), path);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[tokio::test]
async fn a_gateway_with_a_broken_server_is_degraded_and_says_why() {
    let gateway = Gateway::launch(&(demo("d") + &broken("b"))).await;
    in_state(&gateway, "d", "ready").await;
    let detail = in_state(&gateway, "b", "failed").await;
    assert!(detail["last_error"].as_str().is_some_and(|why| why.contains("cannot be started")), "{detail}");
    assert!(detail["next_try_ms"].as_u64().is_some_and(|wait| wait > 0), "{detail}");
    let status = get(&gateway, "/status").await;
    assert_eq!((&status["status"], &status["degraded"][0]["server"]), (&json!("degraded"), &json!("b")));
    // Nobody misses a server that is out of service.
    act(&gateway, "b", "disable").await;
    in_state(&gateway, "b", "stopped").await;
    assert_eq!(get(&gateway, "/status").await["status"], "healthy");
    assert_eq!(gateway.readiness().await["status"], "ready");
}

#[tokio::test]
async fn a_cancelled_call_is_withdrawn_at_its_server_and_its_client_is_told() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let modern = Modern::new(&gateway, "/mcp");
    let waiting = {
        let modern = modern.clone();
        tokio::spawn(async move { modern.call("s__hang", json!({})).await })
    };
    let call = the_call(&gateway).await;
    assert_eq!((&call["server"], &call["name"]), (&json!("s"), &json!("s__hang")));
    assert_eq!((&call["client"], &call["method"]), (&json!("it 1"), &json!("tools/call")));
    let reply = order(&gateway, "DELETE", &format!("/calls/{}", call["id"])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = waiting.await.unwrap();
    assert_eq!(code_of(&answer), -31499, "{answer}");
    assert!(message_of(&answer).contains("administrator"), "{answer}");
    eventually("the server has heard of it", || async {
        (stats(&client, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
    assert!(get(&gateway, "/calls").await["calls"].as_array().unwrap().is_empty());
    let again = order(&gateway, "DELETE", &format!("/calls/{}", call["id"])).await;
    assert_eq!(again.status, 404, "{}", again.text());
}

#[tokio::test]
async fn a_call_that_waits_for_its_server_can_be_cancelled_before_it_gets_there() {
    let slow = section("slow", "sh", &["-c", "sleep 600"]) + "protocol = \"legacy\"\n";
    let gateway = Gateway::launch(&slow).await;
    let client = Modern::new(&gateway, "/mcp/slow");
    let waiting = tokio::spawn(async move { client.call("anything", json!({})).await });
    let call = the_call(&gateway).await;
    assert_eq!(call["endpoint"], "/mcp/slow");
    order(&gateway, "DELETE", &format!("/calls/{}", call["id"])).await;
    assert_eq!(code_of(&waiting.await.unwrap()), -31499);
}

#[tokio::test]
async fn a_restart_fails_the_calls_in_flight_and_serves_the_next_from_a_new_process() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let before = in_state(&gateway, "s", "ready").await;
    let mut counter = Counter::start(&client, "s__stats").await;
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.call("s__hang", json!({})).await })
    };
    counter.reach(1).await;
    act(&gateway, "s", "restart").await;
    let answer = timeout(Duration::from_secs(10), hanging).await.expect("told in time").unwrap();
    assert!(message_of(&answer).contains("'s'"), "{answer}");
    let after = eventually("a new process is ready", || async {
        let now = get(&gateway, "/servers/s").await;
        (now["generation"] == json!(2) && now["state"] == "ready").then_some(now)
    })
    .await;
    assert_ne!(before["pid"], after["pid"]);
    assert_eq!(client.text("s__echo", json!({ "message": "hi" })).await, "hi");
    assert!(gateway.log().contains("'s' is restarted"), "the audit log has it");
}

#[tokio::test]
async fn a_stopped_server_stays_down_and_one_out_of_service_is_not_listed() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &demo("d"))).await;
    let client = Modern::new(&gateway, "/mcp");
    act(&gateway, "s", "stop").await;
    in_state(&gateway, "s", "stopped").await;
    assert!(message_of(&client.call("s__echo", json!({ "message": "x" })).await).contains("is stopped"));
    assert!(tools(&client).await.iter().any(|name| name.starts_with("s__")), "it may come back");
    act(&gateway, "s", "disable").await;
    assert!(tools(&client).await.iter().all(|name| name.starts_with("d__")), "it is not offered");
    let refused = order(&gateway, "POST", "/servers/s/start").await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (409, Some("conflict")));
    act(&gateway, "s", "enable").await;
    in_state(&gateway, "s", "ready").await;
    assert!(tools(&client).await.contains("s__echo"));
}

#[tokio::test]
async fn a_reset_closes_an_open_breaker() {
    let breaker =
        "call_timeout = \"100ms\"\nbreaker = { failures = 1, open = \"10m\" }\nhealth_interval = \"none\"\n";
    let gateway = Gateway::start(&(scripted("s", &[]) + breaker)).await;
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(code_of(&client.call("s__hang", json!({})).await), -31504);
    let detail = get(&gateway, "/servers/s").await;
    assert_eq!(detail["breaker"], "open");
    assert!(detail["next_try_ms"].as_u64().is_some_and(|wait| wait > 500_000), "{detail}");
    assert_eq!(code_of(&client.call("s__echo", json!({ "message": "x" })).await), -31503);
    act(&gateway, "s", "reset").await;
    assert_eq!(get(&gateway, "/servers/s").await["breaker"], "closed");
    assert!(client.call("s__echo", json!({ "message": "x" })).await["error"].is_null());
}

#[tokio::test]
async fn changes_are_told_as_they_happen_to_everybody_who_listens() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let mut open = wire::request(gateway.address, "GET", "/api/v1/events", &[], "").await;
        let first = open.message().await.expect("the state of now");
        assert_eq!((&first["kind"], &first["state"]), (&json!("server"), &json!("ready")));
        listeners.push(open);
    }
    let document = get(&gateway, "/openapi.json").await;
    let schema = &document["components"]["schemas"]["Event"];
    act(&gateway, "s", "restart").await;
    act(&gateway, "s", "disable").await;
    for open in &mut listeners {
        let mut seen = Vec::new();
        let wanted = ["server stopping", "service disabled"].map(str::to_owned);
        while !wanted.iter().all(|event| seen.contains(event)) {
            let event = open.message().await.expect("an event");
            assert!(schema::faults(&document, schema, &event, "event").is_empty(), "{event}");
            let (kind, state) =
                (event["kind"].as_str().unwrap(), event["state"].as_str().unwrap_or_default());
            seen.push(format!("{kind} {state}"));
        }
    }
}

#[tokio::test]
async fn event_streams_are_counted_and_end_with_the_gateway() {
    let mut gateway = Gateway::start(&demo("d")).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(wire::request(gateway.address, "GET", "/api/v1/events", &[], "").await);
    }
    assert_eq!(gateway.get("/api/v1/events", &[]).await.status, 503);
    drop(open.split_off(1));
    let mut one = open.remove(0);
    eventually("a place is free again", || async {
        let again = wire::request(gateway.address, "GET", "/api/v1/events", &[], "").await;
        (again.status == 200).then_some(())
    })
    .await;
    gateway.signal(rustix::process::Signal::TERM);
    while one.message().await.is_some() {}
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_session_is_closed_without_showing_its_id() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let other = Legacy::open(&gateway, "/mcp").await;
    let listed = gateway.get("/api/v1/sessions", &[]).await;
    assert!(!listed.text().contains(&client.session) && listed.json()["total"] == 2, "{}", listed.text());
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.call("s__hang", json!({})).await })
    };
    let busy = eventually("the session has a call", || async {
        let all = get(&gateway, "/sessions").await;
        all["sessions"].as_array()?.iter().find(|session| session["calls"] == 1).cloned()
    })
    .await;
    assert_eq!(busy["client"], "it 1");
    let reply = order(&gateway, "DELETE", &format!("/sessions/{}", busy["id"].as_str().unwrap())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(code_of(&hanging.await.unwrap()), -31499);
    assert_eq!(client.request("ping", json!({})).await.status, 404);
    assert_eq!(other.request("ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_stream_is_closed_in_good_order() {
    let gateway = Gateway::start(&demo("d")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut stream = client.stream().await;
    let listed = get(&gateway, "/streams").await["streams"][0].clone();
    assert_eq!((&listed["era"], &listed["endpoint"]), (&json!("legacy"), &json!("/mcp")));
    assert_eq!(order(&gateway, "DELETE", &format!("/streams/{}", listed["id"])).await.status, 200);
    while stream.message().await.is_some() {}
    assert_eq!(get(&gateway, "/streams").await["total"], 0);
}

#[tokio::test]
async fn the_catalog_says_what_was_shortened() {
    let gateway = Gateway::start(&("[gateway]\nname_limit = 40\n".to_owned() + &scripted("s", &[]))).await;
    let catalog = get(&gateway, "/catalog").await;
    let tools = catalog["tools"].as_array().unwrap();
    let echo = tools.iter().find(|tool| tool["own_name"] == "echo").expect("echo");
    assert_eq!((&echo["name"], &echo["shortened"]), (&json!("s__echo"), &json!(false)));
    let long = "x".repeat(60);
    let cases = format!(
        r#"*'"tools/list"'*) printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"tools":[{{"name":"{long}","inputSchema":{{"type":"object"}}}}]}}}}' ;;"#
    );
    let gateway = Gateway::start(&crate::support::shell("l", "\"tools\":{}", &cases)).await;
    let tool = get(&gateway, "/catalog").await["tools"][0].clone();
    assert_eq!((&tool["own_name"], &tool["shortened"]), (&json!(long), &json!(true)));
}

#[tokio::test]
async fn no_answer_shows_a_credential() {
    const CANARY: &str = "canary-5f3a9c";
    let server = format!("{}env = {{ API_KEY = \"{CANARY}\" }}\n", scripted("s", &["--token", CANARY]));
    let url = format!(
        "\n[servers.u]\nurl = \"http://127.0.0.1:1/mcp?key={CANARY}\"\nheaders = {{ Authorization = \"Bearer {CANARY}\" }}\n"
    );
    let gateway = Gateway::launch(&(server + &url)).await;
    in_state(&gateway, "u", "backoff").await;
    let settings = get(&gateway, "/config").await;
    let keys: Vec<&str> =
        settings["settings"].as_array().unwrap().iter().filter_map(|one| one["key"].as_str()).collect();
    assert!(keys.contains(&"servers.s.env.API_KEY") && keys.contains(&"gateway.max_body"), "{keys:?}");
    for path in
        ["/config", "/servers", "/servers/s", "/servers/u", "/status", "/catalog", "/calls", "/sessions"]
    {
        let reply = gateway.get(&format!("/api/v1{path}"), &[]).await;
        assert!(!reply.text().contains(CANARY), "{path}: {}", reply.text());
    }
}

#[tokio::test]
async fn no_web_page_and_nobody_behind_a_proxy_drives_it() {
    let gateway = Gateway::start(&demo("d")).await;
    let post = |headers: Vec<(&'static str, &'static str)>| {
        let address = gateway.address;
        async move { wire::request(address, "POST", "/api/v1/servers/d/stop", &headers, "").await.whole().await }
    };
    for headers in [
        vec![],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![INTENT, ("origin", "https://evil.example.com")],
        // A page on this machine may use MCP; it may not administer.
        vec![INTENT, ("origin", "http://localhost:3000")],
        vec![INTENT, ("origin", "null")],
        vec![INTENT, ("sec-fetch-site", "cross-site")],
        vec![INTENT, ("sec-fetch-site", "same-origin")],
        vec![INTENT, ("host", "evil.example.com")],
    ] {
        let reply = post(headers.clone()).await;
        assert_eq!(reply.status, 403, "{headers:?}: {}", reply.text());
    }
    for relay in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let reply = gateway.get("/api/v1/status", &[(relay, "203.0.113.7")]).await;
        assert!(matches!(reply.status, 401 | 403), "{relay}: {}", reply.status);
    }
    assert_eq!(get(&gateway, "/servers/d").await["state"], "ready");
    assert_eq!(post(vec![("content-type", "application/json")]).await.status, 202);
}

#[tokio::test]
async fn it_can_be_switched_off_or_have_an_address_of_its_own() {
    let gateway = Gateway::start(&("[admin]\nenabled = false\n".to_owned() + &demo("d"))).await;
    assert_eq!(gateway.get("/api/v1/status", &[]).await.status, 404);
    let gateway = Gateway::start(&("[admin]\nlisten = \"127.0.0.1:0\"\n".to_owned() + &demo("d"))).await;
    assert_eq!(gateway.get("/api/v1/status", &[]).await.status, 404);
    let own = eventually("the address is in the log", || async {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("administration interface listens"))?;
        line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
    })
    .await;
    let reply = wire::request(own, "GET", "/api/v1/status", &[], "").await.whole().await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("healthy")));
    assert_eq!(wire::request(own, "GET", "/readyz", &[], "").await.status, 200);
    let mcp = wire::post(own, "/mcp", &[], "{}").await;
    assert_eq!(mcp.status, 404, "MCP is not served there");
}

#[tokio::test]
async fn a_reload_is_shown_and_leaves_a_server_out_of_service_that_an_operator_took_out() {
    let before = scripted("s", &[]) + &demo("d");
    let gateway = Gateway::start(&before).await;
    act(&gateway, "s", "disable").await;
    in_state(&gateway, "s", "stopped").await;
    let file = gateway.folder().join("gateway.toml");
    std::fs::write(&file, "[gateway]\nmax_streams = 7\n".to_owned() + &before + "call_timeout = \"7s\"\n")
        .unwrap();
    // The entry of `s` has changed as well: it is another server now, and still out of service.
    let changed =
        std::fs::read_to_string(&file).unwrap().replace("[servers.s]", "[servers.s]\ncall_timeout = \"9s\"");
    std::fs::write(&file, changed).unwrap();
    let reply = order(&gateway, "POST", "/reload").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    eventually("the setting is shown", || async {
        let settings = get(&gateway, "/config").await;
        let setting =
            settings["settings"].as_array()?.iter().find(|one| one["key"] == "gateway.max_streams")?;
        (setting["value"] == "7").then_some(())
    })
    .await;
    let detail = get(&gateway, "/servers/s").await;
    assert_eq!((&detail["enabled"], &detail["state"]), (&json!(false), &json!("stopped")));
    assert!(tools(&Modern::new(&gateway, "/mcp")).await.iter().all(|name| name.starts_with("d__")));
    act(&gateway, "s", "enable").await;
    in_state(&gateway, "s", "ready").await;
    std::fs::write(&file, "[gateway]\nmax_streams = \"many\"\n").unwrap();
    let refused = order(&gateway, "POST", "/reload").await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (409, Some("conflict")));
    assert!(refused.text().contains("gateway.max_streams"), "{}", refused.text());
}

#[tokio::test]
async fn what_clients_have_of_their_own_at_a_server_is_shown_and_stops_with_it() {
    let gateway = Gateway::start(&(scripted("s", &["--era", "legacy"]) + "isolation = \"session\"\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__echo", json!({ "message": "hi" })).await, "hi");
    let detail = get(&gateway, "/servers/s").await;
    let link = &detail["links"][0];
    assert_eq!((&link["owner"], &link["state"]), (&json!("session"), &json!("ready")), "{detail}");
    assert!(link["pid"].is_u64() && link["pid"] != detail["pid"], "{detail}");
    act(&gateway, "s", "stop").await;
    let stopped = in_state(&gateway, "s", "stopped").await;
    assert_eq!(stopped["links"], json!([]), "{stopped}");
    let other = Legacy::open(&gateway, "/mcp").await;
    let refused = other.call("s__echo", json!({ "message": "hi" })).await;
    assert!(message_of(&refused).contains("is stopped"), "nobody gets a process of their own: {refused}");
    act(&gateway, "s", "start").await;
    in_state(&gateway, "s", "ready").await;
    assert_eq!(other.text("s__echo", json!({ "message": "back" })).await, "back");
}

#[tokio::test]
async fn keys_are_shown_without_what_they_are_made_of_and_revoked() {
    let gateway = Gateway::start(&demo("d")).await;
    let (ann, bob) = (new_key(&gateway, &["ann", "--scope", "read"]), new_key(&gateway, &["bob"]));
    let listed = get(&gateway, "/keys").await;
    let of = |listed: &Value, name: &str| {
        let keys = listed["keys"].as_array().unwrap();
        keys.iter().find(|key| key["name"] == name).cloned().expect("a key of that name")
    };
    let (first, second) = (of(&listed, "ann"), of(&listed, "bob"));
    assert_eq!((listed["keys"].as_array().unwrap().len(), &second["scopes"]), (2, &json!([])));
    assert_eq!(
        json!([first["principal"], first["scopes"], first["state"], first["expires_at"]]),
        json!(["key:ann", ["read"], "in_force", null])
    );
    let hint = first["key"].as_str().unwrap();
    assert!(ann.starts_with(hint) && hint.len() < ann.len() / 2, "{hint}");
    assert!(!listed.to_string().contains(&ann) && !listed.to_string().contains(&bob));
    let with = async |key: &str| {
        let bearer = format!("Bearer {key}");
        gateway.get("/metrics", &[("authorization", &bearer)]).await.status
    };
    eventually("the keys are known", || async {
        (with(&ann).await == 200 && with(&bob).await == 200).then_some(())
    })
    .await;
    assert_eq!(order(&gateway, "DELETE", "/keys/ann").await.status, 403, "nobody knows who that was");
    let revoke = async |by: &str| {
        let bearer = format!("Bearer {by}");
        let headers = [INTENT, ("authorization", bearer.as_str())];
        wire::request(gateway.address, "DELETE", "/api/v1/keys/ann", &headers, "").await.whole().await.status
    };
    let admin = new_key(&gateway, &["root", "--scope", "admin"]);
    eventually("its key is known", || async { (with(&admin).await == 200).then_some(()) }).await;
    assert_eq!((revoke(&bob).await, revoke(&admin).await), (403, 200));
    // A whole key that somebody pastes where one is named is taken for the one that it is, and shows nowhere.
    let path = format!("/api/v1/keys/{bob}");
    let bearer = format!("Bearer {admin}");
    let pasted = async |headers: &[(&str, &str)]| {
        wire::request(gateway.address, "DELETE", &path, headers, "").await.whole().await
    };
    assert_eq!(pasted(&[INTENT]).await.status, 403);
    assert_eq!(pasted(&[("authorization", bearer.as_str())]).await.status, 403, "not meant");
    let done = pasted(&[INTENT, ("authorization", bearer.as_str())]).await;
    assert_eq!(done.status, 200);
    let again = pasted(&[INTENT, ("authorization", bearer.as_str())]).await;
    assert_eq!(again.status, 404);
    let log = gateway.log();
    let refusals = log.lines().filter(|line| line.contains("audit") && line.contains("refused:")).count();
    assert!(refusals >= 4, "each refusal is in the log: {log}");
    for said in [log.as_str(), done.text(), again.text()] {
        assert!(!said.contains(&bob), "{said}");
    }
    for void in [&ann, &bob] {
        eventually("the key is void", || async { (with(void).await == 401).then_some(()) }).await;
    }
    assert_eq!(of(&get(&gateway, "/keys").await, "ann")["state"], "revoked");
    assert_eq!(revoke(&admin).await, 404, "there is none in force any more");
    assert!(gateway.log().contains("1 key is revoked"), "the audit log has it");
}

#[tokio::test]
async fn the_policy_is_explained_as_it_is_in_force() {
    let rules = "[policy.rules.ci]\nprincipals = [\"key:ci\"]\nallow = [\"s/*\"]\ndeny = [\"*/delete_*\"]\n";
    let config = scripted("s", &[]);
    let gateway = Gateway::start(&config).await;
    let ask = async |query: &str| {
        let told = get(&gateway, &format!("/policy/explain?{query}")).await;
        (told["allowed"].as_bool().unwrap(), told["reason"].as_str().unwrap().to_owned())
    };
    let (allowed, why) = ask("principal=key:ci&tool=s__echo").await;
    assert!(allowed && why.contains("policy.default decides"), "{why}");
    std::fs::write(gateway.folder().join("gateway.toml"), rules.to_owned() + &config).unwrap();
    assert_eq!(order(&gateway, "POST", "/reload").await.status, 200);
    eventually("the rules are in force and shown", || async {
        ask("principal=key:ci&tool=s__echo").await.1.contains("gateway.toml:").then_some(())
    })
    .await;
    for (query, allowed, reason) in [
        ("principal=key:ci&tool=s__echo", true, "policy.rules.ci.allow has \"s/*\""),
        ("principal=key:ci&tool=s/delete_all", false, "policy.rules.ci.deny has \"*/delete_*\""),
        ("principal=key:eve&tool=s__echo", false, "no rule speaks of it"),
        ("principal=key:ci&resource=s/test://x", true, "policy.rules.ci.allow"),
    ] {
        let (found, why) = ask(query).await;
        assert!(found == allowed && why.contains(reason), "{query}: {found} {why}");
    }
}
