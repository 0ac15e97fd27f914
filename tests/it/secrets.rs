//! No secret leaves the gateway by a way that it was not meant to go: every place that can hold one gets a value of its own,
//! everything is used and made to fail, and then everything that the gateway has said is searched.

use std::path::Path;

use serde_json::json;

use crate::support::wire;
use crate::support::{Gateway, Legacy, Modern, eventually, scripted};

/// How every secret begins.
const CANARY: &str = "canary-7c1e";

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() { files(&entry, found) } else { found.push(entry) }
    }
}

fn has(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(CANARY.len()).position(|part| part == CANARY.as_bytes())?;
    let around = &bytes[at.saturating_sub(100)..bytes.len().min(at + 60)];
    Some(String::from_utf8_lossy(around).into_owned())
}

#[tokio::test]
async fn no_secret_is_in_any_log_metric_answer_row_or_title() {
    let config = [
        "[gateway.log]\nfilter = \"debug\"\n\n".to_owned(),
        scripted("s", &[]),
        format!("call_timeout = \"500ms\"\ncapture = \"all\"\nbreaker = {{ failures = 2, open = \"10m\" }}\nenv = {{ KEY = \"{CANARY}-entry\", FROM = \"${{env:CANARY_VARIABLE}}\" }}\n"),
        format!("\n[servers.dead]\nurl = \"http://127.0.0.1:1/mcp?key={CANARY}-query\"\nheaders = {{ Authorization = \"Bearer {CANARY}-header\" }}\n"),
        format!("\n[servers.gone]\ncommand = \"/nowhere/at/all\"\nargs = [\"--api-key\", \"{CANARY}-argument-of-none\"]\nenv = {{ KEY = \"{CANARY}-entry-of-none\" }}\n"),
        format!("\n[services.o]\nurl = \"http://127.0.0.1:1/\"\nheaders = {{ X-Key = \"{CANARY}-service\" }}\nproxy = \"http://me:{CANARY}-proxy@127.0.0.1:1\"\n"),
    ]
    .concat();
    let gateway = Gateway::launch_with(&config, &[("CANARY_VARIABLE", &format!("{CANARY}-variable"))]).await;
    gateway.in_state("s", &["ready"]).await;
    gateway.in_state("gone", &["failed"]).await;

    // Clients with credentials of their own, in headers, in the query and where the path should be.
    let bearer = format!("Bearer {CANARY}-client");
    let cookie = format!("sid={CANARY}-cookie");
    let headers = [("authorization", bearer.as_str()), ("cookie", cookie.as_str()), ("x-trunkline", "1")];
    let mut said = Vec::new();
    let mut ask = async |method: &str, path: &str, body: &str| {
        let reply =
            wire::request(gateway.address, method, path, &headers, body.to_owned()).await.whole().await;
        said.push((format!("{method} {path}"), reply.body.to_vec()));
    };
    let legacy = Legacy::open(&gateway, "/mcp").await;
    let modern = Modern::new(&gateway, "/mcp");
    for tool in ["s__echo", "s__refuse", "s__hang", "s__hang", "s__echo", "dead__x", "gone__x", "nobody__x"] {
        modern
            .call(tool, json!({ "message": "x", "password": format!("{CANARY}-argument-of-a-call") }))
            .await;
        legacy.call(tool, json!({ "message": "x", "api_key": format!("{CANARY}-argument-of-a-call") })).await;
    }
    ask("POST", &format!("/mcp?token={CANARY}-token"), "{").await;
    ask("POST", "/mcp/s/tools/call", r#"{"name":"echo","arguments":{"message":"x"}}"#).await;
    ask("POST", "/mcp/dead/tools/call", "{}").await;
    ask("GET", "/services/o/api/version", "").await;
    ask("GET", "/services/nobody/", "").await;
    for (method, path) in [
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/servers"),
        ("GET", "/api/v1/servers/s"),
        ("GET", "/api/v1/servers/dead"),
        ("GET", "/api/v1/servers/gone"),
        ("GET", "/api/v1/calls"),
        ("GET", "/api/v1/sessions"),
        ("GET", "/api/v1/streams"),
        ("GET", "/api/v1/catalog"),
        ("GET", "/api/v1/config"),
        ("GET", "/api/v1/activity"),
        ("GET", "/api/v1/activity/export"),
        ("GET", "/api/v1/activity/stats?by=client"),
        ("POST", "/api/v1/servers/dead/restart"),
        ("POST", "/api/v1/servers/s/reset"),
        ("POST", "/api/v1/servers/gone/start"),
        ("GET", "/api/v1/servers/nobody"),
    ] {
        ask(method, path, "").await;
    }
    // A file with faults, which are told with what is wrong in it.
    let faulty = format!(
        "{config}\n[servers.t]\nurl = \"ftp://me:{CANARY}-wrong@host/?k={CANARY}\"\nenv = {{ A = \"{CANARY}\" }}\nno_such_key = \"{CANARY}-unknown\"\n"
    );
    std::fs::write(gateway.folder().join("gateway.toml"), faulty).unwrap();
    ask("POST", "/api/v1/reload", "").await;
    let refused = said.last().expect("an answer").clone();
    assert!(String::from_utf8_lossy(&refused.1).contains("not reloaded"), "{refused:?}");
    eventually("the calls are on file", || async {
        let rows = gateway.get("/api/v1/activity?tool=echo", &[]).await.json();
        (rows["records"].as_array()?.len() >= 4).then_some(())
    })
    .await;

    for (what, body) in &said {
        assert_eq!(has(body), None, "in the answer to {what}");
    }
    assert_eq!(has(gateway.log().as_bytes()), None, "in the log");
    let title = std::fs::read(format!("/proc/{}/cmdline", gateway.pid().as_raw_nonzero())).unwrap();
    assert_eq!(has(&title), None, "in the title of the process");
    let mut kept = Vec::new();
    files(&gateway.folder().join("data"), &mut kept);
    assert!(kept.iter().any(|file| file.ends_with("activity.db")), "{kept:?}");
    for file in kept {
        assert_eq!(has(&std::fs::read(&file).unwrap_or_default()), None, "in {}", file.display());
    }
}
