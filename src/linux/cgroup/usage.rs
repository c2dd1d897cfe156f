//! What the processes of a control group use.

use std::fs;

use super::Cgroup;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds of processor time, of those too that have ended.
    pub cpu: u64,
    /// Bytes, with the page cache.
    pub memory: u64,
    /// Bytes, without the part of the page cache that has not been used lately.
    pub working_set: u64,
    pub processes: u64,
}

impl Cgroup<'_> {
    /// `None` once the cgroup is gone, or where the machine does not count.
    pub fn usage(&self) -> Option<Usage> {
        let read =
            |file: &str| self.directories().find_map(|(_, directory)| fs::read_to_string(directory.join(file)).ok());
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        let is_unified = self.cgroups.is_unified();
        let cpu = match is_unified {
            true => field(&read("cpu.stat")?, "usage_usec")?.saturating_mul(1000),
            false => number("cpuacct.usage")?,
        };
        let memory = number(if is_unified { "memory.current" } else { "memory.usage_in_bytes" })?;
        let inactive = field(&read("memory.stat")?, if is_unified { "inactive_file" } else { "total_inactive_file" });
        let working_set = memory.saturating_sub(inactive.unwrap_or(0));
        let processes = number("pids.current").unwrap_or_else(|| self.processes().len() as u64);
        Some(Usage { cpu, memory, working_set, processes })
    }
}

/// The value of a line `<name> <value>`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::linux::cgroup::Cgroups;

    #[test]
    fn a_field_is_named_whole() {
        let text = "inactive_file_x 1\ninactive_file 2\ntotal_inactive_file 3\n";
        assert_eq!(field(text, "inactive_file"), Some(2));
        assert_eq!(field(text, "total_inactive_file"), Some(3));
        assert_eq!(field(text, "inactive"), None);
    }

    #[test]
    fn what_runs_is_counted_and_what_is_gone_is_not() {
        let cgroups = Cgroups::detect().unwrap();
        let cgroup = cgroups.at(format!("bootstrap-usage-{}", std::process::id()));
        cgroup.create().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        cgroup.join(child.id()).unwrap();
        let usage = cgroup.usage().unwrap();
        assert_eq!(usage.processes, 1);
        assert!(usage.working_set <= usage.memory);
        assert!(cgroup.kill_and_wait(Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        cgroup.remove().unwrap();
        assert_eq!(cgroup.usage(), None);
    }
}
