//! PURE: the Node as the kubelet makes it [7.71]–[7.73], but for two things: this runner runs no pods of the API, so the
//! node is closed to the scheduler, and has no `kubernetes.io/os` label that would bring DaemonSets to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Map, Value, json};

use super::facts::{Facts, Pressure};
use crate::runner::status::api::RUNTIME;

/// Marks a node that an agent has registered.
const REGISTERED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// The kubelet's default.
const MOST_PODS: u32 = 110;

/// The object of a node that has none.
pub(super) fn new(facts: &Facts, status: api::NodeStatus) -> api::Node {
    api::Node {
        metadata: ObjectMeta {
            name: Some(facts.name.clone()),
            labels: Some(labels(facts)),
            annotations: Some([(REGISTERED.to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(api::NodeSpec { unschedulable: Some(true), ..api::NodeSpec::default() }),
        status: Some(status),
    }
}

fn labels(facts: &Facts) -> BTreeMap<String, String> {
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([
        of("kubernetes.io/hostname", &facts.host_name.to_lowercase()),
        of("kubernetes.io/arch", facts.architecture),
        of("beta.kubernetes.io/arch", facts.architecture),
    ])
}

/// What an object lacks that somebody else has made or changed; `None` where it lacks nothing. A node that an
/// administrator has opened to the scheduler stays open.
pub(super) fn metadata_patch(facts: &Facts, found: &api::Node) -> Option<Value> {
    let known = found.metadata.labels.clone().unwrap_or_default();
    let missing: Map<_, _> = labels(facts)
        .into_iter()
        .filter(|(name, value)| known.get(name) != Some(value))
        .map(|(name, value)| (name, Value::from(value)))
        .collect();
    let mut patch = json!({});
    if !missing.is_empty() {
        patch["metadata"]["labels"] = Value::Object(missing);
    }
    let is_registered = found.metadata.annotations.as_ref().is_some_and(|known| known.contains_key(REGISTERED));
    if !is_registered {
        patch["metadata"]["annotations"] = json!({ REGISTERED: "true" });
        patch["spec"] = json!({ "unschedulable": true });
    }
    patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(patch)
}

/// The status now; conditions that were so `before` keep the time since when.
pub(super) fn status(
    facts: &Facts,
    pressure: Pressure,
    now: Timestamp,
    before: Option<&api::NodeStatus>,
) -> api::NodeStatus {
    let address = |kind: &str, address: String| api::NodeAddress { type_: kind.to_owned(), address };
    let ip = facts.ip.map(|ip| address("InternalIP", ip.to_string()));
    let capacity = capacity(facts);
    api::NodeStatus {
        addresses: Some(ip.into_iter().chain([address("Hostname", facts.host_name.clone())]).collect()),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions(pressure, now, before)),
        daemon_endpoints: facts.server_port.map(|port| api::NodeDaemonEndpoints {
            kubelet_endpoint: Some(api::DaemonEndpoint { port: i32::from(port) }),
        }),
        node_info: Some(api::NodeSystemInfo {
            architecture: facts.architecture.to_owned(),
            boot_id: facts.boot_id.clone(),
            container_runtime_version: format!("{RUNTIME}://{}", env!("CARGO_PKG_VERSION")),
            kernel_version: facts.kernel.clone(),
            kubelet_version: facts.version.clone().unwrap_or_default(),
            machine_id: facts.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: facts.os_image.clone(),
            system_uuid: facts.system_uuid.clone(),
            ..api::NodeSystemInfo::default()
        }),
        ..api::NodeStatus::default()
    }
}

fn capacity(facts: &Facts) -> BTreeMap<String, Quantity> {
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), (facts.cpu / 1000).to_string()),
        ("memory".to_owned(), binary(facts.memory.unsigned_abs())),
        ("ephemeral-storage".to_owned(), binary(facts.storage)),
        ("pods".to_owned(), MOST_PODS.to_string()),
    ]);
    for (size, bytes) in &facts.huge_pages {
        capacity.insert(format!("hugepages-{size}"), binary(*bytes));
    }
    capacity.into_iter().map(|(name, amount)| (name, Quantity(amount))).collect()
}

/// Whole KiB as the API writes them: with the greatest suffix that leaves a whole number.
fn binary(bytes: u64) -> String {
    let mut amount = bytes >> 10;
    if amount == 0 {
        return "0".to_owned();
    }
    let mut suffixes = ["Ki", "Mi", "Gi", "Ti", "Pi"].into_iter();
    let mut suffix = suffixes.next().unwrap_or_default();
    while amount.is_multiple_of(1024)
        && let Some(greater) = suffixes.next()
    {
        (amount, suffix) = (amount / 1024, greater);
    }
    format!("{amount}{suffix}")
}

/// In the kubelet's order and words [7.73].
fn conditions(pressure: Pressure, now: Timestamp, before: Option<&api::NodeStatus>) -> Vec<api::NodeCondition> {
    let told = [
        (
            "MemoryPressure",
            pressure.memory,
            match pressure.memory {
                true => ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
                false => ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            },
        ),
        (
            "DiskPressure",
            pressure.disk,
            match pressure.disk {
                true => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                false => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            },
        ),
        (
            "PIDPressure",
            pressure.pids,
            match pressure.pids {
                true => ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
                false => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            },
        ),
        // who can send this is ready
        ("Ready", true, ("KubeletReady", "kubelet is posting ready status")),
    ];
    let known = |kind: &str| {
        let conditions = before.and_then(|before| before.conditions.as_ref()).into_iter().flatten();
        conditions.into_iter().find(|known| known.type_ == kind)
    };
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let condition = |(kind, holds, (reason, message)): (&str, bool, (&str, &str))| {
        let status = if holds { "True" } else { "False" };
        let since =
            known(kind).filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
        api::NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
        }
    };
    told.into_iter().map(condition).collect()
}

/// The event's reason for a condition: the condition's own without its first word [7.79].
pub(super) fn event_reason(condition: &api::NodeCondition) -> &'static str {
    match (condition.type_.as_str(), condition.status.as_str()) {
        ("MemoryPressure", "True") => "NodeHasInsufficientMemory",
        ("MemoryPressure", _) => "NodeHasSufficientMemory",
        ("DiskPressure", "True") => "NodeHasDiskPressure",
        ("DiskPressure", _) => "NodeHasNoDiskPressure",
        ("PIDPressure", "True") => "NodeHasInsufficientPID",
        ("PIDPressure", _) => "NodeHasSufficientPID",
        (_, "True") => "NodeReady",
        _ => "NodeNotReady",
    }
}

/// Something in `ours` is not so in what the API has, heartbeats apart.
pub(super) fn differs(ours: &api::NodeStatus, found: Option<&api::NodeStatus>) -> bool {
    let Some(found) = found else { return true };
    let silent = |status: &api::NodeStatus| -> Vec<api::NodeCondition> {
        let mut conditions = status.conditions.clone().unwrap_or_default();
        conditions.iter_mut().for_each(|condition| condition.last_heartbeat_time = None);
        conditions
    };
    let theirs = silent(found);
    silent(ours).iter().any(|condition| !theirs.contains(condition))
        || ours.addresses != found.addresses
        || ours.capacity != found.capacity
        || ours.allocatable != found.allocatable
        || ours.node_info != found.node_info
        || ours.daemon_endpoints.is_some() && ours.daemon_endpoints != found.daemon_endpoints
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            name: "n1".to_owned(),
            host_name: "Host".to_owned(),
            ip: Some("10.0.0.1".parse().unwrap()),
            memory: 4 << 30,
            cpu: 2000,
            storage: 100 << 30,
            huge_pages: vec![("2Mi".to_owned(), 6 << 20)],
            architecture: "amd64",
            server_port: Some(10250),
            version: Some("v1.36.2".to_owned()),
            ..Facts::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_status_has_the_kubelets_fields() {
        let status = serde_json::to_value(status(&facts(), Pressure::default(), at(0), None)).unwrap();
        let addresses = json!([
            { "type": "InternalIP", "address": "10.0.0.1" }, { "type": "Hostname", "address": "Host" },
        ]);
        assert_eq!(status["addresses"], addresses);
        let capacity = json!({
            "cpu": "2", "memory": "4Gi", "ephemeral-storage": "100Gi", "pods": "110", "hugepages-2Mi": "6Mi",
        });
        assert_eq!((&status["capacity"], &status["allocatable"]), (&capacity, &capacity));
        assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
        assert_eq!(status["nodeInfo"]["kubeletVersion"], "v1.36.2");
        assert_eq!(status["nodeInfo"]["operatingSystem"], "linux");
        let conditions = status["conditions"].as_array().unwrap().iter();
        let told: Vec<_> =
            conditions.map(|told| format!("{}={} {}", told["type"], told["status"], told["reason"])).collect();
        let expected = [
            "MemoryPressure=False KubeletHasSufficientMemory",
            "DiskPressure=False KubeletHasNoDiskPressure",
            "PIDPressure=False KubeletHasSufficientPID",
            "Ready=True KubeletReady",
        ];
        assert_eq!(told.iter().map(|told| told.replace('"', "")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_status_differs_by_what_it_says_and_not_by_when() {
        let before = status(&facts(), Pressure::default(), at(0), None);
        let later = status(&facts(), Pressure::default(), at(60), Some(&before));
        assert!(!differs(&later, Some(&before)));
        assert!(differs(&later, None));
        let pressed = status(&facts(), Pressure { memory: true, ..Pressure::default() }, at(60), Some(&before));
        assert!(differs(&pressed, Some(&before)));
        let since = |status: &api::NodeStatus, index: usize| {
            status.conditions.as_ref().unwrap()[index].last_transition_time.as_ref().unwrap().0.as_second()
        };
        assert_eq!((since(&pressed, 0), since(&pressed, 3)), (60, 0));
        let moved =
            status(&Facts { ip: Some("10.0.0.2".parse().unwrap()), ..facts() }, Pressure::default(), at(0), None);
        assert!(differs(&moved, Some(&before)));
    }

    #[test]
    fn a_node_that_another_has_made_is_given_what_it_lacks() {
        let found: api::Node = serde_json::from_value(json!({ "metadata": { "name": "n1" } })).unwrap();
        let patch = metadata_patch(&facts(), &found).unwrap();
        let labels = json!({
            "beta.kubernetes.io/arch": "amd64", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "host",
        });
        let metadata = json!({ "labels": labels, "annotations": { REGISTERED: "true" } });
        assert_eq!(patch, json!({ "metadata": metadata, "spec": { "unschedulable": true } }));
    }

    #[test]
    fn case_90_labels_are_put_back_and_an_open_node_stays_open() {
        let mut node = new(&facts(), api::NodeStatus::default());
        assert_eq!(metadata_patch(&facts(), &node), None);
        node.spec.as_mut().unwrap().unschedulable = None;
        assert_eq!(metadata_patch(&facts(), &node), None);
        node.metadata.labels.as_mut().unwrap().insert("kubernetes.io/arch".to_owned(), "dummy".to_owned());
        let patch = json!({ "metadata": { "labels": { "kubernetes.io/arch": "amd64" } } });
        assert_eq!(metadata_patch(&facts(), &node), Some(patch));
    }

    #[test]
    fn only_labels_that_bring_nothing_to_the_node() {
        let labels = new(&facts(), api::NodeStatus::default()).metadata.labels.unwrap();
        assert!(!labels.keys().any(|name| name.ends_with("/os")), "{labels:?}");
    }
}
