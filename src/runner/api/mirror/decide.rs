//! PURE: what is to be done so that the API shows the static pods as they are [7.30]–[7.49].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::object::status_patch;
use super::state::Mirror;
use crate::api::ApiError;
use crate::runner::published::{Published, View};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Create(Arc<Published>),
    /// At once, and only the one of this UID.
    Delete {
        namespace: String,
        name: String,
        uid: String,
    },
    Upload {
        namespace: String,
        name: String,
        patch: Value,
    },
}

impl Step {
    /// Of the pod that it is about.
    pub(super) fn full_name(&self) -> String {
        match self {
            Step::Create(published) => published.pod.full_name(),
            Step::Delete { namespace, name, .. } | Step::Upload { namespace, name, .. } => {
                format!("{name}_{namespace}")
            }
        }
    }

    /// The mirror has changed or gone meanwhile, which the watch is about to tell: nothing to complain about.
    pub(super) fn is_overtaken(&self, error: &ApiError) -> bool {
        let is_gone = matches!(error, ApiError::NotFound { .. } | ApiError::Conflict { .. });
        is_gone && !matches!(self, Step::Create(_))
    }
}

/// `node`: the UID of this node's object, without which no mirror is made. In the order in which they are to be taken.
pub(super) fn decide(view: &View, mirrors: &BTreeMap<String, Mirror>, node: Option<&str>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (full_name, mirror) in mirrors {
        let is_orphan =
            !view.pods.contains_key(full_name) && view.known.as_ref().is_some_and(|known| !known.contains(full_name));
        if is_orphan && mirror.hash.is_some() {
            steps.push(delete(mirror));
        }
    }
    for (full_name, published) in &view.pods {
        if published.pod.object.is_none() {
            continue;
        }
        match mirrors.get(full_name) {
            None => steps.extend(create(published, node)),
            // an ordinary pod of the API is in its place [7.36]
            Some(mirror) if mirror.hash.is_none() => {}
            Some(mirror) if is_current(mirror, published, node) => steps.extend(upload(mirror, published)),
            // while a pod ends its mirror stays as it is [7.42]
            Some(_) if published.terminating => {}
            Some(mirror) => {
                steps.push(delete(mirror));
                steps.extend(create(published, node));
            }
        }
    }
    steps
}

/// It mirrors this pod, of this node; a node's object that was made again has another UID.
fn is_current(mirror: &Mirror, published: &Published, node: Option<&str>) -> bool {
    let is_owned = node.is_none() || mirror.owner.as_deref() == node;
    !mirror.is_leaving && is_owned && mirror.hash.as_ref() == Some(&published.pod.uid)
}

fn create(published: &Arc<Published>, node: Option<&str>) -> Option<Step> {
    (node.is_some() && !published.terminating).then(|| Step::Create(Arc::clone(published)))
}

fn delete(mirror: &Mirror) -> Step {
    Step::Delete { namespace: mirror.namespace.clone(), name: mirror.name.clone(), uid: mirror.uid.clone() }
}

fn upload(mirror: &Mirror, published: &Published) -> Option<Step> {
    let patch = status_patch(&published.status, &mirror.uid, mirror.status.as_ref())?;
    Some(Step::Upload { namespace: mirror.namespace.clone(), name: mirror.name.clone(), patch })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use k8s_openapi::api::core::v1 as api;
    use serde_json::json;

    use super::*;
    use crate::runner::pod;

    const NODE: Option<&str> = Some("node-uid");

    fn published(terminating: bool) -> Arc<Published> {
        let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: a, uid: static},
            spec: {hostNetwork: true, containers: [{name: a, image: image}]}}";
        let pod = pod::decode(manifest.as_bytes(), &std::path::PathBuf::from("/a.yaml").into(), "n1").unwrap();
        let status = api::PodStatus { phase: Some("Running".to_owned()), ..api::PodStatus::default() };
        Arc::new(Published { pod: Arc::new(pod), seen: Timestamp::UNIX_EPOCH, status, terminating })
    }

    fn view(published: Option<&Arc<Published>>) -> View {
        let pods: BTreeMap<_, _> = published.map(|one| (one.pod.full_name(), Arc::clone(one))).into_iter().collect();
        View { known: Some(pods.keys().cloned().collect()), pods }
    }

    fn mirror(hash: Option<&str>, owner: &str, is_leaving: bool) -> BTreeMap<String, Mirror> {
        let pod = json!({
            "metadata": {
                "name": "a-n1", "namespace": "default", "uid": "u", "resourceVersion": "1",
                "annotations": hash.map(|hash| json!({ "kubernetes.io/config.mirror": hash })),
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": owner, "controller": true }],
                "deletionTimestamp": is_leaving.then_some("2027-01-15T08:00:00Z"),
            },
            "status": { "phase": "Running" },
        });
        let mirror = Mirror::of(&serde_json::from_value(pod).unwrap()).unwrap();
        [(mirror.full_name(), mirror)].into()
    }

    /// The names of the steps.
    fn steps(view: &View, mirrors: &BTreeMap<String, Mirror>, node: Option<&str>) -> Vec<&'static str> {
        let name = |step: Step| match step {
            Step::Create(_) => "create",
            Step::Delete { .. } => "delete",
            Step::Upload { .. } => "upload",
        };
        decide(view, mirrors, node).into_iter().map(name).collect()
    }

    #[test]
    fn case_144_mirrors_are_made_replaced_and_removed() {
        let (runs, ends) = (published(false), published(true));
        let none = BTreeMap::new();
        let (own, other) = (Some("static"), Some("another"));
        for (pod, mirrors, node, expected) in [
            (Some(&runs), none.clone(), NODE, &["create"][..]),
            (Some(&runs), none.clone(), None, &[]),
            (Some(&ends), none.clone(), NODE, &[]),
            (None, none, NODE, &[]),
            (Some(&runs), mirror(own, "node-uid", false), NODE, &[]),
            (Some(&runs), mirror(own, "node-uid", false), None, &[]),
            (Some(&runs), mirror(own, "node-uid", true), NODE, &["delete", "create"]),
            (Some(&runs), mirror(other, "node-uid", false), NODE, &["delete", "create"]),
            (Some(&runs), mirror(own, "old-uid", false), NODE, &["delete", "create"]),
            (Some(&ends), mirror(own, "node-uid", true), NODE, &[]),
            (Some(&ends), mirror(other, "node-uid", false), NODE, &[]),
            (Some(&runs), mirror(None, "node-uid", false), NODE, &[]),
            (None, mirror(own, "node-uid", false), NODE, &["delete"]),
            (None, mirror(own, "node-uid", false), None, &["delete"]),
            (None, mirror(None, "node-uid", false), NODE, &[]),
        ] {
            assert_eq!(steps(&view(pod), &mirrors, node), expected, "{pod:?} {mirrors:?} {node:?}");
        }
    }

    #[test]
    fn an_orphan_is_one_when_every_source_has_spoken() {
        let mirrors = mirror(Some("static"), "node-uid", false);
        let unknown = View { known: None, ..view(None) };
        assert!(steps(&unknown, &mirrors, NODE).is_empty());
        let coming = View { known: Some(BTreeSet::from(["a-n1_default".to_owned()])), ..view(None) };
        assert!(steps(&coming, &mirrors, NODE).is_empty(), "its worker is about to put it up");
    }

    #[test]
    fn case_147_a_status_goes_to_the_mirror_while_the_pod_ends_too() {
        for terminating in [false, true] {
            let mut pod = published(terminating);
            Arc::make_mut(&mut pod).status.phase = Some("Failed".to_owned());
            let mirrors = mirror(Some("static"), "node-uid", false);
            let step = decide(&view(Some(&pod)), &mirrors, NODE).remove(0);
            let patch = json!({ "metadata": { "uid": "u" }, "status": { "phase": "Failed" } });
            let (namespace, name) = ("default".to_owned(), "a-n1".to_owned());
            assert_eq!(step, Step::Upload { namespace, name, patch });
        }
    }
}
