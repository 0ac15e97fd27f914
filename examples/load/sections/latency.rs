//! One connection while the cores are kept awake: what the gateway adds, and not what waking from idle costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{Stage, calls};
use crate::options::Options;
use crate::report::Report;

/// The lowest priority: whoever has work takes the core from the spinner.
const NICEST: i32 = 19;

/// Measures one connection.
pub async fn measure(stage: &mut Stage, options: &Options, report: &mut Report) -> crate::Result<()> {
    let _awake = KeptAwake::start()?;
    report.open_table("latency: one connection, cores kept awake");
    calls::cells("latency", stage, options, 1, report).await
}

/// A spinning thread for each core, until this value is gone.
struct KeptAwake {
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl KeptAwake {
    fn start() -> crate::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut awake = Self { done: Arc::default(), threads: Vec::new() };
        for _ in 0..cores {
            let done = awake.done.clone();
            awake.threads.push(std::thread::Builder::new().name("spinner".into()).spawn(move || {
                // On Linux this concerns the calling thread alone. At the usual priority a spinner would
                // compete with what is measured, so it does not spin at all then.
                if rustix::process::setpriority_process(None, NICEST).is_ok() {
                    while !done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }
            })?);
        }
        Ok(awake)
    }
}

impl Drop for KeptAwake {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
