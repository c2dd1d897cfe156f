//! The cluster's DNS [5.9]: CoreDNS, unless it is disabled. What the configuration cannot say about it and users change
//! in the cluster is kept: how many replicas there are, and the Corefile.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::live::Dns;
use super::{NAMESPACE, Object, render};
use crate::config::{Config, defaults};
use crate::desired::patch::{self, Applied, PatchFile, Target};
use crate::desired::{component_config, template, typed};
use crate::error::{Context, Fault, Result};

/// The label that makes Pods the cluster's DNS.
pub const LABEL: &str = "k8s-app=kube-dns";
pub const CONFIG_MAP: &str = "coredns";
pub const COREFILE: &str = "Corefile";
/// Of a new cluster [5.9].
const REPLICAS: i32 = 2;

/// Its objects, unless it is disabled, and the patches that its Deployment got [3.11].
pub fn objects(config: &Config, live: &Dns, patches: &[PatchFile]) -> Result<(Vec<Object>, Vec<Applied>)> {
    if config.dns.disabled {
        return Ok((Vec::new(), Vec::new()));
    }
    let corefile = corefile(config)?;
    let values = json!({
        "corefile": corefile,
        "image": image(config),
        "master_taint": config.kubernetes_version.has_master_taint(),
        "cluster_ip": component_config::cluster_dns(config),
        "replicas": replicas(live)?,
    });
    let mut objects = render("objects/coredns.yaml", &values)?;
    if live.keeps_corefile(&corefile) {
        objects.retain(|object| object.kind != "ConfigMap");
    }
    let mut applied = Vec::new();
    for object in objects.iter_mut().filter(|object| object.kind == "Deployment") {
        let check = |value: &Value| deployment(value).map(drop);
        applied = patch::apply(Target::CoreDnsDeployment, &mut object.value, patches, check)?;
        if !applied.is_empty() {
            let deployment = deployment(&object.value).map_err(Fault::usage)?;
            let mut value = serde_json::to_value(deployment).context("cannot write a Deployment")?;
            typed::rewrite(&mut value);
            *object = Object::from_value(value)?;
        }
    }
    Ok((objects, applied))
}

/// What of the user's is kept.
pub(super) fn remarks(config: &Config, live: &Dns) -> Result<Vec<String>> {
    let keeps = !config.dns.disabled && live.keeps_corefile(&corefile(config)?);
    Ok(keeps
        .then(|| format!("ConfigMap `{NAMESPACE}/{CONFIG_MAP}` is kept: its `{COREFILE}` was changed in the cluster"))
        .into_iter()
        .collect())
}

fn corefile(config: &Config) -> Result<String> {
    let values = json!({
        "domain": config.networking.dns_domain,
        "caches_own_zone": config.kubernetes_version.dns_caches_own_zone(),
    });
    template::render("objects/Corefile", &values)
}

/// Only the public registry keeps CoreDNS a level deeper [10.3].
pub(in crate::desired) fn image(config: &Config) -> String {
    let repository = config.dns.image_repository.as_ref().unwrap_or(&config.image_repository);
    let deeper = repository == defaults::IMAGE_REPOSITORY && config.kubernetes_version.has_coredns_repository();
    let directory = if deeper { "/coredns" } else { "" };
    let tag = config.dns.image_tag.as_deref().unwrap_or(config.kubernetes_version.coredns_tag());
    format!("{repository}{directory}/coredns:{tag}")
}

fn replicas(live: &Dns) -> Result<i32> {
    match live.deployments.as_slice() {
        [] => Ok(REPLICAS),
        [(_, replicas)] => Ok(*replicas),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| format!("`{name}`")).collect();
            let message =
                format!("several Deployments in `{NAMESPACE}` have the label `{LABEL}`: {}", names.join(", "));
            Err(Fault::failed(message)
                .hint("delete all but one of them, or leave DNS alone with `--skip-phases=addon/coredns`")
                .into())
        }
    }
}

/// The Deployment that a patched one is, or what is wrong with it: it must stay the object that is applied.
fn deployment(value: &Value) -> Result<Deployment, String> {
    let deployment: Deployment = serde_path_to_error::deserialize(value)
        .map_err(|error| format!("it is no Deployment: `{}`: {}", error.path(), error.inner()))?;
    match (deployment.metadata.name.as_deref(), deployment.metadata.namespace.as_deref()) {
        (Some("coredns"), Some(NAMESPACE)) => Ok(deployment),
        _ => Err("it is not `kube-system/coredns` any more".to_owned()),
    }
}
