//! Text that means something to YAML, templates or shells reaches the components as it was written.

use std::fs;

use serde_json::json;

use crate::support::components::ECDSA;
use crate::support::node::Node;

/// Quotes, a line's end, a template, a mapping, comments, an alias, commands, a variable that nobody has, and letters
/// that are not ASCII.
const HOSTILE: &str = "a\"b'c\n  d: {{ e }} # f\t{% if g %} *h `i` $(NOBODY) \\n ; rm j\u{2028}ü😀 ";

fn words(pid: u32, of: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/{of}")).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn hostile_text_reaches_the_components_unchanged() {
    let node = Node::new();
    let text = json!(HOSTILE);
    // flags that take any text, and a variable that nobody reads
    let args = |flag: &str| json!([{"name": flag, "value": HOSTILE}]);
    let envs = json!([{"name": "HOSTILE", "value": HOSTILE}]);
    let init = format!("bootstrapTokens:\n- token: abcdef.0123456789abcdef\n  description: {text}\n");
    let cluster = format!(
        "    extraArgs: {}\n    extraEnvs: {envs}\n\
         apiServer: {{extraEnvs: {envs}}}\n\
         controllerManager: {{extraEnvs: {envs}}}\n\
         scheduler: {{extraEnvs: {envs}}}\n\
         clusterName: {text}\n{ECDSA}",
        args("initial-cluster-token"),
    );
    node.configure(&init, &cluster);
    node.init().succeeds();

    for component in node.identities() {
        let environment = words(component.pid, "environ");
        assert!(environment.contains(&format!("HOSTILE={HOSTILE}")), "{}: {environment:?}", component.name);
        let flag = match component.name.as_str() {
            "etcd" => "--initial-cluster-token",
            "kube-controller-manager" => "--cluster-name",
            _ => continue,
        };
        let command = words(component.pid, "cmdline");
        assert!(command.contains(&format!("{flag}={HOSTILE}")), "{}: {command:?}", component.name);
    }

    let description = ["-n=kube-system", "get", "secret", "bootstrap-token-abcdef", "-o=jsonpath={.data.description}"];
    assert_eq!(decoded(&node.ask(&description)), HOSTILE);
    let recorded = ["-n=kube-system", "get", "cm", "kubeadm-config", "-o=jsonpath={.data.ClusterConfiguration}"];
    let recorded: serde_json::Value = serde_yaml::from_str(&node.ask(&recorded)).unwrap();
    assert_eq!(recorded["clusterName"], text);
    assert_eq!(recorded["scheduler"]["extraEnvs"], envs);
}

fn decoded(base64: &str) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    String::from_utf8(bytes).unwrap()
}
