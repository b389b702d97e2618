//! CPU time and memory of processes, from `/proc`.

use std::fs;

/// One reading of one or more processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Time on a core of all threads that live now, ns.
    pub(crate) cpu_ns: u64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
}

/// Sums over `pids`; a process that is gone counts as nothing.
pub(crate) fn sample(pids: &[i32]) -> Sample {
    let mut sum = Sample::default();
    for pid in pids {
        sum.cpu_ns += scheduled_ns(*pid).map_or(0, |(ran, _)| ran);
        sum.rss_bytes += rss_bytes(*pid).unwrap_or(0);
    }
    sum
}

/// Time on a core and time waiting for one, of all threads. `schedstat` counts nanoseconds, `stat` ticks of 10 ms.
fn scheduled_ns(pid: i32) -> Option<(u64, u64)> {
    let (mut ran, mut waited) = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end between the listing and the reading.
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).unwrap_or_default();
        let mut fields = text.split(' ').map(|field| field.parse::<u64>().unwrap_or(0));
        ran += fields.next().unwrap_or(0);
        waited += fields.next().unwrap_or(0);
    }
    Some((ran, waited))
}

/// What a process has used: cheap enough to be read every second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    /// Time in which a thread could have run and had no core, ns.
    pub(crate) wait_ns: u64,
    pub(crate) rss_bytes: u64,
}

/// All zero for a process that is gone. `statm` may be off by some hundred KiB; `smaps_rollup` is exact and stops
/// the process while it counts, for too long to be asked every second.
pub(crate) fn usage(pid: i32) -> Usage {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let (cpu_ns, wait_ns) = scheduled_ns(pid).unwrap_or_default();
    Usage { cpu_ns, wait_ns, rss_bytes: pages * rustix::param::page_size() as u64 }
}

/// The resident memory from `smaps_rollup`, which is exact; `statm` is a sum of per-core counters.
pub(crate) fn rss_bytes(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kib * 1024)
}

/// Time in which some core of this machine was busy, seconds, summed over cores; whoever used it.
pub(crate) fn machine_busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&text) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Everything of the `cpu` line but idle, iowait and the guests, which user time holds already.
fn busy_ticks(stat: &str) -> u64 {
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    let busy = fields.take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_both() {
        let own = sample(&[std::process::id() as i32]);
        assert!(own.cpu_ns > 0 && own.rss_bytes > 0, "{own:?}");
        let again = usage(std::process::id() as i32);
        assert!(again.cpu_ns >= own.cpu_ns && again.rss_bytes > own.rss_bytes / 2, "{again:?}");
        assert_eq!(usage(-1).rss_bytes, 0, "nobody has this number");
    }

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9"), 63);
    }
}
