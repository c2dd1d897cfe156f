#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::defaults;
use super::problems;

/// What is wrong with a pod of one good container, changed at these JSON pointers.
fn wrong(changes: &[(&str, Value)]) -> Vec<String> {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match pod.pointer_mut(parent).unwrap() {
            Value::Array(items) => items.push(value.clone()),
            parent => parent[name] = value.clone(),
        }
    }
    let mut pod = serde_json::from_value(pod).unwrap();
    defaults::apply(&mut pod);
    problems(&pod)
}

const PORTS: &str = "/spec/containers/0/ports";

fn second(ports: &Value) -> (&'static str, Value) {
    ("/spec/containers/1", json!({"name": "d", "image": "i", "ports": ports}))
}

#[test]
fn host_ports_follow_the_network() {
    let same = json!([{"containerPort": 80}]);
    let other = json!([{"containerPort": 80, "hostPort": 8080}]);
    let network = |own: bool| ("/spec/hostNetwork", json!(!own));
    let must_match = "spec.containers[0].ports[0].hostPort: Invalid value: 8080: must match `containerPort` when `hostNetwork` is true";
    let duplicate = |port: u16| format!("spec.containers[1].ports[0].hostPort: Duplicate value: `{port}`");
    for (own, first, next, expected) in [
        (true, &same, &same, vec![]),
        (true, &other, &same, vec![]),
        (true, &other, &other, vec![duplicate(8080)]),
        (false, &same, &json!([{"containerPort": 81}]), vec![]),
        (false, &same, &same, vec![duplicate(80)]),
        (false, &same, &json!([{"containerPort": 80, "protocol": "UDP"}]), vec![]),
        (false, &same, &json!([{"containerPort": 80, "hostIP": "127.0.0.1"}]), vec![]),
        (false, &other, &same, vec![must_match.to_owned()]),
    ] {
        assert_eq!(wrong(&[network(own), (PORTS, first.clone()), second(next)]), expected, "{own} {first} {next}");
    }
    let unset = wrong(&[(PORTS, same.clone()), second(&same)]);
    assert!(unset.is_empty(), "{unset:?}");
}

#[test]
fn ports_are_checked_wherever_they_are() {
    for (ports, expected) in [
        (json!([{"containerPort": 0}]), "ports[0].containerPort: Required value"),
        (
            json!([{"containerPort": 99999}]),
            "ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535",
        ),
        (json!([{"containerPort": -1}]), "ports[0].containerPort: Invalid value: -1: must be between 1 and 65535"),
        (
            json!([{"containerPort": 1, "hostPort": 65536}]),
            "ports[0].hostPort: Invalid value: 65536: must be between 1 and 65535",
        ),
        (
            json!([{"containerPort": 1, "protocol": "ICMP"}]),
            "ports[0].protocol: Unsupported value: `ICMP`: one of SCTP, TCP, UDP",
        ),
        (
            json!([{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
            "ports[1].name: Duplicate value: `a`",
        ),
        (
            json!([{"containerPort": 1, "name": "a-name-too-long1"}]),
            "ports[0].name: Invalid value: `a-name-too-long1`: must be no more than 15 characters",
        ),
        (
            json!([{"containerPort": 1, "name": "A"}]),
            "ports[0].name: Invalid value: `A`: must contain only lower-case letters, digits and `-`",
        ),
        (
            json!([{"containerPort": 1, "name": "80"}]),
            "ports[0].name: Invalid value: `80`: must contain at least one letter",
        ),
        (
            json!([{"containerPort": 1, "name": "a--b"}]),
            "ports[0].name: Invalid value: `a--b`: must not contain consecutive hyphens",
        ),
        (
            json!([{"containerPort": 1, "name": "a-"}]),
            "ports[0].name: Invalid value: `a-`: must not begin or end with a hyphen",
        ),
        (
            json!([{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
            "ports[1].hostPort: Duplicate value: `5`",
        ),
    ] {
        assert_eq!(wrong(&[(PORTS, ports.clone())]), [format!("spec.containers[0].{expected}")]);
        let init = json!([{"name": "i", "image": "i", "ports": ports}]);
        assert_eq!(wrong(&[("/spec/initContainers", init)]), [format!("spec.initContainers[0].{expected}")]);
    }
    let twice = json!([{"containerPort": 1, "hostPort": 5}]);
    let init = json!([{"name": "i", "image": "i", "ports": twice}, {"name": "j", "image": "i", "ports": twice}]);
    let shared = wrong(&[("/spec/initContainers", init), (PORTS, twice)]);
    assert!(shared.is_empty(), "init containers run one after the other: {shared:?}");
}

#[test]
fn labels_and_annotations_have_names() {
    let form = "must consist of letters, digits, `-`, `_` or `.`, and must start and end with a letter or digit";
    for (field, map, expected) in [
        ("labels", json!({"a b": "x"}), vec![format!("Invalid value: `a b`: name part {form}")]),
        ("labels", json!({"a": "x y"}), vec![format!("Invalid value: `x y`: {form}")]),
        (
            "labels",
            json!({"a": "x".repeat(64)}),
            vec![format!("Invalid value: `{}`: must be no more than 63 characters", "x".repeat(64))],
        ),
        (
            "labels",
            json!({"Example.com/a": ""}),
            vec!["Invalid value: `Example.com/a`: prefix part is not a DNS subdomain".to_owned()],
        ),
        ("annotations", json!({"Example.com/a": "any text: ä\n"}), vec![]),
        ("annotations", json!({"a b": "x"}), vec![format!("Invalid value: `a b`: name part {form}")]),
        ("annotations", json!({"a": "x".repeat(256 << 10)}), vec!["Too long: at most 256 KiB".to_owned()]),
    ] {
        let expected: Vec<_> = expected.iter().map(|problem| format!("metadata.{field}: {problem}")).collect();
        assert_eq!(wrong(&[(&format!("/metadata/{field}"), map)]), expected);
    }
}

#[test]
fn a_volume_has_one_source() {
    let (host, nfs) = (json!({"path": "/x"}), json!({"path": "/", "server": "s"}));
    let more = |index: usize, source: &str| {
        format!("spec.volumes[{index}].{source}: Forbidden: may not specify more than one volume type")
    };
    for (volumes, expected) in [
        (json!([{"name": "v"}]), vec![]),
        (json!([{"name": "v", "hostPath": host}, {"name": "w", "nfs": nfs}]), vec![]),
        (json!([{"name": "v", "hostPath": host, "emptyDir": {}}]), vec![more(0, "hostPath")]),
        (
            json!([{"name": "v"}, {"name": "w", "nfs": nfs, "hostPath": host, "emptyDir": {}}]),
            vec![more(1, "hostPath"), more(1, "nfs")],
        ),
        (json!([{"name": "v", "image": {"reference": "i"}, "projected": {"sources": []}}]), vec![more(0, "image")]),
        (
            json!([{"name": "v", "projected": {"sources": [{"downwardAPI": {}}, {"downwardAPI": {}, "secret": {}}]}}]),
            vec![
                "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(wrong(&[("/spec/volumes", volumes)]), expected);
    }
}

#[test]
fn files_of_variables_lie_in_empty_dirs_of_the_pod() {
    let key = |volume: &str, path: &str, key: &str| json!([{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": volume, "path": path, "key": key}}}]);
    let path = "spec.containers[0].env[0].valueFrom.fileKeyRef";
    let inside = "must be relative, without `..`, and not begin with `..`";
    for (env, expected) in [
        (key("own", "a/b", "A b"), vec![]),
        (key("none", "a", "A"), vec![format!("{path}.volumeName: Not found: `none`")]),
        (
            key("host", "a", "A"),
            vec![format!("{path}.volumeName: Invalid value: `host`: must be a volume of type emptyDir")],
        ),
        (key("own", "/a", "A"), vec![format!("{path}.path: Invalid value: `/a`: {inside}")]),
        (key("own", "a/../b", "A"), vec![format!("{path}.path: Invalid value: `a/../b`: {inside}")]),
        (
            key("own", "", "A=1"),
            vec![format!("{path}.path: Invalid value: ``: {inside}"), format!("{path}.key: Invalid value: `A=1`")],
        ),
        (
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"},
                "fileKeyRef": {"volumeName": "own", "path": "a", "key": "A"}}}]),
            vec!["spec.containers[0].env[0].valueFrom: Invalid value: must specify exactly one source".to_owned()],
        ),
    ] {
        let volumes = json!([{"name": "own", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/x"}}]);
        assert_eq!(wrong(&[("/spec/volumes", volumes), ("/spec/containers/0/env", env.clone())]), expected, "{env}");
    }
}

#[test]
fn what_a_pod_is_called_is_a_name() {
    let long = "h".repeat(65);
    for (changes, expected) in [
        (vec![("hostname", json!("h-1")), ("subdomain", json!("s")), ("setHostnameAsFQDN", json!(true))], vec![]),
        (vec![("hostname", json!("a.b"))], vec!["hostname: Invalid value: `a.b`: not a DNS label".to_owned()]),
        (vec![("hostname", json!("Web"))], vec!["hostname: Invalid value: `Web`: not a DNS label".to_owned()]),
        (vec![("subdomain", json!("-s"))], vec!["subdomain: Invalid value: `-s`: not a DNS label".to_owned()]),
        (
            vec![("hostname", json!(long[..64].to_owned()))],
            vec![format!("hostname: Invalid value: `{}`: not a DNS label", &long[..64])],
        ),
        (vec![("hostname", json!("")), ("hostnameOverride", json!(""))], vec![]),
        (vec![("hostnameOverride", json!("web.example"))], vec![]),
        (
            vec![("hostnameOverride", json!("web_1"))],
            vec!["hostnameOverride: Invalid value: `web_1`: not a DNS subdomain".to_owned()],
        ),
    ] {
        let changes: Vec<_> = changes.into_iter().map(|(field, value)| (format!("/spec/{field}"), value)).collect();
        let changes: Vec<_> = changes.iter().map(|(field, value)| (field.as_str(), value.clone())).collect();
        let expected: Vec<_> = expected.iter().map(|problem| format!("spec.{problem}")).collect();
        assert_eq!(wrong(&changes), expected);
    }
}
