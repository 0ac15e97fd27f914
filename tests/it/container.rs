//! As a container has it: process 1 of a PID namespace, a root that cannot be written, health asked by the program itself.

use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::gateway::command;
use crate::support::processes::{alive, marked, none_left, unique_name};
use crate::support::servers::PROGRAM;
use crate::support::{Gateway, eventually, scripted, within};

/// Words that only an orphan has on its command line.
fn orphan_of(name: &str) -> String {
    format!("{name}-orphan")
}

/// A gateway that is process 1 of a namespace of its own, below a root that it cannot write but for its folder. None where
/// this user may not make namespaces, which is said.
async fn contained(config: &str) -> Option<(Gateway, Pid)> {
    let tried = Command::new("unshare").args(["-p", "-f", "-m", "--mount-proc", "true"]).output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "{tried:?}");
        println!("skipped: namespaces cannot be made here ({tried:?})");
        return None;
    }
    let folder = Arc::new(tempfile::Builder::new().prefix("trunkline-it-").tempdir().unwrap());
    let inner = command(folder.path(), config, "127.0.0.1:0");
    let mut outer = Command::new("unshare");
    outer.args(["-p", "-f", "-m", "--mount-proc", "--kill-child", "sh", "-c"]);
    outer.arg(r#"mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@""#).arg(folder.path());
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let gateway = Gateway::spawned(outer, folder).await;
    let list = format!("/proc/{0}/task/{0}/children", gateway.pid());
    let first = std::fs::read_to_string(list).unwrap().trim().parse().unwrap();
    Some((gateway, Pid::from_raw(first).unwrap()))
}

/// The parent of a process, by this namespace's numbers; none when nothing is left of it, not even a zombie.
fn parent_of(pid: u32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[tokio::test]
async fn as_process_1_it_collects_orphans_and_takes_signals() {
    let name = unique_name();
    let Some((mut gateway, first)) = contained(&marked(&scripted(&name, &[]), &name)).await else { return };
    gateway.ready().await;
    // As `docker exec` does: a process from outside leaves one behind, which falls to process 1.
    let orphan = orphan_of(&name);
    let leave = format!("sh -c 'while :; do sleep 1; done' {orphan} &");
    let entered = Command::new("nsenter")
        .args(["-p", "-m", "-t", &first.to_string(), "sh", "-c", &leave])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(entered.unwrap().success());
    let left = eventually("the orphan is process 1's", || async {
        let left = alive(&orphan);
        left.into_iter().find(|pid| parent_of(*pid) == Some(first.as_raw_nonzero().get()))
    })
    .await;
    kill_process(Pid::from_raw(left.cast_signed()).unwrap(), Signal::KILL).unwrap();
    eventually("the orphan is collected", || async { parent_of(left).is_none().then_some(()) }).await;
    // Its own keepers are still waited for by those who started them.
    assert_eq!(gateway.readiness().await["status"], "ready");
    kill_process(first, Signal::TERM).unwrap();
    assert!(gateway.ended().await.success(), "it ends as asked, and no zombie holds it up");
    none_left(&name).await;
}

#[tokio::test]
async fn a_server_of_process_1_that_is_killed_comes_back() {
    let name = unique_name();
    let Some((gateway, _)) = contained(&marked(&scripted(&name, &[]), &name)).await else { return };
    gateway.ready().await;
    let before = alive(&name);
    assert!(!before.is_empty());
    for pid in &before {
        // One of them ends when another does.
        let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
    }
    eventually("others run in their place", || async {
        let now = alive(&name);
        (!now.is_empty() && now.iter().all(|pid| !before.contains(pid))).then_some(())
    })
    .await;
    gateway.ready().await;
    // Neither keeper nor server is left as a zombie.
    eventually("nothing is left of those before", || async {
        before.iter().all(|pid| parent_of(*pid).is_none()).then_some(())
    })
    .await;
}

async fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command.arg("health").args(arguments).stdin(Stdio::null());
    let output = within("health answers", tokio::task::spawn_blocking(move || command.output()));
    let output = output.await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).trim().to_owned())
}

#[tokio::test]
async fn health_is_asked_at_the_configured_address_and_told_by_the_exit_code() {
    let name = unique_name();
    let mut gateway = Gateway::start(&scripted(&name, &[])).await;
    let config = gateway.folder().join("gateway.toml");
    let everywhere = format!("0.0.0.0:{}", gateway.address.port());
    let at = ["--config", config.to_str().unwrap(), "--listen", &everywhere];
    // An address that means all is refused without a word about it, as by `serve`.
    let (code, said) = health(&at).await;
    assert_eq!(code, Some(78), "{said}");
    let own = gateway.address.to_string();
    let at = ["--config", config.to_str().unwrap(), "--listen", &own];
    assert_eq!(health(&at).await, (Some(0), "ready".to_owned()));
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().await.success());
    let (code, said) = health(&at).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&own) && said.contains("is it running?"), "{said}");
}

#[tokio::test]
async fn a_degraded_gateway_is_healthy_unless_all_is_asked_for() {
    let gateway = Gateway::launch("[servers.gone]\ncommand = \"no-such-program-anywhere\"\n").await;
    gateway.in_state("gone", &["failed", "backoff"]).await;
    let url = format!("http://{}", gateway.address);
    assert_eq!(health(&["--url", &url]).await, (Some(0), "degraded".to_owned()));
    assert_eq!(health(&["--url", &url, "--all"]).await, (Some(1), "degraded".to_owned()));
}

#[tokio::test]
async fn health_needs_no_credential_where_callers_do() {
    let config = "[auth]\nanonymous = \"never\"\n".to_owned();
    let gateway = Gateway::start(&(config.clone() + &scripted(&unique_name(), &[]))).await;
    assert_eq!(
        health(&["--url", &format!("http://{}", gateway.address)]).await,
        (Some(0), "ready".to_owned())
    );
    let gateway =
        Gateway::launch(&(config + "[servers.gone]\ncommand = \"no-such-program-anywhere\"\n")).await;
    let url = format!("http://{}", gateway.address);
    let told = eventually("it is degraded", || async {
        let told = health(&["--url", &url, "--all"]).await;
        (told.1 == "degraded").then_some(told.0)
    })
    .await;
    assert_eq!(told, Some(1));
}

#[tokio::test]
async fn health_takes_nobody_else_for_the_gateway_and_waits_no_longer_than_it_may() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (code, said) = health(&["--url", &url, "--timeout", "200ms"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--timeout"), "{said}");
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = silent.accept().unwrap();
        let _asked = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").unwrap();
    });
    // What the first asker left is taken first.
    let second = health(&["--url", &url]).await;
    assert_eq!(second.0, Some(1), "{}", second.1);
    other.join().unwrap();
}
