//! Pods and Deployments as kubeadm writes them again after a patch [3.11]: read into Go's types and written from those.
//!
//! A field that a Go type holds by value is left out while it is zero; one that it holds by pointer is written as it
//! was given. Quantities have one form. Where a map's keys are the user's, nothing is left out.

use serde_json::Value;

use crate::config::quantity;

/// Texts that Go always writes, or holds by pointer.
const TEXTS_KEPT: [&str; 7] = ["name", "key", "type", "mountPath", "topologyKey", "service", "localhostProfile"];
/// Go holds every other one by pointer.
const BOOLS_BY_VALUE: [&str; 8] =
    ["hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "paused"];
const NUMBERS_BY_VALUE: [&str; 7] = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "hostPort",
    "minReadySeconds",
];
/// Their keys are the user's.
const MAPS: [&str; 5] = ["annotations", "labels", "matchLabels", "nodeSelector", "volumeAttributes"];
const MAPS_OF_QUANTITIES: [&str; 3] = ["limits", "requests", "overhead"];
const QUANTITIES: [&str; 2] = ["sizeLimit", "divisor"];
/// The values of headers are always written, those of variables and tolerations are not.
const HEADERS: &str = "httpHeaders";

/// Leaves out what Go leaves out, and writes quantities as Go does.
pub(super) fn rewrite(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(fields) => fields.retain(|name, value| {
            match name.as_str() {
                name if MAPS_OF_QUANTITIES.contains(&name) => {
                    value.as_object_mut().into_iter().flatten().for_each(|(_, quantity)| canonicalise(quantity));
                }
                name if QUANTITIES.contains(&name) => canonicalise(value),
                name if MAPS.contains(&name) || name == HEADERS => {}
                _ => rewrite(value),
            }
            !is_left_out(name, value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_left_out(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() && !TEXTS_KEPT.contains(&name),
        Value::Bool(value) => !value && BOOLS_BY_VALUE.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && NUMBERS_BY_VALUE.contains(&name),
        Value::Array(items) => items.is_empty() && name != "containers",
        Value::Object(fields) => fields.is_empty() && (MAPS.contains(&name) || MAPS_OF_QUANTITIES.contains(&name)),
    }
}

/// What is no quantity stays as it is; whoever reads it complains.
fn canonicalise(value: &mut Value) {
    let text = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Some(written) = quantity::canonical(text.trim()) {
        *value = written.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zeros_are_left_out_where_go_holds_them_by_value() {
        for (given, written) in [
            (json!({"hostNetwork": false, "hostUsers": false}), json!({"hostUsers": false})),
            (json!({"priority": 0, "tolerations": []}), json!({"priority": 0})),
            (json!({"containers": [], "volumes": []}), json!({"containers": []})),
            (
                json!({"containers": [{"name": "a", "tty": false, "command": [], "imagePullPolicy": ""}]}),
                json!({"containers": [{"name": "a"}]}),
            ),
            (
                json!({"volumeMounts": [{"mountPath": "/a", "name": "a", "readOnly": false, "subPath": ""}]}),
                json!({"volumeMounts": [{"mountPath": "/a", "name": "a"}]}),
            ),
            (
                json!({"livenessProbe": {"initialDelaySeconds": 0, "terminationGracePeriodSeconds": 0}}),
                json!({"livenessProbe": {"terminationGracePeriodSeconds": 0}}),
            ),
            (
                json!({"securityContext": {"privileged": false, "runAsUser": 0}}),
                json!({"securityContext": {"privileged": false, "runAsUser": 0}}),
            ),
            (json!({"env": [{"name": "A", "value": ""}]}), json!({"env": [{"name": "A"}]})),
            (
                json!({"httpGet": {"httpHeaders": [{"name": "A", "value": ""}], "host": ""}}),
                json!({"httpGet": {"httpHeaders": [{"name": "A", "value": ""}]}}),
            ),
            (json!({"labels": {"a": ""}, "annotations": {}}), json!({"labels": {"a": ""}})),
            (json!({"hostPath": {"path": "/a", "type": ""}}), json!({"hostPath": {"path": "/a", "type": ""}})),
            (json!({"a": {}, "b": null}), json!({"a": {}})),
        ] {
            let mut value = given;
            rewrite(&mut value);
            assert_eq!(value, written);
        }
    }

    #[test]
    fn quantities_have_one_form() {
        let mut value = json!({
            "resources": {"requests": {"cpu": "2000m", "memory": "1024Mi"}, "limits": {"cpu": 0.5, "memory": "0.5Gi"}},
            "emptyDir": {"sizeLimit": "1024Mi"},
            "resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"},
        });
        rewrite(&mut value);
        let written = json!({
            "resources": {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
            "emptyDir": {"sizeLimit": "1Gi"},
            "resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"},
        });
        assert_eq!(value, written);
    }
}
