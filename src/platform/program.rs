//! Where this program itself is, so that it can be started again as a keeper.

use std::io;
use std::path::PathBuf;

/// The running program. On Linux it is found even when its file has since been replaced by a newer one.
pub fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}
