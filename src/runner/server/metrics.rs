//! PURE: what is used, in Prometheus' text format [8.14].

use std::fmt::Write;

use jiff::Timestamp;

use super::usage::Usage;

/// One metric, with a line for each of its values.
struct Family(String);

impl Family {
    fn new(name: &str, kind: &str, help: &str) -> Family {
        Family(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"))
    }

    /// `at`: when it was so.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display, at: Option<Timestamp>) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let at = at.map_or_else(String::new, |at| format!(" {}", at.as_millisecond()));
        // a string takes everything
        let _ = writeln!(self.0, "{name}{labels} {value}{at}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// `/metrics/resource`. `None`: nobody could say.
pub fn resource(usage: Option<&Usage>) -> String {
    let mut text = String::new();
    if let Some(usage) = usage {
        containers(usage, &mut text);
        node(usage, &mut text);
        pods(usage, &mut text);
    }
    let name = "resource_scrape_error";
    let mut family = Family::new(name, "gauge", "1 when the values could not be had, otherwise 0.");
    family.value(name, &[], u8::from(usage.is_none()), None);
    text + &family.0
}

fn containers(usage: &Usage, text: &mut String) {
    let [cpu, memory, start] =
        ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_start_time_seconds"];
    let mut families = [
        Family::new(cpu, "counter", "CPU time of the container since its start."),
        Family::new(memory, "gauge", "Memory of the container without what is easily taken back."),
        Family::new(start, "gauge", "When the container began, since 1970."),
    ];
    for pod in &usage.pods {
        for one in &pod.containers {
            let labels =
                [("container", one.name.as_str()), ("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
            let at = Some(one.stats.taken_at);
            families[0].value(cpu, &labels, seconds(one.stats.cpu_usage), at);
            families[1].value(memory, &labels, one.stats.memory_working_set, at);
            families[2].value(start, &labels, one.started_at.as_millisecond() as f64 / 1e3, None);
        }
    }
    text.extend(families.map(|family| family.0));
}

fn node(usage: &Usage, text: &mut String) {
    let [cpu, memory] = ["node_cpu_usage_seconds_total", "node_memory_working_set_bytes"];
    let mut families = [
        Family::new(cpu, "counter", "CPU time of the node since its boot."),
        Family::new(memory, "gauge", "Memory of the node without what is easily taken back."),
    ];
    families[0].value(cpu, &[], usage.node.cpu, Some(usage.node.taken_at));
    families[1].value(memory, &[], usage.node.memory, Some(usage.node.taken_at));
    text.extend(families.map(|family| family.0));
}

/// A pod's values are the sums of its containers'.
fn pods(usage: &Usage, text: &mut String) {
    let [cpu, memory] = ["pod_cpu_usage_seconds_total", "pod_memory_working_set_bytes"];
    let mut families = [
        Family::new(cpu, "counter", "CPU time of the pod's running containers since their start."),
        Family::new(memory, "gauge", "Memory of the pod's containers without what is easily taken back."),
    ];
    for pod in &usage.pods {
        let Some(at) = pod.containers.iter().map(|one| one.stats.taken_at).max() else { continue };
        let labels = [("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
        let sum = |value: fn(&super::usage::ContainerUsage) -> u64| pod.containers.iter().map(value).sum::<u64>();
        families[0].value(cpu, &labels, seconds(sum(|one| one.stats.cpu_usage)), Some(at));
        families[1].value(memory, &labels, sum(|one| one.stats.memory_working_set), Some(at));
    }
    text.extend(families.map(|family| family.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_93_every_value_has_its_labels_and_time() {
        let text = resource(Some(&super::super::usage::tests::usage()));
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
        let text = resource(None);
        assert!(text.ends_with("resource_scrape_error 1\n") && !text.contains("cpu"), "{text}");
        assert_eq!(escaped("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
