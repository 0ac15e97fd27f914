//! `trunkline check` and `trunkline config`: what the configuration says, without starting anything.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::servers::PROGRAM;

/// Runs a command with nothing in its environment but a home.
async fn run(home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().env("HOME", home).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output());
    let Output { status, stdout, stderr } =
        crate::support::within("the command ends", run).await.expect("ran").expect("ran");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn check_tells_all_faults_of_all_files_and_exits_with_78() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("gateway.toml");
    put(&file, "[gateway]\nlisen = \"127.0.0.1:1\"\n");
    put(
        &home.path().join("gateway.d/a.toml"),
        "[servers.a]\ncommand = \"a\"\nenv = { K = \"${env:NOT_SET_ANYWHERE}\" }\n",
    );
    let (code, stdout, stderr) = run(home.path(), &["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!((code, stdout.as_str()), (Some(78), ""), "{stderr}");
    for told in [
        "gateway.toml:2:1",
        "did you mean `listen`?",
        "gateway.d/a.toml:3:13",
        "NOT_SET_ANYWHERE, which is not set",
        "\n2 faults in the configuration\n",
    ] {
        assert!(stderr.contains(told), "{told} is missing in:\n{stderr}");
    }
}

#[tokio::test]
async fn check_says_what_it_found_when_all_is_well() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/trunkline/gateway.toml");
    put(&file, "[gateway]\nlisten = \"127.0.0.1:7001\"\n[servers.a]\ncommand = \"npx\"\n");
    put(
        &file.with_extension("d").join("b.toml"),
        "servers.b = { url = \"http://b/?k=s3cret\", enabled = false }\n",
    );
    let (code, stdout, stderr) = run(home.path(), &["check"]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        stdout.replace(&home.path().display().to_string(), "~"),
        "\
the configuration is right: ~/.config/trunkline/gateway.toml
  and ~/.config/trunkline/gateway.d/b.toml
  4 settings, the others as by default
  listens on 127.0.0.1:7001
  server a: starts npx
  server b: connects to http://b/?*** (not enabled)
"
    );
}

#[tokio::test]
async fn show_prints_what_is_in_force_and_where_it_came_from_without_credentials() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("g.toml");
    put(&file, "[servers.a]\nurl = \"http://a/\"\nheaders = { Authorization = \"Bearer s3cret\" }\n");
    let name = file.to_str().unwrap();
    let (code, stdout, stderr) = run(home.path(), &["config", "show", "--origin", "--config", name]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for line in [
        "defaults.call_timeout = \"30s\"  # default".to_owned(),
        format!("servers.a.headers.authorization = \"***\"  # {name}:3"),
        format!("servers.a.url = \"http://a/\"  # {name}:2"),
    ] {
        assert!(stdout.lines().any(|have| have == line), "{line} is missing in:\n{stdout}");
    }
    assert!(stdout.contains("\ngateway.workers = ") && stdout.contains("  # computed: one per processor\n"));
    // Without origins it is a file that says the same.
    let (_, bare, _) = run(home.path(), &["config", "show", "--config", name]).await;
    put(&home.path().join("again.toml"), &bare.replace("\"***\"", "\"x\""));
    let again = home.path().join("again.toml");
    let (code, shown, stderr) =
        run(home.path(), &["config", "show", "--config", again.to_str().unwrap()]).await;
    assert_eq!((code, shown), (Some(0), bare), "{stderr}");
}

#[tokio::test]
async fn the_schema_is_json_on_standard_output() {
    let home = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(home.path(), &["config", "schema"]).await;
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &schema["properties"]["gateway"]["type"]), (Some(0), &Value::from("object")));
}
