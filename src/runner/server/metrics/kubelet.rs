//! PURE: `/metrics`: pods, containers and the runner's own process, under the kubelet's names.

use std::collections::BTreeMap;

use super::family::{Family, text};
use crate::control::{PodStatus, Status};
use crate::runner::metrics::Counts;
use crate::runner::published::Pods;
use crate::runner::runtime::{Container, ContainerState, PodSandbox, SandboxState};

/// What there is to tell, all at one moment.
#[derive(Debug)]
pub struct Facts {
    pub node: String,
    pub status: Status,
    pub board: Pods,
    /// Mirror pods in the API, as far as is known.
    pub mirrors: usize,
    pub sandboxes: Vec<PodSandbox>,
    pub containers: Vec<Container>,
    pub counts: Counts,
    pub process: OwnProcess,
}

/// As the kernel has it.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnProcess {
    /// Seconds since 1970.
    pub started_at: f64,
    /// Seconds.
    pub cpu: f64,
    /// Bytes.
    pub resident_memory: u64,
    pub virtual_memory: u64,
    pub open_files: usize,
    /// `None`: as many as it likes.
    pub most_files: Option<u64>,
}

pub fn document(facts: &Facts) -> String {
    [pods(facts), started(&facts.counts), times(&facts.counts), process(&facts.process)].concat()
}

/// What a worker is at with its pod, as the kubelet calls it: `config`, `lifecycle`, `static`.
type Work = (&'static str, &'static str, &'static str);

/// Every kind of work that a static pod can be.
const WORK: [Work; 9] = [
    ("desired", "sync", "true"),
    ("desired", "terminating", "true"),
    ("desired", "terminated", "true"),
    ("orphan", "sync", "true"),
    ("orphan", "terminating", "true"),
    ("orphan", "terminated", "true"),
    ("runtime_only", "sync", "unknown"),
    ("runtime_only", "terminating", "unknown"),
    ("runtime_only", "terminated", "unknown"),
];

fn is_over(pod: &PodStatus) -> bool {
    matches!(pod.phase.as_str(), "Succeeded" | "Failed")
}

/// The work on a pod, and on the successor that waits for its end.
fn work(pod: &PodStatus, board: &Pods) -> Vec<Work> {
    // what was refused, or waits for the end of another pod, is nobody's work
    let Some(published) = board.get(&format!("{}_{}", pod.name, pod.namespace)) else { return Vec::new() };
    let is_desired = match (&pod.revision_running, &pod.revision_wanted) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(running), Some(wanted)) => running == wanted,
    };
    let lifecycle = match (is_over(pod), published.terminating) {
        (true, _) => "terminated",
        (false, true) => "terminating",
        (false, false) => "sync",
    };
    let own = match is_desired {
        true => ("desired", lifecycle, "true"),
        false if published.pod.object.is_none() => ("runtime_only", lifecycle, "unknown"),
        false => ("orphan", lifecycle, "true"),
    };
    let next = (!is_desired && pod.revision_wanted.is_some()).then_some(("desired", "sync", "true"));
    [own].into_iter().chain(next).collect()
}

fn pods(facts: &Facts) -> String {
    let all = &facts.status.pods;
    let desired = || all.iter().filter(|pod| pod.revision_wanted.is_some());
    let mut node = Family::gauge("kubelet_node_name", "The name of this node; always 1.");
    node.value(&[("node", &facts.node)], 1);
    let mut working = Family::gauge(
        "kubelet_working_pods",
        "Pods that are worked on: whether their manifest is there, and whether they run, are ended or have ended.",
    );
    let mut counts: BTreeMap<Work, usize> = WORK.into_iter().map(|work| (work, 0)).collect();
    for work in all.iter().flat_map(|pod| work(pod, &facts.board)) {
        *counts.entry(work).or_default() += 1;
    }
    for ((config, lifecycle, is_static), count) in counts {
        working.value(&[("config", config), ("lifecycle", lifecycle), ("static", is_static)], count);
    }
    // pods of the API are not run here
    let of_both = |mut family: Family, count: usize| {
        family.value(&[("static", "")], 0);
        family.value(&[("static", "true")], count);
        family
    };
    let wanted = of_both(Family::gauge("kubelet_desired_pods", "Pods that a manifest asks for."), desired().count());
    let active = of_both(
        Family::gauge("kubelet_active_pods", "Pods that a manifest asks for and that have not ended."),
        desired().filter(|pod| !is_over(pod)).count(),
    );
    let mut mirrors = Family::gauge("kubelet_mirror_pods", "Mirror pods of this node in the API, as far as is known.");
    mirrors.value(&[], facts.mirrors);
    let mut running = Family::gauge("kubelet_running_pods", "Pods that have a sandbox.");
    running.value(&[], facts.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count());
    let mut containers = Family::gauge("kubelet_running_containers", "Containers of the runtime, by their state.");
    let state_of = |container: &Container| match container.state {
        ContainerState::Created => "created",
        ContainerState::Running { .. } => "running",
        ContainerState::Exited { .. } => "exited",
    };
    for state in ["created", "exited", "running"] {
        let count = facts.containers.iter().filter(|container| state_of(container) == state).count();
        containers.value(&[("container_state", state)], count);
    }
    text([node, wanted, active, mirrors, working, running, containers])
}

fn started(counts: &Counts) -> String {
    let one = |name: &'static str, help: &str, count: u64| {
        let mut family = Family::counter(name, help);
        family.value(&[], count);
        family
    };
    let mut containers =
        Family::counter("kubelet_started_containers_total", "Containers that were to be started, by their kind.");
    for kind in ["container", "init_container"] {
        let count = counts.started_containers.get(kind).copied().unwrap_or_default();
        containers.value(&[("container_type", kind)], count);
    }
    let mut failed = Family::counter(
        "kubelet_started_containers_errors_total",
        "Containers that could not be started, by their kind and the reason.",
    );
    for ((kind, reason), count) in &counts.started_containers_errors {
        failed.value(&[("code", reason), ("container_type", kind)], count);
    }
    let mut restarted =
        Family::counter("kubelet_restarted_pods_total", "Pods that have ended and begun anew under the same UID.");
    restarted.value(&[("static", "")], 0);
    restarted.value(&[("static", "true")], counts.restarted_pods);
    text([
        one("kubelet_started_pods_total", "Sandboxes that were to be made.", counts.started_pods),
        one(
            "kubelet_started_pods_errors_total",
            "Sandboxes, or volumes for them, that could not be made.",
            counts.started_pods_errors,
        ),
        restarted,
        one(
            "kubelet_orphaned_runtime_pods_total",
            "Pods that were found running at the start and that no manifest asked for.",
            counts.orphaned_pods,
        ),
        containers,
        failed,
    ])
}

fn times(counts: &Counts) -> String {
    let mut start = Family::distribution(
        "kubelet_pod_start_duration_seconds",
        "From the decision to make a pod until all its containers have been started, in seconds.",
    );
    start.histogram(&[], &counts.pod_start);
    let mut own = Family::distribution(
        "kubelet_pod_start_sli_duration_seconds",
        "The same without the time for images and init containers.",
    );
    own.histogram(&[], &counts.pod_start_sli);
    let mut worker = Family::distribution(
        "kubelet_pod_worker_duration_seconds",
        "What a pod's worker takes to deal with one event, in seconds.",
    );
    for (on, histogram) in &counts.worker {
        worker.histogram(&[("operation_type", on)], histogram);
    }
    text([start, own, worker])
}

fn process(process: &OwnProcess) -> String {
    let mut cpu = Family::counter("process_cpu_seconds_total", "CPU time of the runner, in seconds.");
    cpu.value(&[], process.cpu);
    let mut start = Family::gauge("process_start_time_seconds", "When the runner began, in seconds since 1970.");
    start.value(&[], process.started_at);
    let mut resident = Family::gauge("process_resident_memory_bytes", "Memory of the runner that is in use.");
    resident.value(&[], process.resident_memory);
    let mut whole = Family::gauge("process_virtual_memory_bytes", "Addresses of the runner that are mapped.");
    whole.value(&[], process.virtual_memory);
    let mut files = Family::gauge("process_open_fds", "File descriptors of the runner that are open.");
    files.value(&[], process.open_files);
    let mut most = Family::gauge("process_max_fds", "How many may be open.");
    if let Some(limit) = process.most_files {
        most.value(&[], limit);
    }
    text([cpu, start, resident, whole, files, most])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use k8s_openapi::api::core::v1 as api;

    use super::*;
    use crate::control::RunnerStatus;
    use crate::runner::published::Published;
    use crate::runner::{status, testing};

    fn facts(pods: Vec<PodStatus>, board: Pods) -> Facts {
        let runner = RunnerStatus {
            pid: 1,
            version: String::new(),
            node_name: "n1".to_owned(),
            manifests: "/m".into(),
            started_at: None,
            draining: false,
        };
        let process = OwnProcess {
            started_at: 1.5,
            cpu: 0.25,
            resident_memory: 4096,
            virtual_memory: 8192,
            open_files: 7,
            most_files: None,
        };
        Facts {
            node: "n1".to_owned(),
            status: Status { runner, pods, rejected: Vec::new() },
            board,
            mirrors: 1,
            sandboxes: Vec::new(),
            containers: Vec::new(),
            counts: Counts::default(),
            process,
        }
    }

    /// A pod with its place on the board.
    fn pod(
        name: &str,
        running: Option<&str>,
        wanted: Option<&str>,
        terminating: bool,
        phase: &str,
    ) -> (PodStatus, Pods) {
        let pod = Arc::new(testing::pod(name));
        let status = PodStatus {
            revision_running: running.map(str::to_owned),
            revision_wanted: wanted.map(str::to_owned),
            phase: phase.to_owned(),
            ..status::unmade(&pod)
        };
        let full_name = pod.full_name();
        let status_of = api::PodStatus::default();
        let published = Published { pod, seen: Timestamp::UNIX_EPOCH, status: status_of, terminating };
        (status, Pods::from([(full_name, Arc::new(published))]))
    }

    fn lines(facts: &Facts, name: &str) -> Vec<String> {
        let text = document(facts);
        let lines = text.lines().filter(|line| line.starts_with(name) && !line.ends_with(" 0"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn work_is_told_apart_by_what_is_asked_for_and_what_is_there() {
        let line = |config: &str, lifecycle: &str, is_static: &str| {
            format!("kubelet_working_pods{{config=\"{config}\",lifecycle=\"{lifecycle}\",static=\"{is_static}\"}} 1")
        };
        for (running, wanted, terminating, phase, expected) in [
            (Some("1"), Some("1"), false, "Running", vec![line("desired", "sync", "true")]),
            (None, Some("1"), false, "Pending", vec![line("desired", "sync", "true")]),
            (Some("1"), Some("1"), true, "Running", vec![line("desired", "terminating", "true")]),
            (Some("1"), Some("1"), false, "Failed", vec![line("desired", "terminated", "true")]),
            // the test's pod has no object, as one that only the runtime knows
            (Some("1"), None, true, "Running", vec![line("runtime_only", "terminating", "unknown")]),
            (
                Some("1"),
                Some("2"),
                true,
                "Running",
                vec![line("desired", "sync", "true"), line("runtime_only", "terminating", "unknown")],
            ),
        ] {
            let (status, board) = pod("a", running, wanted, terminating, phase);
            assert_eq!(lines(&facts(vec![status], board), "kubelet_working_pods"), expected);
        }
    }

    #[test]
    fn what_was_refused_is_desired_and_nobodys_work() {
        let refused = PodStatus { phase: "Failed".to_owned(), ..status::unmade(&testing::pod("a")) };
        let facts = facts(vec![refused], Pods::new());
        assert_eq!(lines(&facts, "kubelet_desired_pods"), ["kubelet_desired_pods{static=\"true\"} 1"]);
        assert!(lines(&facts, "kubelet_active_pods").is_empty() && lines(&facts, "kubelet_working_pods").is_empty());
    }

    #[test]
    fn every_metric_has_its_name_and_type() {
        let mut facts = facts(Vec::new(), Pods::new());
        facts.counts.started_containers_errors.insert(("container", "ErrImagePull"), 3);
        facts.counts.worker.insert("sync", facts.counts.pod_start.clone());
        let text = document(&facts);
        for line in [
            "# TYPE kubelet_node_name gauge",
            "kubelet_node_name{node=\"n1\"} 1",
            "kubelet_mirror_pods 1",
            "kubelet_running_pods 0",
            "kubelet_running_containers{container_state=\"running\"} 0",
            "# TYPE kubelet_started_pods_total counter",
            "kubelet_started_containers_total{container_type=\"init_container\"} 0",
            "kubelet_started_containers_errors_total{code=\"ErrImagePull\",container_type=\"container\"} 3",
            "kubelet_restarted_pods_total{static=\"true\"} 0",
            "# TYPE kubelet_pod_start_duration_seconds histogram",
            "kubelet_pod_start_sli_duration_seconds_count 0",
            "kubelet_pod_worker_duration_seconds_bucket{operation_type=\"sync\",le=\"+Inf\"} 0",
            "process_start_time_seconds 1.5",
            "process_cpu_seconds_total 0.25",
            "process_resident_memory_bytes 4096",
            "process_open_fds 7",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("process_max_fds"));
    }
}
