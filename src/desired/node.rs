//! How this node is marked as one of the control plane: labels and taints on its Node object [5.4].
//!
//! Nobody may have registered the node yet. It is made then, with the marks and nothing else: the runner, which gives
//! it the rest, leaves out the label `kubernetes.io/os`, too, so that no DaemonSet and no addon comes to a node where
//! nobody would run it.

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Map, Value, json};

use crate::config::{Config, defaults};

const ROLE: &str = "node-role.kubernetes.io/control-plane";
const OLD_ROLE: &str = "node-role.kubernetes.io/master";
/// Load balancers of the cloud send nothing to it.
const NO_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What the Node object has to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    pub node: String,
    /// Each with an empty value.
    pub labels: Vec<&'static str>,
    pub taints: Vec<Taint>,
}

impl Marks {
    pub fn of(config: &Config) -> Marks {
        let version = &config.kubernetes_version;
        let mut labels = vec![ROLE, NO_LOAD_BALANCERS];
        if version.has_master_label() {
            labels.push(OLD_ROLE);
        }
        let mut taints = config.node.taints.clone();
        let (key, effect) = defaults::TAINT;
        let default = Taint { key: key.to_owned(), effect: effect.to_owned(), ..Taint::default() };
        if version.has_master_taint() && taints == [default.clone()] {
            taints.push(Taint { key: OLD_ROLE.to_owned(), ..default });
        }
        Marks { node: config.node.name.clone(), labels, taints }
    }

    /// The Node for a cluster that does not have it yet.
    pub fn object(&self) -> Value {
        let mut node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": self.node, "labels": self.label_map() },
        });
        if !self.taints.is_empty() {
            node["spec"] = json!({ "taints": self.taints });
        }
        node
    }

    /// A merge patch that gives `found` what it lacks, `None` when it lacks nothing. Our taints come first, then those
    /// that others have set, the cluster's controllers above all. The patch holds for this state of the node only.
    pub fn patch(&self, found: &Node) -> Option<Value> {
        let labels = found.metadata.labels.clone().unwrap_or_default();
        let has_labels = self.labels.iter().all(|label| labels.get(*label).is_some_and(String::is_empty));
        let taints = found.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        let (same, others): (Vec<_>, Vec<_>) =
            taints.partition(|found| self.taints.iter().any(|ours| is_same(found, ours)));
        let has_taints =
            self.taints.iter().all(|ours| same.iter().any(|found| is_same(found, ours) && found.value == ours.value));
        if has_labels && has_taints {
            return None;
        }
        let mut patch = json!({ "metadata": { "resourceVersion": found.metadata.resource_version } });
        if !has_labels {
            patch["metadata"]["labels"] = Value::Object(self.label_map());
        }
        if !has_taints {
            patch["spec"] = json!({ "taints": self.taints.iter().chain(others).collect::<Vec<_>>() });
        }
        Some(patch)
    }

    fn label_map(&self) -> Map<String, Value> {
        self.labels.iter().map(|label| ((*label).to_owned(), json!(""))).collect()
    }
}

/// A node has one taint with this key and effect at most.
fn is_same(a: &Taint, b: &Taint) -> bool {
    a.key == b.key && a.effect == b.effect
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn taint(text: &str) -> Taint {
        let (key, effect) = text.split_once(':').unwrap();
        let (key, value) = key.split_once('=').map_or((key, None), |(key, value)| (key, Some(value.to_owned())));
        Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None }
    }

    fn marks(taints: &[&str]) -> Marks {
        Marks { node: "n1".to_owned(), labels: vec![ROLE], taints: taints.iter().map(|text| taint(text)).collect() }
    }

    fn node(labels: &[&str], taints: &[&str]) -> Node {
        let taints: Vec<_> = taints.iter().map(|text| taint(text)).collect();
        let labels: Map<_, _> = labels.iter().map(|label| ((*label).to_owned(), json!(""))).collect();
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node", "spec": { "taints": taints },
            "metadata": { "name": "n1", "resourceVersion": "7", "labels": labels },
        }))
        .unwrap()
    }

    /// The taints that a node ends up with, as far as the patch speaks of them.
    fn patched(marks: &Marks, node: &Node) -> Option<Vec<String>> {
        let taints: Vec<Taint> = serde_json::from_value(marks.patch(node)?["spec"]["taints"].clone()).ok()?;
        let text = |taint: Taint| match taint.value {
            Some(value) => format!("{}={value}:{}", taint.key, taint.effect),
            None => format!("{}:{}", taint.key, taint.effect),
        };
        Some(taints.into_iter().map(text).collect())
    }

    #[test]
    fn others_taints_stay_behind_ours() {
        for (ours, found, expected) in [
            (&["a:NoSchedule"][..], &[][..], &["a:NoSchedule"][..]),
            (&["a:NoSchedule", "b:NoSchedule"], &["b:NoSchedule"], &["a:NoSchedule", "b:NoSchedule"]),
            (&["a:NoSchedule"], &["u:NoExecute"], &["a:NoSchedule", "u:NoExecute"]),
            (&["a:NoSchedule", "b=x:NoExecute"], &["b=y:NoExecute", "a:NoExecute"], {
                &["a:NoSchedule", "b=x:NoExecute", "a:NoExecute"]
            }),
        ] {
            assert_eq!(patched(&marks(ours), &node(&[ROLE], found)).unwrap(), expected, "{ours:?} {found:?}");
        }
    }

    #[test]
    fn where_nothing_is_missing_nothing_is_sent() {
        for (ours, found) in [
            (&["a:NoSchedule"][..], &["a:NoSchedule"][..]),
            (&["a:NoSchedule"], &["u:NoExecute", "a:NoSchedule"]),
            (&[], &["u:NoExecute"]),
            (&[], &[]),
        ] {
            assert_eq!(marks(ours).patch(&node(&[ROLE, "other"], found)), None, "{ours:?} {found:?}");
        }
    }

    #[test]
    fn a_patch_speaks_of_what_is_missing_and_of_one_state_alone() {
        let patch = marks(&["a:NoSchedule"]).patch(&node(&[], &["a:NoSchedule"])).unwrap();
        assert_eq!(patch, json!({ "metadata": { "resourceVersion": "7", "labels": { ROLE: "" } } }));
        let patch = marks(&["a:NoSchedule"]).patch(&node(&[ROLE], &[])).unwrap();
        assert_eq!(patch["metadata"], json!({ "resourceVersion": "7" }));
    }

    #[test]
    fn a_new_node_has_the_marks_and_nothing_else() {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "labels": { ROLE: "" } },
            "spec": { "taints": [{ "key": "a", "effect": "NoSchedule" }] },
        });
        assert_eq!(marks(&["a:NoSchedule"]).object(), node);
        assert!(marks(&[]).object().get("spec").is_none());
    }
}
