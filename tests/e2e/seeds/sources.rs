//! Where manifests come from: directories, files and URLs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use crate::e2e::manifests::{busybox, static_web};
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::runner::Runner;

/// A pod that runs on, and uses no port.
fn idle(name: &str) -> String {
    busybox(name, "exec sleep 1000", "", "")
}

#[test]
fn s9_a_directory_and_a_url_are_read_side_by_side() {
    let (mut runner, _document) = with_url(&idle("far"));
    runner.put("near.yaml", &idle("near"));
    runner.start();
    assert!(runner.ready("far").source.to_string_lossy().starts_with("http://"));
    assert_eq!(runner.ready("near").source, runner.manifest("near.yaml"));
}

#[test]
fn s10_a_manifest_is_a_pod_in_json_or_yaml() {
    let runner = Runner::new();
    let json = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "json"}, "spec": {"hostNetwork": true,
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "json", "image": "busybox:1.28", "command": ["sh", "-c", "exec sleep 1000"]}]}}"#;
    runner.put("json", json);
    runner.put("yaml", &idle("yaml"));
    runner.ready("json");
    runner.ready("yaml");
    assert!(runner.node.status().rejected.is_empty());
}

#[test]
fn s11_the_path_is_kubeadms_unless_told_and_may_be_one_file() {
    let mut runner = Runner::reading("etc/kubernetes/manifests", &[]);
    runner.put("a.yaml", &idle("a"));
    runner.start();
    runner.ready("a");
    drop(runner);

    let mut runner = Runner::reading("etc/pods/one.yaml", &[]);
    fs::remove_dir(runner.node.path("etc/pods/one.yaml")).unwrap();
    fs::write(runner.node.path("etc/pods/one.yaml"), idle("one")).unwrap();
    fs::write(runner.node.path("etc/pods/two.yaml"), idle("two")).unwrap();
    runner.start();
    runner.ready("one");
    assert_eq!(runner.find("two").map(|pod| pod.name), None);
}

#[test]
fn s12_pods_come_and_go_with_their_files() {
    let runner = Runner::new();
    runner.put("static-web.yaml", &static_web());
    runner.ready("static-web");
    assert!(eventually("the web server", || runner.get(80)).contains("Welcome to nginx!"));
    fs::remove_file(runner.manifest("static-web.yaml")).unwrap();
    runner.gone("static-web");
    assert_eq!(runner.get(80), None);
    assert!(runner.node.processes("nginx").is_empty());
}

#[test]
fn s13_case_152_files_that_begin_with_a_dot_are_ignored() {
    let runner = Runner::new();
    let (hidden, shown) = (runner.manifest(".static-web.yaml"), runner.manifest("static-web.yaml"));
    fs::write(&hidden, idle("static-web")).unwrap();
    fs::write(runner.manifest(".broken"), "{").unwrap();
    runner.put("other.yaml", &idle("other"));
    runner.ready("other");
    assert!(runner.find("static-web").is_none());
    fs::rename(&hidden, &shown).unwrap();
    runner.ready("static-web");
    fs::rename(&shown, &hidden).unwrap();
    runner.gone("static-web");
    assert!(runner.node.status().rejected.is_empty());
}

#[test]
fn s15_a_file_may_have_any_ending() {
    let runner = Runner::new();
    for (file, pod) in [("a.yaml", "a"), ("b.yml", "b"), ("c.json", "c"), ("d", "d")] {
        runner.put(file, &idle(pod));
    }
    for pod in ["a", "b", "c", "d"] {
        runner.ready(pod);
    }
}

#[test]
fn s16_a_url_is_asked_again_and_changes_are_applied() {
    let (mut runner, document) = with_url(&static_web());
    runner.start();
    runner.ready("static-web");
    assert!(eventually("the web server", || runner.get(80)).contains("Welcome to nginx!"));
    let items = [idle("one"), idle("two")].map(|pod| format!("- {}", pod.trim_end().replace('\n', "\n  ")));
    *document.lock().unwrap() = format!("apiVersion: v1\nkind: PodList\nitems:\n{}\n", items.join("\n"));
    // it is asked every 20 seconds
    for pod in ["one", "two"] {
        runner.ready(pod);
    }
    runner.gone("static-web");
    assert_eq!(runner.get(80), None);
}

#[test]
fn s17_what_is_there_at_the_start_runs_and_what_comes_later_too() {
    let mut runner = Runner::stopped();
    runner.put("before.yaml", &idle("before"));
    runner.start();
    let before = runner.ready("before");
    runner.stop(Signal::SIGTERM);
    runner.put("between.yaml", &idle("between"));
    runner.start();
    runner.ready("between");
    runner.put("while.yaml", &idle("while"));
    runner.ready("while");
    assert_eq!(runner.ready("before").containers[0].id, before.containers[0].id);
}

#[test]
fn s26_the_directory_may_have_any_name() {
    let mut runner = Runner::reading("srv/Static Pods.d", &[]);
    runner.put("a.yaml", &idle("a"));
    runner.start();
    runner.ready("a");
    runner.remove("a.yaml");
    runner.gone("a");
}

#[test]
fn s7_case_161_a_static_pod_refers_to_no_object_of_the_api() {
    let runner = Runner::new();
    let volume = |source: &str| format!("  volumes: [{{name: v, {source}}}]\n");
    for (file, spec, container, resource) in [
        ("account", "  serviceAccountName: web\n".to_owned(), "", "serviceaccounts"),
        ("config", volume("configMap: {name: web}"), "", "configmaps"),
        ("secret", volume("secret: {secretName: web}"), "", "secrets"),
        ("claim", volume("persistentVolumeClaim: {claimName: web}"), "", "persistentvolumeclaims"),
        ("env", String::new(), "    envFrom: [{secretRef: {name: web}}]\n", "secrets"),
    ] {
        runner.put(file, &busybox(file, "exec sleep 1000", &spec, container));
        let reason = runner.rejected(file).reason;
        assert!(reason.contains(&format!("static pods may not reference {resource}")), "{file}: {reason}");
    }
    assert!(runner.node.status().pods.is_empty());
}

#[test]
fn s31_a_pods_name_is_a_dns_subdomain() {
    let runner = Runner::new();
    for (number, name) in ["Static-Web", "static_web", "-web", "web.", &"w".repeat(250)].into_iter().enumerate() {
        let file = format!("{number}.yaml");
        runner.put(&file, &idle("web").replacen("name: web", &format!("name: {name:?}"), 1));
        let reason = runner.rejected(&file).reason;
        assert!(reason.contains("metadata.name"), "{name}: {reason}");
    }
    runner.put("good.yaml", &idle("web.example.com").replacen("- name: web.example.com", "- name: web", 1));
    runner.ready("web.example.com");
}

/// A runner, yet to be started, that also reads a document from a web server on its node.
fn with_url(document: &str) -> (Runner, Arc<Mutex<String>>) {
    let document = Arc::new(Mutex::new(document.to_owned()));
    // the port is told before there is a node: no other node has this loopback
    let url = "http://127.0.0.1:8000/manifest";
    let runner = Runner::reading("etc/kubelet.d", &[&format!("--manifest-url={url}")]);
    serve(&runner.node, Arc::clone(&document));
    (runner, document)
}

/// Answers every request with the document, until the test process ends.
fn serve(node: &Node, document: Arc<Mutex<String>>) {
    node.network.enter();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 8000)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = document.lock().unwrap().clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
}
