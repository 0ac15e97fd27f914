//! The duties of process 1: collecting whoever has died and has no parent left but us.
//!
//! In a container the gateway is process 1 of its namespace, and the kernel hands it every orphan: what a killed keeper
//! leaves, what `docker exec` leaves. Nobody else waits for those. Our own children are left to whoever started them.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::process_table;

/// The children that we have started and wait for ourselves. Process numbers are the whole process's, and so is this.
static OURS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<i32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child of ours: for as long as this lives, nobody but its owner collects it.
#[derive(Debug)]
pub(super) struct Own(Option<i32>);

impl Own {
    /// Starts a child by `start` and enters it. Orphans are not looked for in between.
    pub fn start<T>(
        start: impl FnOnce() -> io::Result<T>,
        pid: impl FnOnce(&T) -> Option<u32>,
    ) -> io::Result<(T, Own)> {
        let mut ours = ours();
        let child = start()?;
        let number = pid(&child).and_then(|pid| i32::try_from(pid).ok());
        ours.extend(number);
        Ok((child, Own(number)))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            ours().remove(&number);
        }
    }
}

/// Collects orphans until `stop`, where this is process 1; elsewhere it returns at once.
pub async fn collect_orphans(stop: CancellationToken) -> io::Result<()> {
    if getpid() != Pid::INIT {
        return Ok(());
    }
    let mut deaths = signal(SignalKind::child())?;
    loop {
        collect();
        // Signals that come while we look are one more look.
        if !matches!(stop.run_until_cancelled(deaths.recv()).await, Some(Some(()))) {
            return Ok(());
        }
    }
}

/// Collects every child that is dead and not ours.
fn collect() {
    let ours = ours();
    for pid in process_table::children() {
        if !ours.contains(&pid.as_raw_nonzero().get()) {
            // One that lives is nothing to collect; an error means that it is gone already.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}
