//! The commands that ask a running gateway, as a person or a script runs them.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{Gateway, Modern, code_of, demo, eventually, scripted, section, servers, within};

fn command(gateway: &Gateway, arguments: &[&str]) -> Command {
    let mut command = Command::new(servers::PROGRAM);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRUNKLINE_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).env("TRUNKLINE_URL", format!("http://{}", gateway.address));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn run(gateway: &Gateway, arguments: &[&str]) -> Output {
    within("a command", command(gateway, arguments).output()).await.expect("run")
}

/// What a command that went well has printed.
pub async fn printed(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = run(gateway, arguments).await;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {:?}\n{out}\n{err}", output.status);
    format!("{out}{err}")
}

#[tokio::test]
async fn status_tells_healthy_degraded_and_not_running_by_its_exit_code() {
    let gateway = Gateway::start(&demo("d")).await;
    let healthy = printed(&gateway, &["status"]).await;
    assert!(healthy.contains("is healthy") && healthy.contains("servers        1 ready"), "{healthy}");
    let json: Value = serde_json::from_str(&printed(&gateway, &["status", "--json"]).await).expect("JSON");
    assert_eq!(json["status"], "healthy");
    let broken = Gateway::launch(&(demo("d") + &section("b", "/nowhere/at/all", &[]))).await;
    broken.in_state("b", &["failed"]).await;
    let output = run(&broken, &["status"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("b is failed: cannot be started") && text.contains("next try in"), "{text}");
    let gone = run(&gateway, &["status", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(gone.status.code(), Some(4), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no gateway answers at http://127.0.0.1:1"));
    let nonsense = run(&gateway, &["status", "--url", "nonsense"]).await;
    assert_eq!(nonsense.status.code(), Some(2), "{nonsense:?}");
}

#[tokio::test]
async fn the_gateway_is_found_by_the_configuration_even_where_its_credentials_are_missing() {
    let gateway = Gateway::start(&demo("d")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let text = format!(
        "[gateway]\nlisten = \"{}\"\n[servers.x]\nurl = \"https://x.example/mcp\"\nheaders = {{ A = \"${{env:TRUNKLINE_IT_UNSET}}\" }}\n",
        gateway.address
    );
    std::fs::write(&file, text).unwrap();
    let path = file.to_string_lossy();
    for arguments in [["status", "--config", &path], ["--config", &path, "status"]] {
        let output = within("status", command(&gateway, &arguments).env_remove("TRUNKLINE_URL").output())
            .await
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn a_server_is_restarted_stopped_and_taken_out_of_service_by_name() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &demo("d"))).await;
    let table = printed(&gateway, &["servers"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME  STATE  FOR"), "{table}");
    assert!(lines[1].starts_with("s     ready") && lines[2].starts_with("d     ready"), "{table}");
    let told = printed(&gateway, &["server", "restart", "s"]).await;
    assert!(told.starts_with("s is ready (start 2, process "), "{told}");
    let detail: Value =
        serde_json::from_str(&printed(&gateway, &["servers", "s", "--json"]).await).expect("JSON");
    assert_eq!((&detail["generation"], &detail["transport"]), (&json!(2), &json!("stdio")));
    assert_eq!(printed(&gateway, &["server", "stop", "s"]).await, "s is stopped\n");
    assert_eq!(printed(&gateway, &["server", "disable", "s"]).await, "s is stopped\n");
    let refused = run(&gateway, &["server", "start", "s"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("out of service"), "{refused:?}");
    assert!(printed(&gateway, &["server", "enable", "s"]).await.starts_with("s is ready"));
    assert!(printed(&gateway, &["server", "reset", "s"]).await.contains("the breaker of 's' is closed"));
    let unknown = run(&gateway, &["server", "stop", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: s, d"), "{unknown:?}");
}

#[tokio::test]
async fn a_call_is_listed_and_cancelled_by_its_number() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let waiting = tokio::spawn(async move { client.call("s__hang", json!({})).await });
    let id = eventually("the call is listed", || async {
        let table = printed(&gateway, &["calls"]).await;
        let row = table.lines().find(|line| line.contains("s__hang") && line.contains(" s "))?;
        Some(row.split_whitespace().next()?.to_owned())
    })
    .await;
    assert!(printed(&gateway, &["calls", "cancel", &id]).await.contains("is cancelled"));
    assert_eq!(code_of(&waiting.await.unwrap()), -31499);
    assert_eq!(printed(&gateway, &["calls"]).await, "nothing is in flight\n");
}

#[tokio::test]
async fn events_are_one_json_object_a_line_for_scripts() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let mut child = command(&gateway, &["events", "--json"]).spawn().expect("spawned");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = within("an event", lines.next_line()).await.expect("read").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(next().await["state"], "ready");
    printed(&gateway, &["server", "stop", "s"]).await;
    while next().await["state"] != "stopped" {}
    child.kill().await.expect("killed");
}

#[tokio::test]
async fn catalog_sessions_streams_settings_and_orders_have_words_for_people() {
    let gateway = Gateway::start(&demo("d")).await;
    let catalog = printed(&gateway, &["catalog"]).await;
    assert!(catalog.contains("d__echo") && catalog.starts_with("KIND"), "{catalog}");
    assert_eq!(printed(&gateway, &["sessions"]).await, "no session is in memory\n");
    assert_eq!(printed(&gateway, &["streams"]).await, "no stream is open\n");
    assert!(printed(&gateway, &["config", "live"]).await.contains("gateway.max_body = \"4MiB\""));
    assert!(printed(&gateway, &["reload"]).await.contains("the configuration is reloaded"));
    assert!(printed(&gateway, &["cache", "clear"]).await.contains("read again"));
}
