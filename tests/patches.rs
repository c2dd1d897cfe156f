//! Patches do what kubectl does with them.

use std::fs;
use std::process::Command;

use bootstrap::desired::manifest::Component;
use bootstrap::desired::patch::{self, PatchFile, Target};
use serde_json::Value;

use crate::manifests::{self, config, facts, without_nothing};
use crate::support::components::COMPONENTS;
use crate::support::{Bootstrap, Run, picture};

/// For the manifest of kube-apiserver.
const OF_A_POD: &[&str] = &[
    r#"{"metadata": {"labels": {"a": "b", "tier": null}, "annotations": {"$patch": "replace", "c": "d"}}}"#,
    r#"{"metadata": {"finalizers": ["x/b", "x/a"]}}"#,
    r#"{"spec": {"containers": [{"name": "sidecar", "image": "s"}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "image": "i", "command": ["x"], "env": [{"name": "A", "value": "b"}, {"name": "HTTPS_PROXY", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "volumeMounts": [{"mountPath": "/new", "name": "n"}, {"mountPath": "/etc/kubernetes/pki", "readOnly": null}]}], "volumes": [{"name": "n", "emptyDir": {}}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "volumeMounts": [{"mountPath": "/etc/ssl/certs", "$patch": "delete"}]}], "volumes": [{"name": "ca-certs", "$patch": "delete"}]}}"#,
    r#"{"spec": {"volumes": [{"name": "k8s-certs", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}}"#,
    r#"{"spec": {"volumes": [{"$patch": "replace"}, {"name": "only", "emptyDir": {}}]}}"#,
    r#"{"spec": {"$setElementOrder/volumes": [{"name": "k8s-certs"}, {"name": "ca-certs"}, {"name": "n"}], "volumes": [{"name": "n", "emptyDir": {}}]}}"#,
    r#"{"spec": {"tolerations": [{"operator": "Exists"}], "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}], "imagePullSecrets": [{"name": "p"}]}}"#,
    r#"{"spec": {"securityContext": {"$patch": "delete"}, "priorityClassName": null, "dnsConfig": {"nameservers": ["1.1.1.1"]}}}"#,
    r#"{"spec": {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "ports": [{"containerPort": 6443, "hostPort": 6443}, {"containerPort": 1, "name": "one"}], "livenessProbe": {"httpGet": {"path": "/x"}, "initialDelaySeconds": null}}]}}"#,
];

fn kubectl(patch: &str, object: &Value) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("object.json");
    fs::write(&file, object.to_string()).unwrap();
    let own = COMPONENTS.binary("kubectl");
    let mut command = Command::new(if own.exists() { own } else { "kubectl".into() });
    command.args(["patch", "--local", "--type=strategic", "--output=json", "--patch", patch, "--filename"]).arg(file);
    serde_json::from_str(&Run::of(command).succeeds().stdout).unwrap()
}

fn ours(target: Target, patch: &str, object: &Value) -> Value {
    let mut value = object.clone();
    let file = PatchFile { path: format!("{}.json", target.name()).into(), text: patch.to_owned() };
    let applied = patch::apply(target, &mut value, &[file], |_| Ok(())).unwrap();
    assert_eq!(applied.len(), 1);
    value
}

#[test]
fn a_strategic_merge_of_a_pod_is_kubectls() {
    let manifests = bootstrap::desired::manifest::manifests(&config("v1.36.2", ""), &facts()).unwrap();
    let manifest = manifests.iter().find(|manifest| manifest.component == Component::ApiServer).unwrap();
    let pod = serde_json::to_value(&manifest.pod).unwrap();
    for patch in OF_A_POD {
        let outcome = ours(Component::ApiServer.into(), patch, &pod);
        assert_eq!(without_nothing(outcome), without_nothing(kubectl(patch, &pod)), "{patch}");
    }
}

#[test]
fn a_strategic_merge_of_a_deployment_is_kubectls() {
    let objects = bootstrap::desired::object::objects(&config("v1.36.2", ""), &manifests::late()).unwrap();
    let deployment = &objects.iter().find(|object| object.kind == "Deployment").unwrap().value;
    for patch in [
        r#"{"spec": {"replicas": 3, "strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}"#,
        r#"{"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}, "tolerations": null, "containers": [{"name": "coredns", "args": ["-x"], "resources": {"limits": {"memory": "1Gi"}}}]}}}}"#,
        r#"{"spec": {"template": {"spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}, "volumes": [{"name": "v", "emptyDir": {}}]}}}}"#,
    ] {
        let outcome = ours(Target::CoreDnsDeployment, patch, deployment);
        assert_eq!(without_nothing(outcome), without_nothing(kubectl(patch, deployment)), "{patch}");
    }
}

/// A directory of patches, and an init that uses it on a root of its own.
struct Patched {
    patches: tempfile::TempDir,
    root: tempfile::TempDir,
}

impl Patched {
    fn new(files: &[(&str, &str)]) -> Patched {
        let patched = Patched { patches: tempfile::tempdir().unwrap(), root: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            let path = patched.patches.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        patched
    }

    fn init(&self, flags: &[&str]) -> Run {
        let own = [
            format!("--patches={}", self.patches.path().display()),
            format!("--root={}", self.root.path().display()),
            "--node-name=n1".to_owned(),
            "--apiserver-advertise-address=10.0.0.5".to_owned(),
        ];
        Bootstrap::new(["init"].into_iter().chain(flags.iter().copied()).chain(own.iter().map(String::as_str))).run()
    }
}

const SIDECAR: &str = "spec: {containers: [{name: audit, image: audit:1}]}\n";

#[test]
fn a_dry_run_tells_what_was_patched_and_what_was_not_used() {
    let patched = Patched::new(&[
        ("kube-scheduler.yaml", SIDECAR),
        ("more/corednsdeployment+merge.yaml", "spec: {replicas: 1}\n"),
        ("kubeletconfiguration1.yaml", "maxPods: 7\n"),
        ("kube-shceduler.yaml", "a: b\n"),
        ("README.png", "\u{0}"),
    ]);
    let out = patched.root.path().join("out");
    let run = patched.init(&["--dry-run", &format!("--out={}", out.display())]).succeeds();
    for told in [
        "kube-scheduler.yaml` to kube-scheduler\n",
        "applied the merge patch `",
        "corednsdeployment+merge.yaml` to corednsdeployment\n",
        "kube-shceduler.yaml` is not used: its name begins with none of",
        "README.png` is not used: its name ends in neither",
    ] {
        assert!(run.stderr.contains(told), "`{told}` is not in:\n{}", run.stderr);
    }
    let read = |path: &str| fs::read_to_string(out.join(path)).unwrap();
    let scheduler: Value = serde_yaml::from_str(&read("etc/kubernetes/manifests/kube-scheduler.yaml")).unwrap();
    let names: Vec<_> =
        scheduler["spec"]["containers"].as_array().unwrap().iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["audit", "kube-scheduler"]);
    assert!(read("var/lib/kubelet/config.yaml").contains("\nmaxPods: 7\n"));
    let objects = fs::read_dir(out.join("apply")).unwrap().map(|entry| entry.unwrap().path());
    let deployment = objects.into_iter().find(|path| path.to_string_lossy().contains("deployment-coredns")).unwrap();
    assert!(fs::read_to_string(deployment).unwrap().contains("\n  replicas: 1\n"));
    // the image of the sidecar is one of the control plane's
    let plan = patched.init(&["--dry-run"]).succeeds().stdout;
    assert!(plan.contains("pull image audit:1 unless it is present"), "{plan}");
}

#[test]
fn every_patch_at_fault_is_named_before_anything_is_done() {
    let patched = Patched::new(&[
        ("etcd.yaml", "spec: {containers: [{name: etcd, image: [1]}]}\n"),
        ("kube-apiserver.yaml", "spec: {containers: [{name: kube-apiserver, $patch: delete}]}\n"),
        ("kube-scheduler+json.yaml", "- {op: remove, path: /spec/nothing}\n"),
        ("corednsdeployment.yaml", "metadata: {name: other}\n"),
        ("kubeletconfiguration+merge.yaml", "kind: null\n"),
    ]);
    for flags in [&[][..], &["--dry-run"]] {
        patched.init(flags).fails(
            2,
            &[
                "etcd.yaml` makes something else of etcd: it is no Pod: `spec.containers[0].image`",
                "kube-apiserver.yaml` makes something else of kube-apiserver: it has no container `kube-apiserver`",
                "cannot apply the patch `",
                "there is nothing at `/spec/nothing`",
                "corednsdeployment.yaml` makes something else of corednsdeployment: it is not `kube-system/coredns`",
                "kubeletconfiguration+merge.yaml` makes something else of kubeletconfiguration",
            ],
        );
    }
    assert!(picture(patched.root.path()).is_empty());
    Patched::new(&[("etcd+.yaml", ""), ("etcd+foo.yaml", "")]).init(&[]).fails(2, &["etcd+.yaml", "etcd+foo.yaml"]);
}

#[test]
fn a_pod_that_the_runner_would_reject_ends_an_init_and_warns_in_a_dry_run() {
    let patched = Patched::new(&[("kube-scheduler.yaml", "spec: {runtimeClassName: gvisor}\n")]);
    let says = ["the runner rejects kube-scheduler as patched by `", "kube-scheduler.yaml`: ", "runtimeClassName"];
    patched.init(&[]).fails(2, &says);
    assert!(picture(patched.root.path()).is_empty());
    let run = patched.init(&["--dry-run"]).succeeds();
    assert!(says.iter().all(|text| run.stderr.contains(text)), "{}", run.stderr);
}

#[test]
fn the_directory_of_patches_is_a_directory() {
    let patched = Patched::new(&[("etcd.yaml", "a: b\n")]);
    let link = patched.root.path().join("link");
    std::os::unix::fs::symlink(patched.patches.path(), &link).unwrap();
    for path in [link, patched.patches.path().join("etcd.yaml"), "/no/such/directory".into()] {
        let flags = ["init", "--dry-run", "--node-name=n1", "--apiserver-advertise-address=10.0.0.5"];
        Bootstrap::new(flags.into_iter().chain([format!("--patches={}", path.display()).as_str()]))
            .run()
            .fails(2, &["patches.directory: ", &path.display().to_string()]);
    }
    // a link to a file is a file, one to a directory is not walked
    let more = Patched::new(&[]);
    std::os::unix::fs::symlink(patched.patches.path().join("etcd.yaml"), more.patches.path().join("etcd1.yaml"))
        .unwrap();
    std::os::unix::fs::symlink(patched.patches.path(), more.patches.path().join("linked")).unwrap();
    let run = more.init(&["--dry-run"]).succeeds();
    assert!(run.stderr.contains("etcd1.yaml` to etcd") && run.stderr.contains("linked` is not used"), "{}", run.stderr);
}
