//! Which processes there are, by the kernel's own table.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// A server's name that no other test uses; with [`marked`] all its processes can be found by it.
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A server's entry whose processes all carry the server's name.
pub fn marked(entry: &str, name: &str) -> String {
    format!("{entry}env = {{ IT_MARK = \"{}\" }}\n", mark(name))
}

/// So that `it-1` is not taken for `it-10`.
fn mark(name: &str) -> String {
    format!("{name}.")
}

/// All processes of the server, its keeper among them. The dead have neither environment nor arguments.
pub fn alive(name: &str) -> Vec<u32> {
    let mark = mark(name);
    let environ = |pid: u32| {
        let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    let argument = |pid: u32| {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        bytes.split(|byte| *byte == 0).any(|argument| argument == name.as_bytes())
    };
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| environ(*pid) || argument(*pid)).collect()
}

/// Waits until no process of the server is left.
pub async fn none_left(name: &str) {
    eventually(&format!("no process of {name} is left"), || async { alive(name).is_empty().then_some(()) })
        .await;
}

/// Sends SIGKILL.
pub fn kill(pid: u64) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("signal sent");
}
