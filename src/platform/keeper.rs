//! The keeper process: starts one server, watches it, and lets nothing of it live on.
//!
//! It is single-threaded and runs no async runtime. Standard input is the lifeline (see [`super`]).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, ExitCode, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, wait, waitid, waitpid,
};

use super::order::{self, Command, Order, Pipes, Report};
use super::{cgroup, process_table, setup};

/// What the keeper shows as its name in process lists, so that a kill by the gateway's name does not meet it.
#[cfg(target_os = "linux")]
const PROCESS_NAME: &std::ffi::CStr = c"tl-keeper";

/// Exit status when the keeper could not do its work, as for wrong usage.
const FAILED: u8 = 2;

/// How often orphans are looked for when the signal that announces one came between looking and waiting.
/// Only the collection of a zombie hangs on this, never an exit of the server.
const STRAY_INTERVAL: Duration = Duration::from_secs(10);

/// How often an exit is looked for where the system cannot wait for process and socket at once (not Linux).
const EXIT_INTERVAL: Duration = Duration::from_millis(20);

/// Shortest and longest pause while killed processes vanish. A process in an uninterruptible wait may take long.
const SWEEP_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// Runs the keeper. The program's `main` calls this for `keeper` as first argument, before it parses anything and
/// before it starts a thread. What follows in the arguments is a label for people who read process lists.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "trunkline keeper: {error}. The gateway starts this command by itself; it is not for use by hand."
            );
            ExitCode::from(FAILED)
        }
    }
}

fn run() -> io::Result<()> {
    let lifeline = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    prepare()?;
    let Some((order, pipes)) = order::receive(&lifeline)? else { return Ok(()) };
    let group = order.group.as_deref().map(Path::new);
    if let Some(Err(error)) = group.map(cgroup::enter) {
        (&lifeline).write_all(&Report::Unbounded(number(&error)).encode())?;
    }
    match start(&order, pipes) {
        Ok(child) => {
            let mut keeper = Keeper { lifeline, child, reported: false };
            keeper.report(Report::Started(child.as_raw_nonzero().get()));
            keeper.watch();
            keeper.sweep();
        }
        Err(failure) => (&lifeline).write_all(&failure.encode())?,
    }
    if let Some(group) = group {
        cgroup::leave(group);
    }
    Ok(())
}

/// Adopts all orphans below, keeps stray descriptors to itself, and becomes deaf to the signals that are sent to whole groups of processes: when the
/// keeper's time has come the lifeline says so.
///
/// Handlers rather than "ignore", because `exec` resets handlers: the server starts with the defaults. The one for
/// SIGCHLD only interrupts the wait, so that orphans are collected. Tokio's registration stays when its runtime is
/// dropped; no thread is started.
fn prepare() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    #[cfg(target_os = "linux")]
    {
        rustix::thread::set_name(PROCESS_NAME)?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    for kind in [
        SignalKind::child(),
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ] {
        // The stream is not wanted, only the handler.
        drop(signal(kind)?);
    }
    // Without /proc (a bare chroot) strays stay open; that is no reason not to start the server.
    let _ = setup::keep_strays_from_the_server();
    Ok(())
}

/// Starts the server. The pipes and the order's copies of them are closed when this returns.
fn start(order: &Order, [stdin, stdout, stderr]: Pipes) -> Result<Pid, Report> {
    if let Some(cwd) = &order.cwd {
        std::env::set_current_dir(cwd).map_err(|error| Report::BadCwd(number(&error)))?;
    }
    let mut command = process::Command::new(&order.program);
    command.args(&order.args).env_clear().envs(order.env.iter().map(|(key, value)| (key, value)));
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    command.process_group(0);
    setup::before_exec(&mut command, order);
    let child = command.spawn().map_err(|error| Report::BadProgram(number(&error)))?;
    // It is waited for by number. A process id always fits.
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(Report::BadProgram(Errno::SRCH.raw_os_error()))
}

/// The system's error number. Without one, the standard library refused the order (a NUL byte in a string).
fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error())
}

struct Keeper {
    lifeline: UnixStream,
    /// The server. It is not waited for until everything else has been, so that its number stays its own.
    child: Pid,
    reported: bool,
}

impl Keeper {
    /// Returns when the server has exited, or when it shall die.
    fn watch(&mut self) {
        let exit = pidfd(self.child);
        let timeout = timespec(if exit.is_some() { STRAY_INTERVAL } else { EXIT_INTERVAL });
        loop {
            if self.has_exited() {
                return;
            }
            self.collect_orphans();
            let mut sources = vec![PollFd::new(&self.lifeline, PollFlags::IN)];
            sources.extend(exit.as_ref().map(|exit| PollFd::new(exit, PollFlags::IN)));
            // An interruption is as good as an event: everything is looked at again.
            let _ = poll(&mut sources, Some(&timeout));
            let spoken = sources.first().is_some_and(|lifeline| !lifeline.revents().is_empty());
            if spoken && !self.obey() {
                return;
            }
        }
    }

    /// Whether the server has exited; says so to the gateway at once. The server stays a zombie for now.
    fn has_exited(&mut self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.child), options) {
            Ok(Some(status)) => {
                if let Some(report) = ended(status.exit_status(), status.terminating_signal()) {
                    self.report(report);
                }
                true
            }
            Ok(None) => false,
            Err(error) => error != Errno::INTR,
        }
    }

    /// Collects dead orphans while the server lives. One by one, because "any child" would collect the server too.
    fn collect_orphans(&self) {
        for pid in process_table::children().into_iter().filter(|pid| *pid != self.child) {
            // Still alive, or interrupted: the next round sees it.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }

    /// Does what the gateway says. False when the server shall die: by command, or because the gateway is gone.
    fn obey(&mut self) -> bool {
        let mut bytes = [0; 16];
        match self.lifeline.read(&mut bytes) {
            // A gateway that dies with a report unread resets the connection: that is an end, too.
            Ok(0) => false,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
            Ok(count) => bytes.iter().take(count).filter_map(|byte| Command::decode(*byte)).all(|command| {
                if command == Command::Terminate {
                    // The server has not been waited for, so the number is still its group's.
                    let _ = kill_process_group(self.child, Signal::TERM);
                }
                command == Command::Terminate
            }),
        }
    }

    /// Kills every descendant until none is left.
    ///
    /// Only direct children are killed by number: nobody else can wait for them, so the number cannot be another's.
    /// When one dies its own children become ours, and the next round kills them.
    fn sweep(&mut self) {
        let _ = kill_process_group(self.child, Signal::KILL);
        let (shortest, longest) = SWEEP_PAUSE;
        let mut pause = shortest;
        loop {
            for pid in process_table::children() {
                let _ = kill_process(pid, Signal::KILL);
            }
            match self.collect_all() {
                Collected::NoneLeft => return,
                Collected::Some => pause = shortest,
                Collected::Nothing => {
                    // The signal of a dying child ends the pause early.
                    let _ = poll(&mut [], Some(&timespec(pause)));
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    fn collect_all(&mut self) -> Collected {
        let mut collected = Collected::Nothing;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    collected = Collected::Some;
                    if pid == self.child
                        && let Some(report) = ended(status.exit_status(), status.terminating_signal())
                    {
                        self.report(report);
                    }
                }
                Ok(None) => return collected,
                Err(Errno::INTR) => {}
                Err(_) => return Collected::NoneLeft,
            }
        }
    }

    /// Tells the gateway, the end of the server only once. If the gateway is gone there is nobody to tell.
    fn report(&mut self, report: Report) {
        if !self.reported {
            self.reported = !matches!(report, Report::Started(_));
            let _ = self.lifeline.write_all(&report.encode());
        }
    }
}

enum Collected {
    /// No child is left.
    NoneLeft,
    /// At least one was collected, others are left.
    Some,
    /// None was dead yet.
    Nothing,
}

fn ended(code: Option<i32>, signal: Option<i32>) -> Option<Report> {
    code.map(Report::Exited).or(signal.map(Report::Signalled))
}

/// A descriptor that becomes readable when the process exits.
#[cfg(target_os = "linux")]
fn pidfd(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn pidfd(_: Pid) -> Option<OwnedFd> {
    None
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}
