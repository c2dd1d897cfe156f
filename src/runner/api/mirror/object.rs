//! PURE: a mirror pod as it is created, and the patch that brings its status up to date.

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};

use crate::runner::pod::object::CONFIG_HASH;
use crate::runner::status::conditions::OWNED;

/// Marks a mirror, and holds the static pod's UID [7.33].
pub(super) const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// A full copy of the static pod, owned by the node and by nobody else [7.33, 7.34].
pub(super) fn mirror(mut pod: api::Pod, node: &str, node_uid: &str) -> api::Pod {
    let annotations = pod.metadata.annotations.get_or_insert_default();
    let hash = annotations.get(CONFIG_HASH).cloned().unwrap_or_default();
    annotations.insert(CONFIG_MIRROR.to_owned(), hash);
    pod.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: node_uid.to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    // what only the API gives an object would make it refuse the manifest of an export
    pod.metadata.resource_version = None;
    pod.metadata.deletion_timestamp = None;
    pod
}

/// What differs between the status that a pod has and the one that the API shows; `None` where nothing does. The
/// mirror's times go on where nothing has changed since: an earlier runner may have told them.
pub(super) fn status_patch(ours: &api::PodStatus, uid: &str, found: Option<&api::PodStatus>) -> Option<Value> {
    let none = api::PodStatus::default();
    let found = found.unwrap_or(&none);
    let mut ours = ours.clone();
    if found.start_time.is_some() {
        ours.start_time = found.start_time.clone();
    }
    for condition in ours.conditions.iter_mut().flatten() {
        let mut known = found.conditions.iter().flatten();
        let same = |known: &&api::PodCondition| known.type_ == condition.type_ && known.status == condition.status;
        if let Some(since) = known.find(same).and_then(|known| known.last_transition_time.clone()) {
            condition.last_transition_time = Some(since);
        }
    }
    let (ours, found) = (fields(&ours), fields(found));
    let mut patch: Map<String, Value> = Map::new();
    for (name, value) in &ours {
        if name != "conditions" && found.get(name) != Some(value) {
            patch.insert(name.clone(), value.clone());
        }
    }
    // those of an earlier phase
    for name in ["reason", "message", "initContainerStatuses"] {
        if !ours.contains_key(name) && found.contains_key(name) {
            patch.insert(name.to_owned(), Value::Null);
        }
    }
    let conditions = changed(&ours, &found);
    if !conditions.is_empty() {
        patch.insert("conditions".to_owned(), conditions.into());
    }
    (!patch.is_empty()).then(|| json!({ "metadata": { "uid": uid }, "status": patch }))
}

fn fields(status: &api::PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The kubelet's own conditions that the API shows otherwise; those of others are left alone [7.51].
fn changed(ours: &Map<String, Value>, found: &Map<String, Value>) -> Vec<Value> {
    let of = |status: &Map<String, Value>, kind: &str| {
        let all = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == *kind).cloned()
    };
    let mut changed = Vec::new();
    for kind in OWNED {
        let (Some(mut own), known) = (of(ours, kind), of(found, kind)) else { continue };
        let is_same = known.as_ref().is_some_and(|known| {
            ["status", "reason", "message", "lastTransitionTime"].iter().all(|field| own.get(field) == known.get(field))
        });
        if !is_same {
            for field in ["reason", "message"] {
                // a merge would keep the old words
                if own.get(field).is_none() && known.as_ref().is_some_and(|known| known.get(field).is_some()) {
                    own[field] = Value::Null;
                }
            }
            changed.push(own);
        }
    }
    changed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(value: Value) -> api::PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn case_150_a_mirror_is_owned_by_its_node_and_says_what_it_mirrors() {
        let pod = serde_json::from_value(json!({
            "metadata": {
                "name": "a-n1", "namespace": "default", "uid": "static", "resourceVersion": "5",
                "labels": { "role": "web" },
                "annotations": { CONFIG_HASH: "static" },
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y" }],
            },
            "spec": { "containers": [], "nodeName": "n1" },
        }));
        let mirror = serde_json::to_value(mirror(pod.unwrap(), "n1", "node-uid")).unwrap();
        let owner = json!([
            { "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": true },
        ]);
        let metadata = json!({
            "name": "a-n1", "namespace": "default", "uid": "static", "labels": { "role": "web" },
            "annotations": { CONFIG_HASH: "static", CONFIG_MIRROR: "static" }, "ownerReferences": owner,
        });
        assert_eq!(mirror["metadata"], metadata);
        assert_eq!(mirror["spec"]["nodeName"], "n1");
    }

    #[test]
    fn only_what_differs_is_sent_and_never_anothers_condition() {
        let ready = |status: &str, at: &str| json!({ "type": "Ready", "status": status, "lastTransitionTime": at });
        let (early, late) = ("2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z");
        let foreign = json!({ "type": "example.com/x", "status": "True" });
        let found = status(json!({
            "phase": "Running", "startTime": early, "conditions": [foreign, ready("True", early)],
        }));
        let ours =
            |phase: &str, ready: Value| status(json!({ "phase": phase, "startTime": late, "conditions": [ready] }));
        assert_eq!(status_patch(&ours("Running", ready("True", late)), "u", Some(&found)), None);
        let patch = status_patch(&ours("Running", ready("False", late)), "u", Some(&found)).unwrap();
        let expected = json!({ "metadata": { "uid": "u" }, "status": { "conditions": [ready("False", late)] } });
        assert_eq!(patch, expected);
        let patch = status_patch(&ours("Failed", ready("True", late)), "u", Some(&found)).unwrap();
        assert_eq!(patch["status"], json!({ "phase": "Failed" }));
        let all = status_patch(&ours("Running", ready("True", late)), "u", None).unwrap();
        assert_eq!((&all["status"]["startTime"], &all["status"]["phase"]), (&json!(late), &json!("Running")));
    }

    #[test]
    fn words_that_do_not_hold_any_more_are_taken_away() {
        let at = "2027-01-15T08:00:00Z";
        let unready = json!({
            "type": "Ready", "status": "False", "lastTransitionTime": at, "reason": "ContainersNotReady", "message": "m",
        });
        let found = status(json!({ "reason": "Evicted", "conditions": [unready] }));
        let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": at });
        let patch = status_patch(&status(json!({ "conditions": [ready] })), "u", Some(&found)).unwrap();
        let condition = json!({
            "type": "Ready", "status": "True", "lastTransitionTime": at, "reason": null, "message": null,
        });
        assert_eq!(patch["status"], json!({ "reason": null, "conditions": [condition] }));
    }
}
