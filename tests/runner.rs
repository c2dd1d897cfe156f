//! The runner as a whole, from manifests to the runtime's verbs, with tokio's paused clock: minutes of back-off pass
//! in an instant, and every moment told here is exact.

mod admission;
mod directory;
mod double;
mod events;
mod kills;
mod lifecycle;
mod order;
mod probes;
mod probing;
mod sidecars;
mod url;
mod whole;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::options::options;
use bootstrap::control::client;
use bootstrap::control::{ContainerState, PodStatus, Rejected, Reply, Request, Status};
use bootstrap::layout::Layout;
use bootstrap::runner::node::MAX_PODS;
use bootstrap::runner::source::url::ManifestUrl;
use bootstrap::runner::worker::backoff::LONGEST;
use bootstrap::runner::{self, Options};
use double::Double;
use tokio::task::JoinHandle;

struct Node {
    root: tempfile::TempDir,
    layout: Layout,
    runtime: Double,
    runner: Option<JoinHandle<()>>,
    manifest_url: Option<String>,
    max_restart_period: Duration,
    max_pods: usize,
}

impl Node {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        fs::create_dir_all(layout.manifests()).unwrap();
        Node {
            root,
            layout,
            runtime: Double::new(),
            runner: None,
            manifest_url: None,
            max_restart_period: LONGEST,
            max_pods: MAX_PODS,
        }
    }

    async fn started() -> Self {
        let mut node = Node::new();
        node.start().await;
        node
    }

    async fn start(&mut self) {
        let options = Options {
            max_restart_period: self.max_restart_period,
            node_labels: vec![("zone".to_owned(), "a".to_owned())],
            max_pods: self.max_pods,
            manifest_url: self.manifest_url.as_ref().map(|url| ManifestUrl::new(url, &[]).unwrap()),
            ..options(&self.layout)
        };
        let runtime = self.runtime.clone();
        self.runner =
            Some(tokio::spawn(async move { runner::run(options, |_| std::future::ready(Ok(runtime))).await.unwrap() }));
        while !client::is_running(&self.layout).await {
            assert!(!self.runner.as_ref().unwrap().is_finished());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As SIGKILL does: nothing is said to anybody.
    async fn kill(&mut self) {
        let runner = self.runner.take().unwrap();
        runner.abort();
        let _ = runner.await;
    }

    fn path(&self, file: &str) -> PathBuf {
        self.layout.manifests().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let hidden = self.path(&format!(".{file}"));
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.path(file)).unwrap();
    }

    async fn status(&self) -> Status {
        match client::call(&self.layout, Request::Status).await.unwrap() {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// The status of a pod once it is as told.
    async fn pod(&self, name: &str, holds: impl Fn(&PodStatus) -> bool) -> PodStatus {
        for attempt in 0..20_000 {
            let status = self.status().await;
            if let Some(pod) = status.pods.into_iter().find(|pod| pod.name == name && holds(pod)) {
                return pod;
            }
            // what takes seconds of the paused clock need not be asked for each millisecond
            tokio::time::sleep(Duration::from_millis(if attempt < 200 { 1 } else { 20 })).await;
        }
        panic!("it never came to that: {:#?}", self.status().await);
    }

    /// What the runner says of a file that it does not take.
    async fn rejected(&self, file: &str) -> Rejected {
        for _ in 0..100_000 {
            let rejected = self.status().await.rejected;
            if let Some(rejected) = rejected.into_iter().find(|rejected| rejected.path == self.path(file)) {
                return rejected;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("`{file}` is not rejected: {:#?}", self.status().await);
    }

    async fn running(&self, names: &[&str]) {
        let is_so = |runtime: &Double| {
            let mut running: Vec<_> = runtime.running().into_iter().map(|(name, ..)| name).collect();
            running.sort();
            running == names
        };
        self.runtime.until(&format!("{names:?} running"), is_so).await;
    }
}

fn manifest(name: &str, image: &str) -> String {
    manifest_with(name, image, "", "")
}

fn manifest_with(name: &str, image: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  hostNetwork: true\n{spec}  containers:\n  \
         - name: {name}\n    image: \"{image}\"\n    imagePullPolicy: IfNotPresent\n{container}"
    )
}

fn is_running(pod: &PodStatus) -> bool {
    pod.containers.iter().all(|container| matches!(container.state, ContainerState::Running { .. }))
}

fn reason(pod: &PodStatus) -> &str {
    match &pod.containers[0].state {
        ContainerState::Waiting { reason, .. } => reason,
        ContainerState::Running { .. } => "Running",
        ContainerState::Terminated(exit) => &exit.reason,
    }
}

#[tokio::test(start_paused = true)]
async fn case_1_15_22_a_manifest_starts_an_edit_replaces_and_a_removal_stops() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    let first = node.pod("a-n1", is_running).await;
    assert_eq!((first.phase.as_str(), first.namespace.as_str()), ("Running", "default"));
    assert!(first.containers[0].ready);
    node.write("a.yaml", &manifest_with("a", "run", "  terminationGracePeriodSeconds: 7\n", ""));
    let second = node.pod("a-n1", |pod| is_running(pod) && pod.uid != first.uid).await;
    assert_ne!(first.revision_running, second.revision_running);
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    let order = ["sandbox a-n1", "start a #0", "stop a 30s", "gone a-n1"];
    let history: Vec<_> = node.runtime.history().into_iter().filter(|text| text != "start a").collect();
    assert_eq!(history, [order, ["sandbox a-n1", "start a #0", "stop a 7s", "gone a-n1"]].concat());
}

#[tokio::test(start_paused = true)]
async fn case_30_86_what_keeps_failing_is_started_at_the_kubelets_moments() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "exit:1"));
    node.runtime.until("seven starts", |runtime| runtime.times("start a").len() == 7).await;
    let times = node.runtime.times("start a");
    assert_eq!(times.iter().map(|at| at - times[0]).collect::<Vec<_>>(), [0, 0, 10, 30, 70, 150, 310]);
    let pod = node.pod("a-n1", |pod| reason(pod) == "CrashLoopBackOff").await;
    assert_eq!(pod.phase, "Running");
    assert_eq!(pod.containers[0].restarts, 6);
    assert!(pod.containers[0].next_try.is_some());
    assert_eq!(pod.containers[0].last_exit.as_ref().unwrap().exit_code, 1);
    let dead = node.runtime.containers().len();
    assert_eq!(dead, 1, "one dead container is kept");
    let links = fs::read_dir(node.layout.container_logs()).unwrap().count();
    assert_eq!(links, 1);
}

#[tokio::test(start_paused = true)]
async fn case_78_154_a_crash_is_answered_at_once_in_the_same_sandbox() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    let sandboxes = node.runtime.sandboxes();
    node.runtime.crash("a", 137);
    node.runtime.until("attempt 1", |runtime| runtime.running().iter().any(|(_, attempt, _)| *attempt == 1)).await;
    assert_eq!(node.runtime.sandboxes(), sandboxes);
    let times = node.runtime.times("start a");
    assert_eq!(times[0], times[1]);
}

#[tokio::test(start_paused = true)]
async fn case_21_a_killed_runner_is_followed_by_one_that_touches_nothing() {
    let mut node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.write("b.yaml", &manifest("b", "run"));
    node.running(&["a", "b"]).await;
    node.runtime.crash("a", 1);
    node.runtime.until("attempt 1", |runtime| runtime.running().iter().any(|(_, attempt, _)| *attempt == 1)).await;
    node.pod("a-n1", |pod| is_running(pod) && pod.containers[0].restarts == 1).await;
    let (before, history) = (node.runtime.running(), node.runtime.history());
    for _ in 0..3 {
        node.kill().await;
        node.start().await;
        let pod = node.pod("a-n1", is_running).await;
        assert_eq!((pod.containers[0].restarts, pod.containers[0].ready), (1, true));
    }
    assert_eq!((node.runtime.running(), node.runtime.history()), (before, history));
}

#[tokio::test(start_paused = true)]
async fn case_25_what_changed_while_no_runner_ran_is_made_good() {
    let mut node = Node::started().await;
    for name in ["a", "b", "c"] {
        node.write(&format!("{name}.yaml"), &manifest(name, "run"));
    }
    node.running(&["a", "b", "c"]).await;
    node.pod("c-n1", is_running).await;
    node.kill().await;
    node.runtime.crash("a", 1);
    fs::remove_file(node.path("b.yaml")).unwrap();
    node.write("c.yaml", &manifest_with("c", "run", "  terminationGracePeriodSeconds: 9\n", ""));
    node.start().await;
    node.runtime
        .until("all is well", |runtime| {
            let running: Vec<_> = runtime.running().into_iter().map(|(name, attempt, _)| (name, attempt)).collect();
            running == [("a".to_owned(), 1), ("c".to_owned(), 0)] && runtime.sandboxes().len() == 2
        })
        .await;
    let history = node.runtime.history();
    assert!(history.contains(&"stop b 30s".to_owned()), "an orphan gets its own grace: {history:?}");
}

#[tokio::test(start_paused = true)]
async fn a_boot_starts_everything_anew_and_counts_on() {
    let mut node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    node.pod("a-n1", is_running).await;
    node.kill().await;
    node.runtime.reboot();
    node.start().await;
    node.running(&["a"]).await;
    let pod = node.pod("a-n1", is_running).await;
    assert_eq!(pod.containers[0].restarts, 1);
    assert_eq!(node.runtime.sandboxes().len(), 1);
    assert_eq!(node.runtime.sandboxes()[0].config.attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn case_162_a_manifest_that_becomes_invalid_stops_nothing_even_over_a_restart_of_the_runner() {
    let mut node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    node.pod("a-n1", is_running).await;
    let history = node.runtime.history();
    node.write("a.yaml", "kind: [");
    let is_rejected = |status: &Status| status.rejected.first().is_some_and(|file| file.last_good_running);
    while !is_rejected(&node.status().await) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    node.kill().await;
    node.start().await;
    node.pod("a-n1", is_running).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(is_rejected(&node.status().await));
    assert_eq!(node.runtime.history(), history);
    node.kill().await;
    node.runtime.reboot();
    node.start().await;
    node.running(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn case_5_153_a_manifest_that_comes_back_counts_its_restarts_on() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    fs::rename(node.path("a.yaml"), node.root.path().join("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    fs::rename(node.root.path().join("a.yaml"), node.path("a.yaml")).unwrap();
    node.running(&["a"]).await;
    assert_eq!(node.runtime.running()[0].1, 1);
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    let logs = || fs::read_dir(node.layout.pod_logs()).unwrap().count();
    assert_eq!(logs(), 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!((logs(), fs::read_dir(node.layout.records()).unwrap().count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn draining_goes_by_waves_and_nothing_comes_back() {
    let node = Node::started().await;
    for name in ["etcd", "kube-apiserver", "web"] {
        node.write(&format!("{name}.yaml"), &manifest(name, "run"));
    }
    node.running(&["etcd", "kube-apiserver", "web"]).await;
    let waves = [["kube-apiserver", "kube-scheduler"].as_slice(), ["etcd"].as_slice()];
    let waves = waves.iter().map(|wave| wave.iter().map(|name| (*name).to_owned()).collect()).collect();
    let reply = client::call(&node.layout, Request::Drain { waves, grace_seconds: Some(4) }).await.unwrap();
    assert!(matches!(reply, Reply::Done));
    node.write("late.yaml", &manifest("late", "run"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let ends: Vec<_> = node.runtime.history().into_iter().filter(|text| !text.starts_with("sta")).collect();
    let expected = [
        "stop kube-apiserver 4s",
        "gone kube-apiserver-n1",
        "stop etcd 4s",
        "gone etcd-n1",
        "stop web 4s",
        "gone web-n1",
    ];
    assert_eq!(ends[3..], expected);
    assert!(node.runtime.sandboxes().is_empty() && node.status().await.pods.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_container_stopped_by_hand_comes_back() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    let pod = node.pod("a-n1", is_running).await;
    let id = pod.containers[0].id.clone().unwrap();
    client::call(&node.layout, Request::StopContainer { id: id.clone() }).await.unwrap();
    let pod = node.pod("a-n1", is_running).await;
    assert_eq!(pod.containers[0].restarts, 1);
    assert_eq!(pod.containers[0].last_exit.as_ref().unwrap().cause.as_deref(), Some("stopped by hand"));
    let refused = client::call(&node.layout, Request::StopContainer { id }).await.unwrap_err();
    assert!(refused.to_string().starts_with("no container `"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn case_87_an_image_that_is_not_there_is_waited_for_and_an_edit_does_not_wait_for_it() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "absent"));
    let pod = node.pod("a-n1", |pod| reason(pod) == "ImagePullBackOff").await;
    assert_eq!(pod.phase, "Pending");
    node.runtime.until("three pulls", |runtime| runtime.times("pull absent").len() == 3).await;
    let times = node.runtime.times("pull absent");
    assert_eq!(times.iter().map(|at| at - times[0]).collect::<Vec<_>>(), [0, 10, 30]);
    node.write("a.yaml", &manifest("a", "held"));
    node.runtime.until("a pull", |runtime| !runtime.times("pull held").is_empty()).await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    node.runtime.let_go();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(node.runtime.times("start a").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_started_says_why() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "bad"));
    node.write("b.yaml", &manifest("b", "broken"));
    node.write("c.yaml", &manifest("c", "run").replace("hostNetwork: true", "hostUsers: false"));
    let volume = "  volumes: [{name: v, hostPath: {path: /etc/file, type: File}}]\n";
    let mount = "    volumeMounts: [{name: v, mountPath: /v}]\n";
    node.write("d.yaml", &manifest_with("d", "run", volume, mount));
    node.pod("a-n1", |pod| reason(pod) == "CreateContainerConfigError").await;
    node.pod("b-n1", |pod| reason(pod) == "RunContainerError").await;
    let status = node.status().await;
    let expected = "`spec.hostUsers: false` is not supported";
    assert_eq!(status.rejected[0].reason, expected);
    let is_told = |pod: &PodStatus| pod.message.as_deref().is_some_and(|message| message.contains("is not a file"));
    node.pod("d-n1", is_told).await;
    fs::create_dir_all(node.layout.under("/etc")).unwrap();
    fs::write(node.layout.under("/etc/file"), "").unwrap();
    node.pod("d-n1", is_running).await;
}

#[tokio::test(start_paused = true)]
async fn case_98_110_probes_hold_ready_back_and_end_what_is_not_alive() {
    let node = Node::started().await;
    node.runtime.set_exec("a", 1);
    let probes = "    startupProbe: {exec: {command: [x]}, periodSeconds: 1, failureThreshold: 100}\n    \
                  livenessProbe: {exec: {command: [x]}, periodSeconds: 5, failureThreshold: 2, terminationGracePeriodSeconds: 3}\n    \
                  readinessProbe: {exec: {command: [x]}, periodSeconds: 2}\n";
    node.write("a.yaml", &manifest_with("a", "run", "", probes));
    let pod = node.pod("a-n1", |pod| is_running(pod) && pod.containers[0].probe.is_some()).await;
    assert_eq!((pod.containers[0].started, pod.containers[0].ready), (false, false));
    assert_eq!(pod.containers[0].probe.as_deref(), Some("Startup probe failed: said so"));
    node.runtime.set_exec("a", 0);
    let pod = node.pod("a-n1", |pod| pod.containers[0].ready).await;
    assert!(pod.containers[0].started && pod.containers[0].probe.is_none());
    node.runtime.set_exec("a", 1);
    node.runtime.until("the end", |runtime| !runtime.times("stop a 3s").is_empty()).await;
    let pod = node.pod("a-n1", |pod| pod.containers[0].restarts == 1).await;
    let last = pod.containers[0].last_exit.clone().unwrap();
    assert_eq!(last.cause.as_deref(), Some("Liveness probe failed: said so"));
}

#[tokio::test(start_paused = true)]
async fn readiness_lasts_over_a_restart_of_the_runner() {
    let mut node = Node::started().await;
    let probe = "    readinessProbe: {exec: {command: [x]}, periodSeconds: 1000}\n";
    node.write("a.yaml", &manifest_with("a", "run", "", probe));
    node.pod("a-n1", |pod| pod.containers[0].ready).await;
    node.kill().await;
    node.start().await;
    let pod = node.pod("a-n1", is_running).await;
    assert!(pod.containers[0].ready, "before any probe of the new runner");
    assert_eq!(node.runtime.execs("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn case_11_12_43_a_stubborn_container_is_given_its_grace_and_no_more() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest_with("a", "stubborn", "  terminationGracePeriodSeconds: 0\n", ""));
    node.running(&["a"]).await;
    node.write("a.yaml", &manifest("a", "run"));
    node.runtime.until("the new one", |runtime| runtime.times("start a").len() == 2).await;
    let (stop, starts) = (node.runtime.times("stop a 2s"), node.runtime.times("start a"));
    assert_eq!(starts[1] - stop[0], 2, "the new one starts as soon as the old one is gone");
}

#[tokio::test(start_paused = true)]
async fn a_finished_pod_stays_finished_over_a_restart_of_the_runner() {
    let mut node = Node::started().await;
    node.write("a.yaml", &manifest_with("a", "exit:0", "  restartPolicy: OnFailure\n", ""));
    let pod = node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
    assert_eq!(reason(&pod), "Completed");
    node.kill().await;
    node.start().await;
    node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
    assert_eq!(node.runtime.times("start a").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_runner_is_refused_with_the_first_ones_pid() {
    let node = Node::started().await;
    let refused =
        runner::run(options(&node.layout), |_| std::future::ready(Ok(node.runtime.clone()))).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("a runner is running already (pid {})", std::process::id()));
}

#[tokio::test(start_paused = true)]
async fn without_a_runner_the_client_says_so() {
    let mut node = Node::started().await;
    node.kill().await;
    let error = client::call(&node.layout, Request::Status).await.unwrap_err();
    assert_eq!(error.to_string(), "no runner is running");
    assert!(bootstrap::error::hint_of(&error).is_some());
    node.start().await;
    assert!(matches!(client::call(&node.layout, Request::Shutdown).await.unwrap(), Reply::Done));
    node.runner.take().unwrap().await.unwrap();
    assert!(!node.layout.control_socket().exists());
}

#[tokio::test(start_paused = true)]
async fn the_control_socket_is_private_and_may_lie_deep() {
    use std::os::unix::fs::PermissionsExt;
    let mut node = Node::new();
    node.layout = Layout::new(node.root.path().join("d".repeat(100)).join("e".repeat(100)));
    fs::create_dir_all(node.layout.manifests()).unwrap();
    node.start().await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(node.layout.run()), mode(node.layout.control_socket())), (0o700, 0o600));
    assert_eq!(node.status().await.runner.node_name, "n1");
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_a_new_pod_of_the_same_manifest_and_no_crash() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    let restart = |uid: String| client::call(&node.layout, Request::RestartPod { uid, grace_seconds: None });
    for attempt in 1..4 {
        let before = node.pod("a-n1", is_running).await;
        assert!(matches!(restart(before.uid.clone()).await.unwrap(), Reply::Done));
        let is_new = |pod: &PodStatus| is_running(pod) && pod.sandbox_id != before.sandbox_id;
        let after = node.pod("a-n1", is_new).await;
        assert_eq!((after.uid, after.containers[0].restarts), (before.uid, attempt));
        assert!(after.containers[0].last_exit.is_none() && after.containers[0].next_try.is_none());
    }
    let times = node.runtime.times("start a");
    assert!(times.iter().all(|at| *at == times[0]), "nothing was waited for: {times:?}");
    let refused = restart("nobody".to_owned()).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no pod `nobody`");
}
