//! What should be, as values: certificates, kubeconfigs, manifests, API objects.
//!
//! Pure: nothing in here touches a file, the clock or the network.

pub mod account;
pub mod component_config;
pub mod config_file;
pub mod encryption;
pub mod image_list;
pub mod issue;
pub mod join;
pub mod kubeconfig;
pub mod manifest;
pub mod object;
pub mod patch;
pub mod pki;
pub mod profile;
pub mod template;
pub mod verify;

use k8s_openapi::api::core::v1::EnvVar;

use crate::config::Config;
use crate::config::facts::Facts;
use crate::error::Result;

/// Everything that init makes, as far as it can be known before it is made.
#[derive(Debug)]
pub struct Desired {
    pub config: Config,
    pub certificates: Vec<pki::CertificateFile>,
    pub kubeconfigs: Vec<kubeconfig::KubeconfigFile>,
    pub manifests: Vec<manifest::Manifest>,
    /// Files that a profile adds.
    pub profile_files: Vec<profile::ProfileFile>,
    /// What tells a component of the node's HTTP proxies.
    pub proxy_environment: Vec<EnvVar>,
}

impl Desired {
    /// `patches` are the files of `patches.directory`, in the order of application.
    pub fn new(config: Config, facts: &Facts, patches: &[patch::PatchFile]) -> Result<Desired> {
        patch::check(patches)?;
        // the objects that carry these are made when all else is done: too late to find out
        component_config::kubelet(&config)?;
        component_config::kube_proxy(&config)?;
        Ok(Desired {
            certificates: pki::certificates(&config),
            kubeconfigs: kubeconfig::kubeconfigs(&config),
            manifests: manifest::manifests(&config, facts)?
                .into_iter()
                .map(|manifest| manifest.patched(patches))
                .collect::<Result<_>>()?,
            profile_files: profile::files(&config)?,
            proxy_environment: manifest::proxy_environment(facts),
            config,
        })
    }
}
