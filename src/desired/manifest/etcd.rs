//! etcd: one stacked member, the first of its cluster [3.4].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::command::{Defaults, last};
use super::pod::{Endpoint, Parts, StaticPod, merged_environment};
use super::volume::Volume;
use super::{Component, url};
use crate::config::facts::Facts;
use crate::config::{Config, LocalEtcd};
use crate::layout::port;
use crate::release::EtcdRelease;

pub(super) fn static_pod(config: &Config, facts: &Facts, etcd: &LocalEtcd) -> StaticPod {
    let release = config.kubernetes_version.etcd(etcd.image_tag.as_deref());
    let data = Volume::directory("etcd-data", &etcd.data_dir);
    // as kubeadm puts it together: a slash at the end of the directory stays
    let certificates = Volume::directory("etcd-certs", format!("{}/etcd", config.certificates_dir.display()));
    let (liveness, readiness, startup) = release.probe_paths();
    let metrics = metrics_endpoint(last(&etcd.extra_args, "listen-metrics-urls"), loopback(config));
    let mut requests = vec![("cpu", "100m"), ("memory", "100Mi")];
    if config.kubernetes_version.etcd_requests_ephemeral_storage() {
        requests.insert(1, ("ephemeral-storage", "100Mi"));
    }
    StaticPod::new(
        config,
        facts,
        Parts {
            component: Component::Etcd,
            annotation: Some((
                "kubeadm.kubernetes.io/etcd.advertise-client-urls",
                https(advertised(config), port::ETCD_CLIENT),
            )),
            command: flags(config, etcd, &release).command(
                Component::Etcd.name(),
                &etcd.extra_args,
                &config.kubernetes_version,
            ),
            // etcd needs no proxy: its clients and peers are in the cluster
            env: merged_environment(Vec::new(), &etcd.extra_envs),
            endpoint: Endpoint {
                host: Some(metrics.host),
                scheme: metrics.scheme,
                port: metrics.port,
                liveness,
                readiness,
                startup,
            },
            requests,
            mounts: vec![data.clone(), certificates.clone()],
            volumes: vec![certificates, data],
        },
    )
}

/// Where clients on this node find etcd.
pub(super) fn local_client_url(config: &Config) -> String {
    https(loopback(config), port::ETCD_CLIENT)
}

fn flags(config: &Config, etcd: &LocalEtcd, release: &EtcdRelease) -> Defaults {
    let pki = |file: &str| config.pki_file(&format!("etcd/{file}")).to_string_lossy().into_owned();
    let client_url = https(advertised(config), port::ETCD_CLIENT);
    let peer_url = https(advertised(config), port::ETCD_PEER);
    let name = &config.node.name;
    let mut flags = Defaults::default();
    flags.set_all([("client-cert-auth", "true"), ("peer-client-cert-auth", "true"), ("snapshot-count", "10000")]);
    for (flag, file) in [
        ("cert-file", "server.crt"),
        ("key-file", "server.key"),
        ("peer-cert-file", "peer.crt"),
        ("peer-key-file", "peer.key"),
        ("peer-trusted-ca-file", "ca.crt"),
        ("trusted-ca-file", "ca.crt"),
    ] {
        flags.set(flag, pki(file));
    }
    flags.set("listen-client-urls", format!("{},{client_url}", local_client_url(config)));
    flags.set("listen-metrics-urls", format!("http://{}", SocketAddr::new(loopback(config), port::ETCD_METRICS)));
    flags.set("advertise-client-urls", client_url);
    flags.set("initial-cluster", format!("{name}={peer_url}"));
    flags.set("initial-advertise-peer-urls", peer_url.clone());
    flags.set("listen-peer-urls", peer_url);
    flags.set("name", name.clone());
    flags.set("data-dir", etcd.data_dir.to_string_lossy());
    for (flag, value) in release.flags() {
        flags.set(flag, *value);
    }
    flags
}

fn advertised(config: &Config) -> IpAddr {
    config.local_api_endpoint.advertise_address
}

/// The loopback address of the advertised address's family.
fn loopback(config: &Config) -> IpAddr {
    match advertised(config) {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn https(address: IpAddr, port: u16) -> String {
    format!("https://{}", SocketAddr::new(address, port))
}

#[derive(Debug, PartialEq)]
struct MetricsEndpoint {
    scheme: &'static str,
    host: String,
    port: u16,
}

/// Where the first of the `listen-metrics-urls` answers; every part that it does not name keeps its default, and all do
/// where it is no URL.
fn metrics_endpoint(urls: Option<&str>, loopback: IpAddr) -> MetricsEndpoint {
    let mut endpoint = MetricsEndpoint { scheme: "HTTP", host: loopback.to_string(), port: port::ETCD_METRICS };
    let Some(url) = urls.and_then(|urls| url::parse(urls.split(',').next().unwrap_or_default())) else {
        return endpoint;
    };
    if url.scheme == "https" {
        endpoint.scheme = "HTTPS";
    }
    if !url.host.is_empty() {
        endpoint.host = url.host.to_owned();
    }
    if let Ok(port @ 1..) = url.port.parse() {
        endpoint.port = port;
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_follow_the_metrics_url() {
        let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
        for (urls, scheme, host, port) in [
            (None, "HTTP", "127.0.0.1", 2381),
            (Some("https://1.2.3.4:1234,https://4.3.2.1:2381"), "HTTPS", "1.2.3.4", 1234),
            (Some("1.2.3.4"), "HTTP", "127.0.0.1", 2381),
            (Some("http://1.2.3.4"), "HTTP", "1.2.3.4", 2381),
            (Some("https://[::1]:5678"), "HTTPS", "::1", 5678),
            (Some("http://[2001:db8::1]"), "HTTP", "2001:db8::1", 2381),
            (Some("http://0.0.0.0:2381"), "HTTP", "0.0.0.0", 2381),
            (Some("https://1.2.3.4:no"), "HTTP", "127.0.0.1", 2381),
            (Some("https://1.2.3.4:99999"), "HTTPS", "1.2.3.4", 2381),
            (Some("https://1.2.3.4:0"), "HTTPS", "1.2.3.4", 2381),
            (Some("1.2.3.4:99"), "HTTP", "127.0.0.1", 2381),
            (Some("http://:99"), "HTTP", "127.0.0.1", 99),
            (Some(""), "HTTP", "127.0.0.1", 2381),
        ] {
            assert_eq!(metrics_endpoint(urls, v4), MetricsEndpoint { scheme, host: host.to_owned(), port }, "{urls:?}");
        }
        assert_eq!(metrics_endpoint(None, Ipv6Addr::LOCALHOST.into()).host, "::1");
    }
}
