//! CPU time and memory of other processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// CPU time of processes at one moment, thread by thread, in nanoseconds.
#[derive(Debug, Default, Clone)]
pub struct Cpu(BTreeMap<u32, u64>);

impl Cpu {
    /// Reads the scheduler's own account of every thread, which is exact where `stat` counts in ticks of 10 ms.
    pub fn of(pids: &[u32]) -> Self {
        let mut threads = BTreeMap::new();
        for pid in pids {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue;
            };
            for task in tasks.flatten() {
                let thread = task.file_name().to_str().and_then(|name| name.parse().ok());
                // A thread that ends while it is read is left out.
                let account = fs::read_to_string(task.path().join("schedstat")).ok();
                let nanos =
                    account.and_then(|text| text.split(' ').next().and_then(|field| field.parse().ok()));
                if let (Some(thread), Some(nanos)) = (thread, nanos) {
                    threads.insert(thread, nanos);
                }
            }
        }
        Self(threads)
    }

    /// Reads this process's main thread alone.
    pub fn of_main_thread() -> Self {
        let own = std::process::id();
        let mut all = Self::of(&[own]);
        all.0.retain(|thread, _| *thread == own);
        all
    }

    /// CPU time from `before` to this moment, of the threads that are still there.
    pub fn since(&self, before: &Self) -> Duration {
        let nanos =
            |(thread, now): (&u32, &u64)| now.saturating_sub(before.0.get(thread).copied().unwrap_or(0));
        Duration::from_nanos(self.0.iter().map(nanos).sum())
    }
}

/// Resident memory in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most since the start, or since [`reset_peak`].
    pub peak: u64,
}

/// Reads a process's resident memory.
pub fn memory(pid: u32) -> crate::Result<Memory> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| format!("process {pid} has ended"))?;
    Ok(parse_status(&text))
}

fn parse_status(text: &str) -> Memory {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Memory { resident: field("VmRSS").unwrap_or(0) * 1024, peak: field("VmHWM").unwrap_or(0) * 1024 }
}

/// Starts the peak anew, where the kernel allows it.
pub fn reset_peak(pid: u32) {
    const RESET_PEAK: &str = "5";
    // Without the right to do so the peak is that of the process's life, which is still true.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK);
}

/// Memory once two readings in a row agree, or after five seconds.
pub async fn settled_memory(pid: u32) -> crate::Result<Memory> {
    const PAUSE: Duration = Duration::from_millis(250);
    const MOST_READINGS: usize = 20;
    let mut last = memory(pid)?;
    for _ in 0..MOST_READINGS {
        tokio::time::sleep(PAUSE).await;
        let now = memory(pid)?;
        if now.resident.abs_diff(last.resident) < last.resident / 200 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// The stdio backends that run on behalf of this process, whoever their parent is.
pub fn stdio_backends() -> Vec<u32> {
    let Ok(own) = std::env::current_exe() else {
        return Vec::new();
    };
    let mark = format!("\0--owner\0{}\0", std::process::id());
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            let is_own = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == own);
            is_own && is_stdio_backend(&entry.path(), &mark)
        })
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
        .collect()
}

fn is_stdio_backend(process: &Path, mark: &str) -> bool {
    fs::read_to_string(process.join("cmdline"))
        .is_ok_and(|line| line.contains("\0backend-stdio\0") && line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status_file() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(parse_status(text), Memory { resident: 1 << 20, peak: 2 << 20 });
        assert!(memory(std::process::id()).unwrap().resident > 0);
    }

    #[test]
    fn cpu_time_counts_this_process_and_never_runs_backwards() {
        let before = Cpu::of(&[std::process::id()]);
        let mut sum = 0_u64;
        while Cpu::of(&[std::process::id()]).since(&before).is_zero() {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(before.since(&Cpu::of(&[std::process::id()])) <= Duration::from_secs(1));
        assert_eq!(Cpu::of(&[u32::MAX]).since(&before), Duration::ZERO);
    }
}
