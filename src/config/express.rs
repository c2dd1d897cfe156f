//! The resolved configuration in the words of the API: what a file would have to say to mean the same.

use super::file::v1beta4::{
    API_VERSION, ApiEndpoint, ApiServer, Arg, BootstrapToken, ClusterConfiguration, Component, Dns, Etcd, ExternalEtcd,
    HostPathMount, InitConfiguration, LocalEtcd, Networking, NodeRegistration, Patches, Proxy, Timeouts,
};
use super::{Config, TokenExpiry, TokenSource, duration};
use crate::image::policy::PullPolicy;
use crate::secret::Secret;

/// What belongs to this node and this run. A token that nobody named is left out: it is another one each time.
pub fn init_configuration(config: &Config) -> InitConfiguration {
    let node = &config.node;
    InitConfiguration {
        api_version: API_VERSION.to_owned(),
        kind: "InitConfiguration".to_owned(),
        bootstrap_tokens: config.bootstrap_tokens.iter().map(bootstrap_token).collect(),
        dry_run: config.dry_run,
        node_registration: NodeRegistration {
            name: node.name.clone(),
            cri_socket: node.cri_socket.clone(),
            taints: Some(node.taints.clone()),
            kubelet_extra_args: args(&node.kubelet_extra_args),
            ignore_preflight_errors: config.ignore_preflight_errors.clone(),
            image_pull_policy: match node.image_pull_policy {
                PullPolicy::Always => "Always",
                PullPolicy::IfNotPresent => "IfNotPresent",
                PullPolicy::Never => "Never",
            }
            .to_owned(),
            image_pull_serial: Some(node.image_pull_serial),
        },
        local_api_endpoint: ApiEndpoint {
            advertise_address: config.local_api_endpoint.advertise_address.to_string(),
            bind_port: Some(config.local_api_endpoint.bind_port.into()),
        },
        certificate_key: config.certificate_key.clone(),
        skip_phases: config.skip_phases.clone(),
        patches: config
            .patches_directory
            .as_ref()
            .map(|directory| Patches { directory: directory.to_string_lossy().into_owned() }),
        timeouts: timeouts(&config.timeouts),
    }
}

fn bootstrap_token(token: &super::BootstrapToken) -> BootstrapToken {
    let (ttl, expires) = match token.expires {
        TokenExpiry::Never => (Some(duration::format(std::time::Duration::ZERO)), None),
        TokenExpiry::After(ttl) => (Some(duration::format(ttl)), None),
        TokenExpiry::At(moment) => (None, Some(moment.to_string())),
    };
    BootstrapToken {
        token: match token.source {
            TokenSource::Given => Some(Secret::new(format!("{}.{}", token.id, token.secret.reveal()))),
            TokenSource::Generated => None,
        },
        description: token.description.clone(),
        ttl,
        expires,
        usages: token.usages.clone(),
        groups: token.groups.clone(),
    }
}

fn timeouts(timeouts: &super::Timeouts) -> Timeouts {
    let super::Timeouts {
        control_plane_component_health_check,
        kubernetes_api_call,
        kubelet_health_check,
        etcd_api_call,
        tls_bootstrap,
        discovery,
        upgrade_manifests,
    } = *timeouts;
    Timeouts {
        control_plane_component_health_check: Some(duration::format(control_plane_component_health_check)),
        kubelet_health_check: Some(duration::format(kubelet_health_check)),
        kubernetes_api_call: Some(duration::format(kubernetes_api_call)),
        etcd_api_call: Some(duration::format(etcd_api_call)),
        tls_bootstrap: Some(duration::format(tls_bootstrap)),
        discovery: Some(duration::format(discovery)),
        upgrade_manifests: Some(duration::format(upgrade_manifests)),
    }
}

/// What is the same on every node of the control plane; `kubeadm-config` records it.
pub fn cluster_configuration(config: &Config) -> ClusterConfiguration {
    let super::Component { extra_args, extra_volumes, extra_envs } = &config.api_server.component;
    ClusterConfiguration {
        api_version: API_VERSION.to_owned(),
        kind: "ClusterConfiguration".to_owned(),
        etcd: etcd(&config.etcd),
        networking: Networking {
            service_subnet: config.networking.service_subnet.clone(),
            pod_subnet: config.networking.pod_subnet.clone(),
            dns_domain: config.networking.dns_domain.clone(),
        },
        kubernetes_version: config.kubernetes_version.to_string(),
        control_plane_endpoint: config.control_plane_endpoint.as_ref().map(ToString::to_string).unwrap_or_default(),
        api_server: ApiServer {
            extra_args: args(extra_args),
            extra_volumes: volumes(extra_volumes),
            extra_envs: extra_envs.clone(),
            cert_sans: config.api_server.cert_sans.clone(),
        },
        controller_manager: component(&config.controller_manager),
        scheduler: component(&config.scheduler),
        dns: Dns {
            image_repository: config.dns.image_repository.clone().unwrap_or_default(),
            image_tag: config.dns.image_tag.clone().unwrap_or_default(),
            disabled: config.dns.disabled,
        },
        proxy: Proxy { disabled: config.proxy_disabled },
        certificates_dir: config.certificates_dir.to_string_lossy().into_owned(),
        image_repository: config.image_repository.clone(),
        feature_gates: config.feature_gates.clone(),
        cluster_name: config.cluster_name.clone(),
        encryption_algorithm: config.encryption_algorithm.name().to_owned(),
        certificate_validity_period: Some(duration::format(config.certificate_validity_period)),
        ca_certificate_validity_period: Some(duration::format(config.ca_certificate_validity_period)),
    }
}

fn etcd(etcd: &super::Etcd) -> Etcd {
    match etcd {
        super::Etcd::Local(local) => Etcd { local: Some(local_etcd(local)), external: None },
        super::Etcd::External(external) => Etcd { local: None, external: Some(external_etcd(external)) },
    }
}

fn external_etcd(etcd: &super::ExternalEtcd) -> ExternalEtcd {
    let text = |path: Option<&std::path::PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
    let client = etcd.client.as_ref();
    ExternalEtcd {
        endpoints: etcd.endpoints.clone(),
        http_endpoints: etcd.http_endpoints.clone(),
        ca_file: text(etcd.ca_file.as_ref()).unwrap_or_default(),
        cert_file: text(client.map(|client| &client.cert_file)).unwrap_or_default(),
        key_file: text(client.map(|client| &client.key_file)).unwrap_or_default(),
    }
}

fn local_etcd(etcd: &super::LocalEtcd) -> LocalEtcd {
    LocalEtcd {
        image_repository: etcd.image_repository.clone().unwrap_or_default(),
        image_tag: etcd.image_tag.clone().unwrap_or_default(),
        data_dir: etcd.data_dir.to_string_lossy().into_owned(),
        extra_args: args(&etcd.extra_args),
        extra_envs: etcd.extra_envs.clone(),
        server_cert_sans: etcd.server_cert_sans.clone(),
        peer_cert_sans: etcd.peer_cert_sans.clone(),
    }
}

fn component(component: &super::Component) -> Component {
    Component {
        extra_args: args(&component.extra_args),
        extra_volumes: volumes(&component.extra_volumes),
        extra_envs: component.extra_envs.clone(),
    }
}

fn args(args: &[super::Arg]) -> Vec<Arg> {
    args.iter().map(|arg| Arg { name: arg.name.clone(), value: arg.value.clone() }).collect()
}

fn volumes(volumes: &[super::HostPathMount]) -> Vec<HostPathMount> {
    let written = |volume: &super::HostPathMount| HostPathMount {
        name: volume.name.clone(),
        host_path: volume.host_path.clone(),
        mount_path: volume.mount_path.clone(),
        read_only: volume.read_only,
        path_type: volume.path_type.clone(),
    };
    volumes.iter().map(written).collect()
}
