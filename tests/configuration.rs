//! `bootstrap config`, and the page about the configuration: what it lists is what the code has.

mod fields;
mod page;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::golden;
use crate::support::{Bootstrap, Run};

const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
const INIT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n";
const TOKEN: &str = "bootstrapTokens: [{token: abcdef.0123456789abcdef}]\n";

/// A directory with one configuration file.
struct Files(tempfile::TempDir);

impl Files {
    fn with(text: &str) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        fs::write(files.path("config.yaml"), text).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bootstrap config ARGS`, with `FILE` and `NEW` standing for two files of the directory.
    fn config(&self, args: &[&str]) -> Run {
        let place = |arg: &&str| match *arg {
            "FILE" => self.path("config.yaml").display().to_string(),
            "NEW" => self.path("new.yaml").display().to_string(),
            other => other.to_owned(),
        };
        Bootstrap::new(std::iter::once("config".to_owned()).chain(args.iter().map(place))).run()
    }
}

fn documents(text: &str) -> Vec<Value> {
    text.split("---\n").map(|document| serde_yaml::from_str(document).unwrap()).collect()
}

#[test]
fn init_defaults_are_kubeadms() {
    let kinds = "--component-configs=KubeletConfiguration,KubeProxyConfiguration";
    let files = Files::with("");
    let run = files.config(&["print", "init-defaults", kinds]).succeeds();
    assert_eq!(run.stderr, "");
    fs::write(files.path("config.yaml"), &run.stdout).unwrap();
    assert_eq!(files.config(&["validate", "--config", "FILE"]).succeeds().stderr, "");
    golden::check(&[("init_defaults.yaml".to_owned(), run.stdout)]);
}

#[test]
fn the_resolved_configuration_is_a_file_that_means_the_same() {
    let text =
        format!("{INIT}localAPIEndpoint: {{advertiseAddress: 10.0.0.5}}\nnodeRegistration: {{name: N1}}\n{TOKEN}");
    let files = Files::with(&text);
    let once = files.config(&["print", "--config", "FILE"]).succeeds();
    let [init, cluster] = &documents(&once.stdout)[..] else { panic!("{}", once.stdout) };
    assert_eq!(init["nodeRegistration"]["name"], "n1");
    assert_eq!(init["nodeRegistration"]["taints"][0]["effect"], "NoSchedule");
    assert_eq!(init["bootstrapTokens"][0]["token"], "abcdef.0123456789abcdef");
    assert_eq!(cluster["kubernetesVersion"], "v1.36.2");
    fs::write(files.path("config.yaml"), &once.stdout).unwrap();
    let again = files.config(&["print", "--config", "FILE"]).succeeds();
    assert_eq!((again.stdout, again.stderr.as_str()), (once.stdout, ""));
}

#[test]
fn a_token_that_nobody_named_is_not_shown() {
    let flags = ["print", "--apiserver-advertise-address=10.0.0.5", "--pod-network-cidr=10.244.0.0/16"];
    let run = Files::with("").config(&flags).succeeds();
    let [init, cluster] = &documents(&run.stdout)[..] else { panic!("{}", run.stdout) };
    assert_eq!(init["bootstrapTokens"][0]["token"], Value::Null);
    assert_eq!(cluster["networking"]["podSubnet"], "10.244.0.0/16");
    assert!(run.stderr.contains("bootstrapTokens[0].token: nobody named one"), "{}", run.stderr);
}

#[test]
fn a_file_is_validated_whole() {
    let run = Files::with(CLUSTER).config(&["validate", "--config", "FILE"]).succeeds();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("ok\n", ""));
    let join = "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
    let run = Files::with(&format!("{CLUSTER}{join}")).config(&["validate", "--config", "FILE"]).succeeds();
    assert!(run.stderr.contains("JoinConfiguration is not for `init`; the document is ignored"), "{}", run.stderr);
    let text = format!("{CLUSTER}clusterNam: a\ncertificatesDir: b\n---\napiVersion: v1\nkind: ConfigMap\n");
    Files::with(&text).config(&["validate", "--config", "FILE"]).fails(
        2,
        &["config.yaml:3: clusterNam", "config.yaml:4: certificatesDir", "config.yaml:6: ConfigMap of `v1` is not for"],
    );
    let kubelet = "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nsyncFrequency: soon\n";
    let files = Files::with(&format!("{CLUSTER}{kubelet}"));
    files.config(&["validate", "--config", "FILE"]).fails(2, &["KubeletConfiguration", "`syncFrequency`"]);
    files.config(&["validate"]).fails(2, &["--config"]);
}

#[test]
fn an_older_file_is_migrated() {
    let older = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n\
                 apiServer:\n  timeoutForControlPlane: 6m\n  extraArgs: {v: '4', audit-log-path: '-'}\n";
    let files = Files::with(older);
    let run = files.config(&["migrate", "--old-config", "FILE"]).succeeds();
    assert_eq!(run.stderr, "");
    let [init, cluster] = &documents(&run.stdout)[..] else { panic!("{}", run.stdout) };
    assert_eq!(init["apiVersion"], "kubeadm.k8s.io/v1beta4");
    assert_eq!(init["timeouts"]["controlPlaneComponentHealthCheck"], "6m0s");
    assert_eq!(cluster["apiServer"]["extraArgs"][1], serde_json::json!({"name": "v", "value": "4"}));
    assert!(init["nodeRegistration"].get("name").is_none(), "{init}");

    let written = files.config(&["migrate", "--old-config", "FILE", "--new-config", "NEW"]).succeeds();
    assert_eq!((written.stdout.as_str(), fs::read_to_string(files.path("new.yaml")).unwrap()), ("", run.stdout));
    // the new file is one that migrates to itself
    fs::copy(files.path("new.yaml"), files.path("config.yaml")).unwrap();
    let again = files.config(&["migrate", "--old-config", "FILE"]).succeeds();
    assert_eq!(again.stdout, fs::read_to_string(files.path("new.yaml")).unwrap());
}

#[test]
fn a_migrated_file_with_a_secret_is_its_owners() {
    let key = format!("certificateKey: {}\n", "0a".repeat(32));
    for (text, mode) in [(INIT.to_owned(), 0o644), (format!("{INIT}{TOKEN}"), 0o600), (format!("{INIT}{key}"), 0o600)] {
        let files = Files::with(&text);
        files.config(&["migrate", "--old-config", "FILE", "--new-config", "NEW"]).succeeds();
        let permissions = fs::metadata(files.path("new.yaml")).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o7777, mode, "{text}");
    }
}

#[test]
fn nothing_is_lost_in_a_migration() {
    for other in ["kubeadm.k8s.io/v1beta3\nkind: JoinConfiguration", "v1\nkind: ConfigMap"] {
        let files = Files::with(&format!("{CLUSTER}---\napiVersion: {other}\n"));
        let run = files.config(&["migrate", "--old-config", "FILE", "--new-config", "NEW"]);
        run.fails(2, &["config.yaml:4: ", "is not for `init`"]);
        assert!(!files.path("new.yaml").exists());
    }
    let kubelet = "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 50\n";
    let run = Files::with(&format!("{CLUSTER}{kubelet}")).config(&["migrate", "--old-config", "FILE"]).succeeds();
    assert_eq!(documents(&run.stdout)[2]["maxPods"], 50);
}

#[test]
fn images_are_listed_as_kubeadm_lists_them() {
    let base = [
        "registry.k8s.io/kube-apiserver:v1.36.2",
        "registry.k8s.io/kube-controller-manager:v1.36.2",
        "registry.k8s.io/kube-scheduler:v1.36.2",
        "registry.k8s.io/kube-proxy:v1.36.2",
        "registry.k8s.io/coredns/coredns:v1.14.2",
        "registry.k8s.io/pause:3.10.2",
        "registry.k8s.io/etcd:3.6.8-0",
    ];
    let list = |text: &str, args: &[&str]| {
        let args = [&["images", "list"], args].concat();
        let run = Files::with(text).config(&args).succeeds();
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list("", &[]), base);
    let disabled = format!("{CLUSTER}dns: {{disabled: true}}\nproxy: {{disabled: true}}\n");
    assert_eq!(list(&disabled, &["--config", "FILE"]), [base[0], base[1], base[2], base[5], base[6]]);
    let external = format!("{CLUSTER}etcd: {{external: {{endpoints: ['https://etcd:2379']}}}}\n");
    assert_eq!(list(&external, &["--config", "FILE"]), base[..6]);
    let own = format!(
        "{CLUSTER}imageRepository: r.example.com/k8s\ndns: {{imageTag: v1.0.0}}\n\
         etcd: {{local: {{imageRepository: e.example.com, imageTag: 3.6.1-0}}}}\n"
    );
    assert_eq!(
        list(&own, &["--config", "FILE"])[3..],
        [
            "r.example.com/k8s/kube-proxy:v1.36.2",
            "r.example.com/k8s/coredns:v1.0.0",
            "r.example.com/k8s/pause:3.10.2",
            "e.example.com/etcd:3.6.1-0",
        ]
    );
    let older = list("", &["--kubernetes-version=v1.28.15", "--image-repository=a.example.com"]);
    assert_eq!(older[4..], ["a.example.com/coredns:v1.10.1", "a.example.com/pause:3.9", "a.example.com/etcd:3.5.9-0"]);
    for form in ["json", "yaml"] {
        let run = Files::with("").config(&["images", "list", "-o", form]).succeeds();
        let list: Value = serde_yaml::from_str(&run.stdout).unwrap();
        assert_eq!(list["kind"], "Images");
        assert_eq!(list["apiVersion"], "output.kubeadm.k8s.io/v1alpha3");
        assert_eq!(list["images"], serde_json::json!(base));
    }
    let mixed = Files::with(CLUSTER).config(&["images", "list", "--config", "FILE", "--image-repository=a"]);
    mixed.fails(2, &["cannot mix `--config` with `--image-repository`"]);
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let files = Files::with("");
    for (content, says) in [
        (&b"a: b\nc: \xff\n"[..], "config.yaml:2: the configuration is not UTF-8"),
        (&[0xff, 0xfe, b'a', 0], "config.yaml:1: the configuration is not UTF-8"),
        (&b"a:\n\tb: c\n"[..], "config.yaml:2: not valid YAML: tabs"),
    ] {
        fs::write(files.path("config.yaml"), content).unwrap();
        files.config(&["validate", "--config", "FILE"]).fails(2, &[says]);
    }
    for device in ["/dev/zero", "/dev/urandom"] {
        files.config(&["validate", "--config", device]).fails(2, &["has more than 1048576 bytes"]);
    }
    files.config(&["validate", "--config", "/dev/null"]).fails(2, &["holds neither InitConfiguration nor"]);
    files.config(&["validate", "--config", "/"]).fails(2, &["cannot read `/`"]);
}
