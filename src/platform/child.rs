//! The gateway's side: starting a server under its keeper, and the handle on it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::net::SendFlags;
use rustix::process::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};

use super::cgroup::{Group, NotDelegated};
use super::order::{self, Order, REPORT_BYTES, Report};
use super::orphans::Own;
use super::{Cgroups, Exit, SpawnError, process_table};

/// What `argv[0]` of a keeper says, whatever path it is started from.
const PROGRAM_NAME: &str = "trunkline";

/// A server to start.
#[derive(Clone, Debug, Default)]
pub struct ChildSpec {
    /// Shown in process lists beside the keeper.
    pub label: String,
    /// A path, or a name to look up in `PATH` of `env`.
    pub program: OsString,
    /// The program's arguments, without its own name.
    pub args: Vec<OsString>,
    /// The whole environment of the server. Nothing is added to it.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory; the gateway's own if there is none.
    pub cwd: Option<PathBuf>,
    /// What the server may use.
    pub limits: Limits,
}

/// Limits on one server process. Each of its own children gets the same, not a share; only the number of processes
/// is for all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Heap and other private data (`RLIMIT_DATA`).
    pub memory_bytes: Option<u64>,
    /// Processor time over its whole life (`RLIMIT_CPU`).
    pub cpu_seconds: Option<u64>,
    /// Open files and sockets (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes of the server and everything below it, each thread counted, by a control group.
    pub processes: Option<u64>,
}

/// A server that runs.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id, which is also its process group.
    pub pid: u32,
    /// The process id of its keeper, under which everything is that it starts.
    pub keeper: u32,
    /// Writes to its standard input.
    pub stdin: ChildStdin,
    /// Reads its standard output.
    pub stdout: ChildStdout,
    /// Reads its standard error. It must be read: a server stops when the pipe is full.
    pub stderr: ChildStderr,
    /// Why the limit on processes does not hold, if one was wanted: a clause for people.
    pub unbounded: Option<String>,
    /// The hold on its life.
    pub process: Process,
}

/// The hold on a server's life. When it is dropped, the server and everything it started die.
#[derive(Debug)]
pub struct Process {
    /// Dropping this half ends the lifeline: the keeper reads end of file.
    lifeline: OwnedWriteHalf,
    phase: watch::Receiver<Phase>,
}

impl Process {
    /// How the server ended, as soon as it has. Can be dropped and called again at any time.
    pub async fn wait(&mut self) -> Exit {
        self.until(|phase| match phase {
            Phase::Ended(exit) | Phase::Gone(exit) => Some(exit),
            Phase::Alive => None,
        })
        .await
    }

    /// As [`Process::wait`], but returns when everything that the server started is gone, too: what it held (ports,
    /// locks, files) is free for a successor.
    pub async fn gone(&mut self) -> Exit {
        self.until(|phase| match phase {
            Phase::Gone(exit) => Some(exit),
            Phase::Alive | Phase::Ended(_) => None,
        })
        .await
    }

    /// Asks the server's process group to exit (SIGTERM).
    pub fn terminate(&self) {
        self.say(order::Command::Terminate);
    }

    /// Kills the server and everything it started (SIGKILL).
    pub fn kill(&self) {
        self.say(order::Command::Kill);
    }

    /// Never blocks: it is a single byte in a buffer of its own. If the keeper is gone, so is the server.
    fn say(&self, command: order::Command) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = rustix::net::send(self.lifeline.as_ref(), &[command.encode()], flags);
    }

    async fn until(&mut self, end: impl Fn(Phase) -> Option<Exit>) -> Exit {
        match self.phase.wait_for(|phase| end(*phase).is_some()).await {
            Ok(phase) => end(*phase).unwrap_or(Exit::Lost),
            // The runtime is shutting down and has taken the watching task with it.
            Err(_) => Exit::Lost,
        }
    }
}

/// Starts a server. Returns when it runs, or when it is known why it does not. `exe` is this program itself
/// (`/proc/self/exe` on Linux: right even when the file has since been replaced).
///
/// If the returned future is dropped, everything that was started by then dies.
pub async fn spawn(exe: &Path, spec: &ChildSpec) -> Result<Spawned, SpawnError> {
    spawn_among(&Cgroups::of_system(), exe, spec).await
}

/// As [`spawn`], with the place where control groups are made.
pub async fn spawn_among(cgroups: &Cgroups, exe: &Path, spec: &ChildSpec) -> Result<Spawned, SpawnError> {
    let own = |error| SpawnError::own(spec, error);
    let (group, refused) = match spec.limits.processes.map(|most| cgroups.make(&spec.label, most)) {
        Some(Ok(group)) => (Some(group), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    let (length, order) = encode(spec, group.as_ref()).map_err(own)?;
    let (stdin, stdout, stderr, lifeline, keeper) = start_keeper(exe, spec, length).map_err(own)?;
    let (from_keeper, mut to_keeper) = lifeline.into_split();
    let keeper_pid = keeper.0.id().unwrap_or_default();
    let (phase, watched) = watch::channel(Phase::Alive);
    let (started, start) = oneshot::channel();
    tokio::spawn(follow(keeper, group, from_keeper, started, phase));

    to_keeper.write_all(&order).await.map_err(own)?;
    match start.await {
        Ok(Ok(Start { pid, not_entered })) => {
            let process = Process { lifeline: to_keeper, phase: watched };
            let not_entered = not_entered.map(|error| NotDelegated::not_entered(&error));
            let unbounded = refused.or(not_entered).map(|reason| reason.to_string());
            Ok(Spawned { pid, keeper: keeper_pid, stdin, stdout, stderr, unbounded, process })
        }
        Ok(Err(failure)) => Err(SpawnError::reported(spec, failure).await),
        Err(_) => Err(own(io::Error::other("it exited before it started the program"))),
    }
}

/// What the keeper says of a start.
struct Start {
    pid: u32,
    /// Why it could not enter the control group.
    not_entered: Option<io::Error>,
}

fn encode(spec: &ChildSpec, group: Option<&Group>) -> io::Result<(u32, Vec<u8>)> {
    let bytes = Order {
        program: spec.program.clone(),
        args: spec.args.clone(),
        env: spec.env.clone(),
        cwd: spec.cwd.clone().map(PathBuf::into_os_string),
        memory_bytes: spec.limits.memory_bytes,
        cpu_seconds: spec.limits.cpu_seconds,
        open_files: spec.limits.open_files,
        group: group.map(|group| group.directory().into()),
    }
    .encode();
    let length = u32::try_from(bytes.len()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "arguments and environment are too large")
    })?;
    Ok((length, bytes))
}

type Started = (ChildStdin, ChildStdout, ChildStderr, UnixStream, Keeper);
/// The keeper, and the word that we collect it ourselves.
type Keeper = (Child, Own);

/// Starts the keeper and hands it the server's ends of the pipes. All descriptors are close-on-exec, always.
fn start_keeper(exe: &Path, spec: &ChildSpec, order_length: u32) -> io::Result<Started> {
    let (stdin_reader, stdin) = io::pipe()?;
    let (stdout, stdout_writer) = io::pipe()?;
    let (stderr, stderr_writer) = io::pipe()?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;

    let mut command = Command::new(exe);
    command.arg0(PROGRAM_NAME).arg("keeper").arg(&spec.label).env_clear();
    // Its own group: a Ctrl-C in the gateway's terminal is the gateway's business alone.
    command.process_group(0).stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let keeper = Own::start(|| command.spawn(), Child::id)?;
    order::send_pipes(
        &ours,
        order_length,
        [stdin_reader.as_fd(), stdout_writer.as_fd(), stderr_writer.as_fd()],
    )?;

    Ok((
        ChildStdin::from_std(OwnedFd::from(stdin).into())?,
        ChildStdout::from_std(OwnedFd::from(stdout).into())?,
        ChildStderr::from_std(OwnedFd::from(stderr).into())?,
        UnixStream::from_std(ours)?,
        keeper,
    ))
}

/// Where a started server is in its life.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It runs.
    Alive,
    /// It has exited; what it left behind is being killed.
    Ended(Exit),
    /// Nothing of it is left.
    Gone(Exit),
}

/// Owns the keeper: publishes what it reports and waits for it, so that it never stays a zombie. Runs on after the
/// [`Process`] is dropped, until the keeper has done its work.
async fn follow(
    (mut keeper, own): Keeper,
    control: Option<Group>,
    mut reports: OwnedReadHalf,
    started: oneshot::Sender<Result<Start, Report>>,
    phase: watch::Sender<Phase>,
) {
    let mut started = Some(started);
    let mut group = None;
    let mut exit = None;
    let mut not_entered = None;
    let mut bytes = [0; REPORT_BYTES];
    while reports.read_exact(&mut bytes).await.is_ok() {
        let outcome = match Report::decode(bytes) {
            Some(Report::Started(pid)) => {
                group = Pid::from_raw(pid);
                Ok(Start { pid: pid.unsigned_abs(), not_entered: not_entered.take() })
            }
            Some(Report::Unbounded(errno)) => {
                not_entered = Some(io::Error::from_raw_os_error(errno));
                continue;
            }
            Some(Report::Exited(code)) => {
                phase.send_replace(Phase::Ended(*exit.insert(Exit::Code(code))));
                continue;
            }
            Some(Report::Signalled(signal)) => {
                phase.send_replace(Phase::Ended(*exit.insert(Exit::Signal(signal))));
                continue;
            }
            Some(failure @ (Report::BadCwd(_) | Report::BadProgram(_))) => Err(failure),
            None => break,
        };
        // Nobody hears it if the spawn was given up; the lifeline is closed then.
        let _ = started.take().map(|started| started.send(outcome));
    }
    drop(started);
    if exit.is_none()
        && let Some(group) = group
    {
        // The read of the process table blocks, and this is rare.
        let _ = tokio::task::spawn_blocking(move || process_table::kill_orphaned_group(group)).await;
        phase.send_replace(Phase::Ended(Exit::Lost));
    }
    // An error would mean that it has been waited for already.
    let _ = keeper.wait().await;
    drop(own);
    drop(control);
    phase.send_replace(Phase::Gone(exit.unwrap_or(Exit::Lost)));
}
