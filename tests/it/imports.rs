//! From another program's file to a gateway that serves its servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::onboarding::{CLIENTS, SAMPLES, variables};
use crate::support::gateway::command;
use crate::support::servers::PROGRAM;
use crate::support::{Backend, Gateway, wire};

/// The entries of a file that `import` has written: name, key of the way, its value, and whether it is switched on.
fn entries(text: &str) -> Vec<(String, String, String, bool)> {
    let tables = text.split("[servers.").skip(1);
    let entry = |table: &str| {
        let name = table.split(']').next().unwrap().to_owned();
        let way = |key: &str| {
            let line = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
            Some((key.to_owned(), line.trim_matches('"').to_owned()))
        };
        let (key, value) = way("command").or_else(|| way("url")).expect("a way to reach it");
        (name, key, value, !table.contains("\nenabled = false"))
    };
    tables.map(entry).collect()
}

/// Puts a program there that stands for the real one: a small MCP server.
fn install(program: &Path) {
    fs::write(program, format!("#!/bin/sh\nexec {PROGRAM} demo-server\n")).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn the_imported_file_of_every_client_is_checked_and_its_servers_are_served() {
    let far = Backend::start("scripted-server", &["--era", "legacy"]).await;
    for sample in SAMPLES {
        let folder = Arc::new(tempfile::Builder::new().prefix("trunkline-it-").tempdir().unwrap());
        let at = |name: &str| folder.path().join(name);
        for name in ["bin", "gateway.d", "mcp", "home"] {
            fs::create_dir(at(name)).unwrap();
        }
        let file = at("gateway.toml");
        let mut import = Command::new(PROGRAM);
        import.args(["import", sample, "--output"]).arg(&file).arg("--secrets").arg(at("secrets.env"));
        let imported = import.current_dir(CLIENTS).output().unwrap();
        assert!(imported.status.success(), "{sample}: {}", String::from_utf8_lossy(&imported.stderr));
        let text = fs::read_to_string(&file).unwrap();

        // What is left to its user: that the programs are there, and that the addresses answer.
        let mut own = String::new();
        for (name, key, value, _) in entries(&text) {
            let program = at("bin").join(value.rsplit('/').next().unwrap().trim_end_matches('}'));
            match key.as_str() {
                "url" => own += &format!("[servers.{name}]\nurl = {:?}\n", far.url),
                _ => install(&program),
            }
            if key == "command" && value.contains('/') {
                own += &format!("[servers.{name}]\ncommand = {program:?}\n");
            }
        }
        fs::write(at("gateway.d/own.toml"), own).unwrap();
        let secrets = fs::read_to_string(at("secrets.env")).unwrap();
        let mut env: Vec<(String, String)> =
            variables(&text).into_iter().map(|name| (name, "given".to_owned())).collect();
        env.extend(
            secrets
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())),
        );
        env.push(("HOME".to_owned(), at("home").display().to_string()));
        env.push(("PATH".to_owned(), format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap())));

        let checked =
            Command::new(PROGRAM).arg("check").arg("--config").arg(&file).envs(env.clone()).output();
        let checked = checked.unwrap();
        assert!(checked.status.success(), "{sample}: {}", String::from_utf8_lossy(&checked.stderr));

        let mut serve = command(folder.path(), &text, "127.0.0.1:0");
        serve.envs(env);
        let gateway = Gateway::spawned(serve, folder.clone()).await;
        gateway.ready().await;
        let there = gateway.readiness().await["servers"].clone();
        let mut served = 0;
        for (name, _, _, enabled) in entries(&text) {
            assert_eq!(!there[&name].is_null(), enabled, "{sample}: {name} in {there}");
            if enabled {
                // One that waits for its first call is called up.
                let path = format!("/api/v1/servers/{name}/start");
                let told = wire::request(gateway.address, "POST", &path, &[("x-trunkline", "1")], "").await;
                assert_eq!(told.status, 202, "{sample}: {name}");
                gateway.in_state(&name, &["ready"]).await;
                served += 1;
            }
        }
        assert!(served > 0, "{sample}");
    }
}
