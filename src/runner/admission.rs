//! PURE: whether the node takes a pod in [9.10, 9.11].
//!
//! Every pod here is static, and so critical [9.33]: where resources are short the kubelet would make room by ending
//! pods that are not, of which there are none. Taints keep no static pod away [9.12].

use std::sync::Arc;

use super::node::Node;
use super::pod::Pod;
use super::resources::{Requested, requested};
use super::worker::machine::Why;

const OS_LABEL: &str = "kubernetes.io/os";
const OS: &str = "linux";

/// `others`: the pods that the node has taken, but those that are over. The error is why it does not take this one.
pub fn admit(pod: &Pod, node: &Node, others: &[&Arc<Pod>]) -> Result<(), Why> {
    system(pod)?;
    if !fits_labels(pod, node) {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    let taken = |port| others.iter().flat_map(|other| &other.placement.host_ports).any(|other| other.clashes(port));
    if pod.placement.host_ports.iter().any(taken) {
        return Err(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    room(pod, node, others)
}

fn predicate(reason: &'static str, cause: &str) -> Why {
    Why::new(reason, format!("Predicate {reason} failed: {cause}"))
}

fn system(pod: &Pod) -> Result<(), Why> {
    let refused = |reason, message: &str| Err(Why::new(reason, message.to_owned()));
    if pod.placement.node_selector.get(OS_LABEL).is_some_and(|os| os != OS) {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return refused("PodOSSelectorNodeLabelDoesNotMatch", message);
    }
    if pod.placement.os.as_ref().is_some_and(|os| os != OS) {
        return refused("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS");
    }
    Ok(())
}

/// Its node selector and its required node affinity hold [9.13].
fn fits_labels(pod: &Pod, node: &Node) -> bool {
    let placement = &pod.placement;
    let selected = placement.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let label = |key: &str| node.labels.get(key).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(node.name.as_str());
    let is_met = placement.affinity.as_ref().is_none_or(|terms| {
        terms.iter().any(|term| {
            let is_empty = term.labels.is_empty() && term.fields.is_empty();
            let labels = term.labels.iter().all(|of| of.holds(label(&of.key)));
            !is_empty && labels && term.fields.iter().all(|of| of.holds(field(&of.key)))
        })
    });
    selected && is_met
}

/// The sums of what pods request stay within what the node has [9.15, 9.16].
fn room(pod: &Pod, node: &Node, others: &[&Arc<Pod>]) -> Result<(), Why> {
    let sum = |amount: fn(&Requested) -> i64| others.iter().map(|other| amount(&requested(other))).sum::<i64>();
    let own = requested(pod);
    let count = |pods: usize| i64::try_from(pods).unwrap_or(i64::MAX);
    let short: Vec<_> = [
        ("pods", 1, count(others.len() + 1) - count(node.max_pods)),
        ("cpu", own.cpu, own.cpu + sum(|of| of.cpu) - node.cpu),
        ("memory", own.memory, own.memory + sum(|of| of.memory) - node.memory),
    ]
    .into_iter()
    // what asks for none of a resource is not refused for want of it
    .filter(|(_, asked, missing)| *asked > 0 && *missing > 0)
    .map(|(resource, _, missing)| format!("(res: {resource}, q: {missing}), "))
    .collect();
    if short.is_empty() {
        return Ok(());
    }
    let cause = format!("no set of running pods found to reclaim resources: [{}]", short.concat());
    let message = format!(
        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of \
         pods to preempt: {cause}"
    );
    Err(Why::new("UnexpectedAdmissionError", message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::pod::placement::{HostPort, Operator, Requirement, Term};
    use crate::runner::testing;

    fn with(name: &str, change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let mut pod = testing::pod(name);
        change(&mut pod);
        Arc::new(pod)
    }

    fn on_port(name: &str, port: i32) -> Arc<Pod> {
        with(name, |pod| {
            pod.placement.host_ports = vec![HostPort { protocol: "TCP".to_owned(), ip: String::new(), port }];
        })
    }

    fn reason(pod: &Pod, others: &[&Arc<Pod>]) -> &'static str {
        admit(pod, &testing::node(), others).err().map_or("", |why| why.reason)
    }

    #[test]
    fn case_144_a_port_is_given_once() {
        let (first, second) = (on_port("a", 80), on_port("b", 80));
        assert_eq!(reason(&first, &[]), "");
        let why = admit(&second, &testing::node(), &[&first]).unwrap_err();
        assert_eq!(why.reason, "NodePorts");
        let expected = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        assert_eq!(why.message, expected);
        assert_eq!(reason(&on_port("b", 81), &[&first]), "");
    }

    #[test]
    fn case_28_144_what_does_not_fit_finds_nobody_to_make_room() {
        let asking = |name: &str, cpu, memory| {
            with(name, |pod| {
                let resources = &mut pod.containers[0].resources;
                (resources.cpu_request, resources.memory_request) = (Some(cpu), Some(memory));
            })
        };
        let first = asking("a", 1500, 1 << 29);
        assert_eq!(reason(&first, &[]), "");
        let why = admit(&asking("b", 600, (1 << 29) + 1), &testing::node(), &[&first]).unwrap_err();
        assert_eq!(why.reason, "UnexpectedAdmissionError");
        assert!(why.message.ends_with("to reclaim resources: [(res: cpu, q: 100), (res: memory, q: 1), ]"));
        assert_eq!(reason(&asking("b", 500, 1 << 29), &[&first]), "");
        // what asks for nothing fits in any case
        assert_eq!(reason(&testing::pod("c"), &[&first, &asking("b", 9999, 0)]), "");
        let many = vec![&first; testing::node().max_pods];
        assert_eq!(reason(&testing::pod("c"), &many), "UnexpectedAdmissionError");
        assert_eq!(reason(&testing::pod("c"), &many[1..]), "");
    }

    #[test]
    fn labels_and_the_system_are_the_nodes() {
        let selecting = |key: &str, value: &str| {
            with("a", |pod| pod.placement.node_selector = [(key.to_owned(), value.to_owned())].into())
        };
        assert_eq!(reason(&selecting("kubernetes.io/hostname", "node"), &[]), "");
        assert_eq!(reason(&selecting("kubernetes.io/hostname", "other"), &[]), "NodeAffinity");
        assert_eq!(reason(&selecting(OS_LABEL, "windows"), &[]), "PodOSSelectorNodeLabelDoesNotMatch");
        assert_eq!(reason(&with("a", |pod| pod.placement.os = Some("windows".to_owned())), &[]), "PodOSNotSupported");
        let of = |key: &str, value: &str| Requirement {
            key: key.to_owned(),
            operator: Operator::In,
            values: vec![value.to_owned()],
        };
        let term = |labels: Vec<Requirement>, fields: Vec<Requirement>| Term { labels, fields };
        let name = || of("metadata.name", "node");
        for (terms, expected) in [
            (vec![term(vec![], vec![name()])], ""),
            (vec![term(vec![of("zone", "a")], vec![name()])], "NodeAffinity"),
            (vec![term(vec![of("zone", "a")], vec![]), term(vec![], vec![name()])], ""),
            (vec![term(vec![], vec![])], "NodeAffinity"),
        ] {
            let pod = with("a", |pod| pod.placement.affinity = Some(terms.clone()));
            assert_eq!(reason(&pod, &[]), expected, "{terms:?}");
        }
    }
}
