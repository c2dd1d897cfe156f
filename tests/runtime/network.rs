//! What the containers of a pod share, and what they share with nobody.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use bootstrap::linux::cgroup::Cgroups;
use bootstrap::linux::link;
use bootstrap::linux::namespace::{self, Kind};
use bootstrap::linux::pidfd::PidFd;
use bootstrap::runner::runtime::{
    Container, NamespaceOptions, PodSandbox, PodSandboxConfig, PortMapping, Protocol, Runtime,
};
use nix::libc::SIGKILL;

use crate::support::{self, network::Network};

use super::case::{Case, config, open, until};

/// A sandbox of another pod than that of the others.
async fn sandbox(case: &Case, uid: &str, change: impl FnOnce(&mut PodSandboxConfig)) -> PodSandbox {
    let mut config = case.sandbox_config();
    config.metadata.uid = uid.to_owned();
    change(&mut config);
    case.runtime.run_pod_sandbox(&config).await.unwrap()
}

/// A container that runs `script`, in a sandbox that is there.
async fn run(case: &Case, sandbox: &PodSandbox, script: &str) -> Container {
    let mut config = config(script);
    let number = case.runtime.list_containers().await.unwrap().len();
    config.name = format!("c{number}");
    config.log_path = format!("{}/0.log", config.name).into();
    let container = case.runtime.create_container(&sandbox.id, &config).await.unwrap();
    case.runtime.start_container(&container.id).await.unwrap();
    container
}

/// What `script` prints in a container of its own.
pub(super) async fn output(case: &Case, sandbox: &PodSandbox, script: &str) -> String {
    let container = run(case, sandbox, script).await;
    let exit = case.wait(&container).await;
    let text = case.text(&container);
    assert_eq!(exit.code, 0, "{script}: {text}");
    text.trim_end().to_owned()
}

/// What the kernel calls a namespace of this test's process.
fn of_the_machine(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_76_ipc_and_shared_memory_are_the_pods() {
    let case = Case::new().await;
    let (a, b) = (sandbox(&case, "a", |_| {}).await, sandbox(&case, "b", |_| {}).await);
    let host = sandbox(&case, "host", |config| config.namespaces.host_ipc = true).await;
    let ipc = "readlink /proc/self/ns/ipc";
    let first = output(&case, &a, &format!("echo x > /dev/shm/f; {ipc}")).await;
    assert_eq!(output(&case, &a, &format!("cat /dev/shm/f; {ipc}")).await, format!("x\n{first}"));
    let other = output(&case, &b, &format!("ls /dev/shm; {ipc}")).await;
    assert!(other.starts_with("ipc:") && other != first, "{other}");
    assert!(first != of_the_machine("ipc") && other != of_the_machine("ipc"));
    assert_eq!(output(&case, &host, ipc).await, of_the_machine("ipc"));
    let shm = output(&case, &a, "stat -c %a /dev/shm; grep ' /dev/shm ' /proc/mounts").await;
    assert!(shm.starts_with("1777\n") && shm.contains("size=65536k") && shm.contains("noexec"), "{shm}");
    // without a place in the sandbox's network its names are the node's
    assert_eq!(output(&case, &a, "readlink /proc/self/ns/uts").await, of_the_machine("uts"));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_76_processes_are_a_containers_own_or_the_pods() {
    let mut case = Case::new().await;
    let alone = case.sandbox().await;
    assert_eq!(output(&case, &alone, "echo $$").await, "1");
    let together = sandbox(&case, "together", |config| config.namespaces.share_process = true).await;
    let first = run(&case, &together, "sleep 600").await;
    let script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done | grep -E '^(/pause|sleep)'";
    let seen = output(&case, &together, script).await;
    assert_eq!(seen, "/pause \nsleep 600", "{seen}");
    // an orphan is reaped, by nobody of the container
    let reaped = "(sleep 0.1 &) ; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
    assert_eq!(output(&case, &together, reaped).await, "0");
    // one that may look into the others finds nothing in the first process
    let mut curious = config("readlink /proc/1/root; ls /proc/1/root/; ls /proc/1/fd/; echo x >> /proc/1/exe");
    curious.security.add_capabilities = vec!["SYS_PTRACE".into()];
    curious.log_path = "curious/0.log".into();
    let curious = case.runtime.create_container(&together.id, &curious).await.unwrap();
    case.runtime.start_container(&curious.id).await.unwrap();
    assert_eq!(case.wait(&curious).await.code, 1);
    let text = case.text(&curious);
    assert!(text.starts_with("/\n/bin/sh") && text.contains("/proc/1/exe"), "{text}");
    case.reopen().await;
    assert_eq!(output(&case, &together, script).await, seen, "the next runner's containers join the same");
    // without its first process the kernel ends a namespace; the next container gets another
    let cgroups = Cgroups::detect().unwrap();
    let group = cgroups.at(format!("{}/podtogether/{}", case.layout.instance(), together.id));
    let [pause] = group.processes()[..] else { panic!("{:?}", group.processes()) };
    let program = nix::sys::statvfs::statvfs(format!("/proc/{pause}/exe").as_str()).unwrap();
    assert!(program.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY), "also once nobody executes it");
    assert!(PidFd::open(pause).unwrap().signal(SIGKILL).unwrap());
    assert_eq!(case.wait(&first).await.code, 137);
    assert_eq!(output(&case, &together, "tr '\\0' ' ' < /proc/1/cmdline").await, "/pause");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_goes_with_the_sandbox() {
    let mut case = Case::new().await;
    let change = |config: &mut PodSandboxConfig| {
        config.namespaces = NamespaceOptions { share_process: true, ..config.namespaces };
    };
    let stopped = sandbox(&case, "a", change).await;
    let container = run(&case, &stopped, "sleep 600").await;
    case.runtime.stop_pod_sandbox(&stopped.id).await.unwrap();
    assert_eq!(case.wait(&container).await.code, 137);
    let directory = case.layout.run_pods().join(&stopped.id);
    let below = || {
        case.traces()
            .into_iter()
            .filter(|trace| trace.contains(&stopped.id) && !trace.starts_with("process"))
            .collect::<Vec<_>>()
    };
    until(|| below().is_empty()).await;
    assert!(directory.join("sandbox.json").exists());
    // made, and never told to anybody
    let lost = sandbox(&case, "b", change).await;
    run(&case, &lost, "sleep 600").await;
    fs::remove_file(case.layout.run_pods().join(&lost.id).join("sandbox.json")).unwrap();
    // nobody watches when it goes
    let other = tempfile::tempdir().unwrap();
    case.runtime = open(&bootstrap::layout::Layout::new(other.path()), &case.settings).await;
    case.reopen().await;
    let sandboxes = case.runtime.list_pod_sandboxes().await.unwrap();
    assert_eq!(sandboxes.len(), 1);
    until(|| !case.traces().iter().any(|trace| trace.contains(&lost.id))).await;
    case.finish().await;
}

/// Runs `test` where nothing reaches the machine's own network.
pub(super) fn in_a_network<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let network = Network::new();
    network.enter();
    // its threads are born in the network
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test());
}

pub(super) async fn own_network(case: &Case, uid: &str, change: impl FnOnce(&mut PodSandboxConfig)) -> PodSandbox {
    sandbox(case, uid, |config| {
        config.namespaces.host_network = false;
        config.hostname = format!("pod-{uid}");
        change(config);
    })
    .await
}

fn port(host_port: u16, container_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping { protocol, container_port, host_port, host_ip: None }
}

/// A server that says `words` to whoever connects.
pub(super) async fn serve(case: &Case, sandbox: &PodSandbox, port: u16, words: &str) -> Container {
    let script = format!("mkdir /data/www; echo {words} > /data/www/x; httpd -f -p {port} -h /data/www");
    let server = run(case, sandbox, &script).await;
    let listening = format!("while ! wget -q -O - http://127.0.0.1:{port}/x; do sleep 0.1; done");
    assert_eq!(output(case, sandbox, &listening).await, words);
    server
}

/// What a server at this address says; the error otherwise.
pub(super) fn ask(address: &str) -> Result<String, std::io::Error> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /x HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().unwrap().trim().to_owned())
}

/// The interfaces of pods in this network.
pub(super) fn interfaces() -> Vec<String> {
    let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = links.lines().skip(2).filter_map(|line| line.split(':').next()).map(|name| name.trim().to_owned());
    names.filter(|name| name.starts_with("veth") || name.starts_with("boot")).collect()
}

#[test]
fn pods_with_a_network_of_their_own_reach_each_other_and_are_reached() {
    in_a_network(async || {
        let mut case = Case::new().await;
        let a = own_network(&case, "a", |config| config.port_mappings = vec![port(8080, 80, Protocol::Tcp)]).await;
        let b = own_network(&case, "b", |_| {}).await;
        let ([IpAddr::V4(ip), ..], [other, ..]) = (&a.ips[..], &b.ips[..]) else { panic!("{:?} {:?}", a.ips, b.ips) };
        assert_ne!(IpAddr::V4(*ip), *other);
        assert_eq!(output(&case, &a, "hostname; readlink /proc/self/ns/uts | grep -c uts").await, "pod-a\n1");
        // the containers of a pod have one localhost, and any of them may have port 80
        serve(&case, &a, 80, "hello").await;
        let fetch = |address: &str| format!("timeout 10 wget -q -O - http://{address}/x || exit 1");
        assert_eq!(output(&case, &a, &fetch("127.0.0.1:80")).await, "hello");
        assert_eq!(output(&case, &b, &fetch(&format!("{ip}:80"))).await, "hello");
        assert_eq!(output(&case, &b, "wget -q -O - http://127.0.0.1:80/x 2>/dev/null || echo nobody").await, "nobody");
        // the node's port: from the node, from the pod itself, from another, from outside
        let node = support::network::ADDRESS;
        for address in [format!("{ip}:80"), "127.0.0.1:8080".to_owned(), format!("{node}:8080")] {
            assert_eq!(ask(&address).unwrap(), "hello", "{address}");
        }
        for pod in [&a, &b] {
            assert_eq!(output(&case, pod, &fetch(&format!("{node}:8080"))).await, "hello");
        }
        let outside = tempfile::tempdir().unwrap();
        namespace::make(&[Kind::Network], outside.path(), || Ok(())).unwrap();
        let outside = outside.path().join("net");
        let gateway = "10.99.0.1".parse().unwrap();
        link::ensure_bridge("world", gateway, 24).unwrap();
        let client = "10.99.0.2".parse().unwrap();
        link::add_pair("world0", "world", "eth0", client, &fs::File::open(&outside).unwrap()).unwrap();
        let seen = namespace::within(Kind::Network, &outside, || {
            link::configure("eth0", client, 24, gateway)?;
            Ok((ask(&format!("{node}:8080"))?, ask("10.99.0.1:8080")?))
        });
        assert_eq!(seen.unwrap(), ("hello".to_owned(), "hello".to_owned()));
        // a pod's neighbours are not the node's loopback's
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut routed = config(&format!(
            "ip route add 127.0.0.0/8 via $(ip route | grep default | tr -s ' ' | cut -d ' ' -f 3) dev eth0 table 9; \
             ip rule add to 127.0.0.1 table 9 pref 0; ip rule del table local; timeout 3 wget -q -O - http://127.0.0.1:{port}/x || exit 1"
        ));
        routed.security.privileged = true;
        routed.log_path = "routed/0.log".into();
        let routed = case.runtime.create_container(&b.id, &routed).await.unwrap();
        case.runtime.start_container(&routed.id).await.unwrap();
        assert_ne!(case.wait(&routed).await.code, 0);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        // the next runner finds it all, and gives no address twice
        case.reopen().await;
        let sandboxes = case.runtime.list_pod_sandboxes().await.unwrap();
        assert!(sandboxes.contains(&a) && sandboxes.contains(&b));
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "hello");
        let c = own_network(&case, "c", |_| {}).await;
        assert!(!a.ips.contains(&c.ips[0]) && !b.ips.contains(&c.ips[0]));
        let mut config = case.sandbox_config();
        config.namespaces.host_network = false;
        config.port_mappings = a.config.port_mappings.clone();
        let refused = case.runtime.run_pod_sandbox(&config).await.unwrap_err().to_string();
        assert_eq!(refused, "port 8080/TCP of the node is that of pod `kube-system/pod` already");
        // what is stopped is reached no more
        case.runtime.stop_pod_sandbox(&a.id).await.unwrap();
        assert!(ask("127.0.0.1:8080").is_err());
        let again = case.runtime.run_pod_sandbox(&config).await.unwrap();
        assert_eq!(again.ips, a.ips, "it is free again");
        case.finish().await;
        until(|| interfaces().is_empty()).await;
        link::remove("world").unwrap();
        bootstrap::linux::mount::unmount(&outside).unwrap();
    });
}

#[test]
fn case_130_sysctls_are_those_of_the_pod() {
    in_a_network(async || {
        let case = Case::new().await;
        let sysctls = [("net.ipv4.tcp_keepalive_time", "123"), ("kernel.shm_rmid_forced", "1")];
        let sysctls = sysctls.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let pod = own_network(&case, "a", |config| config.sysctls = sysctls).await;
        let read = "cd /proc/sys; cat net/ipv4/tcp_keepalive_time kernel/shm_rmid_forced \
                    net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range";
        assert_eq!(output(&case, &pod, read).await, "123\n1\n0\n0\t2147483647");
        let other = own_network(&case, "b", |_| {}).await;
        assert!(output(&case, &other, read).await.starts_with("7200\n0\n"));
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/tcp_keepalive_time").unwrap(), "7200\n");
        let mut config = case.sandbox_config();
        config.namespaces.host_network = false;
        config.sysctls = [("net.ipv4.tcp_keepalive_time".to_owned(), "soon".to_owned())].into();
        let refused = case.runtime.run_pod_sandbox(&config).await.unwrap_err();
        assert!(
            format!("{refused:#}").contains("cannot set sysctl `net.ipv4.tcp_keepalive_time` to `soon`"),
            "{refused}"
        );
        case.finish().await;
    });
}

#[test]
fn a_port_inside_is_reached_from_here() {
    in_a_network(async || {
        let case = Case::new().await;
        let own = own_network(&case, "own", |_| {}).await;
        let host = sandbox(&case, "host", |_| {}).await;
        serve(&case, &own, 8081, "inside").await;
        serve(&case, &host, 8082, "outside").await;
        for (pod, port, words) in [(&own, 8081, "inside"), (&host, 8082, "outside")] {
            let mut stream = case.runtime.port_forward(&pod.id, port).await.unwrap();
            stream.write_all(b"GET /x HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with(&format!("{words}\n")), "{answer}");
        }
        let refused = case.runtime.port_forward(&own.id, 8082).await.unwrap_err();
        assert!(refused.to_string().contains("cannot connect to port 8082 inside the pod"), "{refused}");
        assert!(case.runtime.port_forward("nobody", 1).await.is_err());
        case.finish().await;
    });
}

#[test]
fn nothing_is_left_of_a_network_that_was_half_made_or_is_torn_down() {
    in_a_network(async || {
        let mut case = Case::new().await;
        let lost =
            own_network(&case, "lost", |config| config.port_mappings = vec![port(8080, 80, Protocol::Udp)]).await;
        fs::remove_file(case.layout.run_pods().join(&lost.id).join("sandbox.json")).unwrap();
        // a kill between an address's file and its content
        fs::write(case.layout.run_network().join("addresses/10.91.0.250"), "").unwrap();
        case.reopen().await;
        until(|| interfaces().is_empty()).await;
        assert!(!case.layout.run_network().exists());
        let torn = own_network(&case, "torn", |_| {}).await;
        assert_eq!(torn.ips, lost.ips);
        assert_eq!(interfaces().len(), 2);
        case.runtime.tear_down().unwrap();
        until(|| interfaces().is_empty()).await;
        assert!(!case.layout.run_network().exists());
        case.reopen().await;
        case.finish().await;
    });
}
