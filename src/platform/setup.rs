//! What decides about a server process before its program runs: the one place with `unsafe`.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::order::Order;

/// Makes the child die with its keeper, and sets its limits.
///
/// The keeper's end of the lifeline needs nothing here: it is close-on-exec like everything else.
#[expect(unsafe_code, reason = "the parent-death signal can only be set in the child itself, before exec")]
pub(super) fn before_exec(command: &mut Command, order: &Order) {
    let limits = limits(order);
    #[cfg(target_os = "linux")]
    let keeper = Some(rustix::process::getpid());
    let in_child = move || -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{Signal, getppid, set_parent_process_death_signal};
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The keeper may have died before the signal was set; then nobody would send it.
            if getppid() != keeper {
                return Err(rustix::io::Errno::SRCH.into());
            }
        }
        for (resource, limit) in limits.iter().cloned().flatten() {
            setrlimit(resource, limit)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe work is allowed. It makes plain
    // system calls on values that it owns: no allocation, no lock, no panic. The keeper is single-threaded besides.
    unsafe {
        command.pre_exec(in_child);
    }
}

/// Where the open descriptors of this process are listed.
#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd";

/// The last of standard input, output and error.
const LAST_STANDARD: RawFd = 2;

/// Makes every descriptor but the standard three close-on-exec. What the gateway opens is so already; this is for
/// strays that it inherited itself, from a shell, a service manager or an editor, and that are no server's business.
#[expect(unsafe_code, reason = "descriptors that were inherited have a number but no owner in this program")]
pub(super) fn keep_strays_from_the_server() -> io::Result<()> {
    for entry in std::fs::read_dir(DESCRIPTORS)? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number > LAST_STANDARD) {
            // SAFETY: the system has just listed it as open, this process has one thread, and nothing is closed
            // before the borrow ends; the descriptor of the listing itself stays open for the whole loop.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

/// The limits to set. A limit above the one that the gateway itself has is cut to that: only root could raise it.
fn limits(order: &Order) -> [Option<(Resource, Rlimit)>; 3] {
    // RLIMIT_DATA, not RLIMIT_AS: runtimes reserve far more address space than they ever use (node dies at 512 MB).
    let wanted = [
        (Resource::Data, order.memory_bytes),
        (Resource::Cpu, order.cpu_seconds),
        (Resource::Nofile, order.open_files),
    ];
    wanted.map(|(resource, limit)| {
        let ceiling = getrlimit(resource).maximum;
        let limit = limit.map(|limit| ceiling.map_or(limit, |ceiling| limit.min(ceiling)))?;
        Some((resource, Rlimit { current: Some(limit), maximum: Some(limit) }))
    })
}
