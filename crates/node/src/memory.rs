//! The memory ceiling: the configured value, or a share of what the system allows this process or
//! has.

use std::fs;
use std::path::{Path, PathBuf};

/// The share of the system's limit that is for sessions and their data. The rest is for the program
/// itself, for memory that the allocator cannot return, and for the kernel's socket buffers.
const SHARE_PERCENT: u64 = 75;

/// The files in which the two versions of control groups keep a process's limit.
const LIMIT_FILES: [&str; 2] = ["memory.max", "memory.limit_in_bytes"];

/// The bytes in use beyond which new sessions are refused: as configured, or a share of the control
/// group's limit, or of the machine's memory if that is less. `None`: the system does not say, and
/// there is no ceiling.
pub(crate) fn ceiling(configured: Option<usize>) -> Option<usize> {
    if let Some(bytes) = configured {
        tracing::info!(bytes, "the ceiling of memory is as configured");
        return configured;
    }
    let Some((limit, of)) = least(group_limit(), machine_memory()) else {
        tracing::warn!(
            "no ceiling of memory is set, and the system does not say how much there is"
        );
        return None;
    };
    let ceiling = share_of(limit);
    tracing::info!(bytes = ceiling, "the ceiling of memory is three quarters of {of}");
    ceiling
}

fn least(group: Option<u64>, machine: Option<u64>) -> Option<(u64, &'static str)> {
    let group = group.map(|limit| (limit, "the control group's limit"));
    let machine = machine.map(|limit| (limit, "the machine's memory"));
    [group, machine].into_iter().flatten().min_by_key(|(limit, _)| *limit)
}

/// The machine's memory in bytes.
fn machine_memory() -> Option<u64> {
    total_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn share_of(limit: u64) -> Option<usize> {
    usize::try_from(limit / 100 * SHARE_PERCENT).ok()
}

/// The lowest limit of the control groups that this process is in.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(group_folder).filter_map(|folder| least_limit(&folder)).min()
}

/// The folder of a group. A line is `number:controllers:path`; in version 2 the controllers are
/// empty.
fn group_folder(line: &str) -> Option<PathBuf> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let path = path.trim_start_matches('/');
    match controllers {
        "" => Some(Path::new("/sys/fs/cgroup").join(path)),
        "memory" => Some(Path::new("/sys/fs/cgroup/memory").join(path)),
        _ => None,
    }
}

/// The lowest limit of a group and those above it. A container may see its own group as the root.
fn least_limit(folder: &Path) -> Option<u64> {
    let folders = folder.ancestors().take_while(|one| one.starts_with("/sys/fs/cgroup"));
    folders.flat_map(|one| LIMIT_FILES.map(|file| one.join(file))).filter_map(read_limit).min()
}

/// Reads a limit. Version 1 writes "no limit" as a number near 2^63, version 2 as "max".
fn read_limit(file: PathBuf) -> Option<u64> {
    let limit = fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_of_control_groups_are_found() {
        let cases = [
            ("0::/", Some("/sys/fs/cgroup/")),
            (
                "0::/system.slice/trunkline.service",
                Some("/sys/fs/cgroup/system.slice/trunkline.service"),
            ),
            ("7:memory:/docker/1", Some("/sys/fs/cgroup/memory/docker/1")),
            ("3:cpu,cpuacct:/docker/1", None),
            ("nonsense", None),
        ];
        for (line, folder) in cases {
            assert_eq!(group_folder(line), folder.map(PathBuf::from), "{line}");
        }
    }

    #[test]
    fn what_is_configured_comes_before_what_the_system_says() {
        assert_eq!(ceiling(Some(123)), Some(123));
        assert_eq!(share_of(1 << 30), Some(805_306_350));
    }

    #[test]
    fn without_a_limit_there_is_a_share_of_the_machine() {
        let meminfo = "MemFree: 7 kB\nMemTotal:        2048000 kB\nMemAvailable: 9 kB\n";
        assert_eq!(total_of(meminfo), Some(2_048_000 * 1024));
        assert_eq!(total_of("MemTotal: many"), None);
        assert!(ceiling(None).is_some(), "every Linux says how much memory it has");
        assert_eq!(least(Some(5), Some(7)).map(|(limit, _)| limit), Some(5));
        assert_eq!(least(None, Some(7)).map(|(limit, _)| limit), Some(7));
        assert_eq!(least(None, None), None);
    }
}
