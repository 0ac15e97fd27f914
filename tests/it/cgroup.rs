//! What the limit on processes promises: it holds for everything below the server, its group goes with it, and where
//! it cannot hold the caller is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use trunkline::platform::{Cgroups, ChildSpec, Exit, Limits, Spawned, spawn, spawn_among};

/// The gateway's program, which is also the keeper's.
const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");

/// What is not done after this is taken to never happen. Generous: some shells try again before they give up a fork.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts a process more in each round, which stays, and says how many there are.
const FORK_LOOP: &str =
    "read go; n=1; while [ $n -lt 40 ]; do sleep 1000 & n=$((n + 1)); echo $n; done; echo endless";

#[tokio::test]
async fn a_fork_loop_is_stopped_at_the_limit_and_its_group_goes_with_it() {
    let Some((mut server, group)) = limited("loop", FORK_LOOP, 10).await else { return };
    assert_eq!(fs::read_to_string(group.join("pids.max")).expect("limit").trim(), "11", "and the keeper");
    server.stdin.write_all(b"go\n").await.expect("written");
    let mut said = String::new();
    within(server.stdout.read_to_string(&mut said)).await.expect("read");
    assert_eq!(said.lines().last(), Some("10"), "{said}");
    assert!(matches!(within(server.process.wait()).await, Exit::Code(code) if code != 0));
    within(server.process.gone()).await;
    assert!(!group.exists(), "{}", group.display());
}

#[tokio::test]
async fn the_group_of_a_killed_keeper_is_removed_by_the_gateway() {
    let Some((mut server, group)) = limited("keeper", "exec sleep 1000", 10).await else { return };
    kill_process(Pid::from_raw(server.keeper.cast_signed()).expect("pid"), Signal::KILL).expect("killed");
    within(server.process.gone()).await;
    assert!(!group.exists(), "{}", group.display());
}

#[tokio::test]
async fn a_refused_start_leaves_no_group() {
    let Some((server, group)) = limited("refused", "exec sleep 1000", 10).await else { return };
    let mut spec = spec("never-started", "", 10);
    spec.program = "/no/such/program".into();
    within(spawn(Path::new(PROGRAM), &spec)).await.map(|server| server.pid).expect_err("refused");
    let place = group.parent().expect("the gateway's group").to_owned();
    let left = || {
        let names = fs::read_dir(&place)
            .expect("groups")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.contains("never-started")).collect::<Vec<_>>()
    };
    // The refusal is told first; its keeper goes a moment later.
    within(async {
        while !left().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(server);
}

#[tokio::test]
async fn the_keeper_enters_the_group_before_the_server_starts() {
    let root = tempfile::tempdir().expect("folder");
    fs::create_dir_all(root.path().join("pids/gateway")).expect("tree");
    fs::write(root.path().join("pids/gateway/cgroup.procs"), "").expect("tree");
    let cgroups = Cgroups::at(root.path(), "8:pids:/gateway\n");
    let show = format!(
        "cd {}/pids/gateway/trunkline-tree-*-*; cat cgroup.procs; cat pids.max",
        root.path().display()
    );
    let mut server =
        within(spawn_among(&cgroups, Path::new(PROGRAM), &spec("tree", &show, 7))).await.expect("started");
    assert_eq!(server.unbounded, None);
    let mut said = String::new();
    within(server.stdout.read_to_string(&mut said)).await.expect("read");
    assert_eq!(said, "08", "the keeper itself (0), and a place for it beside the server's seven");
}

#[tokio::test]
async fn without_a_delegated_group_the_server_starts_all_the_same_and_the_reason_is_told() {
    let root = tempfile::tempdir().expect("folder");
    let cgroups = Cgroups::at(root.path(), "0::/gateway.service\n");
    let mut server =
        within(spawn_among(&cgroups, Path::new(PROGRAM), &spec("none", "exit 3", 7))).await.expect("started");
    let reason = server.unbounded.take().expect("a reason");
    assert!(reason.contains("gateway.service") && reason.contains("Delegate=pids"), "{reason}");
    assert_eq!(within(server.process.wait()).await, Exit::Code(3));
}

fn spec(label: &str, program: &str, processes: u64) -> ChildSpec {
    ChildSpec {
        label: label.to_owned(),
        program: "sh".into(),
        args: vec!["-c".into(), program.into()],
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        limits: Limits { processes: Some(processes), ..Limits::default() },
        ..ChildSpec::default()
    }
}

/// A server with that limit, and its group in the system's tree; nothing, with a word, where none is delegated to us.
async fn limited(label: &str, program: &str, processes: u64) -> Option<(Spawned, PathBuf)> {
    let server = within(spawn(Path::new(PROGRAM), &spec(label, program, processes))).await.expect("started");
    if let Some(reason) = &server.unbounded {
        eprintln!("skipped: {reason}");
        return None;
    }
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", server.pid)).expect("groups");
    let line = groups.lines().find(|line| line.contains(&format!("/trunkline-{label}-"))).expect("its group");
    let (mount, path) = line.rsplit_once(':').expect("a path");
    let root = if mount.ends_with("pids") { "/sys/fs/cgroup/pids" } else { "/sys/fs/cgroup" };
    Some((server, PathBuf::from(format!("{root}{path}"))))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.expect("in time")
}
