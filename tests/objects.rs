//! Objects that depend on more than the configuration: on what the cluster has already, and on files of the node.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bootstrap::desired::object::live::Dns;
use bootstrap::desired::object::{self, Late, Object};
use bootstrap::error;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::manifests::{config, late};
use crate::support::{Bootstrap, copy_tree};

const KEY: [u8; 32] = [0xa5; 32];

fn dns(deployments: &[(&str, Option<i32>)], config_map: Option<Value>) -> Late {
    let deployments: Vec<Deployment> = deployments
        .iter()
        .map(|(name, replicas)| json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {}, "template": {}}}))
        .map(|value| serde_json::from_value(value).unwrap())
        .collect();
    let config_map: Option<ConfigMap> = config_map.map(|value| serde_json::from_value(value).unwrap());
    let mut late = late();
    late.live.dns = Dns::new(&deployments, config_map.as_ref());
    late
}

fn coredns(late: &Late) -> Vec<Object> {
    object::of_step("addon/coredns", &config("v1.36.2", ""), late).unwrap()
}

#[test]
fn an_existing_dns_keeps_its_replicas() {
    let replicas = |late: &Late| {
        let deployment = coredns(late).into_iter().find(|object| object.kind == "Deployment").unwrap();
        deployment.value["spec"]["replicas"].as_i64().unwrap()
    };
    assert_eq!(replicas(&late()), 2);
    assert_eq!(replicas(&dns(&[("coredns", Some(5))], None)), 5);
    assert_eq!(replicas(&dns(&[("coredns", Some(0))], None)), 0);
    assert_eq!(replicas(&dns(&[("other", Some(3))], None)), 3);
}

#[test]
fn more_than_one_dns_is_refused() {
    let several = dns(&[("coredns", Some(2)), ("kube-dns", Some(1))], None);
    let error = object::of_step("addon/coredns", &config("v1.36.2", ""), &several).unwrap_err();
    assert!(error.to_string().contains("`coredns`, `kube-dns`"), "{error}");
    assert!(error::hint_of(&error).unwrap().contains("--skip-phases=addon/coredns"));
}

#[test]
fn a_corefile_that_somebody_has_changed_is_kept_and_told() {
    let map = |manager: &str| {
        let fields = json!({"f:data": {"f:Corefile": {}}});
        let entry = json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
        json!({"metadata": {"managedFields": [entry]}, "data": {"Corefile": "mine"}})
    };
    let has_map = |late: &Late| coredns(late).iter().any(|object| object.kind == "ConfigMap");
    let remarks = |late: &Late| object::remarks("addon/coredns", &config("v1.36.2", ""), late).unwrap();
    let (changed, ours) = (dns(&[], Some(map("somebody"))), dns(&[], Some(map("bootstrap"))));
    assert!(!has_map(&changed) && remarks(&changed)[0].contains("ConfigMap `kube-system/coredns` is kept"));
    assert!(has_map(&ours) && remarks(&ours).is_empty());
    let disabled = config("v1.36.2", "dns: {disabled: true}\n");
    assert!(object::remarks("addon/coredns", &disabled, &changed).unwrap().is_empty());
}

/// The objects of `upload-certs` that a dry run writes for a node at `root`, by kind.
fn uploaded(root: &Path, fields: &str) -> BTreeMap<String, Value> {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("config.yaml");
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nnodeRegistration: {{name: n1}}\n\
         localAPIEndpoint: {{advertiseAddress: 10.0.0.5}}\ncertificateKey: {}\n---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nencryptionAlgorithm: ECDSA-P256\n{fields}",
        hex::encode(KEY)
    );
    fs::write(&file, text).unwrap();
    let tree = out.path().join("tree");
    let args = ["init", "--dry-run", "--upload-certs"].map(str::to_owned).into_iter();
    let places = [("config", &*file), ("root", root), ("out", &*tree)];
    let places = places.into_iter().map(|(flag, path)| format!("--{flag}={}", path.display()));
    Bootstrap::new(args.chain(places)).run().succeeds();
    copy_tree(&tree, root);
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(tree.join("apply")).unwrap() {
        let object: Value = serde_yaml::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        if name.contains("kubeadm-certs") {
            objects.insert(object["kind"].as_str().unwrap().to_owned(), object);
        } else if name.starts_with("bootstrap-token-") && object["data"]["usage-bootstrap-signing"].is_null() {
            objects.insert("token".to_owned(), object);
        }
    }
    objects
}

/// The Secret's values in plain text, opened by another implementation than the one that sealed them.
fn opened(secret: &Value) -> BTreeMap<String, Vec<u8>> {
    let open = |sealed: &str| {
        let sealed = STANDARD.decode(sealed).unwrap();
        let Some((nonce, text)) = sealed.split_at_checked(12) else { return sealed };
        Aes256Gcm::new(&KEY.into()).decrypt(&Nonce::try_from(nonce).unwrap(), text).unwrap()
    };
    let data = secret["data"].as_object().unwrap();
    data.iter().map(|(key, value)| (key.clone(), open(value.as_str().unwrap()))).collect()
}

#[test]
fn uploaded_certificates_are_the_nodes_files() {
    let root = tempfile::tempdir().unwrap();
    let objects = uploaded(root.path(), "");
    let secret = &objects["Secret"];
    assert_eq!(secret["type"], "Opaque");
    let expected = [
        ("ca.crt", "ca.crt"),
        ("ca.key", "ca.key"),
        ("etcd-ca.crt", "etcd/ca.crt"),
        ("etcd-ca.key", "etcd/ca.key"),
        ("front-proxy-ca.crt", "front-proxy-ca.crt"),
        ("front-proxy-ca.key", "front-proxy-ca.key"),
        ("sa.key", "sa.key"),
        ("sa.pub", "sa.pub"),
    ];
    let pki = root.path().join("etc/kubernetes/pki");
    let expected = expected.map(|(key, file)| (key.to_owned(), fs::read(pki.join(file)).unwrap()));
    assert_eq!(opened(secret), BTreeMap::from(expected));
    // a run with the same key seals anew
    let again = &uploaded(root.path(), "")["Secret"];
    assert_eq!(opened(again), opened(secret));
    assert_ne!(again["data"]["ca.key"], secret["data"]["ca.key"]);
}

#[test]
fn uploaded_certificates_belong_to_a_token_that_opens_nothing() {
    let root = tempfile::tempdir().unwrap();
    let objects = uploaded(root.path(), "");
    let token = &objects["token"];
    let owner = json!([{
        "apiVersion": "v1",
        "blockOwnerDeletion": true,
        "controller": true,
        "kind": "Secret",
        "name": token["metadata"]["name"],
        // the cluster gives it
        "uid": "",
    }]);
    assert_eq!(objects["Secret"]["metadata"]["ownerReferences"], owner);
    let data: BTreeMap<String, String> = serde_json::from_value(token["data"].clone()).unwrap();
    let keys: Vec<_> = data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["description", "expiration", "token-id", "token-secret"]);
    let text = |key: &str| String::from_utf8(STANDARD.decode(&data[key]).unwrap()).unwrap();
    assert_eq!(text("description"), "Proxy for managing TTL for the kubeadm-certs secret");
    let left = text("expiration").parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
    assert!((7000..=7200).contains(&left.as_secs()), "{left}");
    let readers = json!([{"kind": "Group", "name": "system:bootstrappers:kubeadm:default-node-token"}]);
    assert_eq!(objects["RoleBinding"]["subjects"], readers);
    let rule =
        json!([{"apiGroups": [""], "resourceNames": ["kubeadm-certs"], "resources": ["secrets"], "verbs": ["get"]}]);
    assert_eq!(objects["Role"]["rules"], rule);
    assert_eq!(objects["Role"]["metadata"]["name"], "kubeadm:kubeadm-certs");
}

#[test]
fn an_external_etcds_files_are_uploaded_and_what_is_missing_is_empty() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("etc/etcd-client");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("ca.crt"), "authority").unwrap();
    fs::write(place.join("client.crt"), "certificate").unwrap();
    let etcd = "etcd:\n  external:\n    endpoints: ['https://10.0.0.9:2379']\n    caFile: /etc/etcd-client/ca.crt\n\
                \x20   certFile: /etc/etcd-client/client.crt\n    keyFile: /etc/etcd-client/client.key\n";
    let opened = opened(&uploaded(root.path(), etcd)["Secret"]);
    let keys: Vec<_> = opened.keys().filter(|key| key.contains("etcd")).map(String::as_str).collect();
    assert_eq!(keys, ["external-etcd-ca.crt", "external-etcd.crt", "external-etcd.key"]);
    assert_eq!(opened["external-etcd-ca.crt"], b"authority");
    assert_eq!(opened["external-etcd.crt"], b"certificate");
    assert_eq!(opened["external-etcd.key"], b"");
}

#[test]
fn certificates_whose_authority_is_elsewhere_are_not_uploaded() {
    for key in ["ca.key", "front-proxy-ca.key"] {
        let root = tempfile::tempdir().unwrap();
        uploaded(root.path(), "");
        let kubernetes = root.path().join("etc/kubernetes");
        fs::remove_file(kubernetes.join("pki").join(key)).unwrap();
        // they depend on who signs
        fs::remove_dir_all(kubernetes.join("manifests")).unwrap();
        let root = format!("--root={}", root.path().display());
        let flags = ["--node-name=n1", "--apiserver-advertise-address=10.0.0.5", &root];
        let run = |more: &[&str]| Bootstrap::new(["init", "--dry-run"].iter().chain(&flags).chain(more)).run();
        let reason = "can't use upload-certs with an external CA or an external front-proxy CA";
        run(&["--upload-certs"]).fails(2, &["upload-certs: ", reason, key]);
        run(&[]).succeeds();
    }
}
