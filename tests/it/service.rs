//! Under a service manager: words to it, its socket, its signals.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::gateway::command;
use crate::support::{Gateway, Legacy, Modern, scripted, text_of, within};

/// The next word that the manager hears which begins so. The socket blocks; the gateway is a process of its own.
async fn hear(manager: &Arc<UnixDatagram>, wanted: &'static str) -> String {
    let manager = manager.clone();
    let heard = tokio::task::spawn_blocking(move || {
        let mut buffer = [0; 1024];
        loop {
            let length = manager.recv(&mut buffer).expect("a word from the gateway");
            let words = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if words.starts_with(wanted) {
                return words;
            }
        }
    });
    within(wanted, heard).await.expect("heard")
}

#[tokio::test]
async fn the_manager_hears_of_readiness_reloads_life_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
    let config = scripted("a", &[]);
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    let mut gateway = Gateway::launch_with(&config, &environment).await;
    let manager = Arc::new(manager);
    assert!(hear(&manager, "READY=1").await.contains("STATUS="));
    gateway.ready().await;
    while !hear(&manager, "WATCHDOG=1").await.contains("1 of 1 servers are ready") {}
    gateway.signal(Signal::HUP);
    assert!(hear(&manager, "RELOADING=1").await.contains("MONOTONIC_USEC="));
    hear(&manager, "READY=1").await;
    gateway.signal(Signal::TERM);
    hear(&manager, "STOPPING=1").await;
    assert!(gateway.ended().await.success());
}

/// A gateway that is handed this listener as a service manager does it, in the place of descriptor 3.
async fn activated(listener: &TcpListener, folder: &Arc<tempfile::TempDir>, config: &str) -> Gateway {
    let inner = command(folder.path(), config, "127.0.0.1:0");
    let mut outer = Command::new("sh");
    outer.arg("-c").arg(r#"export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&0 0</dev/null"#).arg("sh");
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.stdin(OwnedFd::from(listener.try_clone().unwrap())).stdout(Stdio::null()).stderr(Stdio::piped());
    Gateway::spawned(outer, folder.clone()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_refuses_no_connection_and_sessions_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = scripted("a", &[]);
    let mut gateway = activated(&listener, &folder, &config).await;
    assert_eq!(gateway.address, address, "it serves what it was handed");
    gateway.ready().await;
    let session = Legacy::open(&gateway, "/mcp").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (done, retried) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (client, stop) = (Modern::new(&gateway, "/mcp"), stop.clone());
            let (done, retried) = (done.clone(), retried.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // A refused connection would panic in the client: the socket outlives the gateway.
                    let answer = client.call("a__echo", json!({ "message": "x" })).await;
                    match answer["error"].is_null() {
                        true => assert_eq!(text_of(&answer), "x"),
                        // Withdrawn at the end of the first gateway: the client tries again, at the second.
                        false => drop(retried.fetch_add(1, Ordering::Relaxed)),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let running = |wanted: u64| {
        let done = done.clone();
        async move {
            while done.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    within("calls are answered", running(50)).await;
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().await.success());
    let second = activated(&listener, &folder, &config).await;
    let before = done.load(Ordering::Relaxed);
    within("calls are answered by the second", running(before + 50)).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        within("the callers end", caller).await.unwrap();
    }
    assert_eq!(session.at(&second).text("a__echo", json!({ "message": "still here" })).await, "still here");
    println!(
        "{} calls over the restart, {} retried",
        done.load(Ordering::Relaxed),
        retried.load(Ordering::Relaxed)
    );
}

#[tokio::test]
async fn a_handed_socket_that_others_can_reach_needs_the_configurations_word() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut gateway = command(folder.path(), &scripted("a", &[]), "127.0.0.1:0");
    let arguments: Vec<_> = gateway.get_args().map(ToOwned::to_owned).collect();
    let mut outer = Command::new("sh");
    outer.arg("-c").arg(r#"export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&0 0</dev/null"#).arg("sh");
    outer.arg(gateway.get_program()).args(arguments).stdin(OwnedFd::from(listener));
    gateway.stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || outer.output());
    let output = within("the program ends", run).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("gateway.listen") && stderr.contains("ListenStream="), "{stderr}");
}

#[test]
fn the_units_are_what_the_manager_takes_and_are_shut_tight() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = Command::new(root.join("systemd/check"))
        .arg(crate::support::servers::PROGRAM)
        .current_dir(root)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    // 77: systemd-analyze is not here, which the script says. CI has it.
    let skipped = check.status.code() == Some(77) && std::env::var_os("CI").is_none();
    assert!(check.status.success() || skipped, "{stdout}{stderr}");
    match skipped {
        true => println!("skipped: {stdout}"),
        false => assert!(stdout.contains("Overall exposure level"), "{stdout}"),
    }
}
