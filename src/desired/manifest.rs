//! The static pods of the control plane, as kubeadm writes them [3].
//!
//! Values are decided here and in one file for each component; `templates/manifests/static-pod.yaml` shows the shape.
//! What is rendered is parsed into a Pod at once: a slip dies here, before anything is written.

mod api_server;
mod authorization;
pub(super) mod command;
mod controller_manager;
mod etcd;
mod pod;
pub mod rootless;
mod scheduler;
mod url;
mod volume;

use std::fmt;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::Value;

use super::ownership::Ownership;
use super::patch::{self, Applied, PatchFile};
use super::{object, profile, template, typed};
use crate::config::Config;
use crate::config::facts::Facts;
use crate::error::{Context, Fault, Result};
use pod::StaticPod;

pub use pod::proxy_environment;

/// A part of the control plane, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
}

impl Component {
    pub const ALL: [Component; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// The name of the pod, of its one container and of the program in it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    /// The manifest's file name.
    pub fn file_name(self) -> String {
        format!("{}.yaml", self.name())
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone)]
pub struct Manifest {
    pub component: Component,
    pub pod: Pod,
    /// The file's content, in the form a user of kubeadm knows.
    pub yaml: String,
    /// What has to be somebody else's than root's before the component starts.
    pub ownerships: Vec<Ownership>,
}

impl Manifest {
    /// With the patches of its component applied, and which those are [3.11].
    pub fn patched(self, patches: &[PatchFile]) -> Result<(Manifest, Vec<Applied>)> {
        let component = self.component;
        let mut value = serde_json::to_value(&self.pod).context("cannot patch a Pod")?;
        let check = |value: &Value| pod_of(component, value).map(drop);
        let applied = patch::apply(component.into(), &mut value, patches, check)?;
        if applied.is_empty() {
            return Ok((self, applied));
        }
        let pod = pod_of(component, &value).map_err(Fault::usage)?;
        let mut value = serde_json::to_value(pod).context("cannot write a Pod")?;
        typed::rewrite(&mut value);
        let pod = pod_of(component, &value).map_err(Fault::usage)?;
        let yaml = object::to_yaml(&value)?;
        Ok((Manifest { pod, yaml, ..self }, applied))
    }

    /// The component's own container; a patch may put others before it.
    pub fn container(&self) -> Option<&Container> {
        let containers = self.pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        containers.iter().find(|container| container.name == self.component.name())
    }

    /// The images that its containers run from, each once.
    pub fn images(&self) -> Vec<&str> {
        let spec = self.pod.spec.iter();
        let containers = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        let mut images: Vec<&str> = Vec::new();
        for image in containers.filter_map(|container| container.image.as_deref()) {
            if !images.contains(&image) {
                images.push(image);
            }
        }
        images
    }
}

/// The Pod that a patched manifest is, or what is wrong with it.
fn pod_of(component: Component, value: &Value) -> Result<Pod, String> {
    let pod: Pod = serde_path_to_error::deserialize(value)
        .map_err(|error| format!("it is no Pod: `{}`: {}", error.path(), error.inner()))?;
    let manifest = Manifest { component, pod, yaml: String::new(), ownerships: Vec::new() };
    match manifest.container().map(|container| container.image.as_deref().unwrap_or_default()) {
        None => Err(format!("it has no container `{component}`")),
        Some("") => Err(format!("its container `{component}` has no image")),
        Some(_) => Ok(manifest.pod),
    }
}

/// The manifests of the components that run on this node: all four, unless etcd is external.
pub fn manifests(config: &Config, facts: &Facts) -> Result<Vec<Manifest>> {
    let etcd = config.etcd.local().map(|member| etcd::static_pod(config, facts, member));
    let others = [
        api_server::static_pod(config, facts),
        controller_manager::static_pod(config, facts),
        scheduler::static_pod(config, facts),
    ];
    etcd.into_iter().chain(others).map(|values| manifest(config, facts, values)).collect()
}

fn manifest(config: &Config, facts: &Facts, values: StaticPod) -> Result<Manifest> {
    let component = values.component;
    let yaml = template::render("manifests/static-pod.yaml", &values)?;
    let pod = serde_yaml::from_str(&yaml).with_context(|| format!("the manifest of {component} is not a Pod"))?;
    let ownerships = match component {
        _ if config.rootless() => rootless::ownerships(component, config, facts),
        Component::Etcd => profile::etcd_ownership(config).into_iter().collect(),
        _ => Vec::new(),
    };
    Ok(Manifest { component, pod, yaml, ownerships })
}

/// What of the configuration makes manifests that are probably not what the user wants, one sentence each.
pub fn warnings(config: &Config) -> Vec<String> {
    let version = &config.kubernetes_version;
    let tag = config.etcd.local().and_then(|etcd| etcd.image_tag.as_deref());
    let old_etcd = tag.filter(|tag| !version.knows_etcd(Some(tag))).map(|tag| {
        format!("etcd.local.imageTag: etcd `{tag}` does not know the flags that {version} has for etcd 3.6 and later")
    });
    old_etcd.into_iter().chain(authorization::warning(config)).collect()
}

/// The images that the control plane runs, in the order of [`Component::ALL`] [10.3].
pub fn images(config: &Config) -> Vec<String> {
    let runs_here = |component: &Component| *component != Component::Etcd || config.etcd.local().is_some();
    Component::ALL.into_iter().filter(runs_here).map(|component| image(config, component)).collect()
}

pub(super) fn image(config: &Config, component: Component) -> String {
    let repository = &config.image_repository;
    match component {
        Component::Etcd => {
            let local = config.etcd.local();
            let repository = local.and_then(|etcd| etcd.image_repository.as_ref()).unwrap_or(repository);
            let tag = local.and_then(|etcd| etcd.image_tag.as_deref()).unwrap_or(config.kubernetes_version.etcd_tag());
            format!("{repository}/etcd:{tag}")
        }
        _ => format!("{repository}/{component}:{}", config.kubernetes_version.image_tag()),
    }
}
