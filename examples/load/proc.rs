//! What the kernel says of a process (proc(5)).

use serde::Serialize;

use crate::Result;

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// The most memory that it ever had at once.
    pub(crate) peak_rss_kib: u64,
    /// The memory that it has now.
    pub(crate) rss_kib: u64,
    /// The descriptors that it has open now.
    pub(crate) descriptors: usize,
}

impl Usage {
    pub(crate) fn of(pid: i32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        let ticks = ticks(&read("stat")?).ok_or("/proc has a stat that cannot be read")?;
        let status = read("status")?;
        let memory = |field| memory(&status, field).ok_or(format!("/proc has a status without {field}"));
        let (peak_rss_kib, rss_kib) = (memory("VmHWM")?, memory("VmRSS")?);
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
        let per_second = u32::try_from(per_second.ok_or("the system counts no ticks")?)?;
        let cpu_seconds = f64::from(u32::try_from(ticks)?) / f64::from(per_second);
        Ok(Self { cpu_seconds, peak_rss_kib, rss_kib, descriptors })
    }

    /// What has come since `before`.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds - before.cpu_seconds, ..self }
    }
}

/// `utime` and `stime` of `stat`, after a name that may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The state is the third field of all, and the first here.
    let mut times = fields.split_ascii_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

/// A field of `status`, in KiB.
fn memory(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) 1 (b c) S 1 7 7 0 -1 4194560 100 0 0 0 250 75 3 2 20 0 4 0 1 2 3\n";
        assert_eq!(ticks(stat), Some(325));
        assert_eq!(ticks("7 (a) S 1 7"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn memory_is_in_kib() {
        let status = "VmPeak:\t  9000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!(memory(status, "VmHWM"), Some(1234));
        assert_eq!(memory(status, "VmRSS"), Some(1000));
        assert_eq!(memory(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = Usage::of(own).unwrap();
        assert!(usage.rss_kib > 100 && usage.peak_rss_kib > 100 && usage.descriptors > 2, "{usage:?}");
        assert!(Usage::of(i32::MAX).is_err());
    }
}
