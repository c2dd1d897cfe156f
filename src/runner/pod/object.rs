//! PURE: the API's own Pod behind a static pod: what stands in its manifest, the defaults, and what the kubelet adds to
//! it [1.E]. It is what others see of the pod: an API server, and whoever asks the runner for its pods.
//!
//! It is kept as compact JSON: the API's types take many times as much memory, and are only needed when somebody asks.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as api;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::Value;

use crate::error::{Context, Result};
use crate::runner::source::Kind;

/// The annotation that holds the static pod's UID [1.45].
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// `file` or `http` [1.45].
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// When this runner first saw the pod [1.45].
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

/// A pod without a status, with the static UID, the node's name and the annotations `config.hash` and `config.source`.
#[derive(Clone, PartialEq, Eq)]
pub struct Object(Arc<str>);

impl Object {
    /// `pod` is defaulted and validated, with its suffixed name and its namespace.
    pub(super) fn new(pod: &api::Pod, identity: Identity<'_>) -> Result<Object> {
        let mut pod = pod.clone();
        pod.metadata.uid = Some(identity.uid.to_owned());
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(CONFIG_HASH.to_owned(), identity.uid.to_owned());
        annotations.insert(CONFIG_SOURCE.to_owned(), source_word(identity.source).to_owned());
        if let Some(spec) = &mut pod.spec {
            spec.node_name = Some(identity.node.to_owned());
            if identity.source == Kind::Directory {
                tolerate_everything(spec);
            }
        }
        pod.status = None;
        let text = serde_json::to_string(&pod).context("cannot serialise the pod")?;
        Ok(Object(text.into()))
    }

    /// `None` only for what an older or newer program has kept otherwise.
    pub fn pod(&self) -> Option<api::Pod> {
        serde_json::from_str(&self.0).ok()
    }
}

/// What the kubelet gives a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) uid: &'a str,
    pub(super) node: &'a str,
    pub(super) source: Kind,
}

/// As the annotation `config.source` names a source [1.1].
pub(super) fn source_word(source: Kind) -> &'static str {
    match source {
        Kind::Directory => "file",
        Kind::Url => "http",
    }
}

/// No taint of the node ends a pod that came from a file: one toleration of all of them, once [1.47].
fn tolerate_everything(spec: &mut api::PodSpec) {
    let all = api::Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..api::Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&all) {
        tolerations.push(all);
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // an environment may hold secrets
        f.debug_tuple("Object").field(&format_args!("{} bytes", self.0.len())).finish()
    }
}

/// In a record it stands as the object that it is.
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serde_json::from_str::<Value>(&self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Object, D::Error> {
        let value = Value::deserialize(deserializer)?;
        serde_json::to_string(&value).map(|text| Object(text.into())).map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(source: Kind) -> Object {
        let pod = serde_json::from_value(json!({
            "metadata": { "name": "a-n1", "namespace": "default", "labels": { "role": "web" } },
            "spec": {
                "containers": [{ "name": "a", "image": "image" }],
                "tolerations": [{ "key": "k", "operator": "Exists" }],
            },
            "status": { "phase": "Failed" },
        }));
        Object::new(&pod.unwrap(), Identity { uid: "u", node: "n1", source }).unwrap()
    }

    #[test]
    fn a_pod_has_what_the_kubelet_gives_it() {
        let pod = serde_json::to_value(object(Kind::Directory).pod().unwrap()).unwrap();
        assert_eq!(pod["metadata"]["uid"], "u");
        assert_eq!(pod["metadata"]["labels"], json!({ "role": "web" }));
        assert_eq!(pod["metadata"]["annotations"], json!({ CONFIG_HASH: "u", CONFIG_SOURCE: "file" }));
        assert_eq!(pod["spec"]["nodeName"], "n1");
        let every = json!({ "operator": "Exists", "effect": "NoExecute" });
        assert_eq!(pod["spec"]["tolerations"], json!([{ "key": "k", "operator": "Exists" }, every]));
        assert_eq!(pod.get("status"), None);
        let of_url = object(Kind::Url).pod().unwrap();
        assert_eq!(of_url.spec.unwrap().tolerations.unwrap().len(), 1);
    }

    #[test]
    fn a_toleration_that_is_there_is_not_added_again() {
        let pod = object(Kind::Directory).pod().unwrap();
        let again = Object::new(&pod, Identity { uid: "u", node: "n1", source: Kind::Directory }).unwrap();
        assert_eq!(again.pod().unwrap().spec.unwrap().tolerations.unwrap().len(), 2);
    }

    #[test]
    fn a_record_holds_it_as_an_object() {
        let object = object(Kind::Directory);
        let value = serde_json::to_value(&object).unwrap();
        assert_eq!(value["metadata"]["name"], "a-n1");
        assert_eq!(serde_json::from_value::<Object>(value).unwrap(), object);
        assert!(format!("{object:?}").ends_with("bytes)"));
    }
}
