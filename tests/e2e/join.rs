//! A machine joins: what `kubeadm join` does, step by step, with other tools than ours.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::Run;
use crate::support::inspect::eventually;
use crate::support::network::ADDRESS;
use crate::support::node::Node;

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is needed: apt-get install openssl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

/// The body of `kube-public/cluster-info` for somebody who shows no credentials; `authority` is trusted, or everybody.
fn cluster_info(node: &Node, authority: Option<&[u8]>) -> String {
    node.network.enter();
    let url = format!("https://{ADDRESS}:6443/api/v1/namespaces/kube-public/configmaps/cluster-info");
    let client = reqwest::Client::builder().no_proxy();
    let client = match authority {
        None => client.tls_danger_accept_invalid_certs(true),
        Some(pem) => client.tls_certs_only([reqwest::Certificate::from_pem(pem).unwrap()]),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = client.build().unwrap().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    })
}

/// What follows a flag of the command.
fn flag<'a>(command: &'a str, name: &str) -> &'a str {
    let mut words = command.split_whitespace().skip_while(|word| *word != name);
    words.nth(1).unwrap_or_else(|| panic!("no {name} in `{command}`"))
}

/// Verifies the detached signature of cluster-info [8.3] and returns the kubeconfig in it.
fn verified_kubeconfig(map: &str, id: &str, secret: &str) -> Option<String> {
    let map: Value = serde_json::from_str(map).unwrap();
    let signature = map["data"][format!("jws-kubeconfig-{id}")].as_str()?.to_owned();
    let kubeconfig = map["data"]["kubeconfig"].as_str().unwrap().to_owned();
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&kubeconfig));
    let key = format!("hexkey:{}", hex::encode(secret));
    let mac = openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &key, "-binary"], signed.as_bytes());
    assert_eq!(signature, format!("{header}..{}", URL_SAFE_NO_PAD.encode(mac)));
    Some(kubeconfig)
}

/// The pin of an authority, as openssl computes it.
fn pin(authority: &[u8]) -> String {
    let public = openssl(&["x509", "-pubkey", "-noout"], authority);
    let der = openssl(&["pkey", "-pubin", "-outform", "DER"], &public);
    format!("sha256:{}", hex::encode(openssl(&["dgst", "-sha256", "-binary"], &der)))
}

/// Asks for a kubelet's certificate with the token, as a joining kubelet does, and returns it once it is signed.
fn client_certificate(node: &Node, as_token: &[&str], directory: &Path) -> String {
    let request = directory.join("node.csr");
    let key = directory.join("node.key");
    let subject = ["-subj", "/O=system:nodes/CN=system:node:joining"];
    let files = ["-keyout", key.to_str().unwrap(), "-out", request.to_str().unwrap()];
    openssl(&[&["req", "-newkey", "rsa:2048", "-nodes"][..], &subject, &files].concat(), b"");
    let object = serde_json::json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "joining"},
        "spec": {
            "request": STANDARD.encode(fs::read(&request).unwrap()),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "key encipherment", "client auth"],
        },
    });
    let file = directory.join("csr.json");
    fs::write(&file, object.to_string()).unwrap();
    let create = ["create", "--filename", file.to_str().unwrap()];
    node.kubectl(&[as_token, &create].concat()).succeeds();
    let get = ["get", "csr", "joining", "-o=jsonpath={.status.certificate}"];
    eventually("the kubelet's certificate", || {
        let certificate = node.kubectl(&[as_token, &get].concat()).succeeds().stdout;
        (!certificate.is_empty()).then(|| String::from_utf8(STANDARD.decode(certificate).unwrap()).unwrap())
    })
}

#[test]
fn a_machine_joins_with_the_command_that_it_is_told() {
    let node = Node::new();
    node.init().succeeds();
    let command = node.run(&["token", "create", "--ttl=1h", "--print-join-command"]).succeeds().stdout;
    assert!(command.starts_with(&format!("kubeadm join {ADDRESS}:6443 --token ")), "{command}");
    let token = flag(&command, "--token");
    let (id, secret) = token.split_once('.').unwrap();

    // nothing is trusted yet: the signature says that whoever knows the token has made this
    let (map, kubeconfig) = eventually("the signature of cluster-info", || {
        let map = cluster_info(&node, None);
        let kubeconfig = verified_kubeconfig(&map, id, secret)?;
        Some((map, kubeconfig))
    });
    let parsed: Value = serde_yaml::from_str(&kubeconfig).unwrap();
    let cluster = &parsed["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], format!("https://{ADDRESS}:6443"));
    let authority = STANDARD.decode(cluster["certificate-authority-data"].as_str().unwrap()).unwrap();
    assert_eq!(authority, fs::read(node.path("etc/kubernetes/pki/ca.crt")).unwrap());
    assert_eq!(flag(&command, "--discovery-token-ca-cert-hash"), pin(&authority));
    assert_eq!(cluster_info(&node, Some(&authority)), map);

    // with the token, a node gets a certificate of its own
    let directory = node.directory.path();
    let found = directory.join("cluster-info.conf");
    fs::write(&found, &kubeconfig).unwrap();
    let (found, with_token) = (format!("--kubeconfig={}", found.display()), format!("--token={token}"));
    let as_token = [found.as_str(), with_token.as_str()];
    let certificate = client_certificate(&node, &as_token, directory);
    let file = directory.join("node.crt");
    fs::write(&file, &certificate).unwrap();
    openssl(
        &["verify", "-CAfile", node.path("etc/kubernetes/pki/ca.crt").to_str().unwrap(), file.to_str().unwrap()],
        b"",
    );

    // and as that node it reads its configuration, and nobody's secrets
    let certificate = format!("--client-certificate={}", file.display());
    let key = format!("--client-key={}", directory.join("node.key").display());
    let as_node = |arguments: &[&str]| -> Run {
        node.kubectl(&[&[found.as_str(), &certificate, &key, "-n=kube-system"][..], arguments].concat())
    };
    let maps = node.ask(&["-n=kube-system", "get", "configmaps", "--output=name"]);
    let kubelet_config = maps.lines().find(|name| name.starts_with("configmap/kubelet-config")).unwrap();
    assert!(as_node(&["get", kubelet_config, "-o=yaml"]).succeeds().stdout.contains("kind: KubeletConfiguration"));
    let config = as_node(&["get", "configmap/kubeadm-config", "-o=yaml"]).succeeds().stdout;
    assert!(config.contains("kind: ClusterConfiguration"), "{config}");
    assert_ne!(as_node(&["get", "secrets"]).code, 0);

    // a token that is gone opens nothing
    assert!(node.run(&["token", "list"]).succeeds().stdout.contains(token));
    node.run(&["token", "delete", token]).succeeds();
    assert!(!node.run(&["token", "list", "-o", "json"]).succeeds().stdout.contains(id));
    eventually("the end of the token", || {
        (node.kubectl(&[&as_token[..], &["get", "nodes"]].concat()).code != 0).then_some(())
    });
}

/// The values of the Secret in plain text.
fn opened(secret: &Value, key: &str) -> BTreeMap<String, Vec<u8>> {
    let key: [u8; 32] = hex::decode(key).unwrap().try_into().unwrap();
    let open = |sealed: &Value| {
        let sealed = STANDARD.decode(sealed.as_str().unwrap()).unwrap();
        let (nonce, text) = sealed.split_at(12);
        Aes256Gcm::new(&key.into()).decrypt(&Nonce::try_from(nonce).unwrap(), text).unwrap()
    };
    secret["data"].as_object().unwrap().iter().map(|(name, sealed)| (name.clone(), open(sealed))).collect()
}

#[test]
fn another_control_plane_gets_the_certificates_for_two_hours() {
    let node = Node::new();
    node.init().succeeds();
    let config = format!("--config={}", node.config().display());
    let upload = || {
        let told = node.run(&["init", "phase", "upload-certs", "--upload-certs", &config]).succeeds().stdout;
        flag(&told, "--certificate-key").to_owned()
    };
    let token = node.run(&["token", "create"]).succeeds().stdout;
    let with_token = format!("--token={}", token.trim_end());
    let cluster = node.directory.path().join("cluster.conf");
    // who joins has no other credentials than the token
    let admin: Value =
        serde_yaml::from_str(&fs::read_to_string(node.path("etc/kubernetes/admin.conf")).unwrap()).unwrap();
    let nobody = serde_json::json!({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": admin["clusters"][0]["cluster"]}]});
    fs::write(&cluster, nobody.to_string()).unwrap();
    let cluster = format!("--kubeconfig={}", cluster.display());
    let downloaded = || -> Option<Value> {
        let get = ["-n=kube-system", "get", "secret", "kubeadm-certs", "-o=json"];
        let run = node.kubectl(&[&[cluster.as_str(), with_token.as_str()][..], &get].concat());
        (run.code == 0).then(|| serde_json::from_str(&run.stdout).unwrap())
    };
    let owner = |secret: &Value| {
        let owners = secret["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 1, "{owners:?}");
        let name = owners[0]["name"].as_str().unwrap().to_owned();
        let uid = node.ask(&["-n=kube-system", "get", "secret", &name, "-o=jsonpath={.metadata.uid}"]);
        assert_eq!(owners[0]["uid"], uid);
        name
    };
    let (first_key, first) = (upload(), downloaded().unwrap());
    let pki = node.path("etc/kubernetes/pki");
    let files = [
        "ca.crt",
        "ca.key",
        "front-proxy-ca.crt",
        "front-proxy-ca.key",
        "sa.key",
        "sa.pub",
        "etcd/ca.crt",
        "etcd/ca.key",
    ];
    let expected = files.map(|file| (file.replace('/', "-"), fs::read(pki.join(file)).unwrap()));
    assert_eq!(opened(&first, &first_key), BTreeMap::from(expected.clone()));

    // a second upload renews the two hours, under a key of its own
    let (second_key, second) = (upload(), downloaded().unwrap());
    assert_ne!(first_key, second_key);
    assert_eq!(opened(&second, &second_key), BTreeMap::from(expected));
    assert_ne!(owner(&first), owner(&second));
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);

    // with the token that owns it, the Secret goes
    let owner = owner(&second);
    node.run(&["token", "delete", owner.strip_prefix("bootstrap-token-").unwrap()]).succeeds();
    eventually("the end of the uploaded certificates", || downloaded().is_none().then_some(()));
}
