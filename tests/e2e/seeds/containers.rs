//! What containers get: volumes, variables, privileges, probes.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use crate::e2e::manifests::{busybox, on_the_nodes_network};
use crate::support::inspect::{eventually, kill};
use crate::support::runner::{Runner, is_ready, pid};

/// A file of a running container, as seen from outside.
fn inside(pid: i32, path: &str) -> std::path::PathBuf {
    format!("/proc/{pid}/root/{path}").into()
}

#[test]
fn s30_health_is_checked_and_what_is_not_alive_is_started_again() {
    let runner = Runner::new();
    let check = "Probe: {httpGet: {path: /index.html, port: 80}, periodSeconds: 1}";
    let web = on_the_nodes_network("spec:\n  containers:\n  - name: web\n    image: nginx\n");
    let probes = format!("    startup{check}\n    liveness{check}\n");
    runner.put("web.yaml", &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\n{web}{probes}"));
    let before = runner.ready("web");
    eventually("the web server", || runner.get(80));
    fs::remove_file(inside(pid(&before.containers[0]).unwrap(), "usr/share/nginx/html/index.html")).unwrap();
    let after = runner.pod("web", |pod| is_ready(pod) && pod.containers[0].restarts == 1);
    let end = after.containers[0].last_exit.as_ref().unwrap();
    assert_eq!(end.cause.as_deref(), Some("Liveness probe failed: HTTP probe failed with statuscode: 404"));
}

#[test]
fn s40_volumes_are_shared_and_outlive_a_container() {
    let runner = Runner::new();
    let mount = "    volumeMounts: [{name: shared, mountPath: /shared}]\n";
    let reader = "until [ \"$(grep -c run /shared/log)\" = 2 ]; do sleep 0.1; done; echo twice; exec sleep 1000";
    let second =
        format!("{mount}  - name: reader\n    image: busybox:1.28\n    command: [sh, -c, {reader:?}]\n{mount}");
    let spec = "  volumes: [{name: shared, emptyDir: {}}]\n";
    runner.put("a.yaml", &busybox("a", "echo run >> /shared/log; exec sleep 1000", spec, &second));
    let before = runner.ready("a");
    let log = inside(pid(&before.containers[1]).unwrap(), "shared/log");
    eventually("the first run's line", || fs::read_to_string(&log).ok().filter(|text| text == "run\n"));
    kill(pid(&before.containers[0]).unwrap());
    runner.pod("a", |pod| is_ready(pod) && pod.containers[0].restarts == 1);
    let reader = || runner.node.run(&["logs", "a-my-node1", "-c", "reader"]).stdout;
    eventually("the reader's line", || (reader() == "twice\n").then_some(()));
}

/// The pod of the documentation, on the node's network.
const WEBAPPS: &str = "apiVersion: v1
kind: Pod
metadata:
  name: webapps
  labels:
    app: webapps
spec:
  hostNetwork: true
  containers:
    - name: nginx
      image: nginx:mainline
      ports:
        - containerPort: 80
      env:
        - name: NGINX_PORT
          value: \"80\"
      volumeMounts:
        - name: index-html-file
          mountPath: /usr/share/nginx/html/index.html
          subPath: index.html
          readOnly: true
    - name: bitnami
      image: bitnami/nginx
      ports:
        - containerPort: 90
      volumeMounts:
        - name: index-html-file
          mountPath: /app/index.html
          subPath: index.html
          readOnly: true
  volumes:
    - name: index-html-file
      hostPath:
        path: /data/nginx/html
        type: DirectoryOrCreate
";

#[test]
fn s41_two_containers_show_the_same_file_of_the_node() {
    let runner = Runner::new();
    let html = runner.node.path("data/nginx/html");
    fs::create_dir_all(&html).unwrap();
    fs::write(html.join("index.html"), "<h3>Halo from kubernetes same volume</h3>\n").unwrap();
    runner.put("pods.yaml", WEBAPPS);
    let pod = runner.ready("webapps");
    for port in [80, 8080] {
        let page = eventually("a page", || runner.get(port));
        assert!(page.contains("Halo from kubernetes same volume"), "port {port}: {page}");
    }
    for (container, path) in [(0, "/usr/share/nginx/html/index.html"), (1, "/app/index.html")] {
        let process = procfs::process::Process::new(pid(&pod.containers[container]).unwrap()).unwrap();
        let mounts = process.mountinfo().unwrap();
        let mount = mounts.into_iter().find(|mount| mount.mount_point.to_str() == Some(path)).unwrap();
        assert!(mount.mount_options.contains_key("ro"), "{mount:?}");
    }
    // and it is the node's directory that is made when there is none
    let volume = "  volumes: [{name: v, hostPath: {path: /data/new, type: DirectoryOrCreate}}]\n";
    let mount = "    volumeMounts: [{name: v, mountPath: /v}]\n";
    runner.put("new.yaml", &busybox("new", "touch /v/file; exec sleep 1000", volume, mount));
    eventually("the file", || runner.node.path("data/new/file").exists().then_some(()));
}

#[test]
fn s42_literal_variables_reach_the_process() {
    let runner = Runner::new();
    let env = "    env:\n    - name: NGINX_PORT\n      value: \"80\"\n";
    runner.put("a.yaml", &busybox("a", "env; echo end; exec sleep 1000", "", env));
    let log = runner.logged("a", "end\n");
    assert!(log.lines().any(|line| line == "NGINX_PORT=80"), "{log}");
}

#[test]
fn s45_privileged_containers_may_change_the_network_and_see_devices() {
    let runner = Runner::new();
    let script = "ip address add 10.99.0.1/32 dev lo && echo network; test -c /dev/kmsg && echo devices; echo end; \
                  exec sleep 1000";
    runner.put("plain.yaml", &busybox("plain", script, "", ""));
    assert!(runner.logged("plain", "end\n").contains("Operation not permitted"));
    assert!(!runner.log("plain").contains("network") && !runner.log("plain").contains("devices"));
    runner.put("all.yaml", &busybox("all", script, "", "    securityContext: {privileged: true}\n"));
    assert_eq!(runner.logged("all", "end\n"), "network\ndevices\nend\n");
}

#[test]
fn s46_commands_run_inside_and_connections_come_from_the_runner() {
    let runner = Runner::new();
    runner.node.network.enter();
    // nothing in the containers listens on this port
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 8000)).unwrap();
    let probe = |check: &str| format!("    readinessProbe: {{{check}, periodSeconds: 1}}\n");
    let tcp = probe("tcpSocket: {port: 8000, host: 127.0.0.1}");
    runner.put("tcp.yaml", &busybox("tcp", "exec sleep 1000", "", &tcp));
    runner.ready("tcp");
    listener.accept().unwrap();

    let exec = probe("exec: {command: [test, -e, /tmp/ready]}");
    runner.put("exec.yaml", &busybox("exec", "exec sleep 1000", "", &exec));
    let pod = runner.pod("exec", |pod| pod.containers[0].probe.is_some());
    fs::write(inside(pid(&pod.containers[0]).unwrap(), "tmp/ready"), "").unwrap();
    runner.ready("exec");

    let http = "apiVersion: v1\nkind: Pod\nmetadata: {name: http}\nspec:\n  hostNetwork: true\n  containers:\n  \
                - name: http\n    image: nginx\n";
    runner.put("http.yaml", &format!("{http}{}", probe("httpGet: {path: /, port: 80, host: 127.0.0.1}")));
    runner.ready("http");
    let log = runner.logged("http", "GET / HTTP/1.1\" 200");
    assert!(log.contains("\"kube-probe/"), "{log}");
}
