//! The API `kubeadm.k8s.io/v1beta3`, deprecated, as it is written in files, and what it means in v1beta4 [4.3].
//!
//! Flags are maps here, and become lists in the order of their names. Only what differs from v1beta4 has types of its
//! own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use serde::Deserialize;

use super::v1beta4::{self, Arg};
use crate::config::problem::Origins;
use crate::config::{defaults, duration};
use crate::secret::Secret;

pub const API_VERSION: &str = "kubeadm.k8s.io/v1beta3";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InitConfiguration {
    pub api_version: String,
    pub kind: String,
    pub bootstrap_tokens: Vec<v1beta4::BootstrapToken>,
    pub node_registration: NodeRegistration,
    #[serde(rename = "localAPIEndpoint")]
    pub local_api_endpoint: v1beta4::ApiEndpoint,
    pub certificate_key: Option<Secret>,
    pub skip_phases: Vec<String>,
    pub patches: Option<v1beta4::Patches>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeRegistration {
    pub name: String,
    pub cri_socket: String,
    pub taints: Option<Vec<Taint>>,
    pub kubelet_extra_args: BTreeMap<String, String>,
    pub ignore_preflight_errors: Vec<String>,
    pub image_pull_policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterConfiguration {
    pub api_version: String,
    pub kind: String,
    pub etcd: Etcd,
    pub networking: v1beta4::Networking,
    pub kubernetes_version: String,
    pub control_plane_endpoint: String,
    pub api_server: ApiServer,
    pub controller_manager: Component,
    pub scheduler: Component,
    pub dns: Dns,
    pub certificates_dir: String,
    pub image_repository: String,
    pub feature_gates: BTreeMap<String, bool>,
    pub cluster_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Etcd {
    pub local: Option<LocalEtcd>,
    pub external: Option<ExternalEtcd>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalEtcd {
    pub image_repository: String,
    pub image_tag: String,
    pub data_dir: String,
    pub extra_args: BTreeMap<String, String>,
    #[serde(rename = "serverCertSANs")]
    pub server_cert_sans: Vec<String>,
    #[serde(rename = "peerCertSANs")]
    pub peer_cert_sans: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExternalEtcd {
    pub endpoints: Vec<String>,
    pub ca_file: String,
    pub cert_file: String,
    pub key_file: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApiServer {
    pub extra_args: BTreeMap<String, String>,
    pub extra_volumes: Vec<v1beta4::HostPathMount>,
    #[serde(rename = "certSANs")]
    pub cert_sans: Vec<String>,
    pub timeout_for_control_plane: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Component {
    pub extra_args: BTreeMap<String, String>,
    pub extra_volumes: Vec<v1beta4::HostPathMount>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Dns {
    pub image_repository: String,
    pub image_tag: String,
}

impl InitConfiguration {
    pub(super) fn upgrade(self, origins: &mut Origins) -> v1beta4::InitConfiguration {
        let InitConfiguration {
            api_version: _,
            kind: _,
            bootstrap_tokens,
            node_registration,
            local_api_endpoint,
            certificate_key,
            skip_phases,
            patches,
        } = self;
        let NodeRegistration {
            name,
            cri_socket,
            taints,
            kubelet_extra_args,
            ignore_preflight_errors,
            image_pull_policy,
        } = node_registration;
        v1beta4::InitConfiguration {
            bootstrap_tokens,
            node_registration: v1beta4::NodeRegistration {
                name,
                cri_socket,
                taints,
                kubelet_extra_args: args("nodeRegistration.kubeletExtraArgs", kubelet_extra_args, origins),
                ignore_preflight_errors,
                image_pull_policy,
                image_pull_serial: None,
            },
            local_api_endpoint,
            certificate_key,
            skip_phases,
            patches,
            ..Default::default()
        }
    }
}

impl ClusterConfiguration {
    /// The second value belongs to the other document.
    pub(super) fn upgrade(self, origins: &mut Origins) -> (v1beta4::ClusterConfiguration, HealthCheckTimeout) {
        let ClusterConfiguration {
            api_version: _,
            kind: _,
            etcd: Etcd { local, external },
            networking,
            kubernetes_version,
            control_plane_endpoint,
            api_server: ApiServer { extra_args, extra_volumes, cert_sans, timeout_for_control_plane },
            controller_manager,
            scheduler,
            dns: Dns { image_repository: dns_repository, image_tag: dns_tag },
            certificates_dir,
            image_repository,
            feature_gates,
            cluster_name,
        } = self;
        let cluster = v1beta4::ClusterConfiguration {
            etcd: v1beta4::Etcd {
                local: local.map(|local| local.upgrade(origins)),
                external: external.map(ExternalEtcd::upgrade),
            },
            networking,
            kubernetes_version,
            control_plane_endpoint,
            api_server: v1beta4::ApiServer {
                extra_args: args("apiServer.extraArgs", extra_args, origins),
                extra_volumes,
                extra_envs: Vec::new(),
                cert_sans,
            },
            controller_manager: controller_manager.upgrade("controllerManager", origins),
            scheduler: scheduler.upgrade("scheduler", origins),
            dns: v1beta4::Dns { image_repository: dns_repository, image_tag: dns_tag, disabled: false },
            certificates_dir,
            image_repository,
            feature_gates,
            cluster_name,
            ..Default::default()
        };
        (cluster, HealthCheckTimeout(timeout_for_control_plane))
    }
}

impl LocalEtcd {
    fn upgrade(self, origins: &mut Origins) -> v1beta4::LocalEtcd {
        let LocalEtcd { image_repository, image_tag, data_dir, extra_args, server_cert_sans, peer_cert_sans } = self;
        v1beta4::LocalEtcd {
            image_repository,
            image_tag,
            data_dir,
            extra_args: args("etcd.local.extraArgs", extra_args, origins),
            extra_envs: Vec::new(),
            server_cert_sans,
            peer_cert_sans,
        }
    }
}

impl ExternalEtcd {
    fn upgrade(self) -> v1beta4::ExternalEtcd {
        let ExternalEtcd { endpoints, ca_file, cert_file, key_file } = self;
        v1beta4::ExternalEtcd { endpoints, http_endpoints: Vec::new(), ca_file, cert_file, key_file }
    }
}

impl Component {
    fn upgrade(self, field: &str, origins: &mut Origins) -> v1beta4::Component {
        let Component { extra_args, extra_volumes } = self;
        let extra_args = args(&format!("{field}.extraArgs"), extra_args, origins);
        v1beta4::Component { extra_args, extra_volumes, extra_envs: Vec::new() }
    }
}

/// Flags in the order of their names; a finding about one keeps the name that it has in the file.
fn args(field: &str, written: BTreeMap<String, String>, origins: &mut Origins) -> Vec<Arg> {
    let upgrade = |(index, (name, value)): (usize, (String, String))| {
        for part in ["name", "value"] {
            origins.rename(format!("{field}[{index}].{part}"), format!("{field}.{name}"));
        }
        Arg { name, value }
    };
    written.into_iter().enumerate().map(upgrade).collect()
}

/// `apiServer.timeoutForControlPlane`, which is InitConfiguration's business in v1beta4.
#[derive(Debug, Default)]
pub(super) struct HealthCheckTimeout(Option<String>);

impl HealthCheckTimeout {
    /// Only a value other than zero and the default says anything; it goes before what InitConfiguration says.
    pub(super) fn apply(self, timeouts: &mut v1beta4::Timeouts, origins: &mut Origins) {
        let Some(text) = self.0 else { return };
        let default = defaults::CONTROL_PLANE_COMPONENT_HEALTH_CHECK;
        if duration::parse(&text).is_ok_and(|timeout| timeout.is_zero() || timeout == default) {
            return;
        }
        timeouts.control_plane_component_health_check = Some(text);
        origins.rename("timeouts.controlPlaneComponentHealthCheck", "apiServer.timeoutForControlPlane");
    }
}
