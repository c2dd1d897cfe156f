//! The node's own API, through the real API server and kubectl, and asked directly.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::manifests::{STATIC_WEB, busybox};
use super::mirror::is_running;
use crate::support::Run;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::nodes_api::ask;
use crate::support::registry::Registry;
use crate::support::runner::http_get;
use crate::support::workloads;

/// Says three lines, then what it hears, until it hears `end`.
const TALK: &str = "echo one; echo two; echo three; while read line; do \
                    case $line in end) exit 0;; *) echo heard $line; esac; done";

fn node() -> (Node, Registry) {
    let node = Node::new();
    let registry = workloads::serve(&node);
    node.init().succeeds();
    (node, registry)
}

fn put(node: &Node, name: &str, manifest: &str) {
    fs::write(node.path(&format!("etc/kubernetes/manifests/{name}.yaml")), manifest).unwrap();
    node.mirror_when(name, is_running);
}

/// Runs to its end with that standard input.
fn with_input(mut command: Command, input: &[u8]) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // a program that ends early takes less
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let run = Run::from(child.wait_with_output().unwrap());
    let _ = writer.join().unwrap();
    run
}

/// What goes on until it is ended.
struct Background(Child);

impl Background {
    fn of(mut command: Command) -> Background {
        Background(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// What it has said on its standard error, once it is ended.
    fn end(mut self) -> String {
        self.0.kill().unwrap();
        let mut told = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        told
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // one that has ended needs no ending
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn kubectl_reads_logs_and_talks_with_a_container() {
    let (node, _registry) = node();
    put(&node, "talk", &busybox("talk", TALK, "", "    stdin: true\n"));
    let logs = |options: &[&str]| node.ask(&[&["logs", "talk-node"], options].concat());
    eventually("its three lines", || (logs(&[]) == "one\ntwo\nthree\n").then_some(()));
    assert_eq!(logs(&["--tail=1"]), "three\n");
    assert_eq!(logs(&["--limit-bytes=5"]), "one\nt");
    assert_eq!(logs(&["--since=1h"]), "one\ntwo\nthree\n");
    eventually("nothing new", || logs(&["--since=1s"]).is_empty().then_some(()));
    let timed = logs(&["--timestamps", "--tail=1"]);
    let (time, line) = timed.split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && line == "three\n", "{timed}");
    let none = node.kubectl(&["logs", "talk-node", "--previous"]);
    let words = "previous terminated container \"talk\" in pod \"talk-node\" not found";
    assert!(none.code != 0 && none.stderr.contains(words), "{}", none.stderr);

    let failed = node.kubectl(&["exec", "talk-node", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (3, "out\n"), "{}", failed.stderr);
    assert!(failed.stderr.starts_with("err\n"), "{}", failed.stderr);
    assert_eq!(
        node.ask(&["exec", "talk-node", "--", "cat", "/etc/hostname"]),
        node.ask(&["exec", "talk-node", "--", "hostname"])
    );
    // far more than any window or queue on the way holds
    let much = "0123456789abcdef".repeat(1 << 16);
    let echoed = with_input(node.kubectl_command(&["exec", "-i", "talk-node", "--", "cat"]), much.as_bytes());
    assert_eq!((echoed.code, echoed.stdout.len()), (0, much.len()), "{}", echoed.stderr);
    assert!(echoed.stdout == much);
    let missing = node.kubectl(&["exec", "talk-node", "--", "/no/such/program"]);
    assert!(missing.code != 0 && missing.stderr.contains("/no/such/program"), "{}", missing.stderr);

    // one follows, one talks until the container ends: both are told
    let mut follower = node.kubectl_command(&["logs", "--follow", "--tail=1", "talk-node"]);
    let mut follower = follower.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut followed, mut output) = (String::new(), BufReader::new(follower.stdout.take().unwrap()));
    output.read_line(&mut followed).unwrap();
    let attached = with_input(node.kubectl_command(&["attach", "-i", "talk-node"]), b"hello\nend\n");
    assert!(attached.code == 0 && attached.stdout.contains("heard hello\n"), "{attached:?}");
    output.read_to_string(&mut followed).unwrap();
    assert!(follower.wait().unwrap().success() && followed == "three\nheard hello\n", "{followed}");
    eventually("the run before", || {
        let previous = node.kubectl(&["logs", "--previous", "talk-node"]);
        (previous.stdout == "one\ntwo\nthree\nheard hello\n").then_some(())
    });
}

#[test]
fn kubectl_forwards_ports_into_a_pods_network() {
    let (node, _registry) = node();
    put(&node, "static-web", STATIC_WEB);
    let command = node.kubectl_command(&["port-forward", "pod/static-web-node", "18080:80", "18081:81"]);
    let forward = Background::of(command);
    let get = |port: u16| {
        node.network.enter();
        http_get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let page = eventually("the page", || get(18080));
    assert!(page.contains("nginx"), "{page}");
    for _ in 0..20 {
        assert_eq!(get(18080).as_ref(), Some(&page));
    }
    assert_eq!(get(18081), None);
    let told = forward.end();
    assert!(told.contains("error forwarding port 81 to pod"), "{told}");
}

/// The files of a component's certificate and key.
fn credentials(node: &Node, kubeconfig: &str) -> [String; 4] {
    let text = fs::read_to_string(node.path(&format!("etc/kubernetes/{kubeconfig}"))).unwrap();
    let file = |field: &str| {
        let data = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: "))).unwrap();
        let path = node.directory.path().join(format!("{kubeconfig}.{field}.pem"));
        fs::write(&path, STANDARD.decode(data.trim()).unwrap()).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (file("client-certificate-data"), file("client-key-data"));
    ["--cert".to_owned(), certificate, "--key".to_owned(), key]
}

#[test]
fn case_22_91_164_the_nodes_api_answers_whom_it_may_also_without_an_api_server() {
    let (node, _registry) = node();
    put(&node, "talk", &busybox("talk", TALK, "", "    stdin: true\n"));
    let object = node.object(&["node", "node"]).unwrap();
    assert_eq!(object["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);

    let pki = |file: &str| node.path(&format!("etc/kubernetes/pki/{file}")).display().to_string();
    let (certificate, key) = (pki("apiserver-kubelet-client.crt"), pki("apiserver-kubelet-client.key"));
    let own = ["--cert", &certificate, "--key", &key];
    let of_scheduler = credentials(&node, "scheduler.conf");
    let scheduler: Vec<_> = of_scheduler.iter().map(String::as_str).collect();

    let unauthorized = (401, "Unauthorized".to_owned());
    assert_eq!(ask(&node, "/healthz", &[]), unauthorized);
    assert_eq!(ask(&node, "/pods", &["--header", "Authorization: Bearer nobody"]), unauthorized);
    let words = "Forbidden (user=system:kube-scheduler, verb=get, resource=nodes, subresource(s)=[pods proxy])";
    assert_eq!(ask(&node, "/pods", &scheduler), (403, words.to_owned()));

    assert_eq!(ask(&node, "/healthz", &own), (200, "ok".to_owned()));
    assert_eq!(ask(&node, "/nothing", &own).0, 404);
    let (status, body) = ask(&node, "/configz", &own);
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &shown["kubeletconfig"]["kind"]), (200, &"KubeletConfiguration".into()));
    assert_eq!(ask(&node, "/containerLogs/default/talk-node/talk", &own), (200, "one\ntwo\nthree\n".to_owned()));
    let missing = ask(&node, "/containerLogs/default/other/talk", &own);
    assert_eq!(missing, (404, "pod \"other\" does not exist".to_owned()));
    let run = ask(&node, "/run/default/talk-node/talk?cmd=echo%20hi", &[&["--request", "POST"][..], &own].concat());
    assert_eq!(run, (200, "hi\n".to_owned()));
    assert_eq!(ask(&node, "/exec/default/talk-node/talk?command=id", &own).0, 400, "no stream was asked for");

    // a token, of a service account that may
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": { "name": "reader", "annotations": { "kubernetes.io/service-account.name": "reader" } },
    });
    node.ask(&["create", "serviceaccount", "reader"]);
    with_input(node.kubectl_command(&["create", "--filename=-"]), secret.to_string().as_bytes()).succeeds();
    let token = eventually("the token", || {
        let data = node.ask(&["get", "secret", "reader", "--output=jsonpath={.data.token}"]);
        String::from_utf8(STANDARD.decode(data).unwrap()).ok().filter(|token| !token.is_empty())
    });
    let bearer = format!("Authorization: Bearer {token}");
    let reader = ["--header", bearer.as_str()];
    assert_eq!(ask(&node, "/configz", &reader).0, 403);
    let account = "--serviceaccount=default:reader";
    node.ask(&["create", "clusterrolebinding", "reader", "--clusterrole=system:kubelet-api-admin", account]);
    eventually("the permission", || (ask(&node, "/runningpods/", &reader).0 == 200).then_some(()));

    // an API server that takes connections and says nothing
    let server = nix::unistd::Pid::from_raw(node.running("kube-apiserver").unwrap().pid.cast_signed());
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let names = |credentials: &[&str]| {
        let (status, body) = ask(&node, "/pods", credentials);
        let pods: Value = serde_json::from_str(&body).unwrap_or_default();
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (status, pods.iter().map(name).collect::<Vec<_>>())
    };
    let (status, pods) = names(&own);
    assert_eq!((status, pods.len()), (200, 5), "{pods:?}");
    assert!(pods.contains(&"talk-node".to_owned()), "{pods:?}");
    let words = "Authorization error (user=system:kube-scheduler, verb=get, resource=nodes, subresource(s)=[stats])";
    assert_eq!(ask(&node, "/stats/summary", &scheduler), (500, words.to_owned()));
    node.remove_pod("talk");
    eventually("its end", || (!names(&own).1.contains(&"talk-node".to_owned())).then_some(()));
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGCONT).unwrap();
}
