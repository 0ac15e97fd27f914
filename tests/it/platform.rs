//! What the platform room promises: every process of a server is accounted for, whatever ends first.
//!
//! Processes are found by a mark in their environment or arguments, in the kernel's process table, so that one that
//! nobody thought of is found too.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep, timeout};
use trunkline::platform::{ChildSpec, Exit, Limits, SpawnError, Spawned, spawn};

/// The gateway's program, which is also the keeper's.
const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");

/// A condition that is not true after this is taken to be false. Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The kinds of server that outlive careless gateways. Each says `ready` when all its processes are in place.
const STUBBORN: [(&str, &str); 4] = [
    ("plain", "echo ready; exec sleep 1000"),
    ("wrapper", "sh -c 'echo ready; sleep 1000; true'; true"),
    (
        "daemon",
        "setsid sh -c 'trap \"\" TERM HUP INT; sh -c \"echo ready; exec sleep 1000\"; while :; do sleep 1; done' & \
         wait",
    ),
    ("deaf", "trap '' TERM HUP INT; exec 0</dev/null; echo ready; while :; do sleep 1; done"),
];

#[tokio::test]
async fn an_exit_status_is_reported_and_can_be_asked_for_again() {
    let mut server = start("exit-code", "read line; exit 3").await;
    assert!(timeout(Duration::from_millis(20), server.process.wait()).await.is_err(), "it still runs");
    server.stdin.write_all(b"now\n").await.expect("written");
    for _ in 0..2 {
        assert_eq!(within(server.process.wait()).await, Exit::Code(3));
    }
    assert_eq!(within(server.process.gone()).await, Exit::Code(3));
}

#[tokio::test]
async fn a_server_that_exits_at_once_was_started_all_the_same() {
    let mut server = start("at-once", "exit 0").await;
    assert_eq!(within(server.process.wait()).await, Exit::Code(0));
}

#[tokio::test]
async fn death_by_signal_is_reported() {
    let mut server = start("by-signal", "kill -SEGV $$").await;
    assert_eq!(within(server.process.wait()).await, Exit::Signal(Signal::SEGV.as_raw()));
}

#[tokio::test]
async fn an_exit_is_known_at_once() {
    /// Far above what is seen (1 ms), far below any polling.
    const BOUND: Duration = Duration::from_millis(50);
    let mut seen = Vec::new();
    for _ in 0..9 {
        let mut server = start("latency", "echo ready; exec sleep 1000").await;
        ready(&mut server).await;
        let killed = Instant::now();
        signal(server.pid, Signal::KILL);
        within(server.process.wait()).await;
        seen.push(killed.elapsed());
    }
    seen.sort();
    assert!(seen[seen.len() / 2] < BOUND, "{seen:?}");
}

#[tokio::test]
async fn a_missing_program_is_named_with_where_it_was_looked_for() {
    let mut spec = spec("missing", "");
    spec.program = "no-such-program".into();
    let error = refusal(&spec).await;
    assert!(matches!(error, SpawnError::NotFound { .. }) && error.permanent(), "{error:?}");
    assert!(
        error.to_string().contains("`no-such-program`") && error.to_string().contains("/usr/bin"),
        "{error}"
    );
    spec.program = "/no/such/program".into();
    let error = refusal(&spec).await;
    assert!(error.to_string().contains("`/no/such/program` does not exist"), "{error}");
}

#[tokio::test]
async fn a_program_is_looked_up_in_the_path_of_its_own_environment() {
    let folder = tempfile::tempdir().expect("folder");
    script(&folder.path().join("only-here"), "#!/bin/sh\nexit 5\n", 0o755);
    let mut spec = spec("own-path", "");
    spec.program = "only-here".into();
    spec.args.clear();
    assert!(matches!(refusal(&spec).await, SpawnError::NotFound { .. }));
    spec.env.push(("PATH".into(), folder.path().into()));
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("found");
    assert_eq!(within(server.process.wait()).await, Exit::Code(5));
}

#[tokio::test]
async fn a_file_that_cannot_be_executed_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("server");
    let mut spec = spec("not-executable", "");
    spec.program = file.clone().into();
    script(&file, "#!/bin/sh\n", 0o644);
    let error = refusal(&spec).await;
    assert!(matches!(error, SpawnError::NotExecutable { .. }) && error.permanent(), "{error:?}");
    script(&file, "#!/no/such/interpreter\n", 0o755);
    let error = refusal(&spec).await;
    assert!(matches!(error, SpawnError::BadInterpreter { .. }) && error.permanent(), "{error:?}");
}

#[tokio::test]
async fn a_bad_working_directory_is_not_taken_for_a_missing_program() {
    let mut spec = spec("bad-cwd", "exit 0");
    spec.cwd = Some("/no/such/directory".into());
    let error = refusal(&spec).await;
    assert!(matches!(error, SpawnError::BadCwd { .. }) && error.permanent(), "{error:?}");
    assert!(error.to_string().contains("`/no/such/directory`"), "{error}");
}

#[tokio::test]
async fn a_refused_start_leaves_no_process() {
    let mut spec = spec("refused", "");
    spec.program = "/no/such/program".into();
    let mark = mark_of(&spec);
    refusal(&spec).await;
    none_left(&mark).await;
}

#[tokio::test]
async fn a_keeper_that_cannot_start_is_an_explained_error() {
    let spec = spec("no-keeper", "exit 0");
    for program in ["/no/such/gateway", "/bin/true"] {
        let error = spawn(Path::new(program), &spec).await.expect_err("no keeper");
        assert!(matches!(error, SpawnError::Other { .. }) && error.to_string().contains("keeper"), "{error}");
    }
}

#[tokio::test]
async fn a_server_gets_what_it_was_given_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    // A descriptor as a careless parent of the gateway leaves it: inheritable.
    let _stray = rustix::io::dup(fs::File::open("/dev/zero").expect("opened")).expect("copied");
    let mut spec = spec("surroundings", "echo ready; exec cat");
    spec.cwd = Some(folder.path().into());
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
    ready(&mut server).await;
    let process = PathBuf::from(format!("/proc/{}", server.pid));
    until("cat runs", || fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "cat"))
        .await;

    let environment = fs::read(process.join("environ")).expect("environment");
    let names: HashSet<&[u8]> = environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.split(|byte| *byte == b'=').next())
        .collect();
    // The shell adds PWD (and OLDPWD, SHLVL, _ in some shells).
    let allowed: HashSet<&[u8]> = [&b"PATH"[..], b"MARK", b"PWD", b"OLDPWD", b"SHLVL", b"_", b""].into();
    assert!(names.is_subset(&allowed), "{}", String::from_utf8_lossy(&environment));
    assert_eq!(
        fs::read_link(process.join("cwd")).expect("cwd"),
        folder.path().canonicalize().expect("folder")
    );
    assert_eq!(descriptors(server.pid).len(), 3, "{:?}", descriptors(server.pid));
    let status = fs::read_to_string(process.join("status")).expect("status");
    let mask = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("mask");
        u64::from_str_radix(value.trim(), 16).expect("number")
    };
    assert_eq!(mask("SigBlk:"), 0);
    for kind in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::PIPE, Signal::CHILD] {
        assert_eq!(mask("SigIgn:") & 1 << (kind.as_raw() - 1), 0, "{kind:?} is ignored");
    }
    let pid = server.pid.cast_signed();
    assert_eq!(rustix::process::getpgid(Pid::from_raw(pid)).ok(), Pid::from_raw(pid), "a group of its own");
}

#[tokio::test]
async fn limits_hold_for_the_server() {
    let mut spec = spec("limits", "ulimit -n; ulimit -t; ulimit -d");
    let (memory_bytes, cpu_seconds, open_files) = (Some(256 << 20), Some(77), Some(33));
    spec.limits = Limits { memory_bytes, cpu_seconds, open_files, processes: None };
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
    let mut said = String::new();
    within(server.stdout.read_to_string(&mut said)).await.expect("read");
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["33", "77", "262144"]);
}

#[tokio::test]
async fn much_on_standard_error_does_not_block_a_server_that_is_read() {
    let mut server = start("stderr", "head -c 200000 /dev/zero >&2; echo done").await;
    let (mut errors, mut said) = (Vec::new(), String::new());
    let both = async {
        tokio::join!(server.stderr.read_to_end(&mut errors), server.stdout.read_to_string(&mut said))
    };
    let (first, second) = within(both).await;
    first.and(second).expect("read");
    assert_eq!((errors.len(), said.as_str()), (200_000, "done\n"));
    assert_eq!(within(server.process.wait()).await, Exit::Code(0));
}

#[tokio::test]
async fn end_of_file_on_standard_output_is_seen_while_the_server_lives() {
    let mut server = start("closes-stdout", "exec 1>&-; read line; exit 4").await;
    let mut said = Vec::new();
    within(server.stdout.read_to_end(&mut said)).await.expect("end of file");
    assert!(is_alive(server.pid));
    server.stdin.write_all(b"\n").await.expect("written");
    assert_eq!(within(server.process.wait()).await, Exit::Code(4));
}

#[tokio::test]
async fn closing_standard_input_is_seen_by_the_server() {
    let mut server = start("eof", "cat; exit 6").await;
    drop(server.stdin);
    assert_eq!(within(server.process.wait()).await, Exit::Code(6));
}

#[tokio::test]
async fn terminate_reaches_the_whole_group_and_lets_it_clean_up() {
    // The server itself goes on after SIGTERM; only its helper, in the same group, ends by it.
    let helper = "sh -c 'trap \"echo cleaned; exit\" TERM; echo ready; while :; do sleep 0.01; done'";
    let mut server = start("terminate", &format!("trap : TERM; {helper} & wait; wait; exit 7")).await;
    ready(&mut server).await;
    server.process.terminate();
    let mut said = String::new();
    within(server.stdout.read_to_string(&mut said)).await.expect("read");
    assert_eq!(said, "cleaned\n");
    assert_eq!(within(server.process.wait()).await, Exit::Code(7));
}

#[tokio::test]
async fn kill_ends_every_kind_of_server() {
    for (kind, program) in STUBBORN {
        let spec = spec(kind, program);
        let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
        ready(&mut server).await;
        server.process.kill();
        assert_eq!(within(server.process.wait()).await, Exit::Signal(9), "{kind}");
        assert_eq!(within(server.process.gone()).await, Exit::Signal(9), "{kind}");
        assert_eq!(alive(&mark_of(&spec)), [0; 0], "{kind}: nothing is left when gone() returns");
    }
}

#[tokio::test]
async fn dropping_the_hold_ends_every_kind_of_server() {
    for (kind, program) in STUBBORN {
        let spec = spec(kind, program);
        let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
        ready(&mut server).await;
        drop(server);
        none_left(&mark_of(&spec)).await;
    }
}

#[tokio::test]
async fn what_a_server_leaves_behind_when_it_exits_is_killed() {
    let spec = spec(
        "leftover",
        "setsid sh -c 'trap \"\" TERM HUP; echo ready; exec sleep 1000' & read line; exit 8",
    );
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
    ready(&mut server).await;
    server.stdin.write_all(b"\n").await.expect("written");
    assert_eq!(within(server.process.gone()).await, Exit::Code(8));
    assert_eq!(alive(&mark_of(&spec)), [0; 0]);
}

#[tokio::test]
async fn a_spawn_that_is_given_up_leaves_no_process() {
    let spec = spec("given-up", "exec sleep 1000");
    {
        let mut attempt = Box::pin(spawn(Path::new(PROGRAM), &spec));
        assert!(timeout(Duration::ZERO, &mut attempt).await.is_err(), "a keeper cannot have answered yet");
    }
    none_left(&mark_of(&spec)).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_nothing() {
    for (kind, program) in STUBBORN {
        let folder = tempfile::tempdir().expect("folder");
        let mark = new_mark(kind);
        let mut gateway =
            driver("hold", folder.path(), &[("DRIVER_MARK", &mark), ("DRIVER_PROGRAM", program)]);
        until("the server runs", || folder.path().join("up").exists()).await;
        // Keeper, server, and this gateway with the mark in its own environment.
        assert!(alive(&mark).len() >= 3, "{kind}: {:?}", alive(&mark));
        gateway.kill().expect("killed");
        gateway.wait().expect("waited");
        none_left(&mark).await;
    }
}

#[tokio::test]
async fn a_keeper_that_is_killed_takes_the_server_and_its_group_along() {
    let spec =
        spec("keeper-killed", "trap '' TERM; sh -c 'trap \"\" TERM; echo ready; sleep 1000; true' & wait");
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
    ready(&mut server).await;
    signal(keeper_of(server.pid), Signal::KILL);
    assert_eq!(within(server.process.wait()).await, Exit::Lost);
    none_left(&mark_of(&spec)).await;
}

#[tokio::test]
async fn a_server_dies_with_its_keeper_when_the_gateway_cannot_help() {
    let folder = tempfile::tempdir().expect("folder");
    let mark = new_mark("helpless");
    let server = [("DRIVER_MARK", mark.as_str()), ("DRIVER_PROGRAM", "echo ready; exec sleep 1000")];
    let mut gateway = driver("hold", folder.path(), &server);
    until("the server runs", || folder.path().join("up").exists()).await;
    let pid = fs::read_to_string(folder.path().join("up")).expect("read").parse().expect("pid");
    let keeper = keeper_of(pid);
    signal(gateway.id(), Signal::STOP);
    signal(keeper, Signal::KILL);
    until("the server is dead", || !is_alive(pid)).await;
    gateway.kill().expect("killed");
    gateway.wait().expect("waited");
    none_left(&mark).await;
}

#[tokio::test]
async fn a_keeper_is_deaf_to_signals_that_are_sent_to_everybody() {
    let spec = spec("deaf-keeper", "echo ready; read line; exit 9");
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
    ready(&mut server).await;
    let keeper = keeper_of(server.pid);
    for kind in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        signal(keeper, kind);
    }
    until("the signals have arrived", || {
        let status = fs::read_to_string(format!("/proc/{keeper}/status")).expect("the keeper lives");
        status.lines().any(|line| line.starts_with("ShdPnd:") && line.trim_end_matches('0').ends_with('\t'))
    })
    .await;
    server.stdin.write_all(b"\n").await.expect("written");
    assert_eq!(within(server.process.wait()).await, Exit::Code(9));
}

#[tokio::test]
async fn orphans_that_end_while_the_server_lives_do_not_stay_as_zombies() {
    let orphans = "for i in 1 2 3 4 5 6 7 8 9; do (sh -c 'exit 0' &); done; echo ready; exec cat";
    let mut server = start("orphans", orphans).await;
    ready(&mut server).await;
    let keeper = keeper_of(server.pid);
    let list = format!("/proc/{keeper}/task/{keeper}/children");
    until("only the server is left", || {
        fs::read_to_string(&list).is_ok_and(|list| list.split(' ').count() <= 2)
    })
    .await;
    assert!(is_alive(server.pid));
}

#[tokio::test]
async fn servers_started_at_once_hold_nothing_of_each_other() {
    const SERVERS: usize = 8;
    let specs: Vec<ChildSpec> = (0..SERVERS).map(|_| spec("at-once", "echo ready; exec cat")).collect();
    let starts = specs
        .iter()
        .cloned()
        .map(|spec| tokio::spawn(async move { spawn(Path::new(PROGRAM), &spec).await.expect("started") }));
    let mut servers = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        let mut server = start.await.expect("joined");
        ready(&mut server).await;
        servers.push(server);
    }
    // A child in the middle of its exec may hold its libraries for a moment.
    let is_pipe = |file: &String| file.starts_with("pipe:");
    let pipes: HashSet<String> =
        servers.iter().flat_map(|server| descriptors(server.pid)).filter(is_pipe).collect();
    assert_eq!(pipes.len(), 3 * SERVERS, "three pipes each, none of them twice: {pipes:?}");
    // What this test's own parent left open is no matter here.
    let strays: HashSet<String> = descriptors(std::process::id()).into_iter().collect();
    let mut sockets = HashSet::new();
    for server in &servers {
        let own: HashSet<String> = descriptors(keeper_of(server.pid)).into_iter().collect();
        assert!(own.is_disjoint(&pipes), "a keeper keeps a pipe of a server: {own:?}");
        for socket in own.into_iter().filter(|file| file.starts_with("socket:") && !strays.contains(file)) {
            assert!(sockets.insert(socket), "a socket is held by two keepers");
        }
    }
    // The effect: each dies when its own hold is dropped, while the others live.
    for (index, server) in servers.into_iter().enumerate() {
        drop(server);
        none_left(&mark_of(&specs[index])).await;
        for later in &specs[index + 1..] {
            assert_eq!(alive(&mark_of(later)).len(), 2, "its keeper and itself");
        }
    }
}

#[tokio::test]
async fn fifty_servers_at_once_leave_no_descriptor_and_no_zombie() {
    let folder = tempfile::tempdir().expect("folder");
    let mut gateway = driver("fifty", folder.path(), &[]);
    let mut status: Option<ExitStatus> = None;
    until("the gateway is done", || {
        status = gateway.try_wait().expect("status");
        status.is_some()
    })
    .await;
    let said = fs::read_to_string(folder.path().join("said")).unwrap_or_default();
    assert!(status.is_some_and(|status| status.success()), "{said}");
}

/// The body of the gateway processes that tests above start: this test binary, run for this one test.
#[test]
#[ignore = "the body of a process that other tests start"]
fn driver_body() {
    let Some(scene) = std::env::var_os("DRIVER_SCENE") else { return };
    let folder = PathBuf::from(std::env::var_os("DRIVER_FOLDER").expect("folder"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    match scene.to_str() {
        Some("hold") => runtime.block_on(hold(&folder)),
        Some("fifty") => runtime.block_on(fifty()),
        _ => panic!("unknown scene {scene:?}"),
    }
}

/// Starts the server that the environment describes, says so, and waits to be killed.
async fn hold(folder: &Path) {
    let program = std::env::var("DRIVER_PROGRAM").expect("program");
    let spec = marked(&std::env::var("DRIVER_MARK").expect("mark"), &program);
    let mut server = spawn(Path::new(PROGRAM), &spec).await.expect("started");
    ready(&mut server).await;
    fs::write(folder.join("pid"), server.pid.to_string()).expect("written");
    fs::rename(folder.join("pid"), folder.join("up")).expect("renamed");
    server.process.wait().await;
}

async fn fifty() {
    const SERVERS: usize = 50;
    let own = std::process::id();
    // The runtime opens descriptors of its own with the first child.
    within(start("first", "exit 0").await.process.gone()).await;
    let before = descriptors(own).len();
    let runs = (0..SERVERS).map(|index| {
        tokio::spawn(async move {
            let mut server = start("fifty", "echo ready; exec cat").await;
            ready(&mut server).await;
            // A third each: waited for, killed and waited for, and dropped.
            match index % 3 {
                0 => {
                    drop(server.stdin);
                    assert_eq!(within(server.process.gone()).await, Exit::Code(0));
                }
                1 => {
                    server.process.kill();
                    assert_eq!(within(server.process.gone()).await, Exit::Signal(9));
                }
                _ => drop(server),
            }
        })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.expect("ran");
    }
    until("no child is left, dead or alive", || children(own).is_empty()).await;
    until("all descriptors are closed", || descriptors(own).len() <= before).await;
}

fn driver(scene: &str, folder: &Path, variables: &[(&str, &str)]) -> std::process::Child {
    let module = module_path!().split_once("::").map_or("", |(_, module)| module);
    let said = fs::File::create(folder.join("said")).expect("file");
    Command::new(std::env::current_exe().expect("own path"))
        .args([&format!("{module}::driver_body"), "--exact", "--ignored", "--nocapture"])
        .env("DRIVER_SCENE", scene)
        .env("DRIVER_FOLDER", folder)
        .envs(variables.iter().copied())
        .stdout(said.try_clone().expect("file"))
        .stderr(said)
        .spawn()
        .expect("driver started")
}

fn new_mark(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("mark-{name}-{}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A shell server whose processes all carry a new mark.
fn spec(name: &str, program: &str) -> ChildSpec {
    marked(&new_mark(name), program)
}

fn marked(mark: &str, program: &str) -> ChildSpec {
    ChildSpec {
        label: mark.to_owned(),
        program: "sh".into(),
        args: vec!["-c".into(), program.into()],
        env: vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("MARK".into(), OsString::from(mark)),
        ],
        ..ChildSpec::default()
    }
}

fn mark_of(spec: &ChildSpec) -> String {
    spec.label.clone()
}

async fn start(name: &str, program: &str) -> Spawned {
    within(spawn(Path::new(PROGRAM), &spec(name, program))).await.expect("started")
}

async fn refusal(spec: &ChildSpec) -> SpawnError {
    within(spawn(Path::new(PROGRAM), spec)).await.map(|server| server.pid).expect_err("refused")
}

async fn ready(server: &mut Spawned) {
    let mut line = String::new();
    within(BufReader::new(&mut server.stdout).read_line(&mut line)).await.expect("read");
    assert_eq!(line, "ready\n");
}

fn script(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.expect("in time")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        sleep(LOOK).await;
    }
}

async fn none_left(mark: &str) {
    let mut left = Vec::new();
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        left = alive(mark);
        if left.is_empty() {
            return;
        }
        sleep(LOOK).await;
    }
    panic!("{mark} still has {left:?}");
}

/// All processes with the mark in environment or arguments. The dead have neither.
fn alive(mark: &str) -> Vec<u32> {
    let carries = |pid: u32, file: &str| {
        fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
    };
    let pids = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| carries(*pid, "environ") || carries(*pid, "cmdline")).collect()
}

fn is_alive(pid: u32) -> bool {
    // The state stands behind the name, which may hold anything, brackets too.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The children of all threads of a process, zombies included.
fn children(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("threads").filter_map(Result::ok);
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn keeper_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).expect("parent");
    parent.parse().expect("number")
}

/// What the open descriptors of a process point to.
fn descriptors(pid: u32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").filter_map(Result::ok);
    files.filter_map(|file| Some(fs::read_link(file.path()).ok()?.to_string_lossy().into_owned())).collect()
}

fn signal(pid: u32, kind: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).expect("pid"), kind).expect("signal sent");
}
