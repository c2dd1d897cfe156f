//! Who may read what, and that secrets stay where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::manifests::busybox;
use crate::support::components::ECDSA;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::runner::Runner;
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

#[test]
fn nothing_listens_but_what_the_documentation_says() {
    let runner = Runner::new();
    runner.put("idle.yaml", &busybox("idle", "exec sleep 1000", "", ""));
    runner.ready("idle");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md")).unwrap();
    let (_, listens) = page.split_once("## What listens\n").unwrap();
    assert!(
        listens.contains("TCP 10250") && listens.contains("Nothing else of the program listens on a network port.")
    );
    // the registry of the test is no part of the node
    let ports =
        eventually("the node's API", || Some(runner.node.listeners()).filter(|ports| ports.contains(":10250 ")));
    assert_eq!(ports.lines().count(), 2, "{ports}");

    // sockets in the file system: where the page says, and for root alone
    let mut sockets = BTreeSet::new();
    for path in walk(&runner.node.root) {
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            // who may not write to a socket cannot connect to it
            assert_eq!(mode(&path) & 0o022, 0, "{}", path.display());
            let relative = path.strip_prefix(&runner.node.root).unwrap().to_str().unwrap().to_owned();
            sockets.insert(relative);
        }
    }
    for name in ["runner.sock", "cri.sock"] {
        assert!(sockets.remove(&format!("run/bootstrap/{name}")), "{sockets:?}");
        assert!(listens.contains(&format!("`/run/bootstrap/{name}`")), "{name}");
    }
    assert!(listens.contains("`/run/bootstrap/pods`"));
    assert!(sockets.iter().all(|path| path.starts_with("run/bootstrap/pods/")), "{sockets:?}");
    assert_eq!(sockets.len(), 2, "a container's own, and the one that started it: {sockets:?}");
    assert!(listens.contains("`notify.sock`"));
}

/// Every path below a directory, following no link.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let inside = if is_directory { walk(&entry.path()) } else { Vec::new() };
        inside.into_iter().chain([entry.path()]).collect::<Vec<_>>()
    });
    below.collect()
}

#[test]
fn a_pod_reaches_the_runners_sockets_as_root_only() {
    let runner = Runner::new();
    let volume = "  volumes: [{name: run, hostPath: {path: /run/bootstrap}}]\n";
    let mount = "    volumeMounts: [{name: run, mountPath: /host}]\n";
    let script = "curl --silent --unix-socket /host/runner.sock http://runner/; echo curl $?; ls /host; echo end; \
                  exec sleep 1000";
    let pod = |name: &str, user: u32| {
        let security = format!("    securityContext: {{runAsUser: {user}}}\n{mount}");
        busybox(name, script, volume, &security).replace("busybox:1.28", "nginx:mainline")
    };
    runner.put("user.yaml", &pod("user", 1000));
    let told = runner.logged("user", "end\n");
    // curl's word for a connection that is refused
    assert!(told.contains("curl 7\n") && !told.contains("runner.sock\n"), "{told}");
    assert!(told.contains("Permission denied"), "{told}");
    // without a volume there is nothing to reach
    runner.put("none.yaml", &busybox("none", "ls /run/bootstrap; echo end; exec sleep 1000", "", ""));
    assert!(runner.logged("none", "end\n").contains("No such file or directory"));
    // who may write manifests may be root: a pod that mounts the directory as root gets there
    runner.put("root.yaml", &pod("root", 0));
    let told = runner.logged("root", "end\n");
    assert!(!told.contains("curl 7\n") && told.contains("runner.sock\n"), "{told}");
}
