//! PURE: the CRI's messages as the runtime's words, and back.
//!
//! What the runtime cannot do is refused by its field, all of it together; nothing is ignored in silence but what has no
//! effect without a process of the sandbox's own.

pub mod answer;
pub mod container;
pub mod credential;
pub mod sandbox;
pub mod streams;

use super::v1;
use crate::runner::runtime::{PodSandboxConfig, Resources};

/// Who owns a sandbox: on those that were made over the CRI, and on no other. Clients never see it.
pub const OWNER: &str = "bootstrap.runner/owner";
/// The value of [`OWNER`].
pub const CRI: &str = "cri";

/// Made over the CRI: its client's, and no manifest's.
pub fn is_from_cri(sandbox: &PodSandboxConfig) -> bool {
    sandbox.annotations.get(OWNER).is_some_and(|owner| owner == CRI)
}

/// What is wrong with a message: each problem begins with its field.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, field: &str, problem: impl std::fmt::Display) {
        self.0.push(format!("`{field}`: {problem}"));
    }

    fn refuse(&mut self, is_asked: bool, field: &str) {
        if is_asked {
            self.add(field, "not supported");
        }
    }

    /// `value` if nothing is wrong, otherwise everything that is, in one line.
    fn or<T>(self, value: T) -> Result<T, String> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0.join("; ")) }
    }
}

/// Limits; 0 stands for what is not limited. With `memory.oom.group` a container is ended as a whole, as it always is
/// here, and it never swaps.
pub fn resources(asked: &v1::LinuxContainerResources, field: &str, problems: &mut Problems) -> Resources {
    problems.refuse(!asked.cpuset_cpus.is_empty(), &format!("{field}.cpuset_cpus"));
    problems.refuse(!asked.cpuset_mems.is_empty(), &format!("{field}.cpuset_mems"));
    problems.refuse(asked.hugepage_limits.iter().any(|of| of.limit > 0), &format!("{field}.hugepage_limits"));
    for (name, value) in &asked.unified {
        let is_so = [("memory.oom.group", "1"), ("memory.swap.max", "0")].contains(&(name.as_str(), value.as_str()));
        problems.refuse(!is_so, &format!("{field}.unified.{name}"));
    }
    let swaps = ![0, asked.memory_limit_in_bytes].contains(&asked.memory_swap_limit_in_bytes);
    problems.refuse(swaps, &format!("{field}.memory_swap_limit_in_bytes"));
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let mut within = |value: i64, name: &str| {
        let fits = i32::try_from(value).ok().filter(|value| (-1000..=1000).contains(value));
        if fits.is_none() {
            problems.add(&format!("{field}.{name}"), format!("{value} is not between -1000 and 1000"));
        }
        fits
    };
    Resources {
        cpu_shares: positive(asked.cpu_shares),
        cpu_quota: Some(asked.cpu_quota).filter(|quota| *quota != 0),
        cpu_period: positive(asked.cpu_period),
        memory_limit: Some(asked.memory_limit_in_bytes).filter(|limit| *limit > 0),
        pids_limit: None,
        oom_score_adj: within(asked.oom_score_adj, "oom_score_adj"),
    }
}

/// New limits for a container that runs: 0 leaves a limit as it is.
pub fn changed_resources(asked: &v1::LinuxContainerResources) -> Result<Resources, String> {
    let mut problems = Problems::default();
    let changed = resources(asked, "linux", &mut problems);
    problems.or(changed)
}

/// The image's user as the CRI tells it: a uid, or a name; never both.
fn image_user(user: &str) -> (Option<i64>, &str) {
    let user = user.split(':').next().unwrap_or_default();
    match user.parse() {
        Ok(uid) => (Some(uid), ""),
        Err(_) => (None, user),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn zero_limits_nothing() {
        let mut problems = Problems::default();
        let nothing = resources(&v1::LinuxContainerResources::default(), "r", &mut problems);
        assert_eq!(nothing, Resources { oom_score_adj: Some(0), ..Resources::default() });
        let asked = v1::LinuxContainerResources {
            cpu_period: 100_000,
            cpu_quota: -1,
            cpu_shares: 102,
            memory_limit_in_bytes: 1 << 20,
            memory_swap_limit_in_bytes: 1 << 20,
            oom_score_adj: -997,
            unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
            hugepage_limits: vec![v1::HugepageLimit { page_size: "2MB".into(), limit: 0 }],
            ..Default::default()
        };
        let expected = Resources {
            cpu_shares: Some(102),
            cpu_quota: Some(-1),
            cpu_period: Some(100_000),
            memory_limit: Some(1 << 20),
            pids_limit: None,
            oom_score_adj: Some(-997),
        };
        assert_eq!(resources(&asked, "r", &mut problems), expected);
        assert_eq!(problems.or(()), Ok(()));
    }

    #[test]
    fn what_cannot_be_limited_is_named() {
        let mut problems = Problems::default();
        let asked = v1::LinuxContainerResources {
            cpuset_cpus: "0".into(),
            oom_score_adj: 2000,
            memory_swap_limit_in_bytes: 5,
            unified: [("memory.min".to_owned(), "1".to_owned())].into(),
            ..Default::default()
        };
        resources(&asked, "r", &mut problems);
        let expected = "`r.cpuset_cpus`: not supported; `r.unified.memory.min`: not supported; \
                        `r.memory_swap_limit_in_bytes`: not supported; \
                        `r.oom_score_adj`: 2000 is not between -1000 and 1000";
        assert_eq!(problems.or(()), Err(expected.to_owned()));
    }

    #[test]
    fn a_user_is_a_number_or_a_name() {
        assert_eq!(image_user("1000:5"), (Some(1000), ""));
        assert_eq!(image_user("etcd:disk"), (None, "etcd"));
        assert_eq!(image_user(""), (None, ""));
    }
}
