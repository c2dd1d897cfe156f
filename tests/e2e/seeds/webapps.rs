//! The documentation's web servers on networks of their own, as kubectl shows them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use bootstrap::linux::terminal::{Size, set_size};
use nix::pty::openpty;
use serde_json::json;

use super::cluster;
use super::mirrors::Mirrored;
use crate::e2e::manifests::{STATIC_WEB, busybox, on_the_nodes_network};
use crate::support::inspect::eventually;
use crate::support::network::ADDRESS;
use crate::support::runner::{MANIFESTS, NAME, Runner, http_get, is_ready, pid};

const WELCOME: &str = "<title>Welcome to nginx!</title>";

/// Two web servers that want the same port.
const SAME_IMAGE: &str = "apiVersion: v1
kind: Pod
metadata:
  name: webapps-same-image
  labels:
    app: webapps-same-image
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: nginx1
      image: nginx:mainline
      ports:
        - containerPort: 80
    - name: nginx2
      image: nginx
      ports:
        - containerPort: 80
";

/// The second one uses port 8080, whatever its manifest says.
fn with_another_image(manifest: &str) -> String {
    manifest.replacen("image: nginx\n", "image: bitnami/nginx\n", 1)
}

impl Mirrored {
    fn exec(&self, container: &str, command: &[&str]) -> String {
        self.kubectl(&[&["exec", &self.pod, "-c", container, "--"], command].concat())
    }

    /// A page that a program in the container gets.
    fn curl(&self, container: &str, url: &str) -> String {
        eventually(url, || {
            let arguments = ["exec", &self.pod, "-c", container, "--", "curl", "--silent", "--fail", url];
            let run = self.node.kubectl(&[&["--namespace", self.namespace], &arguments[..]].concat());
            (run.code == 0).then_some(run.stdout)
        })
    }

    /// The lines of `kubectl describe` about a container, with one space between two words; none of a pod that is yet
    /// to come.
    fn described(&self, container: &str) -> Vec<String> {
        let told = self.node.kubectl(&["--namespace", self.namespace, "describe", "pod", &self.pod]).stdout;
        let lines = told.lines().skip_while(|line| *line != format!("  {container}:")).skip(1);
        let own = lines.take_while(|line| line.starts_with("    "));
        own.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

#[test]
fn s14_the_documentations_web_server_runs_as_it_is_written() {
    let node = cluster::shared();
    let file = node.path("etc/kubernetes/manifests/static-web.yaml");
    fs::write(&file, STATIC_WEB).unwrap();
    let list = ["get", "pods", "--no-headers", "--selector=role=myrole"];
    let line = || node.ask(&list).split_whitespace().take(4).map(str::to_owned).collect::<Vec<_>>();
    eventually("the pod", || (line() == ["static-web-node", "1/1", "Running", "0"]).then_some(()));
    let pod = node.object(&["--namespace=default", "pod", "static-web-node"]).unwrap();
    assert_eq!(pod["metadata"]["labels"], json!({ "role": "myrole" }));
    let [container] = &pod["spec"]["containers"].as_array().unwrap()[..] else { panic!("{pod:#}") };
    assert_eq!((&container["name"], &container["image"]), (&json!("web"), &json!("nginx")));
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["ports"], json!([{ "name": "web", "containerPort": 80, "protocol": "TCP" }]));
    assert_eq!(pod["spec"]["hostNetwork"], json!(null));

    // its address is its own, and its port none of the node's
    let address: Ipv4Addr = pod["status"]["podIP"].as_str().unwrap().parse().unwrap();
    assert!(address != ADDRESS && pod["status"]["hostIP"] == ADDRESS.to_string());
    node.network.enter();
    let page = eventually("the page", || http_get(SocketAddr::from((address, 80))));
    assert!(page.contains(WELCOME), "{page}");
    assert_eq!(http_get(SocketAddr::from((Ipv4Addr::LOCALHOST, 80))), None);
    fs::remove_file(file).unwrap();
    eventually("no pod", || node.ask(&list).is_empty().then_some(()));
}

#[test]
fn s27_the_clusters_name_server_and_domain_reach_the_pods() {
    let settings = ["--cluster-dns=10.254.0.10", "--cluster-domain=kube.local"];
    let mut runner = Runner::reading(MANIFESTS, &settings);
    runner.put("static-web.yaml", STATIC_WEB);
    runner.put("host.yaml", &busybox("host", "exec sleep 1000", "", ""));
    runner.start();
    let configuration = |pod: &str| {
        runner.ready(pod);
        let name = format!("{pod}-{NAME}");
        runner.node.run(&["exec", &name, "--", "cat", "/etc/resolv.conf"]).succeeds().stdout
    };
    let of_web = configuration("static-web");
    let expected = "search default.svc.kube.local svc.kube.local kube.local";
    let mut lines: Vec<_> = of_web.lines().collect();
    lines.sort_unstable();
    let [nameserver, options, search] = lines[..] else { panic!("{of_web}") };
    assert_eq!((nameserver, options), ("nameserver 10.254.0.10", "options ndots:5"));
    assert!(search.starts_with(expected), "{search}: the node's own domains may follow");
    // the policy ClusterFirst means the node's names where the network is the node's
    assert!(!configuration("host").contains("10.254.0.10"));
}

#[test]
fn s35_a_pod_has_an_address_of_its_own_which_its_containers_share() {
    let both = Mirrored::new("s35", &with_another_image(SAME_IMAGE));
    let alone = Mirrored::new("s35-alone", STATIC_WEB);
    both.listed("2/2", "0");
    alone.listed("1/1", "0");
    let addresses = [&both, &alone].map(|pod| pod.field(".status.podIPs[*].ip"));
    let node = ADDRESS.to_string();
    assert!(addresses[0] != addresses[1] && addresses.iter().all(|address| *address != node), "{addresses:?}");

    let network = |container: usize| {
        let pid = pid(&both.ready().containers[container]).unwrap();
        fs::read_link(format!("/proc/{pid}/ns/net")).unwrap()
    };
    assert_eq!(network(0), network(1));
    for container in ["nginx1", "nginx2"] {
        let shown = both.exec(container, &["ip", "-4", "address", "show", "eth0"]);
        assert!(shown.contains(&format!("inet {}/", addresses[0])), "{container}: {shown}");
        for port in [80, 8080] {
            assert!(both.curl(container, &format!("localhost:{port}")).contains(WELCOME), "{container}: {port}");
        }
    }
    // other pods' ports are elsewhere: at those pods' addresses
    assert!(alone.curl("web", &format!("{}:8080", addresses[0])).contains(WELCOME));
    let own = ["--namespace=s35-alone", "exec", &alone.pod, "--", "curl", "--silent", "localhost:8080"];
    assert_eq!(alone.node.kubectl(&own).code, 7, "curl's own code for a refused connection");
}

#[test]
fn s36_of_two_containers_on_one_port_the_second_fails() {
    let pod = Mirrored::new("s36", SAME_IMAGE);
    let mut started = None;
    for restarts in ["1", "2"] {
        let expected = [
            "State: Waiting",
            "Reason: CrashLoopBackOff",
            "Last State: Terminated",
            "Reason: Error",
            "Exit Code: 1",
            "Ready: False",
            &format!("Restart Count: {restarts}"),
        ];
        let second = eventually("a container that waits", || {
            let told = pod.described("nginx2");
            let [name, ready, status, count] = &pod.line()[..] else { return None };
            assert_eq!(*name, pod.pod);
            let fails = ["Error", "CrashLoopBackOff"].contains(&status.as_str());
            let is_seen = ready == "1/2" && fails && count == restarts;
            (is_seen && expected.iter().all(|line| told.iter().any(|told| told == line))).then_some(told)
        });
        let states: Vec<_> = second.iter().filter(|line| expected.iter().any(|one| one == line)).collect();
        assert_eq!(states, expected.iter().collect::<Vec<_>>(), "in this order");
        let first = pod.described("nginx1");
        assert!(
            ["State: Running", "Ready: True", "Restart Count: 0"]
                .iter()
                .all(|one| first.iter().any(|line| line == one))
        );
        let since = first.into_iter().find(|line| line.starts_with("Started:")).unwrap();
        assert_eq!(*started.get_or_insert_with(|| since.clone()), since, "it is left alone");
        assert_eq!(pod.field(".status.phase"), "Running");
        let log = pod.kubectl(&["logs", &pod.pod, "-c", "nginx2", "--previous"]);
        assert!(log.contains("bind() to 0.0.0.0:80 failed (98: Address already in use)"), "{log}");
    }
    assert!(pod.curl("nginx1", "localhost").contains(WELCOME));
}

#[test]
fn s37_logs_have_both_streams_of_the_container_that_is_asked_for() {
    let pod = Mirrored::new("s37", &with_another_image(SAME_IMAGE));
    pod.listed("2/2", "0");
    pod.curl("nginx1", "localhost:8080/index.html?for=the-second");
    for (container, has) in [("nginx1", false), ("nginx2", true)] {
        // requests are told on stdout, what the server does on stderr
        let log = || pod.kubectl(&["logs", &pod.pod, "-c", container]);
        let log = eventually("both streams", || {
            let log = log();
            (log.contains("[notice]") && log.contains("for=the-second") == has).then_some(log)
        });
        assert!(!has || log.contains("\"GET /index.html?for=the-second HTTP/1.1\" 200"), "{log}");
    }
}

#[test]
fn s38_case_156_a_fixed_image_makes_both_run() {
    let pod = Mirrored::new("s38", SAME_IMAGE);
    eventually("a failed container", || (pod.line().get(1)? == "1/2" && pod.line()[3] != "0").then_some(()));
    let hash = |pod: &Mirrored| pod.field(".metadata.annotations.kubernetes\\.io/config\\.hash");
    let before = (hash(&pod), pod.field(".metadata.uid"));
    pod.edit(|text| with_another_image(&text));
    pod.listed("2/2", "0");
    let after = (hash(&pod), pod.field(".metadata.uid"));
    assert!(after.0 != before.0 && after.1 != before.1, "{before:?} {after:?}");
    assert_eq!(pod.field(".spec.containers[1].image"), "bitnami/nginx");
    for url in ["localhost", "localhost:8080"] {
        assert!(pod.curl("nginx1", url).contains(WELCOME), "{url}");
    }
}

#[test]
fn s39_commands_in_one_container_reach_the_other_also_from_a_terminal() {
    let pod = Mirrored::new("s39", &with_another_image(SAME_IMAGE));
    pod.listed("2/2", "0");
    for (container, url) in [("nginx1", "localhost"), ("nginx1", "localhost:8080"), ("nginx2", "localhost:80")] {
        assert!(pod.curl(container, url).contains(WELCOME), "{container}: {url}");
    }

    let pty = openpty(None, None).unwrap();
    set_size(&pty.master, Size { columns: 132, rows: 43 }).unwrap();
    let script = "test -t 0 && test -t 1 && echo a terminal; read word; curl --silent localhost:8080; echo heard $word";
    let arguments = ["--namespace=s39", "exec", "-it", &pod.pod, "-c", "nginx1", "--", "sh", "-c", script];
    let mut command = pod.node.kubectl_command(&arguments);
    let end = || OwnedFd::from(File::from(pty.slave.try_clone().unwrap()));
    let mut kubectl = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop((command, pty.slave));
    let mut master = File::from(pty.master);
    let mut heard = String::new();
    read_until(&mut master, &mut heard, "a terminal\r\n");
    master.write_all(b"hello\r").unwrap();
    read_until(&mut master, &mut heard, "heard hello\r\n");
    assert!(heard.contains(WELCOME), "{heard}");
    assert!(kubectl.wait().unwrap().success());
}

/// Until these words have come, or nobody has the terminal open any more.
fn read_until(terminal: &mut File, heard: &mut String, words: &str) {
    let mut buffer = [0; 4096];
    while !heard.contains(words) {
        let count = match terminal.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("{error} before `{words}` in: {heard}"),
        };
        heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn s50_one_port_may_be_declared_twice_unless_it_is_the_nodes() {
    let idle = |manifest: &str| {
        let command = "\n      command: [sleep, \"1000\"]\n";
        manifest
            .replace("image: nginx:mainline\n", &format!("image: busybox:1.28{command}"))
            .replace("image: nginx\n", &format!("image: busybox{command}"))
    };
    let pod = Mirrored::new("s50", &idle(SAME_IMAGE));
    pod.listed("2/2", "0");
    for container in ["nginx1", "nginx2"] {
        let told = pod.described(container);
        assert!(
            ["Port: 80/TCP", "Host Port: 0/TCP"].iter().all(|line| told.iter().any(|told| told == line)),
            "{told:?}"
        );
    }
    let before = pod.ready();

    // there a container's port is the node's, and the edit is refused
    pod.edit(|text| on_the_nodes_network(&text));
    let node = &pod.node;
    let why = eventually("a refusal", || {
        node.status()
            .rejected
            .into_iter()
            .find(|rejected| rejected.path == before.source)
            .map(|rejected| rejected.reason)
    });
    assert!(why.contains("spec.containers[1].ports[0].hostPort") && why.contains("80"), "{why}");
    let after = pod.ready();
    assert!(is_ready(&after) && after.uid == before.uid, "what runs is left alone");
}
