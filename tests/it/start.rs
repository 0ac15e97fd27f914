//! The start: every fault at once, a cure for each, and exit codes that scripts can rely on.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::gateway::{Said, command};
use crate::support::servers::PROGRAM;
use crate::support::{Gateway, Modern, demo, scripted, text_of, wire};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let run = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let Output { status, stdout, stderr } =
        crate::support::within("the program ends", run).await.expect("ran").expect("ran");
    (status.code(), text(&stdout), text(&stderr))
}

async fn refused(config: &str, listen: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), config, listen);
    command.stdout(Stdio::piped());
    let (code, stdout, stderr) = output(command).await;
    assert_eq!(stdout, "", "what goes wrong is said on stderr");
    (code, stderr)
}

#[tokio::test]
async fn all_faults_of_a_configuration_are_told_at_once_and_the_code_is_78() {
    let config = r#"
[gateway]
max_body = "lots"
lisen = "127.0.0.1:1"

[defaults]
call_timeout = 30

[servers.Bad_Name]
command = "true"

[servers.both]
command = "true"
url = "http://localhost/mcp"

[servers.none]
args = []

[servers.secret]
command = "true"
env = { KEY = "${env:IT_NO_SUCH_VARIABLE}" }
"#;
    let (code, stderr) = refused(config, "127.0.0.1:0").await;
    assert_eq!(code, Some(78), "{stderr}");
    for named in [
        "gateway.max_body",
        "gateway.lisen",
        "did you mean `listen`?",
        "call_timeout",
        "Bad_Name",
        "servers.both",
        "servers.none",
        "IT_NO_SUCH_VARIABLE",
    ] {
        assert!(stderr.contains(named), "{named} is not in:\n{stderr}");
    }
    assert!(stderr.matches("gateway.toml:").count() == 7, "each with its place:\n{stderr}");
}

#[tokio::test]
async fn what_is_no_toml_is_told_with_its_place() {
    let (code, stderr) = refused("[gateway\n", "127.0.0.1:0").await;
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("gateway.toml:1"), "{stderr}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let mut command = Command::new(PROGRAM);
    command.args(["--config", "/no/such/gateway.toml"]);
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("/no/such/gateway.toml"), "{stderr}");
}

#[tokio::test]
async fn an_open_address_without_authentication_is_refused_unless_it_is_asked_for() {
    let (code, stderr) = refused(&demo("demo"), "0.0.0.0:0").await;
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("allow_unauthenticated"), "{stderr}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_cure_and_the_code_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = refused(&demo("demo"), &address).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("--listen"), "{stderr}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_named_with_the_cure() {
    // TEST-NET-1 (RFC 5737) is nobody's.
    let open = format!("[gateway]\nallow_unauthenticated = true\n{}", demo("demo"));
    let (code, stderr) = refused(&open, "192.0.2.1:6270").await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("192.0.2.1 is no address of this machine"), "{stderr}");
}

#[tokio::test]
async fn a_second_gateway_on_the_same_folder_is_told_who_has_it() {
    let gateway = Gateway::start(&demo("demo")).await;
    let (code, _, stderr) = output(command(gateway.folder(), &demo("demo"), "127.0.0.1:0")).await;
    assert_eq!(code, Some(1), "{stderr}");
    let process = format!("process {}", gateway.pid());
    assert!(stderr.contains(&process) && stderr.contains("--data-dir"), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{stderr}");
    assert_eq!(gateway.readiness().await["status"], "ready", "the first goes on");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_with_the_cure() {
    // Nobody, not even root, makes files in the process table.
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--data-dir", "/proc/self"]).env_remove("TRUNKLINE_CONFIG");
    let nowhere = tempfile::tempdir().unwrap();
    command.env("XDG_CONFIG_HOME", nowhere.path());
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("'/proc/self'") && stderr.contains("--data-dir"), "{stderr}");
}

#[tokio::test]
async fn without_a_home_the_key_that_is_missing_is_named() {
    let mut command = Command::new(PROGRAM);
    command.env_clear().args(["--listen", "127.0.0.1:0"]);
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("gateway.data_dir") && stderr.contains("HOME"), "{stderr}");
}

#[tokio::test]
async fn a_configuration_that_is_no_text_or_no_file_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    for path in [folder.path(), &binary] {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(path);
        let (code, _, stderr) = output(command).await;
        assert_eq!(code, Some(78), "{stderr}");
        assert!(stderr.contains(path.to_str().unwrap()) && stderr.contains("help:"), "{stderr}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_and_stops_nobody_else() {
    let gone = "\n[servers.gone]\ncommand = \"no-such-program-anywhere\"\n";
    let gateway = Gateway::launch(&(demo("demo") + gone)).await;
    let readiness = gateway.in_state("gone", &["failed"]).await;
    let reason = readiness["degraded"]["gone"].as_str().unwrap();
    assert!(reason.contains("no-such-program-anywhere") && reason.contains("PATH"), "{reason}");
    gateway.in_state("demo", &["ready"]).await;
    assert!(gateway.log().contains("no-such-program-anywhere"), "the log says it, too");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named_with_the_cure_and_the_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let (code, _, stderr) = output(command(folder.path(), &demo("demo"), "127.0.0.1:0")).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("--data-dir"), "{stderr}");
}

#[tokio::test]
async fn help_and_version_end_well_and_an_unknown_flag_is_2() {
    let run = async |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(args);
        output(command).await
    };
    let (code, stdout, _) = run(&["--help"]).await;
    assert_eq!(code, Some(0));
    let known = [
        "serve",
        "connect",
        "doctor",
        "health",
        "check",
        "demo-server",
        "--config",
        "--listen",
        "--data-dir",
    ];
    for named in known {
        assert!(stdout.contains(named), "{named} is not in:\n{stdout}");
    }
    let (code, stdout, _) = run(&["--version"]).await;
    assert_eq!((code, stdout.trim()), (Some(0), concat!("trunkline ", env!("CARGO_PKG_VERSION"))));
    for args in [["--no-such-flag"].as_slice(), &["no-such-command"], &["serve", "--listen"]] {
        let (code, stdout, stderr) = run(args).await;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr.contains("--help"), "{stderr}");
    }
}

#[tokio::test]
async fn without_a_configuration_the_demo_server_answers() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .args(["--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        command.env(name, home.path());
    }
    let mut child = command.env_remove("TRUNKLINE_CONFIG").spawn().expect("started");
    let said = Said::follow(&mut child);
    let address = tokio::task::spawn_blocking(move || {
        said.find(|line| line.split_once(" listens on http://")?.1.trim().parse().ok())
    });
    let address: std::net::SocketAddr = address.await.unwrap().expect("an address");
    let params = json!({ "name": "demo__echo", "arguments": { "message": "first call" } });
    let body = Modern::body(&json!(1), "tools/call", params);
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "demo__echo")];
    // The very first call waits for the server to come up.
    let answer = wire::post(address, "/mcp", &headers, body.to_string()).await.whole().await.json();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(text_of(&answer), "first call");
}

#[tokio::test]
async fn the_banner_says_where_to_go() {
    let gateway = Gateway::start(&(demo("demo") + &scripted("s", &[]))).await;
    let log = gateway.log();
    for path in ["/mcp", "/mcp/demo", "/mcp/s", "/readyz"] {
        let url = format!("http://{}{path} ", gateway.address);
        assert!(log.contains(&url), "{url} is not in:\n{log}");
    }
    let client = format!("claude mcp add --transport http trunkline http://{}/mcp\n", gateway.address);
    assert!(log.contains(&client) && log.contains("trunkline connect"), "{log}");
}

#[tokio::test]
async fn the_gateways_own_files_are_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::start(&demo("demo")).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = gateway.folder().join("data");
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("seal.key")), 0o600);
}
