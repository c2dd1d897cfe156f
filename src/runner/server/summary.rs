//! PURE: `/stats/summary`: what is used, as the kubelet's Summary [8.13].

use serde_json::{Value, json};

use super::usage::{ContainerUsage, PodUsage, Usage};

pub fn document(usage: &Usage) -> Value {
    let node = &usage.node;
    json!({
        "node": {
            "nodeName": node.name,
            "cpu": { "time": node.taken_at, "usageCoreNanoSeconds": (node.cpu * 1e9) as u64 },
            "memory": {
                "time": node.taken_at,
                "availableBytes": node.available,
                "workingSetBytes": node.memory,
            },
        },
        "pods": usage.pods.iter().map(pod).collect::<Vec<_>>(),
    })
}

fn pod(pod: &PodUsage) -> Value {
    let mut told = json!({
        "podRef": { "name": pod.name, "namespace": pod.namespace, "uid": pod.uid },
        "startTime": pod.started_at,
        "containers": pod.containers.iter().map(container).collect::<Vec<_>>(),
    });
    // the sums of its containers'
    if let Some(time) = pod.containers.iter().map(|one| one.stats.taken_at).max() {
        let sum = |value: fn(&ContainerUsage) -> u64| pod.containers.iter().map(value).sum::<u64>();
        told["cpu"] = json!({ "time": time, "usageCoreNanoSeconds": sum(|one| one.stats.cpu_usage) });
        told["memory"] = json!({
            "time": time,
            "usageBytes": sum(|one| one.stats.memory_usage),
            "workingSetBytes": sum(|one| one.stats.memory_working_set),
        });
        told["process_stats"] = json!({ "process_count": sum(|one| one.stats.pids) });
    }
    told
}

fn container(container: &ContainerUsage) -> Value {
    let stats = &container.stats;
    json!({
        "name": container.name,
        "startTime": container.started_at,
        "cpu": { "time": stats.taken_at, "usageCoreNanoSeconds": stats.cpu_usage },
        "memory": {
            "time": stats.taken_at,
            "usageBytes": stats.memory_usage,
            "workingSetBytes": stats.memory_working_set,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_92_node_pods_and_containers_are_told() {
        let mut usage = super::super::usage::tests::usage();
        let told = document(&usage);
        assert_eq!(told["node"]["nodeName"], "node");
        assert_eq!(told["node"]["cpu"]["usageCoreNanoSeconds"], 12_500_000_000_u64);
        let pod = &told["pods"][0];
        assert_eq!(pod["podRef"], json!({ "name": "web-node", "namespace": "default", "uid": "u" }));
        assert_eq!(
            (&pod["memory"]["workingSetBytes"], &pod["process_stats"]["process_count"]),
            (&json!(1536), &json!(4))
        );
        assert_eq!(pod["containers"][1]["memory"]["workingSetBytes"], 512);
        usage.pods[0].containers.clear();
        assert_eq!(document(&usage)["pods"][0].get("cpu"), None, "nothing runs in it");
    }
}
