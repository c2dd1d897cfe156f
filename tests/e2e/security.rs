//! Who may read what, and that secrets stay where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::components::ECDSA;
use crate::support::node::Node;
use crate::support::{Run, picture};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn private_files_are_roots_alone() {
    let node = Node::new();
    node.init().succeeds();
    for (path, facts) in picture(&node.path("etc/kubernetes")) {
        let name = path.to_str().unwrap();
        let expected = match name {
            "manifests" => "40700 0:0",
            "pki" | "pki/etcd" => "40755 0:0",
            _ if name.ends_with(".crt") => "100644 0:0",
            _ => "100600 0:0",
        };
        assert!(facts.starts_with(expected), "{name}: {}", facts.lines().next().unwrap_or_default());
    }
    for (path, expected) in [
        ("var/lib/etcd", 0o700),
        ("var/lib/bootstrap", 0o700),
        ("run/bootstrap", 0o700),
        ("run/bootstrap/runner.sock", 0o600),
        ("var/log/bootstrap-runner.log", 0o600),
    ] {
        assert_eq!(mode(&node.path(path)), expected, "{path}");
    }
}

#[test]
fn no_output_and_no_log_tells_a_secret() {
    let node = Node::new();
    node.configure("bootstrapTokens:\n- token: abcdef.0123456789abcdef\n", ECDSA);
    let mut command = node.init_command();
    // the one secret that an init shows
    command.args(["-vv", "--skip-token-print"]);
    let run = Run::of(command).succeeds();
    let mut told = format!("{}{}", run.stdout, run.stderr);
    for arguments in [&["status", "-o", "json"][..], &["ps"], &["-vv", "status"]] {
        let run = node.run(arguments).succeeds();
        told.push_str(&format!("{}{}", run.stdout, run.stderr));
    }
    for (path, content) in picture(&node.path("var/log")) {
        told.push_str(&format!("{}: {content}\n", path.display()));
    }
    let mut secrets = secrets(&node);
    for arguments in [&["-vv", "certs", "renew", "all", "--no-restart"][..], &["-vv", "certs", "check-expiration"]] {
        let run = node.run(arguments).succeeds();
        told.push_str(&format!("{}{}", run.stdout, run.stderr));
    }
    secrets.extend(self::secrets(&node));
    assert!(secrets.len() > 20, "{}", secrets.len());
    for secret in secrets {
        assert!(!told.contains(&secret), "a secret was told, `{}…`", &secret[..4]);
    }
}

/// Every line of a private key, every key in a kubeconfig, the token's secret half.
fn secrets(node: &Node) -> BTreeSet<String> {
    let mut secrets = BTreeSet::from(["0123456789abcdef".to_owned()]);
    for (path, facts) in picture(&node.path("etc/kubernetes")) {
        let name = path.to_str().unwrap();
        let lines = facts.lines().skip(1);
        if name.ends_with(".key") {
            secrets.extend(lines.filter(|line| !line.contains("-----") && line.len() > 20).map(str::to_owned));
        } else if name.ends_with(".conf") {
            let keys = lines.filter_map(|line| line.trim().strip_prefix("client-key-data: "));
            secrets.extend(keys.map(|key| key[..64].to_owned()));
        }
    }
    secrets
}
