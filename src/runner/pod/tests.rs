#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::chain_of;

const ETCD: &str = r#"
# a comment
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  labels: {component: etcd, tier: control-plane}
  name: etcd
  namespace: kube-system
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.5-0
    command: [etcd, --name=node]
    env:
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    livenessProbe:
      failureThreshold: 8
      httpGet: {host: 127.0.0.1, path: /livez, port: probe-port, scheme: HTTP}
      initialDelaySeconds: 10
      timeoutSeconds: 15
    ports: [{containerPort: 2381, name: probe-port, protocol: TCP}]
    resources:
      requests: {cpu: 100m, memory: 100Mi}
      limits: {cpu: 2}
    volumeMounts:
    - {mountPath: /var/lib/etcd, name: etcd-data}
  hostNetwork: true
  priorityClassName: system-node-critical
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  volumes:
  - hostPath: {path: /var/lib/etcd, type: DirectoryOrCreate}
    name: etcd-data
status: {}
"#;

fn read(text: &str) -> Result<Pod> {
    decode(text.as_bytes(), &Origin::File("/etc/kubernetes/manifests/etcd.yaml".into()), "Node-1")
}

fn reason(text: &str) -> String {
    chain_of(&read(text).unwrap_err())
}

#[test]
fn a_kubeadm_manifest_is_read_with_its_defaults() {
    let pod = read(ETCD).unwrap();
    assert_eq!((pod.name.as_str(), pod.namespace.as_str()), ("etcd-node-1", "kube-system"));
    assert_eq!(pod.uid, pod.revision);
    assert_eq!(pod.uid.len(), 32);
    assert_eq!(pod.annotations["kubernetes.io/config.hash"], pod.uid);
    assert!(pod.node_critical);
    assert_eq!(pod.grace, Duration::from_secs(30));
    let container = &pod.containers[0];
    assert_eq!(container.resources.cpu_request, Some(100));
    assert_eq!(container.resources.cpu_limit, Some(2000), "a number is a quantity too");
    assert_eq!(container.resources.memory_request, Some(104_857_600));
    assert_eq!(container.security.seccomp, crate::runner::runtime::SeccompProfile::RuntimeDefault);
    let probe = container.liveness.as_ref().unwrap();
    assert_eq!(probe.period, Duration::from_secs(10));
    assert!(matches!(&probe.check, Check::Http(get) if get.port == 2381 && get.host == "127.0.0.1"));
}

#[test]
fn a_grpc_probe_may_name_a_service() {
    let with = |grpc: &str| {
        let http = "httpGet: {host: 127.0.0.1, path: /livez, port: probe-port, scheme: HTTP}";
        ETCD.replace(http, &format!("grpc: {{{grpc}}}"))
    };
    for (grpc, service) in [("port: 2381", ""), ("port: 2381, service: a.B", "a.B")] {
        let check = Check::Grpc { port: 2381, service: service.to_owned() };
        assert_eq!(read(&with(grpc)).unwrap().containers[0].liveness.as_ref().unwrap().check, check);
    }
    assert_eq!(read(&with("port: 1")).unwrap().revision, read(&with("port: 1, service: \"\"")).unwrap().revision);
    assert_eq!(
        reason(&with("port: 65536")),
        "invalid pod: spec.containers[0].livenessProbe.grpc.port: Invalid value: 65536: must be between 1 and 65535"
    );
}

#[test]
fn the_revision_ignores_form_and_sees_content() {
    let base = read(ETCD).unwrap().revision;
    let same = [
        ETCD.replace("# a comment", ""),
        ETCD.replace("  hostNetwork: true", "  hostNetwork: true\n  restartPolicy: Always\n  dnsPolicy: ClusterFirst"),
        ETCD.replace("  priorityClassName: system-node-critical\n", "")
            .replace("spec:\n", "spec:\n  priorityClassName: system-node-critical\n"),
        ETCD.replace("status: {}", "status: {phase: Running}"),
    ];
    for text in same {
        assert_eq!(read(&text).unwrap().revision, base, "{text}");
    }
    for text in [ETCD.replace("--name=node", "--name=other"), ETCD.replace("tier: control-plane", "tier: x")] {
        assert_ne!(read(&text).unwrap().revision, base);
    }
    let elsewhere = decode(ETCD.as_bytes(), &Origin::File("/other.yaml".into()), "Node-1").unwrap();
    let other_node =
        decode(ETCD.as_bytes(), &Origin::File("/etc/kubernetes/manifests/etcd.yaml".into()), "n2").unwrap();
    assert_ne!(elsewhere.revision, base);
    assert_ne!(other_node.revision, base);
}

#[test]
fn json_is_a_manifest_too() {
    let value: Value = serde_yaml::from_str(ETCD).unwrap();
    let json = serde_json::to_string_pretty(&value).unwrap().replace("  ", "\t");
    assert_eq!(read(&json).unwrap().revision, read(ETCD).unwrap().revision);
}

#[test]
fn a_fixed_uid_is_kept_and_the_revision_still_changes() {
    let fixed = ETCD.replace("  name: etcd\n  namespace", "  uid: my-uid\n  name: etcd\n  namespace");
    let (one, two) = (read(&fixed).unwrap(), read(&fixed.replace("--name=node", "--name=b")).unwrap());
    assert_eq!((one.uid.as_str(), two.uid.as_str()), ("my-uid", "my-uid"));
    assert_ne!(one.revision, two.revision);
}

#[test]
fn what_is_wrong_is_said_in_full() {
    for (text, expected) in [
        (String::new(), "couldn't parse as pod(it is empty), please check config file"),
        ("# nothing".to_owned(), "couldn't parse as pod(it is empty), please check config file"),
        (
            "a: b".to_owned(),
            "couldn't parse as pod(invalid pod: kind `none`, apiVersion `none`), please check config file",
        ),
        (
            ETCD.replace("kind: Pod", "kind: List"),
            "couldn't parse as pod(invalid pod: kind `List`, apiVersion `v1`), please check config file",
        ),
        (
            format!("a: b\n---\n{ETCD}"),
            "couldn't parse as pod(invalid pod: kind `none`, apiVersion `none`), please check config file",
        ),
        (ETCD.replace("  name: etcd\n  namespace", "  namespace"), "invalid pod: name is needed for the pod"),
        (
            ETCD.replace("    image: registry.k8s.io/etcd:3.6.5-0\n", ""),
            "invalid pod: spec.containers[0].image: Required value",
        ),
        (
            ETCD.replace("name: etcd\n  namespace", "name: Etcd\n  namespace"),
            "invalid pod: metadata.name: Invalid value: `Etcd-node-1`: not a DNS subdomain",
        ),
        (
            ETCD.replace("  hostNetwork: true", "  hostNetwork: true\n  serviceAccountName: x"),
            "static pods may not reference serviceaccounts",
        ),
        (
            ETCD.replace("hostPath: {path: /var/lib/etcd, type: DirectoryOrCreate}", "secret: {secretName: x}"),
            "static pods may not reference secrets",
        ),
        (ETCD.replace("    command:", "    comand:"), "unknown field `spec.containers[0].comand`"),
        (
            ETCD.replace("port: probe-port", "port: other"),
            "invalid pod: spec.containers[0].livenessProbe.httpGet.port: Not found: the container has no port named `other`",
        ),
        (
            ETCD.replace("cpu: 100m", "cpu: 3"),
            "invalid pod: spec.containers[0].resources.requests[cpu]: Invalid value: must be less than or equal to the limit",
        ),
        (
            ETCD.replace("type: DirectoryOrCreate", "type: Dir"),
            "invalid pod: spec.volumes[0].hostPath.type: Unsupported value: `Dir`: one of , DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice",
        ),
    ] {
        assert_eq!(reason(&text), expected);
    }
    for (text, cause) in [
        ("a: [".to_owned(), "not YAML: "),
        (ETCD.replace("hostNetwork: true", "hostNetwork: [1]"), "it is no valid pod: "),
    ] {
        let reason = reason(&text);
        let inner = reason.strip_prefix("couldn't parse as pod(").unwrap();
        let inner = inner.strip_suffix("), please check config file").unwrap();
        assert!(inner.starts_with(cause) && inner.contains("line "), "{reason}");
    }
}

#[test]
fn the_first_of_several_documents_counts() {
    let base = read(ETCD).unwrap();
    let other = ETCD.replace("--name=node", "--name=other");
    for text in [
        format!("{ETCD}---\n{other}"),
        format!("---\n# nothing\n---\n{ETCD}---\n"),
        format!("{ETCD}---\nkind: Service\n"),
        format!("{ETCD}...\n---\n}} no YAML"),
    ] {
        let pod = read(&text).unwrap();
        assert_eq!(Pod { remarks: Vec::new(), ..pod.clone() }, base, "{text}");
        let expected = "`/etc/kubernetes/manifests/etcd.yaml` holds several YAML documents: only the first one counts";
        let is_alone = text.starts_with("---");
        assert_eq!(pod.remarks, [expected][usize::from(is_alone)..], "{text}");
    }
    assert!(base.remarks.is_empty());
}

#[test]
fn case_137_one_pod_and_many_are_decoded_alike() {
    let pod = |name: &str, spec: Value| {
        let mut pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}});
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        pod
    };
    let source = Origin::File("/manifests/a".into());
    let read = |text: &str| decode(text.as_bytes(), &source, "Test.Me");
    let plain = pod("foo", serde_json::json!({}));
    let from_json = read(&plain.to_string()).unwrap();
    assert_eq!(from_json, read(&serde_yaml::to_string(&plain).unwrap()).unwrap());
    assert_eq!((from_json.name.as_str(), from_json.namespace.as_str()), ("foo-test.me", "default"));
    let bundle = serde_json::json!({"clusterTrustBundle": {"name": "b", "path": "p"}});
    let bundles = serde_json::json!({"volumes": [{"name": "v", "projected": {"sources": [bundle]}}]});
    let claims = serde_json::json!({"resourceClaims": [{"name": "a", "resourceClaimName": "b"}]});
    for (spec, resource) in [(bundles, "clustertrustbundles"), (claims, "resourceclaims")] {
        let refused = read(&pod("foo", spec).to_string()).unwrap_err();
        assert_eq!(chain_of(&refused), format!("static pods may not reference {resource}"));
    }
    let second = pod("bar", serde_json::json!({}));
    let list = serde_json::json!({"apiVersion": "v1", "kind": "PodList", "items": [plain, second]});
    for text in [list.to_string(), serde_yaml::to_string(&list).unwrap()] {
        let names = decode_list(text.as_bytes(), &source, "Test.Me").unwrap().into_iter().map(|pod| pod.name);
        assert_eq!(names.collect::<Vec<_>>(), ["foo-test.me", "bar-test.me"]);
    }
}

#[test]
fn case_134_an_override_is_the_hosts_name_and_no_other() {
    let longest = "h".repeat(64);
    let refused = |problem: &str| Err(format!("spec.hostnameOverride: {problem}"));
    for (fields, expected) in [
        ("hostnameOverride: web.example", Ok("web.example")),
        ("hostnameOverride: web, hostname: other", Ok("web")),
        ("hostnameOverride: web, hostname: other, subdomain: s", Ok("web")),
        (&format!("hostnameOverride: {longest}"), Ok(longest.as_str())),
        (
            &format!("hostnameOverride: {longest}h"),
            refused(&format!("Invalid value: `{longest}h`: must be no more than 64 characters")),
        ),
        (
            "hostnameOverride: web, setHostnameAsFQDN: true, subdomain: s",
            refused("Forbidden: may not be set when `setHostnameAsFQDN` is enabled"),
        ),
        (
            "hostnameOverride: web, hostNetwork: true",
            refused("Forbidden: may not be set when `hostNetwork` is enabled"),
        ),
    ] {
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, \
             spec: {{{fields}, containers: [{{name: a, image: b}}]}}}}"
        );
        match (read(&text), expected) {
            (Ok(pod), Ok(expected)) => {
                let node = crate::runner::testing::node();
                assert_eq!(crate::runner::hostname::of_pod(&pod, &node).as_deref(), Ok(expected));
                // it is in no DNS
                assert_eq!(crate::runner::hostname::qualified(&pod, &node), None);
            }
            (found, Err(expected)) => {
                let error = chain_of(&found.unwrap_err());
                assert!(error.contains(&expected), "{error}");
            }
            (Err(error), Ok(_)) => panic!("{fields}: {}", chain_of(&error)),
        }
    }
}
