//! PURE: who a static pod is: its name with the node's suffix and the hash that is its revision and, unless the
//! manifest names one, its UID [1.E].
//!
//! The hash has the properties of the kubelet's (content, node and path count; comments, order and spelt-out
//! defaults do not), not its value, which depends on Go's memory layout [1.41].

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::runner::source::Origin;

/// 32 hexadecimal digits that stand for the defaulted pod on this node from this file, or from this URL on any node
/// [1.29].
pub(crate) fn hash(pod: &Pod, node: &str, source: &Origin) -> String {
    let mut content = serde_json::to_value(pod).unwrap_or_default();
    if let Value::Object(fields) = &mut content {
        fields.remove("status");
    }
    let mut text = String::new();
    canonical(&content, &mut text);
    let mut hasher = Sha256::new();
    hasher.update(text);
    match source {
        Origin::File(path) => {
            hasher.update(format!("host:{node}"));
            hasher.update("file:");
            hasher.update(path.as_os_str().as_encoded_bytes());
        }
        Origin::Url(url) => hasher.update(format!("url:{url}")),
    }
    hex::encode(hasher.finalize())[..32].to_owned()
}

/// Sorted, without what is null or empty, so that a later version of the API's types cannot change it.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut present: Vec<_> = fields.iter().filter(|(_, value)| !is_empty(value)).collect();
            present.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in present {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// `etcd` on node `Node-1` is `etcd-node-1` [1.43].
pub(crate) fn suffixed(name: &str, node: &str) -> String {
    format!("{name}-{}", node.to_lowercase())
}
