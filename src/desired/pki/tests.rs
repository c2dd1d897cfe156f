#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::facts::{Facts, TokenSeed};
use crate::config::file::FileInput;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;

fn config(cluster: &str) -> Config {
    let facts = Facts {
        accounts: None,
        identities: None,
        hostname: "n1".to_owned(),
        default_address: Some("10.0.0.5".parse().unwrap()),
        loopback_address: None,
        ca_directories: Vec::new(),
        external_ca: false,
        systemd_resolved: false,
        proxy_environment: Vec::new(),
        now: jiff::Timestamp::UNIX_EPOCH,
        token_seed: TokenSeed::new([0; 32]),
    };
    let text = format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{cluster}");
    resolve(&Flags::default(), Some(FileInput { name: "c".to_owned(), text }), &facts).unwrap()
}

/// Names, then addresses, of one certificate.
fn names(cluster: &str, name: &str) -> String {
    let certificates = certificates(&config(cluster));
    let spec = &certificates.iter().find(|file| file.name == name).unwrap().spec;
    let addresses = spec.ip_addresses.iter().map(ToString::to_string);
    spec.dns_names.iter().cloned().chain(addresses).collect::<Vec<_>>().join(" ")
}

#[test]
fn names_are_sorted_and_addresses_keep_their_order_and_neither_is_there_twice() {
    let usual = "kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local n1 \
                 10.96.0.1 10.0.0.5"
        .to_owned();
    for (cluster, name, expected) in [
        ("", "apiserver", usual.clone()),
        ("apiServer: {certSANs: [10.0.0.5, n1, 010.096.000.001, KUBERNETES]}\n", "apiserver", usual.clone()),
        (
            "apiServer: {certSANs: [Z.example, '*.b.example', 1.2.3.4, 'fd00::1', '::ffff:1.2.3.4']}\n",
            "apiserver",
            format!("*.b.example {} 1.2.3.4 fd00::1", usual.replace("n1 ", "n1 z.example ")),
        ),
        ("controlPlaneEndpoint: a.example:7443\n", "apiserver", format!("a.example {usual}")),
        ("controlPlaneEndpoint: '[fd00::9]:7443'\n", "apiserver", format!("{usual} fd00::9")),
        (
            "networking: {serviceSubnet: 'fd00:1::/112,10.9.0.0/16', dnsDomain: k.example}\n",
            "apiserver",
            usual.replace("cluster.local", "k.example").replace("10.96.0.1", "fd00:1::1"),
        ),
        ("", "etcd-server", "localhost n1 10.0.0.5 127.0.0.1 ::1".to_owned()),
        (
            "etcd: {local: {serverCertSANs: [b, a, 127.0.0.1], peerCertSANs: [c, 1.1.1.1]}}\n",
            "etcd-server",
            "a b localhost n1 10.0.0.5 127.0.0.1 ::1".to_owned(),
        ),
        (
            "etcd: {local: {serverCertSANs: [b, a], peerCertSANs: [c, 1.1.1.1]}}\n",
            "etcd-peer",
            "c localhost n1 10.0.0.5 127.0.0.1 ::1 1.1.1.1".to_owned(),
        ),
        ("", "front-proxy-client", String::new()),
    ] {
        assert_eq!(names(cluster, name), expected, "{name} with {cluster}");
    }
}

#[test]
fn every_leaf_follows_its_authority_and_an_external_etcd_has_none_here() {
    let external = "etcd: {external: {endpoints: ['https://10.0.0.9:2379']}}\n";
    for (cluster, count) in [("", 10), (external, 5)] {
        let mut authorities = Vec::new();
        let certificates = certificates(&config(cluster));
        assert_eq!(certificates.len(), count);
        for file in certificates {
            match file.spec.purpose {
                Purpose::Authority(authority) => authorities.push(authority),
                purpose => assert!(authorities.contains(&purpose.signer().unwrap()), "{}", file.name),
            }
        }
    }
}

#[test]
fn service_addresses_count_from_the_network() {
    let at = |net: &str, index| address_at(&net.parse().unwrap(), index).map(|ip| ip.to_string());
    assert_eq!(at("10.96.0.0/12", 1).as_deref(), Some("10.96.0.1"));
    assert_eq!(at("10.96.0.12/24", 10).as_deref(), Some("10.96.0.10"));
    assert_eq!(at("fd00::/108", 1).as_deref(), Some("fd00::1"));
    assert_eq!(at("10.0.0.0/30", 4), None);
}
