//! The ClusterConfiguration that `kubeadm-config` records: the resolved configuration in the words of the API.

use crate::config::file::v1beta4::{
    API_VERSION, ApiServer, Arg, ClusterConfiguration, Component, Dns, Etcd, ExternalEtcd, HostPathMount, LocalEtcd,
    Networking, Proxy,
};
use crate::config::{self, Config, duration};
use crate::error::Result;

pub(super) fn cluster_configuration(config: &Config) -> Result<String> {
    let config::Component { extra_args, extra_volumes, extra_envs } = &config.api_server.component;
    super::to_yaml(&ClusterConfiguration {
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
    })
}

fn etcd(etcd: &config::Etcd) -> Etcd {
    match etcd {
        config::Etcd::Local(local) => Etcd { local: Some(local_etcd(local)), external: None },
        config::Etcd::External(external) => Etcd { local: None, external: Some(external_etcd(external)) },
    }
}

fn external_etcd(etcd: &config::ExternalEtcd) -> ExternalEtcd {
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

fn local_etcd(etcd: &config::LocalEtcd) -> LocalEtcd {
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

fn component(component: &config::Component) -> Component {
    Component {
        extra_args: args(&component.extra_args),
        extra_volumes: volumes(&component.extra_volumes),
        extra_envs: component.extra_envs.clone(),
    }
}

fn args(args: &[config::Arg]) -> Vec<Arg> {
    args.iter().map(|arg| Arg { name: arg.name.clone(), value: arg.value.clone() }).collect()
}

fn volumes(volumes: &[config::HostPathMount]) -> Vec<HostPathMount> {
    let written = |volume: &config::HostPathMount| HostPathMount {
        name: volume.name.clone(),
        host_path: volume.host_path.clone(),
        mount_path: volume.mount_path.clone(),
        read_only: volume.read_only,
        path_type: volume.path_type.clone(),
    };
    volumes.iter().map(written).collect()
}
