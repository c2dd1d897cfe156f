//! What should be, as values: certificates, kubeconfigs, manifests, API objects.
//!
//! Pure: nothing in here touches a file, the clock or the network.

pub mod account;
pub mod certificate;
pub mod component_config;
pub mod config_file;
pub mod encryption;
pub mod expiration;
pub mod image_list;
pub mod issue;
pub mod join;
pub mod kubeconfig;
pub mod kubelet;
pub mod manifest;
pub mod node;
pub mod object;
pub mod ownership;
pub mod patch;
mod pem;
pub mod pki;
pub mod profile;
pub mod readers;
pub mod renewal;
pub mod seal;
pub mod template;
mod typed;
pub mod verify;

use k8s_openapi::api::core::v1::EnvVar;

use crate::config::Config;
use crate::config::facts::{Allocation, Facts};
use crate::error::{Fault, Result};
use account::Accounts;

/// Everything that init makes, as far as it can be known before it is made.
#[derive(Debug)]
pub struct Desired {
    pub config: Config,
    pub certificates: Vec<pki::CertificateFile>,
    pub kubeconfigs: Vec<kubeconfig::KubeconfigFile>,
    pub manifests: Vec<manifest::Manifest>,
    /// Files that a profile adds.
    pub profile_files: Vec<profile::ProfileFile>,
    /// What a kubelet on this node reads.
    pub kubelet_files: Vec<kubelet::KubeletFile>,
    /// What tells a component of the node's HTTP proxies.
    pub proxy_environment: Vec<EnvVar>,
    /// For the objects, which are made when all else is done.
    pub patches: Vec<patch::PatchFile>,
    /// The patches that have changed something.
    pub applied_patches: Vec<patch::Applied>,
    /// The users and groups that it needs besides root, those that are there and those to be made.
    pub accounts: Option<Allocation>,
    /// What is probably not what the user thinks, one sentence each.
    pub warnings: Vec<String>,
}

/// The users and groups that a configuration needs besides root.
pub fn accounts(config: &Config) -> Option<Accounts> {
    match (config.rootless(), config.gives_etcd_its_data()) {
        (true, _) => Some(manifest::rootless::ACCOUNTS),
        (false, true) => Some(profile::ETCD),
        (false, false) => None,
    }
}

impl Desired {
    /// `patches` are the files of `patches.directory`, in the order of application.
    pub fn new(config: Config, facts: &Facts, patches: &[patch::PatchFile]) -> Result<Desired> {
        // what becomes objects is made when all else is done: too late to find out
        let mut warnings = component_config::warnings(&config)?;
        warnings.extend(manifest::warnings(&config));
        let manifests = manifest::manifests(&config, facts)?;
        let mut patched = Patched::default();
        let manifests = manifests.into_iter().filter_map(|manifest| patched.keep(manifest.patched(patches))).collect();
        let kubelet_files = patched.keep(kubelet::files(&config, facts, patches)).unwrap_or_default();
        // likewise
        patched.keep(object::dns::objects(&config, &Default::default(), patches));
        let applied_patches = patched.finish()?;
        Ok(Desired {
            certificates: pki::certificates(&config),
            kubeconfigs: kubeconfig::kubeconfigs(&config),
            manifests,
            profile_files: profile::files(&config)?,
            kubelet_files,
            proxy_environment: manifest::proxy_environment(facts),
            patches: patches.to_vec(),
            applied_patches,
            accounts: facts.accounts.clone(),
            warnings,
            config,
        })
    }
}

/// Gathers what patches have done, and everything that is wrong with them.
#[derive(Default)]
struct Patched {
    applied: Vec<patch::Applied>,
    problems: Vec<anyhow::Error>,
}

impl Patched {
    fn keep<T>(&mut self, patched: Result<(T, Vec<patch::Applied>)>) -> Option<T> {
        match patched {
            Ok((value, applied)) => {
                self.applied.extend(applied);
                Some(value)
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn finish(mut self) -> Result<Vec<patch::Applied>> {
        if self.problems.len() > 1 {
            let told: Vec<_> = self.problems.iter().map(crate::error::chain_of).collect();
            return Err(Fault::usage(told.join("; ")).into());
        }
        self.problems.pop().map_or(Ok(self.applied), Err)
    }
}
