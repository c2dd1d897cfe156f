//! With plugins that are scripts.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use crate::runner::runtime::{NamespaceOptions, PodMetadata, Protocol, Resources};

struct Node {
    directory: tempfile::TempDir,
    plugins: Plugins,
}

impl Node {
    /// Each plugin is a name and a script.
    fn new(plugins: &[(&str, &str)]) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let mut node = Plugins::new(&Layout::new(directory.path()));
        node.patience = Duration::from_secs(1);
        fs::create_dir_all(&node.configurations).unwrap();
        fs::create_dir_all(&node.search[0]).unwrap();
        for (name, script) in plugins {
            let path = node.search[0].join(name);
            // executing a file that another thread's child still holds for writing would fail
            fs::write(path.with_extension("new"), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(path.with_extension("new"), fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }
        let listed: Vec<_> =
            plugins.iter().map(|(name, _)| json!({ "type": name, "capabilities": { "portMappings": true } })).collect();
        let list = json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": listed });
        fs::write(node.configurations.join("10-pods.conflist"), list.to_string()).unwrap();
        Node { directory, plugins: node }
    }

    fn add(&self) -> Result<Vec<IpAddr>> {
        let config = PodSandboxConfig {
            metadata: PodMetadata { name: "web".into(), namespace: "default".into(), uid: "u1".into() },
            attempt: 0,
            hostname: "web".into(),
            dns: None,
            log_directory: "/nowhere".into(),
            namespaces: NamespaceOptions::default(),
            port_mappings: vec![PortMapping {
                protocol: Protocol::Udp,
                container_port: 53,
                host_port: 5353,
                host_ip: None,
            }],
            sysctls: Default::default(),
            cgroup_parent: Default::default(),
            resources: Resources::default(),
            labels: Default::default(),
            annotations: Default::default(),
        };
        let configuration = self.plugins.configuration().unwrap().unwrap();
        self.plugins.add("s1", &config, Path::new("/proc/self/ns/net"), configuration)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    fn attachments(&self) -> Vec<String> {
        names(&self.plugins.attachments).unwrap()
    }
}

/// Keeps what it gets in files that are named after plugin and command.
const RECORDER: &str = r#"cd "$(dirname "$0")/../../.."
name=$(basename "$0")-$CNI_COMMAND
cat > "$name.in"
echo "$CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS $CNI_PATH" > "$name.env"
echo "$name" >> order
[ $CNI_COMMAND = DEL ] || echo "{\"by\": \"$name\", \"ips\": [{\"address\": \"10.7.0.9/24\"}]}""#;

#[test]
fn a_chain_is_run_forth_and_back() {
    let node = Node::new(&[("first", RECORDER), ("second", RECORDER)]);
    assert_eq!(node.add().unwrap(), ["10.7.0.9".parse::<IpAddr>().unwrap()]);
    let search = std::env::join_paths(&node.plugins.search).unwrap().into_string().unwrap();
    let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;\
                     K8S_POD_INFRA_CONTAINER_ID=s1;K8S_POD_UID=u1";
    assert_eq!(node.read("first-ADD.env"), format!("s1 /proc/self/ns/net eth0 {arguments} {search}\n"));
    let input = |name: &str| serde_json::from_str::<Value>(&node.read(name)).unwrap();
    assert_eq!(input("first-ADD.in").get("prevResult"), None);
    assert_eq!(input("second-ADD.in")["prevResult"]["by"], "first-ADD");
    let mapping = json!([{ "hostPort": 5353, "containerPort": 53, "protocol": "udp" }]);
    assert_eq!(input("second-ADD.in")["runtimeConfig"]["portMappings"], mapping);
    // the node's configuration changes; what was made is undone as it was made, by another runner
    fs::remove_file(node.plugins.configurations.join("10-pods.conflist")).unwrap();
    assert_eq!(node.plugins.configuration().unwrap(), None);
    node.plugins.delete_unless(|id| id == "s1").unwrap();
    assert_eq!(node.attachments(), ["s1.json"]);
    node.plugins.delete_unless(|_| false).unwrap();
    assert_eq!(input("first-DEL.in")["prevResult"]["by"], "second-ADD");
    assert_eq!(node.read("order"), "first-ADD\nsecond-ADD\nsecond-DEL\nfirst-DEL\n");
    assert!(node.attachments().is_empty());
    node.plugins.delete("s1").unwrap();
    assert_eq!(node.read("order").lines().count(), 4, "there is nothing to undo any more");
}

#[test]
fn a_failure_is_told_and_undone() {
    let fails =
        r#"[ $CNI_COMMAND = DEL ] || { echo '{"code": 11, "msg": "not now", "details": "ask later"}'; exit 1; }"#;
    let node = Node::new(&[("first", RECORDER), ("fails", fails)]);
    assert_eq!(
        chain_of(&node.add().unwrap_err()),
        "cannot connect the pod to network `pods`: CNI plugin `fails` cannot ADD: not now: ask later (code 11)"
    );
    assert_eq!(node.read("order"), "first-ADD\nfirst-DEL\n");
    assert!(node.attachments().is_empty());
}

#[test]
fn what_cannot_be_undone_now_is_undone_later() {
    let stubborn = r#"cd "$(dirname "$0")"; [ $CNI_COMMAND = ADD ] && echo '{"ips": [{"address": "10.7.0.9/24"}]}' && exit
[ -e allowed ] || { echo no >&2; exit 3; }"#;
    let node = Node::new(&[("stubborn", stubborn)]);
    node.add().unwrap();
    let error = chain_of(&node.plugins.delete("s1").unwrap_err());
    assert!(error.ends_with("CNI plugin `stubborn` cannot DEL: exit status: 3: no"), "{error}");
    assert_eq!(node.attachments(), ["s1.json"]);
    fs::write(node.plugins.search[0].join("allowed"), "").unwrap();
    // beside what a kill has left of a write
    fs::write(node.plugins.attachments.join(".s2.json.bootstrap-new"), "{").unwrap();
    node.plugins.delete_unless(|_| false).unwrap();
    assert!(!node.plugins.attachments.exists());
}

#[test]
fn nobody_waits_for_ever_or_believes_anything() {
    // what it runs itself keeps its output open
    let error = chain_of(&Node::new(&[("slow", "sleep 600 & wait")]).add().unwrap_err());
    assert!(error.ends_with("CNI plugin `slow` cannot ADD: it has not ended within 1 s"), "{error}");
    let error = chain_of(&Node::new(&[("mute", "true")]).add().unwrap_err());
    assert!(error.contains("the result of CNI plugin `mute` is no JSON"), "{error}");
    let error = chain_of(&Node::new(&[("empty", "echo '{}'")]).add().unwrap_err());
    assert!(error.ends_with("the result has no address of the pod"), "{error}");
    let node = Node::new(&[("gone", "true")]);
    fs::remove_file(node.plugins.search[0].join("gone")).unwrap();
    let error = chain_of(&node.add().unwrap_err());
    assert!(error.contains("CNI plugin `gone` cannot ADD: there is no such program in `"), "{error}");
    fs::write(node.plugins.configurations.join("00-first.conf"), "{").unwrap();
    let error = chain_of(&node.plugins.configuration().unwrap_err());
    assert!(error.contains("00-first.conf` is no CNI configuration: "), "{error}");
}
