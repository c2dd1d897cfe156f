//! The values of what kube-proxy and the kubelets' configuration are rendered from [5.7, 5.9].

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Late, to_yaml};
use crate::config::{Config, defaults};
use crate::desired::{component_config, template};
use crate::error::Result;

pub(super) fn kubelet_config(config: &Config) -> Result<Value> {
    let suffix = config.kubernetes_version.kubelet_config_suffix();
    let kubelet = to_yaml(&component_config::kubelet(config)?)?;
    let hash = config.component_configs.kubelet.is_none().then(|| hash(&[&kubelet]));
    Ok(json!({
        "name": format!("kubelet-config{suffix}"),
        "role": format!("kubeadm:kubelet-config{suffix}"),
        "kubelet": kubelet,
        "hash": hash,
        "token_group": defaults::TOKEN_GROUP,
    }))
}

pub(in crate::desired) fn kube_proxy_image(config: &Config) -> String {
    format!("{}/kube-proxy:{}", config.image_repository, config.kubernetes_version.image_tag())
}

pub(super) fn kube_proxy(config: &Config, late: &Late) -> Result<Value> {
    let proxy_config = to_yaml(&component_config::kube_proxy(config)?)?;
    let proxy_config = proxy_config.trim_end();
    let kubeconfig = template::render("objects/kube-proxy-kubeconfig.yaml", &json!({ "server": config.server() }))?;
    let kubeconfig = kubeconfig.trim_end();
    let hash = config.component_configs.kube_proxy.is_none().then(|| hash(&[proxy_config, kubeconfig]));
    let environment: Vec<Value> = late.proxy_environment.iter().map(variable).collect();
    Ok(json!({
        "config": proxy_config,
        "kubeconfig": kubeconfig,
        "hash": hash,
        "environment": environment,
        "image": kube_proxy_image(config),
        "token_group": defaults::TOKEN_GROUP,
    }))
}

fn variable(variable: &EnvVar) -> Value {
    json!({ "name": variable.name, "value": variable.value })
}

/// Tells kubeadm that it may replace a configuration which nobody changed: over the values in the order of their
/// keys [4.7].
fn hash(values: &[&str]) -> String {
    let mut hash = Sha256::new();
    values.iter().for_each(|value| hash.update(value));
    format!("sha256:{}", hex::encode(hash.finalize()))
}
