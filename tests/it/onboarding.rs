//! `trunkline import`, `connect` and `doctor`, as their users run them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use trunkline::config::{self, Sources};

use crate::support::{Backend, Gateway, Modern, text_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");
pub const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clients");

/// A sample of each program's file, and what it becomes.
pub const SAMPLES: [&str; 11] = [
    "claude-desktop/claude_desktop_config.json",
    "claude-code/.mcp.json",
    "cursor/.cursor/mcp.json",
    "vscode/.vscode/mcp.json",
    "windsurf/windsurf_mcp_config.json",
    "gemini/.gemini/settings.json",
    "codex/.codex/config.toml",
    "zed/zed/settings.json",
    "raycast/servers.json",
    "agenthub/mcp-servers.json",
    "opencode/opencode.json",
];

#[test]
fn the_files_of_every_client_become_entries_that_hold() {
    for sample in SAMPLES {
        let expected = Path::new(CLIENTS).join(sample.split('/').next().unwrap()).join("expected.toml");
        let home = tempfile::tempdir().unwrap();
        let (entries, secrets) = (home.path().join("gateway.toml"), home.path().join("secrets.env"));
        let output = run(
            home.path(),
            Path::new(CLIENTS),
            &[
                "import",
                sample,
                "--output",
                entries.to_str().unwrap(),
                "--secrets",
                secrets.to_str().unwrap(),
            ],
        );
        assert_eq!(output.status.code(), Some(0), "{sample}: {}", stderr(&output));
        let text = fs::read_to_string(&entries).unwrap();
        assert_eq!(text, fs::read_to_string(&expected).unwrap(), "{sample}");
        assert!(!text.contains("canary"), "{sample}");

        // What the entries refer to is what was taken out, or what the environment must give.
        let mut env: Vec<(String, String)> = fs::read_to_string(&secrets)
            .unwrap()
            .lines()
            .map(|line| {
                line.split_once('=').map(|(n, v)| (n.to_owned(), v.trim_matches('"').to_owned())).unwrap()
            })
            .collect();
        for name in variables(&text) {
            if !env.iter().any(|(known, _)| *known == name) {
                env.push((name, "given".to_owned()));
            }
        }
        env.push(("HOME".to_owned(), home.path().display().to_string()));
        let sources = Sources { file: Some(entries), env, flags: Vec::new(), exe: PROGRAM.into() };
        config::load(sources).unwrap_or_else(|faults| panic!("{sample}: {faults}"));
        assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// From another program's file to an answer of its server; once and for all, and live.
#[tokio::test]
async fn what_was_imported_is_checked_and_serves_and_a_file_that_is_served_as_it_stands_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let (theirs, entries) = (home.path().join("mcp.json"), home.path().join("entries.toml"));
    let file = |name: &str| {
        format!(
            r#"{{ "mcpServers": {{ "{name}": {{ "command": "{PROGRAM}", "args": ["demo-server"] }} }} }}"#
        )
    };
    fs::write(&theirs, file("My Demo")).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let output = run(home.path(), home.path(), &["import", &path(&theirs), "--output", &path(&entries)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(home.path(), home.path(), &["check", "--config", &path(&entries)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let gateway = Gateway::start(&fs::read_to_string(&entries).unwrap()).await;
    let answer =
        Modern::new(&gateway, "/mcp").call("my-demo__echo", serde_json::json!({ "message": "hi" })).await;
    assert!(text_of(&answer).contains("hi"), "{answer}");

    let gateway = Gateway::start(&format!("import = [{:?}]\n", path(&theirs))).await;
    gateway.in_state("my-demo", &["ready"]).await;
    fs::write(&theirs, file("other")).unwrap();
    gateway.signal(rustix::process::Signal::HUP);
    gateway.in_state("other", &["ready"]).await;
    let answer =
        Modern::new(&gateway, "/mcp").call("other__echo", serde_json::json!({ "message": "hi" })).await;
    assert!(text_of(&answer).contains("hi"), "{answer}");
}

#[test]
fn credentials_are_never_printed_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), Path::new(CLIENTS), &["import", SAMPLES[0], SAMPLES[4], SAMPLES[7]]);
    assert!(output.status.success());
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert!(!printed.contains("canary"), "{printed}");
    assert!(stderr(&output).contains("set these variables for the gateway: GITHUB_PERSONAL_ACCESS_TOKEN"));

    let taken = home.path().join("there.toml");
    fs::write(&taken, "mine").unwrap();
    let output =
        run(home.path(), Path::new(CLIENTS), &["import", SAMPLES[0], "--output", taken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("is there already; name another file, or remove it"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
}

#[test]
fn a_server_that_cannot_be_taken_is_named_and_costs_no_other() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mcp.json");
    fs::write(
        &file,
        r#"{"mcpServers":{"both":{"command":"x","url":"http://h/"},"none":{},"ws":{"type":"ws","url":"ws://h/"},"a b":{"command":"x"},"A-B":{"command":"y"}}}"#,
    )
    .unwrap();
    let output = run(home.path(), home.path(), &["import", "mcp.json"]);
    assert_eq!(output.status.code(), Some(3));
    let told = stderr(&output);
    for why in
        ["both: it has a command and a URL", "none: it has neither", "ws: it is reached by a WebSocket"]
    {
        assert!(told.contains(why), "{told}");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[servers.a-b]") && text.contains("[servers.a-b-2]"), "{text}");

    fs::write(&file, "{ not json").unwrap();
    let output = run(home.path(), home.path(), &["import", "mcp.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it is neither JSON nor TOML"), "{}", stderr(&output));
}

#[test]
fn a_client_is_pointed_here_and_everything_else_in_its_file_stays() {
    for (client, file, before, key) in [
        (
            "claude-desktop",
            ".config/Claude/claude_desktop_config.json",
            "claude-desktop/claude_desktop_config.json",
            "/mcpServers/trunkline/command",
        ),
        ("claude-code", ".claude.json", "claude-code/.mcp.json", "/mcpServers/trunkline/url"),
        ("cursor", ".cursor/mcp.json", "cursor/.cursor/mcp.json", "/mcpServers/trunkline/url"),
        ("vscode", ".config/Code/User/mcp.json", "vscode/.vscode/mcp.json", "/servers/trunkline/url"),
        (
            "windsurf",
            ".codeium/windsurf/mcp_config.json",
            "windsurf/windsurf_mcp_config.json",
            "/mcpServers/trunkline/serverUrl",
        ),
        ("zed", ".config/zed/settings.json", "zed/zed/settings.json", "/context_servers/trunkline/url"),
        ("gemini", ".gemini/settings.json", "gemini/.gemini/settings.json", "/mcpServers/trunkline/httpUrl"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let original = fs::read_to_string(Path::new(CLIENTS).join(before)).unwrap();
        fs::write(&path, &original).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        let dry = run(home.path(), home.path(), &["connect", client]);
        assert!(dry.status.success(), "{client}: {}", stderr(&dry));
        assert_eq!(fs::read_to_string(&path).unwrap(), original, "{client}: nothing is written unless asked");

        let output = run(home.path(), home.path(), &["connect", client, "--write"]);
        assert!(output.status.success(), "{client}: {}", stderr(&output));
        let now = fs::read_to_string(&path).unwrap();
        let parse = |text: &str| {
            jsonc_parser::parse_to_serde_value::<serde_json::Value>(text, &Default::default()).unwrap()
        };
        let (mut after, before) = (parse(&now), parse(&original));
        let entry = after.pointer(key).unwrap_or_else(|| panic!("{client}: {now}"));
        match key.ends_with("command") {
            true => assert_eq!(entry, PROGRAM),
            false => assert_eq!(entry, "http://127.0.0.1:6270/mcp"),
        }
        let table = key.split('/').nth(1).unwrap();
        after[table].as_object_mut().unwrap().remove("trunkline");
        assert_eq!(after, before, "{client}: other entries stay");
        for comment in original.lines().filter(|line| line.trim_start().starts_with("//")) {
            assert!(now.contains(comment), "{client}: the comment {comment} is gone");
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640, "{client}");
        let backup =
            path.with_file_name(format!("{}.before-trunkline", path.file_name().unwrap().to_str().unwrap()));
        assert_eq!(fs::read_to_string(backup).unwrap(), original, "{client}");

        let again = run(home.path(), home.path(), &["connect", client, "--write"]);
        assert!(
            again.status.success() && stderr(&again).contains("says so already"),
            "{client}: {}",
            stderr(&again)
        );
    }
}

/// One client has a file of TOML, and one keeps its servers out of reach.
#[test]
fn codex_is_pointed_here_in_its_own_language_and_raycast_by_what_it_takes_from_the_clipboard() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".codex/config.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let original = fs::read_to_string(Path::new(CLIENTS).join("codex/.codex/config.toml")).unwrap();
    fs::write(&path, &original).unwrap();
    let output = run(home.path(), home.path(), &["connect", "codex", "--write"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let now = fs::read_to_string(&path).unwrap();
    assert!(now.starts_with(original.trim_end()), "what was there stays: {now}");
    assert!(now.contains("[mcp_servers.trunkline]\nurl = \"http://127.0.0.1:6270/mcp\""), "{now}");

    let printed = run(home.path(), home.path(), &["connect", "raycast"]);
    assert!(printed.status.success() && stderr(&printed).contains("clipboard"), "{}", stderr(&printed));
    let entry: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(
        entry.pointer("/mcpServers/trunkline/command").and_then(|value| value.as_str()),
        Some(PROGRAM)
    );
    let written = run(home.path(), home.path(), &["connect", "raycast", "--write"]);
    assert!(!written.status.success(), "there is no file to write to");
}

#[test]
fn a_file_that_cannot_be_read_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".cursor/mcp.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, why) in [("{ \"mcpServers\": ", "not valid JSON"), (r#"{"mcpServers": []}"#, "is not a table")]
    {
        fs::write(&path, text).unwrap();
        let output = run(home.path(), home.path(), &["connect", "cursor", "--write"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_key_is_referred_to_and_never_written_into_a_clients_file() {
    let home = tempfile::tempdir().unwrap();
    let snippet = |arguments: &[&str]| {
        let output = run(home.path(), home.path(), &[&["connect"], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let variable = ["--token-env", "MY_KEY"];
    assert!(snippet(&[&["cursor"], &variable[..]].concat()).contains("Bearer ${env:MY_KEY}"));
    assert!(snippet(&[&["claude-code"], &variable[..]].concat()).contains("Bearer ${MY_KEY}"));
    assert!(snippet(&[&["codex"], &variable[..]].concat()).contains("bearer_token_env_var = \"MY_KEY\""));
    // A file can only be read by the bridge.
    let bridged = snippet(&["cursor", "--token-file", "/run/key"]);
    assert!(
        bridged.contains("\"stdio\"") && bridged.contains("\"--token-file\"") && !bridged.contains("\"url\"")
    );
}

#[test]
fn the_doctor_says_the_cure_for_what_is_broken() {
    // Nobody listens here any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = listener.local_addr().unwrap().port();
    let demo = format!("[servers.demo]\ncommand = {PROGRAM:?}\nargs = [\"demo-server\"]\n");
    let free = "[gateway]\nlisten = \"127.0.0.1:0\"\n";
    for (config, code, finding, help) in [
        (format!("{free}{demo}"), 0, "server demo: ready after", ""),
        (
            "[gateway]\nlisten = 5\n".to_owned(),
            78,
            "configuration: `gateway.listen` is",
            "put the value in quotes",
        ),
        (
            format!("{free}[servers.x]\ncommand = \"no-such-program\"\n"),
            1,
            "server x: there is no program `no-such-program` in PATH",
            "install it, or write the whole path in `servers.x.command`",
        ),
        (
            format!("{free}[servers.x]\ncommand = \"uvx\"\nenv = {{ PATH = \"/nowhere\" }}\n"),
            1,
            "there is no program `uvx` in PATH (/nowhere)",
            "install uv (https://docs.astral.sh/uv",
        ),
        (
            format!(
                "{free}[servers.x]\ncommand = \"sh\"\nargs = [\"-c\", \"exit 3\"]\nstart_timeout = \"2s\"\n"
            ),
            1,
            "server x: ",
            "run `sh -c exit 3` by hand and read what it says",
        ),
        (
            format!("{free}[servers.x]\nurl = \"http://127.0.0.1:{gone}/mcp\"\nstart_timeout = \"2s\"\n"),
            1,
            "server x: ",
            "look whether 127.0.0.1 runs and can be reached from here",
        ),
        (
            format!("[gateway]\nlisten = \"127.0.0.1:{taken_port}\"\n{demo}"),
            1,
            "is taken by another program",
            "or choose another with gateway.listen or --listen",
        ),
        (
            format!("[gateway]\nlisten = \"192.0.2.1:1\"\nallow_unauthenticated = true\n{demo}"),
            1,
            "address: 192.0.2.1 is no address of this machine",
            "write 127.0.0.1 for this machine alone",
        ),
        (
            format!("[gateway]\nlisten = \"127.0.0.1:0\"\ndata_dir = \"/dev/null/x\"\n{demo}"),
            1,
            "data folder: /dev/null is in the way",
            "name another place with gateway.data_dir",
        ),
        (
            format!("{free}{demo}env = {{ KEY = \"${{env:EMPTY}}\" }}\n"),
            3,
            "`servers.demo.env.KEY` is empty",
            "set the variable or the file that it refers to",
        ),
        (
            format!("{free}[servers.x]\ncommand = \"sh\"\nenv = {{ K = \"${{env:UNSET_ONE}}\" }}\n"),
            78,
            "refers to the environment variable UNSET_ONE",
            "set UNSET_ONE where the gateway is started",
        ),
        (free.to_owned(), 3, "configuration: no server is switched on", "add a `[servers.<name>]`"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("gateway.toml");
        fs::write(&file, &config).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let output = run(home.path(), home.path(), &["doctor", "--config", file.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains(finding), "{config}\n{told}{}", stderr(&output));
        assert!(told.contains(help), "{config}\n{told}");
        assert_eq!(output.status.code(), Some(code), "{config}\n{told}");
    }
}

#[tokio::test]
async fn the_doctor_asks_services_and_misses_models_that_prompts_are_to_go_to() {
    let ollama = Backend::ollama(0).await;
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = |url: &str, health: &str| {
        format!("[gateway]\nlisten = \"127.0.0.1:0\"\n[services.o]\nurl = \"{url}\"\nhealth = \"{health}\"\n")
    };
    let rules = "[enhance]\nservice = \"o\"\n[enhance.default]\nfallback = [\"small\", \"phi3:mini\"]\n";
    for (config, code, finding, help) in [
        (service(&ollama.url, "/api/version"), 3, "service o: /api/version answers", ""),
        (service(&format!("http://{gone}"), "/"), 1, "service o: cannot be reached", "`ollama serve`"),
        (
            service(&ollama.url, "/hang") + "health_interval = \"1s\"\n",
            1,
            "service o: did not answer",
            "runs",
        ),
        (
            service(&ollama.url, "/redirect?to=x") + rules,
            3,
            "the model 'phi3:mini' is not at",
            "ollama pull phi3:mini",
        ),
        (
            service(&ollama.url, "/api/version") + "headers = { Authorization = \"Bearer ${env:EMPTY}\" }\n",
            3,
            "`services.o.headers.authorization` is empty",
            "set the variable",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("gateway.toml");
        fs::write(&file, &config).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let output = tokio::task::spawn_blocking(move || {
            run(home.path(), home.path(), &["doctor", "--config", file.to_str().unwrap()])
        });
        let output = output.await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains(finding) && told.contains(help), "{config}\n{told}{}", stderr(&output));
        assert!(!told.contains("'small'") && !told.contains("'llama3.2:3b'"), "{told}");
        assert_eq!(output.status.code(), Some(code), "{config}\n{told}");
    }
}

#[test]
fn the_doctor_knows_our_own_gateway_and_a_damaged_database_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(data.join("trunkline.db"), vec![b'x'; 10_000]).unwrap();
    let file = home.path().join("gateway.toml");
    fs::write(&file, format!("[gateway]\nlisten = \"127.0.0.1:0\"\ndata_dir = {data:?}\n[servers.demo]\ncommand = {PROGRAM:?}\nargs = [\"demo-server\"]\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let output = run(
        home.path(),
        home.path(),
        &["doctor", "--no-start", "--json", "--config", file.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let findings: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |what: &str| {
        findings
            .iter()
            .find(|finding| finding["what"].as_str().unwrap().contains(what))
            .unwrap_or_else(|| panic!("{findings:?}"))
    };
    assert_eq!(find("others may look into")["help"], format!("chmod 700 '{}'", data.display()));
    assert_eq!(find("others may change")["gravity"], "warning");
    assert_eq!(find("trunkline.db")["gravity"], "warning");
    assert_eq!(fs::read(data.join("trunkline.db")).unwrap(), vec![b'x'; 10_000], "a doctor does not cut");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

/// The program in a home of its own.
fn run(home: &Path, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs([("HOME", home.to_str().unwrap()), ("PATH", &std::env::var("PATH").unwrap()), ("EMPTY", "")])
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The variables without a default that a text refers to.
pub fn variables(text: &str) -> Vec<String> {
    text.split("${env:")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.to_owned())
        .collect()
}
