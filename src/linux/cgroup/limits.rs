//! Limits as the files and texts of either version of control groups. PURE.

/// What a cgroup may use; `None` leaves the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Version 1's cpu.shares, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time in each period.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Bytes.
    pub memory: Option<i64>,
    pub pids: Option<i64>,
    /// When memory runs out, all processes are killed together, in version 2.
    pub kill_together: bool,
}

/// One file to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) file: &'static str,
    pub(super) value: String,
    pub(super) what: &'static str,
    pub(super) duty: Duty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Where the file is missing, the user is told.
    Needed,
    /// Not worth a word where the file is missing.
    Optional,
    /// Refused or missing, it is not worth a word: the same file is set again later.
    Attempt,
}

impl Limits {
    pub(super) fn settings(&self, unified: bool) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |file, value: String, what, duty| settings.push(Setting { file, value, what, duty });
        if unified {
            if let Some(shares) = self.cpu_shares {
                set("cpu.weight", weight(shares).to_string(), "processor shares", Duty::Needed);
            }
            if self.cpu_quota.is_some() || self.cpu_period.is_some() {
                let quota =
                    self.cpu_quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
                set(
                    "cpu.max",
                    format!("{quota} {}", self.cpu_period.unwrap_or(100_000)),
                    "processor time",
                    Duty::Needed,
                );
            }
            if let Some(bytes) = self.memory {
                set("memory.max", or_max(bytes), "memory", Duty::Needed);
                // a pod that swaps would only seem to keep its limit
                set("memory.swap.max", "0".to_owned(), "swap", Duty::Optional);
            }
            if self.kill_together {
                set("memory.oom.group", "1".to_owned(), "memory", Duty::Optional);
            }
        } else {
            if let Some(shares) = self.cpu_shares {
                set("cpu.shares", shares.to_string(), "processor shares", Duty::Needed);
            }
            if let Some(period) = self.cpu_period {
                set("cpu.cfs_period_us", period.to_string(), "processor time", Duty::Needed);
            }
            if let Some(quota) = self.cpu_quota {
                set("cpu.cfs_quota_us", quota.to_string(), "processor time", Duty::Needed);
            }
            if let Some(bytes) = self.memory {
                // a limit that grows may not pass that of both together, which has to grow first
                set("memory.memsw.limit_in_bytes", bytes.to_string(), "swap", Duty::Attempt);
                set("memory.limit_in_bytes", bytes.to_string(), "memory", Duty::Needed);
                // memory and swap together; after the first, which it may not be below
                set("memory.memsw.limit_in_bytes", bytes.to_string(), "swap", Duty::Optional);
            }
        }
        if let Some(pids) = self.pids {
            set("pids.max", or_max(pids), "processes", Duty::Needed);
        }
        settings
    }
}

fn or_max(value: i64) -> String {
    if value > 0 { value.to_string() } else { "max".to_owned() }
}

/// cpu.weight, 1 to 10000, for shares of 2 to 262144 [3.102].
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_as_the_kubelet_converts_them() {
        for (shares, expected) in [(0, 1), (2, 1), (102, 4), (1024, 39), (262_144, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn both_versions_get_their_files() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory: Some(1 << 20),
            pids: Some(-1),
            kill_together: true,
        };
        let written = |unified| {
            let settings = limits.settings(unified).into_iter();
            settings.map(|setting| format!("{}={}", setting.file, setting.value)).collect::<Vec<_>>().join(" ")
        };
        let expected =
            "cpu.weight=39 cpu.max=50000 100000 memory.max=1048576 memory.swap.max=0 memory.oom.group=1 pids.max=max";
        assert_eq!(written(true), expected);
        let expected = "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 \
                        memory.memsw.limit_in_bytes=1048576 memory.limit_in_bytes=1048576 \
                        memory.memsw.limit_in_bytes=1048576 pids.max=max";
        assert_eq!(written(false), expected);
        assert_eq!(Limits::default().settings(true), []);
    }
}
