//! PURE: requests and limits as the kernel's numbers [3.K], and who dies first when memory runs out [3.85].

use super::node::Node;
use super::pod::{Container, ContainerKind, Pod, ResourceRequirements};
use super::runtime::{CgroupParent, Resources};

/// Microseconds in which a CPU quota is counted.
const PERIOD: i64 = 100_000;
const LEAST_QUOTA: i64 = 1000;
const SHARES: std::ops::RangeInclusive<i64> = 2..=262_144;

/// Quality of service of a pod [3.106].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

pub fn qos(pod: &Pod) -> Qos {
    let all =
        |holds: fn(&ResourceRequirements) -> bool| pod.containers.iter().all(|container| holds(&container.resources));
    let is_set = |amount: Option<i64>| amount.is_some_and(|amount| amount > 0);
    let is_guaranteed = all(|of| {
        let limited = of.cpu_limit.is_some_and(|limit| limit > 0) && of.memory_limit.is_some_and(|limit| limit > 0);
        limited && of.cpu_request == of.cpu_limit && of.memory_request == of.memory_limit
    });
    let asks = pod.containers.iter().any(|container| {
        let of = container.resources;
        is_set(of.cpu_request) || is_set(of.cpu_limit) || is_set(of.memory_request) || is_set(of.memory_limit)
    });
    match (is_guaranteed, asks) {
        (true, _) => Qos::Guaranteed,
        (false, true) => Qos::Burstable,
        (false, false) => Qos::BestEffort,
    }
}

/// Which tier the pod's cgroup belongs to [3.100].
pub fn cgroup_parent(pod: &Pod) -> CgroupParent {
    match qos(pod) {
        Qos::Guaranteed => CgroupParent::Pods,
        Qos::Burstable => CgroupParent::Burstable,
        Qos::BestEffort => CgroupParent::BestEffort,
    }
}

/// Limits of the pod's own cgroup: a quota or a memory limit only where every container has one [3.104].
pub fn of_pod(pod: &Pod, node: &Node) -> Resources {
    let limit = |amount: fn(&ResourceRequirements) -> Option<i64>| -> Option<i64> {
        let limited = pod.containers.iter().all(|container| amount(&container.resources).is_some_and(|of| of > 0));
        limited.then(|| at_once(pod, |of| amount(of).unwrap_or(0)))
    };
    let cpu = limit(|of| of.cpu_limit);
    Resources {
        cpu_shares: Some(shares(Some(at_once(pod, |of| of.cpu_request.unwrap_or(0))))),
        cpu_quota: cpu.and_then(quota),
        cpu_period: cpu.map(|_| PERIOD.unsigned_abs()),
        memory_limit: limit(|of| of.memory_limit),
        pids_limit: node.pod_max_pids,
        oom_score_adj: None,
    }
}

/// The most that a pod's containers have at once: the regular ones with every sidecar, or one init container with the
/// sidecars before it.
fn at_once(pod: &Pod, amount: impl Fn(&ResourceRequirements) -> i64) -> i64 {
    let (mut most, mut sidecars, mut regular) = (0, 0, 0_i64);
    for container in &pod.containers {
        let own = amount(&container.resources);
        match container.kind {
            ContainerKind::Init => most = own.saturating_add(sidecars).max(most),
            ContainerKind::Sidecar => sidecars = own.saturating_add(sidecars),
            ContainerKind::Regular => regular = regular.saturating_add(own),
        }
    }
    regular.saturating_add(sidecars).max(most)
}

/// What a pod asks for: thousandths of a CPU, bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    pub cpu: i64,
    pub memory: i64,
}

pub fn requested(pod: &Pod) -> Requested {
    Requested {
        cpu: at_once(pod, |of| of.cpu_request.unwrap_or(0)),
        memory: at_once(pod, |of| of.memory_request.unwrap_or(0)),
    }
}

pub fn of_container(pod: &Pod, index: usize, node: &Node) -> Resources {
    let of = pod.containers[index].resources;
    Resources {
        cpu_shares: Some(shares(of.cpu_request)),
        cpu_quota: of.cpu_limit.and_then(quota),
        cpu_period: of.cpu_limit.and_then(quota).map(|_| PERIOD.unsigned_abs()),
        memory_limit: of.memory_limit.filter(|limit| *limit > 0),
        pids_limit: None,
        oom_score_adj: Some(oom_score(pod, index, node)),
    }
}

fn shares(request: Option<i64>) -> u64 {
    let shares = request.unwrap_or(0).saturating_mul(1024) / 1000;
    shares.clamp(*SHARES.start(), *SHARES.end()).unsigned_abs()
}

/// A limit of 0 is none.
fn quota(limit: i64) -> Option<i64> {
    (limit > 0).then(|| (limit.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA))
}

fn oom_score(pod: &Pod, index: usize, node: &Node) -> i32 {
    if pod.node_critical {
        return -997;
    }
    match qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let score = |container: &Container| {
                let request = i128::from(container.resources.memory_request.unwrap_or(0));
                let score = 1000 - 1000 * request / i128::from(node.memory.max(1));
                i32::try_from(score.clamp(3, 999)).unwrap_or(999)
            };
            let own = score(&pod.containers[index]);
            // a sidecar does not die before what it serves
            let regular = pod.containers.iter().filter(|container| container.kind == ContainerKind::Regular);
            match pod.containers[index].kind {
                ContainerKind::Sidecar => regular.map(score).max().map_or(own, |worst| own.min(worst)),
                ContainerKind::Init | ContainerKind::Regular => own,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::testing;

    fn pod(all: &[ResourceRequirements]) -> Pod {
        let mut pod = testing::pod("a");
        let template = pod.containers.remove(0);
        let container = |resources: &ResourceRequirements| {
            let mut container = template.clone();
            container.resources = *resources;
            container
        };
        pod.containers = all.iter().map(container).collect();
        pod
    }

    fn requirements(cpu: (i64, i64), memory: (i64, i64)) -> ResourceRequirements {
        let set = |amount: i64| (amount > 0).then_some(amount);
        ResourceRequirements {
            cpu_request: set(cpu.0),
            cpu_limit: set(cpu.1),
            memory_request: set(memory.0),
            memory_limit: set(memory.1),
        }
    }

    #[test]
    fn classes_follow_from_requests_and_limits() {
        let full = requirements((100, 100), (1 << 20, 1 << 20));
        for (all, expected) in [
            (vec![full], Qos::Guaranteed),
            (vec![full, requirements((0, 0), (0, 0))], Qos::Burstable),
            (vec![requirements((100, 0), (0, 0))], Qos::Burstable),
            (vec![requirements((50, 100), (1 << 20, 1 << 20))], Qos::Burstable),
            (vec![requirements((0, 0), (0, 0))], Qos::BestEffort),
        ] {
            assert_eq!(qos(&pod(&all)), expected, "{all:?}");
        }
    }

    #[test]
    fn case_151_the_kernels_numbers_are_the_kubelets() {
        let node = testing::node();
        for (cpu, shares, quota) in [
            ((0, 0), 2, None),
            ((100, 0), 102, None),
            ((1000, 2000), 1024, Some(200_000)),
            ((1, 1), 2, Some(1000)),
            ((1_000_000, 0), 262_144, None),
        ] {
            let resources = of_container(&pod(&[requirements(cpu, (0, 0))]), 0, &node);
            assert_eq!((resources.cpu_shares, resources.cpu_quota), (Some(shares), quota), "{cpu:?}");
        }
    }

    #[test]
    fn a_pod_is_limited_only_where_all_its_containers_are() {
        let (limited, free) = (requirements((500, 500), (10, 20)), requirements((250, 0), (0, 0)));
        let node = testing::node();
        let both = of_pod(&pod(&[limited, limited]), &node);
        assert_eq!((both.cpu_shares, both.cpu_quota, both.memory_limit), (Some(1024), Some(100_000), Some(40)));
        let one = of_pod(&pod(&[limited, free]), &node);
        assert_eq!((one.cpu_shares, one.cpu_quota, one.memory_limit), (Some(768), None, None));
    }

    #[test]
    fn init_containers_count_where_they_need_more() {
        let of = |cpu| requirements((cpu, cpu), (0, 0));
        for (kinds, expected) in [
            ([ContainerKind::Init, ContainerKind::Sidecar, ContainerKind::Init, ContainerKind::Regular], 700),
            ([ContainerKind::Sidecar, ContainerKind::Init, ContainerKind::Init, ContainerKind::Regular], 800),
            ([ContainerKind::Init, ContainerKind::Init, ContainerKind::Init, ContainerKind::Regular], 500),
        ] {
            let mut pod = pod(&[of(300), of(200), of(500), of(100)]);
            pod.containers.iter_mut().zip(kinds).for_each(|(container, kind)| container.kind = kind);
            assert_eq!(of_pod(&pod, &testing::node()).cpu_quota, Some(expected * 100), "{kinds:?}");
        }
    }

    #[test]
    fn case_73_a_pod_has_so_many_processes_and_its_containers_share_them() {
        let node = Node { pod_max_pids: Some(1024), ..testing::node() };
        let pod = testing::pod("a");
        assert_eq!((of_pod(&pod, &node).pids_limit, of_container(&pod, 0, &node).pids_limit), (Some(1024), None));
        assert_eq!(of_pod(&pod, &testing::node()).pids_limit, None);
    }

    #[test]
    fn a_sidecar_lives_at_least_as_long_as_what_it_serves() {
        let node = testing::node();
        let mut pod = pod(&[requirements((1, 0), (0, 0)), requirements((0, 0), (node.memory / 2, 0))]);
        pod.containers[0].kind = ContainerKind::Sidecar;
        assert_eq!(of_container(&pod, 0, &node).oom_score_adj, Some(500));
    }

    #[test]
    fn case_151_the_oom_score_goes_by_class_and_request() {
        let node = testing::node();
        let score = |requirements, critical| {
            let mut pod = pod(&[requirements]);
            pod.node_critical = critical;
            of_container(&pod, 0, &node).oom_score_adj
        };
        assert_eq!(score(requirements((0, 0), (0, 0)), true), Some(-997));
        assert_eq!(score(requirements((1, 1), (1, 1)), false), Some(-997));
        assert_eq!(score(requirements((0, 0), (0, 0)), false), Some(1000));
        assert_eq!(score(requirements((0, 0), (node.memory / 4, 0)), false), Some(750));
        assert_eq!(score(requirements((0, 0), (node.memory, 0)), false), Some(3));
        assert_eq!(score(requirements((1, 0), (0, 0)), false), Some(999));
    }
}
