//! What a kubelet on the node would read.

use bootstrap::config::Config;
use bootstrap::config::facts::Facts;
use bootstrap::config::file::FileInput;
use bootstrap::config::flags::Flags;
use bootstrap::config::resolve::resolve;
use bootstrap::desired::kubelet;
use bootstrap::desired::patch::PatchFile;

use crate::golden;
use crate::manifests::facts;

/// `init` are further lines of the InitConfiguration, with more documents behind them.
fn config(version: &str, init: &str) -> Config {
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: {version}\n---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n{init}"
    );
    resolve(&Flags::default(), Some(FileInput { name: "config.yaml".into(), text }), &facts())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn files(config: &Config, facts: &Facts, patches: &[PatchFile]) -> String {
    let (files, _) = kubelet::files(config, facts, patches).unwrap();
    files.iter().map(|file| format!("# {}\n{}", file.path.display(), file.content)).collect()
}

fn flags(version: &str, init: &str) -> String {
    let text = files(&config(version, init), &facts(), &[]);
    text.lines().find_map(|line| line.strip_prefix("KUBELET_KUBEADM_ARGS=")).unwrap().to_owned()
}

#[test]
fn every_shape_has_its_golden_file() {
    let customised = "nodeRegistration:\n  name: other\n  criSocket: unix:///run/crio/crio.sock\n  kubeletExtraArgs:\n  \
                      - {name: node-ip, value: 10.0.0.5}\n---\napiVersion: kubelet.config.k8s.io/v1beta1\n\
                      kind: KubeletConfiguration\nmaxPods: 42\n";
    golden::check(&[
        ("kubelet-v1.36.2.txt".to_owned(), files(&config("v1.36.2", ""), &facts(), &[])),
        ("kubelet-v1.20.2.txt".to_owned(), files(&config("v1.20.2", ""), &facts(), &[])),
        ("kubelet-customised.txt".to_owned(), files(&config("v1.36.2", customised), &facts(), &[])),
    ]);
}

#[test]
fn flags_are_kubeadms() {
    let node = |lines: &str| format!("nodeRegistration:\n  name: n2\n{lines}");
    for (version, init, expected) in [
        ("v1.36.2", String::new(), r#""""#),
        ("v1.36.2", "nodeRegistration: {name: ' N1 '}\n".to_owned(), r#""""#),
        ("v1.36.2", node(""), r#""--hostname-override=n2""#),
        (
            "v1.36.2",
            node(
                "  kubeletExtraArgs: [{name: v, value: '3'}, {name: hostname-override, value: x}, {name: a, value: b}]\n",
            ),
            r#""--v=3 --hostname-override=x --a=b""#,
        ),
        // a value may hold what the file's reader would stumble over
        (
            "v1.36.2",
            "nodeRegistration: {kubeletExtraArgs: [{name: node-labels, value: \"a=\\\"b\\\\\"}]}\n".to_owned(),
            r#""--node-labels=a=\"b\\""#,
        ),
        (
            "v1.33.0",
            node("  kubeletExtraArgs: [{name: a, value: b}]\n"),
            "\"--a=b --container-runtime-endpoint=unix:///var/run/containerd/containerd.sock --hostname-override=n2 \
             --pod-infra-container-image=registry.k8s.io/pause:3.10\"",
        ),
    ] {
        assert_eq!(flags(version, &init), expected, "{version} {init}");
    }
}

#[test]
fn the_configuration_is_patched_before_the_socket_is_set() {
    let patch = |name: &str, text: &str| PatchFile { path: name.into(), text: text.to_owned() };
    let patches = [
        patch("kubeletconfiguration0.yaml", "maxPods: 50\ncontainerRuntimeEndpoint: unix:///elsewhere\n"),
        patch("kubeletconfiguration1+json.yaml", "- {op: replace, path: /clusterDNS/0, value: 10.1.1.1}\n"),
        patch("kubeletconfiguration2+merge.yaml", "resolvConf: null\nhealthzPort: 1\n"),
    ];
    let text = files(&config("v1.36.2", ""), &facts(), &patches);
    for line in ["maxPods: 50", "10.1.1.1", "healthzPort: 1"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("\ncontainerRuntimeEndpoint: unix:///var/run/containerd/containerd.sock\n"), "{text}");
    let broken = [patch("kubeletconfiguration.yaml", "kind: Pod\n")];
    let error = kubelet::files(&config("v1.36.2", ""), &facts(), &broken).unwrap_err();
    assert!(error.to_string().contains("kubeletconfiguration.yaml"), "{error}");
}

#[test]
fn pods_do_not_get_the_stub_of_systemd_resolved() {
    let resolved = Facts { systemd_resolved: true, ..facts() };
    let text = |init: &str| files(&config("v1.36.2", init), &resolved, &[]);
    assert!(text("").contains("\nresolvConf: /run/systemd/resolve/resolv.conf\n"));
    let own = "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nresolvConf: /own\n";
    assert!(text(own).contains("\nresolvConf: /own\n"));
}
