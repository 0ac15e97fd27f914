//! What a server's processes use, by the kernel's own books.

/// What all processes of one server use together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// How many there are.
    pub processes: u32,
    /// Resident memory in bytes. Pages that they share are counted for each.
    pub resident_bytes: u64,
    /// Processor time in seconds, those of their children included that have ended.
    pub cpu_seconds: f64,
    /// Open files and sockets.
    pub open_files: u64,
}

/// What everything below a keeper uses; nothing where the system does not tell, or once it has ended. It reads a
/// handful of small files for each process, which can block for as long as the kernel is busy with one of them.
#[cfg(target_os = "linux")]
pub fn usage_below(keeper: u32) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut parents = vec![keeper];
    // Numbers may be used again while this reads; the count bounds what a strange table could make of it.
    while let Some(parent) = parents.pop()
        && usage.processes < MOST_PROCESSES
    {
        for child in children_of(parent) {
            if add(&mut usage, child).is_some() {
                parents.push(child);
            }
        }
    }
    (usage.processes > 0).then_some(usage)
}

/// The platform keeps no such books that could be read without special rights.
#[cfg(not(target_os = "linux"))]
pub fn usage_below(_keeper: u32) -> Option<Usage> {
    None
}

/// Processes of one server that are looked at.
#[cfg(target_os = "linux")]
const MOST_PROCESSES: u32 = 10_000;

/// The children of all threads of a process, dead ones included.
#[cfg(target_os = "linux")]
fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

#[cfg(target_os = "linux")]
fn add(usage: &mut Usage, pid: u32) -> Option<()> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (ticks, pages) = parse_stat(&stat)?;
    usage.processes += 1;
    usage.cpu_seconds += ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    usage.resident_bytes += pages * rustix::param::page_size() as u64;
    // Another user's descriptors are not shown; the rest is true all the same.
    usage.open_files += std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
    Some(())
}

/// Ticks of processor time and resident pages: fields 14 to 17 and 24 of proc_pid_stat(5). The name before them may
/// itself contain spaces and parentheses.
#[cfg(target_os = "linux")]
fn parse_stat(stat: &[u8]) -> Option<(u64, u64)> {
    const TIMES: std::ops::RangeInclusive<usize> = 14..=17;
    const PAGES: usize = 24;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    // The first field behind the name has the number 3.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = TIMES.map(field).try_fold(0, |sum, ticks| Some(sum + ticks?))?;
    Some((ticks, field(PAGES)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read_all_the_same() {
        let stat = b"7 (a) R 1) S 1 7 7 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 1 0 5 1000 42 rest";
        assert_eq!(parse_stat(stat), Some((124, 42)));
        assert_eq!(parse_stat(b"7 (a) S 1 7"), None);
    }

    #[test]
    fn the_processes_below_this_one_are_counted() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        // Between fork and exec a process has no memory of its own yet.
        let usage = std::iter::repeat_with(|| usage_below(std::process::id()).unwrap())
            .find(|usage| usage.resident_bytes > 100_000)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(usage.processes >= 1 && usage.open_files >= 1, "{usage:?}");
        assert_eq!(usage_below(u32::MAX), None);
    }
}
