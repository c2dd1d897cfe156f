//! The objects for the nodes of a cluster: addons and the kubelets' configuration.

use bootstrap::config::Config;
use bootstrap::desired::object::{self, Object};
use sha2::{Digest, Sha256};

use crate::manifests::{config, late};

fn find(config: &Config, kind: &str, name: &str) -> Object {
    let objects = object::objects(config, &late()).unwrap();
    objects.into_iter().find(|object| object.kind == kind && object.name == name).unwrap()
}

fn hash(object: &Object) -> Option<&str> {
    object.value["metadata"]["annotations"]["kubeadm.kubernetes.io/component-config.hash"].as_str()
}

/// kubeadm replaces a configuration on an upgrade only if this hash over the values, in the order of their keys, fits.
#[test]
fn generated_configurations_carry_their_hash() {
    for name in ["kubelet-config", "kube-proxy"] {
        let object = find(&config("v1.36.2", ""), "ConfigMap", name);
        let data: std::collections::BTreeMap<String, String> =
            serde_json::from_value(object.value["data"].clone()).unwrap();
        let digest = Sha256::digest(data.into_values().collect::<String>());
        assert_eq!(hash(&object), Some(format!("sha256:{}", hex::encode(digest)).as_str()));
    }
}

#[test]
fn the_users_documents_get_no_hash_and_keep_their_fields() {
    let config = config(
        "v1.36.2",
        "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 42\nrotateCertificates: false\n\
         ---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n\
         iptables:\n  syncPeriod: 90s\n",
    );
    let kubelet = find(&config, "ConfigMap", "kubelet-config");
    assert_eq!(hash(&kubelet), None);
    let kubelet = kubelet.value["data"]["kubelet"].as_str().unwrap().to_owned();
    assert!(kubelet.contains("\nmaxPods: 42\n") && kubelet.contains("\nrotateCertificates: true\n"), "{kubelet}");
    let kube_proxy = find(&config, "ConfigMap", "kube-proxy");
    assert_eq!(hash(&kube_proxy), None);
    let kube_proxy = kube_proxy.value["data"]["config.conf"].as_str().unwrap();
    assert!(kube_proxy.contains("\nmode: nftables\n") && kube_proxy.contains("syncPeriod: 1m30s\n"), "{kube_proxy}");
}

#[test]
fn images_of_addons_follow_the_configuration() {
    let image = |version: &str, fields: &str, kind: &str, name: &str| {
        let object = find(&config(version, fields), kind, name);
        object.value["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let coredns = |version: &str, fields: &str| image(version, fields, "Deployment", "coredns");
    assert_eq!(coredns("v1.36.2", ""), "registry.k8s.io/coredns/coredns:v1.14.2");
    assert_eq!(coredns("v1.20.2", ""), "registry.k8s.io/coredns:1.7.0");
    assert_eq!(coredns("v1.36.2", "imageRepository: m.example/k\n"), "m.example/k/coredns:v1.14.2");
    assert_eq!(coredns("v1.36.2", "dns: {imageRepository: d.example, imageTag: v9}\n"), "d.example/coredns:v9");
    let kube_proxy = image("v1.35.1", "imageRepository: m.example/k\n", "DaemonSet", "kube-proxy");
    assert_eq!(kube_proxy, "m.example/k/kube-proxy:v1.35.1");
}

#[test]
fn disabled_addons_are_not_made() {
    let config = config("v1.36.2", "dns: {disabled: true}\nproxy: {disabled: true}\n");
    let objects = object::objects(&config, &late()).unwrap();
    assert!(objects.iter().all(|object| !matches!(object.kind.as_str(), "Deployment" | "DaemonSet" | "Service")));
}
