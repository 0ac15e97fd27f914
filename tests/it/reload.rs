//! Changing the configuration of a running gateway.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::activity::activity;
use crate::support::gateway::command;
use crate::support::processes::{alive, marked, none_left, unique_name};
use crate::support::{
    Backend, Gateway, Legacy, Modern, conformance, eventually, scripted, service, text_of, wire, within,
};

/// Writes a configuration and asks for it; returns what the log says of it.
async fn reload(gateway: &Gateway, config: &str) -> String {
    let before = told(gateway).len();
    put(&gateway.folder().join("gateway.toml"), config);
    gateway.signal(Signal::HUP);
    eventually("the reload is told", || async { told(gateway).into_iter().nth(before) }).await
}

/// What the log says of reloads.
fn told(gateway: &Gateway) -> Vec<String> {
    let is_one =
        |line: &&str| line.contains("configuration reloaded") || line.contains("configuration not reloaded");
    gateway.log().lines().filter(is_one).map(str::to_owned).collect()
}

/// Writes a file at once: whoever reads it sees all of it or nothing.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

async fn whoami(client: &Modern, server: &str) -> Value {
    let answer = client.call(&format!("{server}__whoami"), json!({})).await;
    serde_json::from_str(&text_of(&answer)).unwrap_or_else(|_| panic!("{answer}"))
}

async fn pid(client: &Modern, server: &str) -> u64 {
    whoami(client, server).await["pid"].as_u64().unwrap()
}

async fn generation(gateway: &Gateway, server: &str) -> f64 {
    gateway.metric(&format!("trunkline_server_generation{{server=\"{server}\"}}")).await.unwrap()
}

fn with_env(entry: &str, value: &str) -> String {
    format!("{entry}env = {{ {value} = \"1\" }}\n")
}

#[tokio::test]
async fn what_is_captured_and_what_is_masked_follows_a_reload() {
    let entry =
        |secret: &str| scripted("s", &[]) + &format!("capture = \"all\"\nenv = {{ KEY = \"{secret}\" }}\n");
    let mut gateway = Gateway::start(&entry("canary-5f3a9c")).await;
    let client = Modern::new(&gateway, "/mcp");
    let long = "x".repeat(2_000);
    let told = json!({ "message": format!("canary-5f3a9c, canary-e81d07, {long}") });
    client.call("s__echo", told.clone()).await;
    let window =
        "[activity]\nwindow = \"50ms\"\ncapture_limit = \"1KiB\"\nkeep = \"7d\"\nmax_size = \"2MiB\"\n";
    let line = reload(&gateway, &(window.to_owned() + &entry("canary-e81d07"))).await;
    assert!(!line.contains("wait for a restart") && line.contains("activity.capture_limit"), "{line}");
    client.call("s__echo", told).await;
    gateway.signal(Signal::TERM);
    gateway.ended().await;
    let rows = activity(&gateway, &["--tool", "echo"]);
    let request = |row: &Value| row["payload"]["request"].as_str().unwrap().to_owned();
    let (before, after) = (request(&rows[0]), request(&rows[1]));
    assert!(before.len() > 2_000 && !before.contains("canary-5f3a9c"), "{before}");
    assert!(after.contains("***, ***, x") && after.len() <= 1_100, "{after}");
    assert!(!rows[1].to_string().contains("canary"), "{}", rows[1]);
}

#[tokio::test]
async fn a_file_with_faults_changes_nothing_and_says_why() {
    let gateway = Gateway::start(&scripted("a", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let before = pid(&client, "a").await;
    let line = reload(&gateway, &format!("[gateway]\nmax_body = \"lots\"\n{}", scripted("b", &[]))).await;
    for said in ["not reloaded", "gateway.toml:2:12", "gateway.max_body", "SIGHUP"] {
        assert!(line.contains(said), "{said} is missing in: {line}");
    }
    assert_eq!(pid(&client, "a").await, before);
    assert_eq!(gateway.readiness().await["servers"], json!({ "a": "ready" }));
    let refused = gateway.metric("trunkline_reloads_total{outcome=\"refused\"}").await;
    assert_eq!(refused, Some(1.0));
}

#[tokio::test]
async fn an_unchanged_server_keeps_its_process_its_generation_and_its_calls() {
    let gateway = Gateway::start(&(scripted("stays", &[]) + &scripted("goes", &[]))).await;
    let client = Modern::new(&gateway, "/mcp");
    let (before, start) = (pid(&client, "stays").await, generation(&gateway, "stays").await);
    let (there, gone) = (client.clone(), client.clone());
    let calls = tokio::spawn(async move {
        tokio::join!(
            there.call("stays__sleep", json!({ "ms": 1500 })),
            gone.call("goes__sleep", json!({ "ms": 1500 }))
        )
    });
    gateway.in_flight(2).await;
    let line = reload(&gateway, &(scripted("new", &[]) + &scripted("stays", &[]))).await;
    assert!(line.contains("servers added: new; removed: goes; servers unchanged: 1"), "{line}");
    gateway.in_state("new", &["ready"]).await;
    // Who leaves finishes what has begun; who comes late is told.
    let (stayed, drained) = within("the calls end", calls).await.unwrap();
    assert!(text_of(&stayed) == "slept" && text_of(&drained) == "slept", "{stayed} {drained}");
    assert_eq!(pid(&client, "stays").await, before);
    assert_eq!(generation(&gateway, "stays").await, start);
    let late = client.call("goes__echo", json!({ "message": "x" })).await;
    assert_eq!(late["error"]["code"], -32602, "{late}");
    assert_eq!(
        client.request("tools/list", json!({})).await.json()["result"]["tools"][0]["name"],
        "new__echo"
    );
    // The same again is nothing new.
    let line = reload(&gateway, &(scripted("new", &[]) + &scripted("stays", &[]))).await;
    assert!(line.contains("reloaded: servers unchanged: 2"), "{line}");
}

#[tokio::test]
async fn a_changed_server_is_replaced_without_a_failing_call() {
    let gateway = Gateway::start(&with_env(&scripted("a", &[]), "FIRST")).await;
    let client = Modern::new(&gateway, "/mcp");
    let (before, start) = (pid(&client, "a").await, generation(&gateway, "a").await);
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop) = (client.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.call("a__echo", json!({ "message": "x" })).await;
                    assert_eq!(text_of(&answer), "x", "{answer}");
                }
            })
        })
        .collect();
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.call("a__sleep", json!({ "ms": 1000 })).await });
    let line = reload(&gateway, &with_env(&scripted("a", &["--slow-start", "300"]), "SECOND")).await;
    assert!(line.contains("replaced: a;"), "{line}");
    eventually("the new one serves", || async { (pid(&client, "a").await != before).then_some(()) }).await;
    let environment = whoami(&client, "a").await.to_string();
    assert!(environment.contains("SECOND") && !environment.contains("FIRST"), "{environment}");
    assert_eq!(generation(&gateway, "a").await, start + 1.0, "it is the next start of the same server");
    assert!(text_of(&within("the slow call ends", slow).await.unwrap()) == "slept");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        within("the callers end", caller).await.unwrap();
    }
}

#[tokio::test]
async fn one_that_does_not_come_up_leaves_the_one_before_and_hinders_no_other() {
    let gateway = Gateway::start(&scripted("a", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let before = pid(&client, "a").await;
    let bad = scripted("a", &["--crash-loop"]) + "restart_budget = 1\n";
    reload(&gateway, &(bad + &scripted("b", &[]))).await;
    gateway.in_state("b", &["ready"]).await;
    eventually("it is told", || async {
        gateway.log().contains("the one before goes on serving").then_some(())
    })
    .await;
    assert_eq!(pid(&client, "a").await, before);
    // Mended, it serves; taken back, nothing has happened.
    let line = reload(&gateway, &(scripted("a", &[]) + &scripted("b", &[]))).await;
    assert!(line.contains("reloaded: servers unchanged: 2"), "{line}");
    assert_eq!(pid(&client, "a").await, before);
}

#[tokio::test]
async fn with_stop_first_there_are_never_two() {
    let name = unique_name();
    let entry = |more: &[&str]| marked(&(scripted("a", more) + "replace = \"stop_first\"\n"), &name);
    let gateway = Gateway::start(&entry(&[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let one = alive(&name).len();
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.call("a__sleep", json!({ "ms": 800 })).await });
    gateway.in_flight(1).await;
    reload(&gateway, &entry(&["--pages", "2"])).await;
    assert!(alive(&name).len() <= one, "two at once");
    let waited = client.call("a__echo", json!({ "message": "x" })).await;
    assert_eq!(text_of(&waited), "x", "{waited}");
    assert!(text_of(&within("the slow call ends", slow).await.unwrap()) == "slept");
    assert_eq!(alive(&name).len(), one, "the first is gone");
}

#[tokio::test]
async fn a_call_that_outlives_the_drain_is_ended_with_the_reason() {
    let entry = scripted("a", &[]) + "drain_timeout = \"100ms\"\n";
    let gateway = Gateway::start(&entry).await;
    let client = Modern::new(&gateway, "/mcp");
    let slow = tokio::spawn(async move { client.call("a__hang", json!({})).await });
    gateway.in_flight(1).await;
    reload(&gateway, &scripted("b", &[])).await;
    let ended = within("the call ends", slow).await.unwrap();
    let text = ended["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains("was removed by a reload") && text.contains("drain_timeout"), "{ended}");
}

#[tokio::test]
async fn limits_and_names_hold_at_once_and_what_cannot_is_named() {
    let entry = scripted("a", &[]);
    let gateway = Gateway::start(&entry).await;
    let client = Modern::new(&gateway, "/mcp");
    let line = reload(
        &gateway,
        &format!("[gateway]\nmax_body = \"1KiB\"\nallowed_origins = [\"https://app.example\"]\nparallel_starts = 3\n{entry}"),
    )
    .await;
    assert!(line.contains("settings changed: gateway.allowed_origins, gateway.max_body;"), "{line}");
    assert!(line.contains("wait for a restart: gateway.parallel_starts;"), "{line}");
    let large = client
        .request("tools/call", json!({ "name": "a__echo", "arguments": { "message": "x".repeat(2000) } }))
        .await;
    assert_eq!(large.status, 413, "{}", large.text());
    let page = gateway.get("/healthz", &[("origin", "https://app.example")]).await;
    assert_eq!(page.status, 200);
    let line = reload(&gateway, &entry).await;
    assert!(!line.contains("wait for a restart"), "what was taken back waits for nothing: {line}");
    let page = gateway.get("/healthz", &[("origin", "https://app.example")]).await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn the_level_of_the_log_changes_under_way() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let quiet = format!("[gateway.log]\nfilter = \"warn\"\n{}", scripted("a", &[]));
    let mut command = command(folder.path(), &quiet, "127.0.0.1:0");
    // What the tests else say of the log is stronger than the file.
    command.env_remove("TRUNKLINE_GATEWAY__LOG__FILTER");
    let gateway = Gateway::spawned(command, folder).await;
    gateway.ready().await;
    assert!(!gateway.log().contains("INFO"), "{}", gateway.log());
    let line = reload(&gateway, &quiet.replace("warn", "info")).await;
    assert!(line.contains("settings changed: gateway.log.filter"), "{line}");
}

#[tokio::test]
async fn a_changed_file_is_noticed_when_it_is_watched() {
    let head = "[gateway]\nwatch = \"50ms\"\n";
    let gateway = Gateway::start(&format!("{head}{}", scripted("a", &[]))).await;
    let folder = gateway.folder().join("gateway.d");
    std::fs::create_dir(&folder).unwrap();
    put(&folder.join("b.toml"), &scripted("b", &[]));
    gateway.in_state("b", &["ready"]).await;
    assert!(told(&gateway)[0].contains("a changed file"), "{:?}", told(&gateway));
    std::fs::remove_file(folder.join("b.toml")).unwrap();
    eventually("it has gone", || async {
        (gateway.readiness().await["servers"] == json!({ "a": "ready" })).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_and_their_subscriptions_follow() {
    let gateway = Gateway::start(&scripted("a", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut stream = client.stream().await;
    reload(&gateway, &(scripted("a", &[]) + &scripted("b", &[]))).await;
    let heard = within("the change is heard", stream.message()).await.unwrap();
    assert!(heard["method"].as_str().unwrap().ends_with("list_changed"), "{heard}");
    gateway.in_state("b", &["ready"]).await;
    assert_eq!(client.text("b__echo", json!({ "message": "x" })).await, "x");
}

#[tokio::test]
async fn a_subscription_on_a_link_of_ones_own_follows_too() {
    let entry = |value: &str| {
        let server = conformance("s", &["--transport", "stdio", "--era", "legacy"]);
        with_env(&(server + "isolation = \"principal\"\nquestions = true\nreplace = \"overlap\"\n"), value)
    };
    let gateway = Gateway::start(&entry("FIRST")).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    let mut heard = client.stream().await;
    client.request("resources/subscribe", json!({ "uri": "test://watched-resource" })).await;
    assert!(reload(&gateway, &entry("SECOND")).await.contains("reloaded"));
    eventually("the other is in its place", || async {
        (generation(&gateway, "s").await == 2.0).then_some(())
    })
    .await;
    let note = tokio::spawn(async move {
        loop {
            let note = heard.message().await.expect("a note");
            if note["method"] == "notifications/resources/updated" {
                return note;
            }
        }
    });
    // A call may come before the subscription of the new process; a later one does not.
    eventually("an update", || async {
        client.call("test_trigger_resource_update", json!({})).await;
        note.is_finished().then_some(())
    })
    .await;
    assert_eq!(note.await.unwrap()["params"], json!({ "uri": "test://watched-resource" }));
    let links = gateway.metric("trunkline_server_links{server=\"s\"}").await;
    assert_eq!(links, Some(1.0), "the one before has taken its links along");
}

/// Changes of the configuration in the ordinary run of the tests, and where more can be asked for.
const CHANGES: u64 = 60;
const MORE: &str = "TRUNKLINE_TEST_RELOADS";
const CLIENTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_while_the_configuration_changes_again_and_again() {
    let changes = std::env::var(MORE).ok().and_then(|text| text.parse().ok()).unwrap_or(CHANGES);
    let (stable, passing) = (unique_name(), unique_name());
    let base = marked(&scripted("stable", &[]), &stable)
        + &marked(&(scripted("changing", &[]) + "drain_timeout = \"5s\"\n"), &passing);
    let gateway = Gateway::start(&base).await;
    let client = Modern::new(&gateway, "/mcp");
    let (before, start) = (pid(&client, "stable").await, generation(&gateway, "stable").await);
    let processes = (alive(&stable).len(), alive(&passing).len());
    let (files, tasks) = (open_files(&gateway), gateway.metric("trunkline_tasks").await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, stop, made) = (client.clone(), stop.clone(), made.clone());
            let server = if number % 4 == 0 { "changing" } else { "stable" };
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let message = format!("{number}-{}", made.fetch_add(1, Ordering::Relaxed));
                    let answer = client.call(&format!("{server}__echo"), json!({ "message": message })).await;
                    assert_eq!(text_of(&answer), message, "{server}: {answer}");
                }
            })
        })
        .collect();
    for change in 0..changes {
        let config = match change % 4 {
            0 => format!("{base}{}", marked(&scripted(&format!("extra-{change}"), &[]), &passing)),
            1 => base.replace(
                "drain_timeout = \"5s\"",
                &format!("drain_timeout = \"5s\"\ncall_timeout = \"{}s\"", 30 + change),
            ),
            2 => format!("{base}\n[servers.broken]\ncomand = \"x\"\n"),
            _ => base.clone(),
        };
        let line = reload(&gateway, &config).await;
        assert_eq!(line.contains("not reloaded"), change % 4 == 2, "{line}");
    }
    reload(&gateway, &base).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        within("the callers end", caller).await.unwrap();
    }
    assert_eq!(pid(&client, "stable").await, before);
    assert_eq!(generation(&gateway, "stable").await, start);
    eventually("only what is wanted is left", || async {
        ((alive(&stable).len(), alive(&passing).len()) == processes).then_some(())
    })
    .await;
    eventually("files and tasks are what they were", || async {
        let now = (open_files(&gateway), gateway.metric("trunkline_tasks").await.unwrap());
        (now.0 <= files && now.1 <= tasks).then_some(())
    })
    .await;
    println!("{} calls during {changes} changes, none failed", made.load(Ordering::Relaxed));
    drop(gateway);
    none_left(&stable).await;
    none_left(&passing).await;
}

fn open_files(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid().as_raw_nonzero())).unwrap().count()
}

#[tokio::test]
async fn services_change_under_way_and_an_unchanged_one_keeps_what_is_under_way() {
    let (first, second) = (Backend::ollama(0).await, Backend::ollama(0).await);
    let stays = service("stays", &first.url);
    let gateway =
        Gateway::start(&(stays.clone() + &service("moves", &first.url) + &service("goes", &first.url))).await;
    let status = async |name: &str| gateway.get(&format!("/services/{name}/where"), &[]).await.status;
    assert_eq!([status("stays").await, status("moves").await, status("goes").await], [200; 3]);
    let line =
        reload(&gateway, &(stays.clone() + &service("moves", &second.url) + &service("new", &second.url)))
            .await;
    for said in ["services.moves.url", "services.new.url", "services.goes.url"] {
        assert!(line.contains(said), "{said} is missing in: {line}");
    }
    assert!(!line.contains("restart") && !line.contains("services.stays"), "{line}");
    assert_eq!([status("stays").await, status("moves").await, status("new").await], [200; 3]);
    assert_eq!(status("goes").await, 404);
    let seen = gateway.get("/services/moves/where", &[]).await.json();
    assert_eq!(
        seen["headers"]["host"].as_str(),
        second.url.strip_prefix("http://"),
        "it is asked where it is now"
    );
    let ready = eventually("all are looked at", || async {
        let ready = gateway.readiness().await;
        (ready["status"] == "ready").then_some(ready)
    })
    .await;
    assert_eq!(ready["services"], json!({ "stays": "ready", "moves": "ready", "new": "ready" }));
    let gone = "trunkline_server_state{server=\"goes\",state=\"ready\"}";
    assert_eq!(gateway.metric(gone).await, Some(0.0), "a service that has gone is in no state");
}

#[tokio::test]
async fn rules_for_prompts_change_under_way() {
    let ollama = Backend::ollama(0).await;
    let service = service("o", &ollama.url);
    let gateway = Gateway::start(&service).await;
    let enhance = async || {
        let body = json!({ "prompt": "write a poem" }).to_string();
        wire::request(gateway.address, "POST", "/enhance", &[], body).await.whole().await.json()
    };
    assert_eq!(enhance().await["enhanced"], false);
    let line = reload(&gateway, &format!("{service}\n[enhance]\nservice = \"o\"\n")).await;
    assert!(line.contains("settings changed: enhance.service"), "{line}");
    assert_eq!(enhance().await["enhanced"], true);
    let rules = "\n[enhance]\nservice = \"o\"\n[enhance.default]\nenabled = false\n";
    reload(&gateway, &format!("{service}{rules}")).await;
    assert_eq!(enhance().await["enhanced"], false);
}
