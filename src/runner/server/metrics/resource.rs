//! PURE: `/metrics/resource`: what node, pods and containers use [8.14].

use super::family::{Family, text};
use crate::runner::server::usage::{ContainerUsage, Usage};

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// `None`: nobody could say.
pub fn document(usage: Option<&Usage>) -> String {
    let known = usage.map(|usage| [containers(usage), node(usage), pods(usage)].concat());
    let mut family = Family::gauge("resource_scrape_error", "1 when the values could not be had, otherwise 0.");
    family.value(&[], u8::from(usage.is_none()));
    known.unwrap_or_default() + &family.text()
}

fn containers(usage: &Usage) -> String {
    let mut cpu = Family::counter("container_cpu_usage_seconds_total", "CPU time of the container since its start.");
    let mut memory = Family::gauge(
        "container_memory_working_set_bytes",
        "Memory of the container without what is easily taken back.",
    );
    let mut start = Family::gauge("container_start_time_seconds", "When the container began, since 1970.");
    for pod in &usage.pods {
        for one in &pod.containers {
            let labels =
                [("container", one.name.as_str()), ("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
            cpu.value_at(&labels, seconds(one.stats.cpu_usage), one.stats.taken_at);
            memory.value_at(&labels, one.stats.memory_working_set, one.stats.taken_at);
            start.value(&labels, one.started_at.as_millisecond() as f64 / 1e3);
        }
    }
    text([cpu, memory, start])
}

fn node(usage: &Usage) -> String {
    let mut cpu = Family::counter("node_cpu_usage_seconds_total", "CPU time of the node since its boot.");
    let mut memory =
        Family::gauge("node_memory_working_set_bytes", "Memory of the node without what is easily taken back.");
    cpu.value_at(&[], usage.node.cpu, usage.node.taken_at);
    memory.value_at(&[], usage.node.memory, usage.node.taken_at);
    text([cpu, memory])
}

/// A pod's values are the sums of its containers'.
fn pods(usage: &Usage) -> String {
    let mut cpu =
        Family::counter("pod_cpu_usage_seconds_total", "CPU time of the pod's running containers since their start.");
    let mut memory = Family::gauge(
        "pod_memory_working_set_bytes",
        "Memory of the pod's containers without what is easily taken back.",
    );
    for pod in &usage.pods {
        let Some(at) = pod.containers.iter().map(|one| one.stats.taken_at).max() else { continue };
        let labels = [("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
        let sum = |value: fn(&ContainerUsage) -> u64| pod.containers.iter().map(value).sum::<u64>();
        cpu.value_at(&labels, seconds(sum(|one| one.stats.cpu_usage)), at);
        memory.value_at(&labels, sum(|one| one.stats.memory_working_set), at);
    }
    text([cpu, memory])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::server::usage::tests::usage;

    #[test]
    fn case_93_every_value_has_its_labels_and_time() {
        let text = document(Some(&usage()));
        for line in [
            "# TYPE container_cpu_usage_seconds_total counter",
            r#"container_cpu_usage_seconds_total{container="a",namespace="default",pod="web-node"} 1.5 100000"#,
            r#"container_memory_working_set_bytes{container="b",namespace="default",pod="web-node"} 512 100000"#,
            r#"container_start_time_seconds{container="a",namespace="default",pod="web-node"} 50"#,
            "node_cpu_usage_seconds_total 12.5 100000",
            "node_memory_working_set_bytes 8192 100000",
            r#"pod_cpu_usage_seconds_total{namespace="default",pod="web-node"} 1.75 100000"#,
            r#"pod_memory_working_set_bytes{namespace="default",pod="web-node"} 1536 100000"#,
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn nobody_takes_a_failure_for_zeros() {
        let text = document(None);
        assert!(text.ends_with("resource_scrape_error 1\n") && !text.contains("cpu"), "{text}");
    }
}
