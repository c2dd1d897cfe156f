//! kube-apiserver [3.5].

use super::command::{Defaults, last};
use super::pod::{Endpoint, Parts, StaticPod, environment};
use super::volume::{Volume, ca_directories, external_etcd_directories, merged};
use super::{Component, authorization, etcd};
use crate::config::facts::Facts;
use crate::config::{Config, Etcd};

pub(super) fn static_pod(config: &Config, facts: &Facts) -> StaticPod {
    let own = &config.api_server.component;
    let mut volumes = ca_directories(facts);
    volumes.push(Volume::directory("k8s-certs", &config.certificates_dir).read_only());
    if let Etcd::External(external) = &config.etcd {
        volumes.extend(external_etcd_directories(external, &config.certificates_dir));
    }
    let volumes = merged(volumes, &own.extra_volumes);
    StaticPod::new(
        config,
        facts,
        Parts {
            component: Component::ApiServer,
            annotation: Some((
                "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint",
                config.local_api_endpoint.to_string(),
            )),
            command: flags(config).command(
                Component::ApiServer.name(),
                &authorization::extra_args(config),
                &config.kubernetes_version,
            ),
            env: environment(facts, &own.extra_envs),
            endpoint: Endpoint {
                host: Some(config.local_api_endpoint.advertise_address.to_string()),
                scheme: "HTTPS",
                port: config.local_api_endpoint.bind_port,
                liveness: "/livez",
                readiness: Some("/readyz"),
                startup: "/livez",
            },
            requests: vec![("cpu", "250m")],
            mounts: volumes.clone(),
            volumes,
        },
    )
}

fn flags(config: &Config) -> Defaults {
    let pki = |file: &str| config.pki_file(file).to_string_lossy().into_owned();
    let extra = &config.api_server.component.extra_args;
    let mut flags = Defaults::default();
    flags.set_all([
        ("allow-privileged", "true"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("enable-bootstrap-token-auth", "true"),
        ("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-username-headers", "X-Remote-User"),
    ]);
    for (flag, file) in [
        ("client-ca-file", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        ("kubelet-client-key", "apiserver-kubelet-client.key"),
        ("proxy-client-cert-file", "front-proxy-client.crt"),
        ("proxy-client-key-file", "front-proxy-client.key"),
        ("requestheader-client-ca-file", "front-proxy-ca.crt"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
    ] {
        flags.set(flag, pki(file));
    }
    // the two exclude each other
    if last(extra, "authorization-config").is_none() {
        flags.set("authorization-mode", authorization::DEFAULT);
    }
    etcd_flags(config, &mut flags);
    flags.set("advertise-address", config.local_api_endpoint.advertise_address.to_string());
    flags.set("secure-port", config.local_api_endpoint.bind_port.to_string());
    flags.set("service-account-issuer", format!("https://kubernetes.default.svc.{}", config.networking.dns_domain));
    flags.set("service-cluster-ip-range", config.networking.service_subnet.clone());
    if config.kubernetes_version.has_insecure_port() {
        flags.set("insecure-port", "0");
    }
    flags
}

/// Where etcd is, and how the API server shows it who it is.
fn etcd_flags(config: &Config, flags: &mut Defaults) {
    match &config.etcd {
        Etcd::Local(local) => {
            let pki = |file: &str| config.pki_file(file).to_string_lossy().into_owned();
            let servers = last(&local.extra_args, "advertise-client-urls");
            flags.set("etcd-servers", servers.map_or_else(|| etcd::local_client_url(config), str::to_owned));
            flags.set("etcd-cafile", pki("etcd/ca.crt"));
            flags.set("etcd-certfile", pki("apiserver-etcd-client.crt"));
            flags.set("etcd-keyfile", pki("apiserver-etcd-client.key"));
        }
        Etcd::External(external) => {
            flags.set("etcd-servers", external.endpoints.join(","));
            if let Some(file) = &external.ca_file {
                flags.set("etcd-cafile", file.to_string_lossy());
            }
            if let Some(client) = &external.client {
                flags.set("etcd-certfile", client.cert_file.to_string_lossy());
                flags.set("etcd-keyfile", client.key_file.to_string_lossy());
            }
        }
    }
}
