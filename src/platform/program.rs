//! Where this program itself is, so that it can be started again as a keeper; and whether another still runs.

use std::io;
use std::path::PathBuf;

/// The running program. On Linux it is found even when its file has since been replaced by a newer one.
pub fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}

/// Whether a process of this number runs, whoever's it is. One that is dead and has not been waited for does not.
pub fn is_alive(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)) && !super::process_table::is_dead(pid)
}
