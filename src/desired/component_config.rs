//! KubeletConfiguration and KubeProxyConfiguration: the user's document with kubeadm's defaults filled in [4.7].
//!
//! The defaults are templates. What the user wrote is laid over them; nothing knows the fields of either API besides
//! those that kubeadm sets.

use serde_json::{Map, Value, json};

use super::{pki, template};
use crate::config::{Config, duration};
use crate::error::{Context, Fault, Result};

/// Where every CoreDNS of kubeadm's is: this address of the service network.
const DNS_INDEX: u32 = 10;

/// The address of the cluster's DNS service; empty only where the service network has no room for it.
pub fn cluster_dns(config: &Config) -> String {
    let subnet = config.networking.service_subnets.first();
    subnet.and_then(|subnet| pki::address_at(subnet, DNS_INDEX)).map(|address| address.to_string()).unwrap_or_default()
}

/// The kubelets' configuration. Fails where the user's has another shape than the API.
pub fn kubelet(config: &Config) -> Result<Value> {
    let values = json!({
        "client_ca_file": config.certificates_dir.join("ca.crt").to_string_lossy(),
        "cluster_dns": cluster_dns(config),
        "cluster_domain": config.networking.dns_domain,
    });
    let written = config.component_configs.kubelet.as_ref();
    let mut merged = merged("component-configs/kubelet.yaml", &values, "KubeletConfiguration", written)?;
    // not the user's choice: without it a node drops out of the cluster after a year
    merged["rotateCertificates"] = Value::Bool(true);
    Ok(merged)
}

/// The configuration of every kube-proxy. Fails where the user's has another shape than the API.
pub fn kube_proxy(config: &Config) -> Result<Value> {
    let bind_address = if config.local_api_endpoint.advertise_address.is_ipv4() { "0.0.0.0" } else { "::" };
    let values = json!({ "bind_address": bind_address, "cluster_cidr": config.networking.pod_subnet });
    let written = config.component_configs.kube_proxy.as_ref();
    merged("component-configs/kube-proxy.yaml", &values, "KubeProxyConfiguration", written)
}

fn merged(name: &str, values: &Value, kind: &str, written: Option<&Map<String, Value>>) -> Result<Value> {
    let text = template::render(name, values)?;
    let mut defaults: Value =
        serde_yaml::from_str(&text).with_context(|| format!("the template `{name}` does not make YAML"))?;
    for (field, value) in written.into_iter().flatten() {
        lay_over(&mut defaults[field], value, field)
            .map_err(|misfit| Fault::usage(format!("cannot use the {kind}: {misfit}")))?;
    }
    Ok(defaults)
}

/// Puts `value` in the place of `default`, a map field by field. `null` and empty texts leave the default alone.
fn lay_over(default: &mut Value, value: &Value, path: &str) -> Result<(), String> {
    match (&mut *default, value) {
        (_, Value::Null) => {}
        (Value::String(_), Value::String(text)) if text.is_empty() => {}
        (Value::Object(fields), Value::Object(written)) => {
            for (field, value) in written {
                lay_over(fields.entry(field).or_insert(Value::Null), value, &format!("{path}.{field}"))?;
            }
        }
        (Value::Object(_), _) => return Err(format!("`{path}` has to be a mapping")),
        (Value::Array(_), value) if !value.is_array() => return Err(format!("`{path}` has to be a list")),
        (Value::Bool(_), value) if !value.is_boolean() => return Err(format!("`{path}` has to be true or false")),
        (Value::String(default), Value::String(text)) if default == "0s" => {
            let duration = duration::parse(text).map_err(|reason| format!("`{path}`: {reason}"))?;
            *default = duration::format(duration);
        }
        (Value::String(_), value) if !value.is_string() => return Err(format!("`{path}` has to be a text")),
        (default, value) => *default = value.clone(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn laid_over(default: Value, value: Value) -> Result<Value, String> {
        let mut merged = default;
        lay_over(&mut merged, &value, "x").map(|()| merged)
    }

    #[test]
    fn what_the_user_wrote_wins_field_by_field() {
        for (default, value, expected) in [
            (json!({"a": 1, "b": {"c": true}}), json!({"b": {"d": 2}}), json!({"a": 1, "b": {"c": true, "d": 2}})),
            (json!({"a": true}), json!({"a": false}), json!({"a": false})),
            (json!({"a": "x"}), json!({"a": ""}), json!({"a": "x"})),
            (json!({"a": ["x"]}), json!({"a": ["y", "z"]}), json!({"a": ["y", "z"]})),
            (json!({"a": 3}), json!({"a": null}), json!({"a": 3})),
            (json!({"a": "0s"}), json!({"a": "90s"}), json!({"a": "1m30s"})),
            (json!({"a": null}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ] {
            assert_eq!(laid_over(default, value.clone()), Ok(expected), "{value}");
        }
    }

    #[test]
    fn another_shape_is_refused_with_its_path() {
        for (default, value, reason) in [
            (json!({"a": {"b": 1}}), json!({"a": 1}), "`x.a` has to be a mapping"),
            (json!({"a": []}), json!({"a": "y"}), "`x.a` has to be a list"),
            (json!({"a": true}), json!({"a": "yes"}), "`x.a` has to be true or false"),
            (json!({"a": "y"}), json!({"a": 1}), "`x.a` has to be a text"),
            (
                json!({"a": "0s"}),
                json!({"a": "soon"}),
                "`x.a`: not a duration; write it as in `1h30m`, `90s` or `500ms`",
            ),
        ] {
            assert_eq!(laid_over(default, value), Err(reason.to_owned()));
        }
    }
}
