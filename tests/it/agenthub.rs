//! AgentHub's paths of administration: its documented answers, field by field, given by a gateway that is switched to them.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::keys::new_key;
use crate::support::processes;
use crate::support::{Backend, Gateway, Reply, eventually, over_http, scripted, section, service, wire};

const ON: &str = "[compat]\nagenthub = true\n";

async fn ask(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    wire::request(gateway.address, method, path, headers, "").await.whole().await
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = ask(gateway, "GET", path, &[]).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

/// A bare POST, as AgentHub's own scripts send it.
async fn post(gateway: &Gateway, path: &str) -> (u16, Value) {
    let reply = ask(gateway, "POST", path, &[]).await;
    (reply.status, reply.json())
}

async fn call(gateway: &Gateway, client: &str, body: &Value) -> u16 {
    let headers = [("content-type", "application/json"), ("x-client-id", client)];
    let path = "/mcp/s/tools/call";
    wire::request(gateway.address, "POST", path, &headers, body.to_string()).await.whole().await.status
}

fn echo() -> Value {
    json!({ "name": "echo", "arguments": { "message": "hello" } })
}

/// What differs between a documented answer and one of ours: a field that is missing or new, a value of another type. Where
/// the document has null, or ours has, the other may have anything; a list has the shape of its first entry.
fn differences(documented: &Value, ours: &Value, at: &str) -> Vec<String> {
    match (documented, ours) {
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        (Value::Object(documented), Value::Object(ours)) => {
            let missing = documented.keys().filter(|key| !ours.contains_key(*key));
            let new = ours.keys().filter(|key| !documented.contains_key(*key));
            let mut found: Vec<String> = missing.map(|key| format!("{at}.{key} is missing")).collect();
            found.extend(new.map(|key| format!("{at}.{key} is new")));
            for (key, value) in documented {
                found.extend(
                    ours.get(key).into_iter().flat_map(|own| differences(value, own, &format!("{at}.{key}"))),
                );
            }
            found
        }
        (Value::Array(documented), Value::Array(ours)) => {
            let Some(first) = documented.first() else { return Vec::new() };
            assert!(!ours.is_empty(), "{at} has nothing to be compared");
            ours.iter().flat_map(|own| differences(first, own, &format!("{at}[]"))).collect()
        }
        (documented, ours) if std::mem::discriminant(documented) == std::mem::discriminant(ours) => {
            Vec::new()
        }
        (documented, ours) => vec![format!("{at} is {ours}, documented as {documented}")],
    }
}

#[tokio::test]
async fn every_answer_has_the_fields_of_agenthubs() {
    let ollama = Backend::ollama(0).await;
    let entry = scripted("s", &["--era", "both"]) + "env = { API_TOKEN = \"s3cret-of-s\", PLAIN = \"1\" }\n";
    let models = service("o", &ollama.url) + "health = \"/api/version\"\n\n[enhance]\nservice = \"o\"\n";
    let gateway = Gateway::start(&(ON.to_owned() + &entry + &models)).await;
    assert_eq!(call(&gateway, "raycast", &echo()).await, 200);
    let breaker = json!({
        "state": "closed", "failure_count": 0, "success_count": 1, "last_failure_time": null,
        "last_success_time": 1769463279.86, "total_failures": 0, "total_successes": 1, "times_opened": 0,
    });
    let config = json!({ "package": "context7", "transport": "stdio", "auto_start": true });
    for (path, documented) in [
        (
            "/servers",
            json!({ "servers": [{
                "name": "context7", "package": "@upstash/context7-mcp", "transport": "stdio", "status": "running",
                "pid": 4711, "auto_start": true, "restart_count": 0, "description": "Documentation",
            }] }),
        ),
        (
            "/servers/s",
            json!({
                "name": "context7",
                "config": {
                    "name": "context7", "package": "@upstash/context7-mcp", "transport": "stdio", "command": "node",
                    "args": ["index.js"], "env": { "API_TOKEN": "", "PLAIN": "" }, "url": null,
                    "health_endpoint": "/health", "auto_start": true, "restart_on_failure": true, "max_restarts": 3,
                    "health_check_interval": 30, "proxy_timeout": 180.0, "description": "",
                },
                "process": {
                    "pid": 4711, "status": "running", "started_at": 1769463279.86, "restart_count": 0,
                    "last_error": null,
                },
            }),
        ),
        (
            "/health",
            json!({
                "status": "healthy",
                "services": {
                    "router": "up", "ollama": "up", "llm": "up",
                    "cache": { "status": "up", "hit_rate": 0.82, "size": 145 },
                },
                "servers": {
                    "total": 1, "running": 1, "stopped": 0, "failed": 0,
                    "servers": { "s": { "status": "running", "pid": 4711, "restart_count": 0 } },
                },
            }),
        ),
        (
            "/health/s",
            json!({
                "server": "context7", "status": "running", "pid": 4711, "restart_count": 0, "last_error": null,
                "circuit_breaker": breaker, "config": config,
            }),
        ),
        ("/circuit-breakers", json!({ "s": breaker })),
        (
            "/audit/activity",
            json!({
                "total": 1, "limit": 50, "offset": 0,
                "entries": [{
                    "id": 1, "timestamp": "12:00:00", "method": "POST", "path": "/mcp/context7/tools/call",
                    "status": 200, "duration": 0.25, "client_id": "raycast", "client_ip": "127.0.0.1",
                    "request_id": "8a5f",
                    // What it lacked.
                    "principal": "anonymous", "server": "context7", "tool": "query-docs",
                }],
            }),
        ),
        (
            "/audit/activity/stats",
            json!({ "total_entries": 1, "by_method": { "POST": 1, "GET": 1 }, "by_status": { "200": 1 } }),
        ),
    ] {
        let ours = get(&gateway, path).await;
        let found = differences(&documented, &ours, path);
        assert!(found.is_empty(), "{}\n{ours:#}", found.join("\n"));
    }
    let health = get(&gateway, "/health").await;
    assert_eq!(json!([health["status"], health["servers"]["running"]]), json!(["healthy", 1]));
    let detail = get(&gateway, "/servers/s").await;
    assert_eq!(detail["config"]["args"], json!(["--era", "both"]));
    assert!(!detail.to_string().contains("s3cret-of-s"), "AgentHub showed what it gave to servers: {detail}");
    for (method, path) in [
        ("GET", "/servers/x"),
        ("GET", "/health/x"),
        ("POST", "/servers/x/start"),
        ("POST", "/servers/x/stop"),
        ("POST", "/servers/x/restart"),
    ] {
        let refused = ask(&gateway, method, path, &[]).await;
        assert_eq!(
            (refused.status, refused.json()),
            (404, json!({ "detail": "Server x not found" })),
            "{path}"
        );
    }
    let elsewhere = ask(&gateway, "POST", "/servers/install", &[]).await;
    assert!(elsewhere.status == 404 && elsewhere.text().contains("trunkline import"), "{}", elsewhere.text());
}

#[tokio::test]
async fn a_server_is_started_stopped_and_restarted_and_the_answer_comes_when_it_is_done() {
    let broken = section("b", "/nowhere/at/all", &[]);
    let gateway = Gateway::launch(&(ON.to_owned() + &scripted("s", &[]) + &broken)).await;
    gateway.in_state("s", &["ready"]).await;
    let process = |detail: Value| (detail["process"]["status"].clone(), detail["process"]["pid"].clone());
    let first = process(get(&gateway, "/servers/s").await);
    assert_eq!(first.0, "running");
    let already = (400, json!({ "detail": "Server s is already running" }));
    assert_eq!(post(&gateway, "/servers/s/start").await, already);
    let stopped = (200, json!({ "message": "Server s stopped", "status": "stopped" }));
    assert_eq!(post(&gateway, "/servers/s/stop").await, stopped);
    assert_eq!(process(get(&gateway, "/servers/s").await), (json!("stopped"), Value::Null));
    let not_running = (400, json!({ "detail": "Server s is not running" }));
    assert_eq!(post(&gateway, "/servers/s/stop").await, not_running);
    let started = (200, json!({ "message": "Server s started", "status": "running" }));
    assert_eq!(post(&gateway, "/servers/s/start").await, started);
    let second = process(get(&gateway, "/servers/s").await);
    let restarted = (200, json!({ "message": "Server s restarted", "status": "running" }));
    assert_eq!(post(&gateway, "/servers/s/restart").await, restarted);
    let third = process(get(&gateway, "/servers/s").await);
    assert_eq!((&second.0, &third.0), (&json!("running"), &json!("running")));
    assert!(first.1 != second.1 && second.1 != third.1, "each start is another process");

    // There it was told "started", and the process was dead.
    gateway.in_state("b", &["failed"]).await;
    for act in ["start", "restart"] {
        let (status, answer) = post(&gateway, &format!("/servers/b/{act}")).await;
        let detail = answer["detail"].as_str().expect("a sentence");
        assert_eq!(status, 500);
        assert!(
            detail.starts_with(&format!("Failed to {act} server: ")) && detail.contains("/nowhere"),
            "{detail}"
        );
    }
    let health = get(&gateway, "/health").await;
    assert_eq!(json!([health["status"], health["servers"]["failed"]]), json!(["degraded", 1]));
    let nothing = (404, json!({ "detail": "Not Found" }));
    assert_eq!(post(&gateway, "/servers/s/disable").await, nothing);
    assert_eq!(post(&gateway, "/servers").await, (405, json!({ "detail": "Method Not Allowed" })));
}

#[tokio::test]
async fn a_server_that_was_killed_is_not_told_to_run_under_its_old_process() {
    let gateway = Gateway::start(&(ON.to_owned() + &scripted("s", &[]))).await;
    let before = get(&gateway, "/servers/s").await["process"].clone();
    processes::kill(before["pid"].as_u64().expect("a process"));
    let after = eventually("the death is told", || async {
        let now = get(&gateway, "/servers/s").await["process"].clone();
        (now["pid"] != before["pid"]).then_some(now)
    })
    .await;
    assert!(after["pid"].is_number() || after["status"] != "running", "{after}");
    let again = eventually("it runs again", || async {
        let now = get(&gateway, "/servers").await["servers"][0].clone();
        (now["status"] == "running").then_some(now)
    })
    .await;
    assert_eq!(again["restart_count"], 1);
    let times = [&before, &get(&gateway, "/servers/s").await["process"]]
        .map(|process| process["started_at"].as_f64());
    assert!(times[0] < times[1], "{times:?}");
}

#[tokio::test]
async fn a_breaker_is_shown_with_what_it_has_seen_and_is_closed_by_a_reset() {
    let breaker =
        "call_timeout = \"100ms\"\nbreaker = { failures = 2, open = \"1s\" }\nhealth_interval = \"none\"\n";
    let gateway = Gateway::start(&(ON.to_owned() + &scripted("s", &[]) + breaker)).await;
    let hang = json!({ "name": "hang", "arguments": {} });
    assert_eq!(call(&gateway, "a", &echo()).await, 200);
    for _ in 0..2 {
        assert_eq!(call(&gateway, "a", &hang).await, 504);
    }
    let seen = get(&gateway, "/circuit-breakers").await["s"].clone();
    let figures = |seen: &Value| {
        json!([seen["failure_count"], seen["total_failures"], seen["total_successes"], seen["times_opened"]])
    };
    assert_eq!(figures(&seen), json!([2, 2, 1, 1]));
    assert!(seen["last_failure_time"].as_f64() > seen["last_success_time"].as_f64(), "{seen}");
    let (late, entries) = get_page(&gateway, "status_min=504&status_max=504").await;
    assert_eq!((late, &entries[0]["tool"]), (2, &json!("hang")), "a deadline is told by its status there");
    eventually("the time of the open breaker is over", || async {
        let health = get(&gateway, "/health/s").await;
        (health["circuit_breaker"]["state"] == "half_open").then_some(())
    })
    .await;
    let reset = (200, json!({ "message": "Circuit breaker s reset" }));
    assert_eq!(post(&gateway, "/circuit-breakers/s/reset").await, reset);
    let seen = get(&gateway, "/circuit-breakers").await["s"].clone();
    assert_eq!((seen["state"].as_str(), figures(&seen)), (Some("closed"), json!([0, 0, 0, 0])));
    let nobody = (404, json!({ "detail": "Circuit breaker x not found" }));
    assert_eq!(post(&gateway, "/circuit-breakers/x/reset").await, nobody);
}

#[tokio::test]
async fn the_log_is_asked_by_agenthubs_parameters_and_cleared_as_a_whole() {
    let gateway = Gateway::start(&(ON.to_owned() + &scripted("s", &[]))).await;
    for client in ["raycast", "raycast", "diary-of-ann"] {
        assert_eq!(call(&gateway, client, &echo()).await, 200);
    }
    let unknown =
        json!({ "jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": { "name": "nope" } });
    call(&gateway, "raycast", &unknown).await;
    let page = |query: &'static str| get_page(&gateway, query);
    let (total, entries) = page("client_id=raycast&method=POST").await;
    assert_eq!((total, entries.len()), (3, 3));
    let newest = &entries[0];
    assert_eq!(
        json!([newest["path"], newest["server"], newest["tool"], newest["request_id"], newest["principal"]]),
        json!(["/mcp/s/tools/call", "s", "nope", "mine", "anonymous"])
    );
    let time = newest["timestamp"].as_str().expect("a time");
    assert!(time.len() >= 20 && time.ends_with('Z'), "AgentHub's had no date: {time}");
    assert!(newest["duration"].as_f64().is_some_and(|seconds| seconds < 25.0), "{newest}");
    let (total, entries) = page("client_id=raycast&limit=1&offset=2").await;
    assert_eq!((total, entries.len(), entries[0]["tool"].as_str()), (3, 1, Some("echo")));
    assert_eq!(page("request_id=mine").await.0, 1);
    assert_eq!(page("server=s&since=1h").await.0, 4);
    assert_eq!(page("until=2020-01-01T00:00:00Z").await.0, 0);
    assert_eq!(page("status_min=500").await.0, 0);
    assert!(page("status_max=299&client_id=diary-of-ann").await.0 == 1);
    assert_eq!(get(&gateway, "/audit/activity?limit=5000").await["limit"], 1000);
    let missing = ask(&gateway, "GET", "/servers/x", &[("x-client-id", "looker")]).await;
    assert_eq!(missing.status, 404);
    let (total, entries) = page("method=GET&status_min=404&status_max=404").await;
    assert_eq!(
        (total, &entries[0]["path"], &entries[0]["client_id"]),
        (1, &json!("/servers/x"), &json!("looker"))
    );
    let stats = get(&gateway, "/audit/activity/stats").await;
    assert!(stats["by_method"]["POST"] == 4 && stats["by_status"]["404"] == 1, "{stats}");
    for (query, status) in [("limit=many", 422), ("limit=-1", 422), ("clientid=x", 400), ("since=soon", 400)]
    {
        let refused = ask(&gateway, "GET", &format!("/audit/activity?{query}"), &[]).await;
        assert_eq!(refused.status, status, "{query}: {}", refused.text());
        assert!(!refused.json()["detail"].is_null(), "{}", refused.text());
    }

    let narrowed = ask(&gateway, "DELETE", "/audit/activity?client_id=raycast", &[]).await;
    assert_eq!(narrowed.status, 400, "nothing goes by a mistake: {}", narrowed.text());
    let cleared = ask(&gateway, "DELETE", "/audit/activity", &[("x-client-id", "sweeper")]).await;
    assert_eq!((cleared.status, cleared.json()), (200, json!({ "message": "Activity log cleared" })));
    let (total, entries) = page("method=DELETE&status_max=299").await;
    assert_eq!((total, &entries[0]["client_id"]), (1, &json!("sweeper")), "who did it is the first new row");
    assert_eq!(page("method=POST").await.0, 0);
    let log = gateway.log();
    let audit = log.lines().find(|line| line.contains("rows are erased")).expect("the audit log has it");
    assert!(audit.contains("sweeper") && audit.contains("anonymous"), "{audit}");
    let file = std::fs::read(gateway.folder().join("data/activity.db")).unwrap();
    assert!(memchr::memmem::find(&file, b"diary-of-ann").is_none(), "the name is still in the file");
}

async fn get_page(gateway: &Gateway, query: &str) -> (i64, Vec<Value>) {
    let page = get(gateway, &format!("/audit/activity?{query}")).await;
    (page["total"].as_i64().expect("a number"), page["entries"].as_array().expect("a list").clone())
}

#[tokio::test]
async fn the_paths_are_there_when_they_are_switched_on_and_a_reload_is_enough() {
    let entry = scripted("s", &[]);
    let gateway = Gateway::start(&entry).await;
    let paths = ["/servers", "/servers/s", "/health", "/health/s", "/circuit-breakers", "/audit/activity"];
    for (config, status) in [(None, 404), (Some(ON.to_owned() + &entry), 200), (Some(entry.clone()), 404)] {
        if let Some(config) = config {
            std::fs::write(gateway.folder().join("gateway.toml"), config).unwrap();
            gateway.signal(Signal::HUP);
        }
        eventually(&format!("the paths answer {status}"), || async {
            (ask(&gateway, "GET", paths[0], &[]).await.status == status).then_some(())
        })
        .await;
        for path in paths {
            assert_eq!(ask(&gateway, "GET", path, &[]).await.status, status, "{path}");
        }
        let start = ask(&gateway, "POST", "/servers/s/start", &[]).await.status;
        assert_eq!(start, if status == 200 { 400 } else { 404 });
    }
}

#[tokio::test]
async fn nobody_gets_by_agenthubs_paths_what_the_administration_would_not_give() {
    let gateway = Gateway::start(&(ON.to_owned() + &scripted("s", &[]))).await;
    let own = gateway.address.to_string();
    let form = "application/x-www-form-urlencoded";
    for headers in [
        vec![("origin", "https://evil.example")],
        vec![("origin", "http://127.0.0.1:1")],
        vec![("sec-fetch-site", "cross-site")],
        vec![("host", "evil.example")],
        vec![("x-forwarded-for", "203.0.113.9")],
        vec![("content-type", form)],
    ] {
        for (method, path) in [
            ("POST", "/servers/s/stop"),
            ("POST", "/circuit-breakers/s/reset"),
            ("DELETE", "/audit/activity"),
            ("GET", "/servers/s"),
            ("GET", "/audit/activity"),
        ] {
            let refused = ask(&gateway, method, path, &headers).await;
            if method == "GET" && headers[0].1 == form {
                continue;
            }
            // Nobody behind a proxy is let in without a credential at all.
            let status = if headers[0].0 == "x-forwarded-for" { 401 } else { 403 };
            assert_eq!(refused.status, status, "{method} {path} with {headers:?}: {}", refused.text());
        }
    }
    assert_eq!(get(&gateway, "/servers/s").await["process"]["status"], "running", "nothing has been done");
    assert!(gateway.log().contains("refused"), "refusals are in the log");
    let as_json = [("host", own.as_str()), ("content-type", "application/json")];
    let meant = ask(&gateway, "POST", "/servers/s/restart", &as_json).await;
    assert_eq!(meant.status, 200, "{}", meant.text());
}

#[tokio::test]
async fn a_credential_says_who_it_is_and_a_name_in_a_header_adds_nothing_to_it() {
    let asking = "[auth]\nanonymous = \"never\"\n";
    let gateway = Gateway::start(&(ON.to_owned() + asking + &scripted("s", &[]))).await;
    let known = async |arguments: &[&str]| {
        let bearer = format!("Bearer {}", new_key(&gateway, arguments));
        eventually("the key is known", || async {
            let reply = ask(&gateway, "GET", "/metrics", &[("authorization", &bearer)]).await;
            (reply.status == 200).then_some(())
        })
        .await;
        bearer
    };
    let (plain, admin) = (known(&["plain"]).await, known(&["boss", "--scope", "admin"]).await);
    for (method, path) in
        [("GET", "/servers"), ("GET", "/health"), ("POST", "/servers/s/stop"), ("DELETE", "/audit/activity")]
    {
        let claimed = ("x-client-id", "key:boss");
        assert_eq!(ask(&gateway, method, path, &[claimed]).await.status, 401, "{method} {path}");
        let refused = ask(&gateway, method, path, &[claimed, ("authorization", &plain)]).await;
        assert_eq!(refused.status, 403, "{method} {path}: {}", refused.text());
    }
    let mine = [("authorization", admin.as_str()), ("x-client-id", "somebody-else")];
    let restarted = ask(&gateway, "POST", "/servers/s/restart", &mine).await;
    assert_eq!(restarted.status, 200, "{}", restarted.text());
    let page = ask(&gateway, "GET", "/audit/activity?client_id=key%3Aboss&method=POST", &mine).await.json();
    assert_eq!(
        (&page["total"], &page["entries"][0]["path"]),
        (&json!(1), &json!("/servers/s/restart")),
        "{page}"
    );
    let nobody = ask(&gateway, "GET", "/audit/activity?client_id=somebody-else", &mine).await.json();
    assert_eq!(nobody["total"], 0);
    let log = gateway.log();
    let audit = log.lines().find(|line| line.contains("'s' is restarted")).expect("the audit log has it");
    assert!(audit.contains("key:boss") && !audit.contains("somebody-else"), "{audit}");
}

#[tokio::test]
async fn a_server_behind_a_url_is_shown_by_its_host_and_without_what_its_url_hides() {
    let entry = over_http("far", "http://127.0.0.1:9/mcp?key=s3cret");
    let gateway = Gateway::launch(&(ON.to_owned() + &entry)).await;
    let detail = get(&gateway, "/servers/far").await;
    let config = &detail["config"];
    assert_eq!(
        json!([config["package"], config["transport"], config["url"], config["command"]]),
        json!(["127.0.0.1", "http", "http://127.0.0.1:9/mcp?***", null])
    );
}
