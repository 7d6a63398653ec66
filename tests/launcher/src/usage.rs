//! Resource use of a process (proc(5)).

use std::io;

use serde::Serialize;

/// Resources that a process has used since its start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time, of the user and of the system.
    pub cpu_seconds: f64,
    /// Peak memory.
    pub peak_rss_kib: u64,
    /// Current memory.
    pub rss_kib: u64,
    /// Open file descriptors.
    pub descriptors: usize,
}

impl Usage {
    /// Of the process with this id.
    pub fn of(pid: i32) -> io::Result<Self> {
        let folder = format!("/proc/{pid}");
        let unreadable =
            |file, why| io::Error::new(io::ErrorKind::InvalidData, format!("{folder}/{file}: {why}"));
        let read = |file| {
            let text = std::fs::read_to_string(format!("{folder}/{file}"));
            text.map_err(|error| io::Error::new(error.kind(), format!("{folder}/{file}: {error}")))
        };
        let ticks = ticks(&read("stat")?).ok_or_else(|| unreadable("stat", "no processor times"))?;
        let status = read("status")?;
        let peak_rss_kib = memory(&status, "VmHWM").ok_or_else(|| unreadable("status", "no VmHWM"))?;
        let rss_kib = memory(&status, "VmRSS").ok_or_else(|| unreadable("status", "no VmRSS"))?;
        let descriptors = std::fs::read_dir(format!("{folder}/fd"))?.count();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
        let per_second = per_second.and_then(|ticks| u32::try_from(ticks).ok());
        let per_second = per_second.ok_or_else(|| io::Error::other("the system counts no ticks"))?;
        let ticks = u32::try_from(ticks).map_err(io::Error::other)?;
        let cpu_seconds = f64::from(ticks) / f64::from(per_second);
        Ok(Self { cpu_seconds, peak_rss_kib, rss_kib, descriptors })
    }

    /// The difference since `before`.
    #[must_use]
    pub fn since(self, before: &Self) -> Self {
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
