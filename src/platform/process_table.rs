//! Finding and killing processes by the kernel's process table.

use rustix::process::{Pid, Signal};

/// How often, and how far apart, an orphaned group is looked at: half a second in all. What is then still there
/// has been sent the signal and waits for a device; nothing can be done about it.
#[cfg(target_os = "linux")]
const ORPHAN_ROUNDS: u32 = 100;
#[cfg(target_os = "linux")]
const ORPHAN_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// The direct children of this process, zombies included. On Linux these are, for a subreaper, also all orphans
/// below it. Elsewhere the list is empty, and callers fall back on the process group.
#[cfg(target_os = "linux")]
pub(super) fn children() -> Vec<Pid> {
    let own = rustix::process::getpid();
    // The kernel's own list (CONFIG_PROC_CHILDREN) is one read, whatever the size of the machine.
    match std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(list) => list.split_whitespace().filter_map(parse).collect(),
        Err(_) => processes(|entry| entry.parent == own.as_raw_nonzero().get()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn children() -> Vec<Pid> {
    Vec::new()
}

/// Kills what is left of a process group whose leader nobody waits for any more. Blocks until it is dead, shortly.
///
/// A number alone may by then be another group's. On Linux a member must therefore be in the gateway's own session
/// (a group never spans two), and it is killed through a descriptor that was taken before that was checked.
#[cfg(target_os = "linux")]
pub(super) fn kill_orphaned_group(group: Pid) {
    use rustix::process::{PidfdFlags, getpid, pidfd_open, pidfd_send_signal};

    // From the table and not by getsid: a session that began outside this PID namespace (a container's entry
    // point has one) is 0 here, which the wrapper of that call takes for impossible.
    let Some(own) = entry(getpid()) else { return };
    let is_member = |entry: &Entry| {
        !entry.dead && entry.group == group.as_raw_nonzero().get() && entry.session == own.session
    };
    // Again and again, because a member may fork while the table is read. One that was sent the signal cannot.
    for _ in 0..ORPHAN_ROUNDS {
        let members = processes(is_member);
        if members.is_empty() {
            return;
        }
        for pid in members {
            if let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty())
                && entry(pid).is_some_and(|entry| is_member(&entry))
            {
                // An error means that it is already gone.
                let _ = pidfd_send_signal(&descriptor, Signal::KILL);
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the keeper has no runtime, and nothing else to do")]
        std::thread::sleep(ORPHAN_PAUSE);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kill_orphaned_group(group: Pid) {
    // An error means that it is already gone.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
}

/// The fields of `/proc/<pid>/stat` that say where a process belongs.
#[cfg(target_os = "linux")]
struct Entry {
    /// A zombie: only its parent's collecting it is missing.
    dead: bool,
    parent: i32,
    group: i32,
    session: i32,
}

#[cfg(target_os = "linux")]
fn processes(wanted: impl Fn(&Entry) -> bool) -> Vec<Pid> {
    let Ok(directory) = std::fs::read_dir("/proc") else { return Vec::new() };
    directory
        .filter_map(|file| parse(file.ok()?.file_name().to_str()?))
        .filter(|pid| entry(*pid).is_some_and(|entry| wanted(&entry)))
        .collect()
}

/// Whether a process that is in the table has died and is not yet waited for. Where nobody says, it has not.
pub(super) fn is_dead(pid: Pid) -> bool {
    #[cfg(target_os = "linux")]
    return entry(pid).is_some_and(|entry| entry.dead);
    #[cfg(not(target_os = "linux"))]
    return {
        let _ = pid;
        false
    };
}

#[cfg(target_os = "linux")]
fn entry(pid: Pid) -> Option<Entry> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state parent group session …`; the name may itself contain spaces and parentheses.
#[cfg(target_os = "linux")]
fn parse_stat(stat: &[u8]) -> Option<Entry> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = rest.split_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    let mut next = || fields.next()?.parse().ok();
    Some(Entry { dead, parent: next()?, group: next()?, session: next()? })
}

#[cfg(target_os = "linux")]
fn parse(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{entry, is_dead, parse_stat};
    use rustix::process::{getpid, getppid};

    #[test]
    fn a_process_name_cannot_forge_its_place() {
        let entry = parse_stat(b"12 (a) S 1 1 1) R 34 56 78 0").expect("parsed");
        assert_eq!((entry.dead, entry.parent, entry.group, entry.session), (false, 34, 56, 78));
        assert!(parse_stat(b"12 (a) Z 1 2 3").expect("parsed").dead);
        assert!(parse_stat(b"12 (a").is_none());
        assert!(parse_stat(b"12 (a) R 1").is_none());
    }

    #[test]
    fn who_has_died_and_is_not_waited_for_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().expect("spawned");
        let pid = rustix::process::Pid::from_child(&child);
        // It stays in the table until it is waited for; how soon it dies is its own affair.
        while !is_dead(pid) {
            std::thread::yield_now();
        }
        assert!(!crate::platform::is_alive(child.id()));
        assert!(crate::platform::is_alive(std::process::id()));
        child.wait().expect("waited for");
    }

    #[test]
    fn this_process_is_found_where_it_is() {
        let own = entry(getpid()).expect("own entry");
        assert_eq!(Some(own.parent), getppid().map(|pid| pid.as_raw_nonzero().get()));
        // 0 where the group began outside this PID namespace.
        assert!(own.group >= 0 && own.session >= 0);
    }
}
