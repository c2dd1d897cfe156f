//! What goes wrong on a node: the runner is killed again and again, the disk is full, memory runs out, a log is flooded.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bootstrap::control::{ContainerState, PodStatus};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use procfs::process::Process;

use super::manifests::busybox;
use crate::support::inspect::{eventually, kill};
use crate::support::runner::{NAME, Runner, is_ready, pid};
use crate::support::sweep;

const KILLS: usize = 200;
const PODS: u64 = 6;
/// Longer than a runner needs to take over, to stop a pod and to start it anew.
const LONGEST_LIFE: u64 = 250;

/// Numbers that are the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A pod that holds a port of the node: where two of it run, the second says so.
fn holder(pod: u64, revision: usize) -> String {
    let port = 7000 + pod;
    let script = format!(
        "nc -l -p {port} & trap \"kill $!; exit 0\" TERM; wait $!; echo pod {pod} >> /told/twice; exec sleep 1000"
    );
    let volume = "  volumes: [{name: told, hostPath: {path: /told, type: DirectoryOrCreate}}]\n";
    let mount = "    volumeMounts: [{name: told, mountPath: /told}]\n";
    let env = format!("{mount}    env: [{{name: REVISION, value: \"{revision}\"}}]\n");
    busybox(&format!("p{pod}"), &script, volume, &env)
}

/// The port that each process of a pod holds, and the revision that it is of.
fn holders(runner: &Runner) -> Vec<(String, String)> {
    let of = |pid: i32| -> Option<(String, String)> {
        let process = Process::new(pid).ok()?;
        let port = process.cmdline().ok()?.into_iter().nth(3)?;
        let revision = process.environ().ok()?.get(OsStr::new("REVISION"))?.to_string_lossy().into_owned();
        Some((port, revision))
    };
    let mut holders: Vec<_> = runner.node.processes("nc").into_iter().filter_map(of).collect();
    holders.sort();
    holders
}

#[test]
fn a_runner_killed_200_times_leaves_exactly_what_the_directory_says() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = std::env::var("SEED").map_or(u64::from(now) + 1, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut random = Random(seed);
    let mut runner = Runner::stopped();
    runner.node.run(&["images", "pull", "busybox:1.28"]).succeeds();
    let mut wanted = BTreeMap::new();
    for revision in 0..KILLS {
        runner.spawn();
        for _ in 0..random.below(3) {
            let pod = random.below(PODS);
            let file = format!("p{pod}.yaml");
            if random.below(3) > 0 {
                runner.put(&file, &holder(pod, revision));
                wanted.insert(pod, revision);
            } else if wanted.remove(&pod).is_some() {
                runner.remove(&file);
            }
        }
        std::thread::sleep(Duration::from_millis(random.below(LONGEST_LIFE)));
        runner.stop(Signal::SIGKILL);
    }
    // never nothing at the end
    runner.put("p0.yaml", &holder(0, KILLS));
    wanted.insert(0, KILLS);
    runner.start();
    let names: BTreeSet<_> = wanted.keys().map(|pod| format!("p{pod}-{NAME}")).collect();
    let is_as_wanted = |pods: &Vec<PodStatus>| {
        let is_new = |pod: &PodStatus| is_ready(pod) && pod.revision_running == pod.revision_wanted;
        pods.iter().all(is_new) && pods.iter().map(|pod| pod.name.clone()).collect::<BTreeSet<_>>() == names
    };
    let pods = eventually("the directory's pods", || Some(runner.node.status().pods).filter(is_as_wanted));
    assert_eq!(pods.len(), wanted.len(), "seed {seed}");
    let expected: Vec<_> =
        wanted.iter().map(|(pod, revision)| ((7000 + pod).to_string(), revision.to_string())).collect();
    eventually("one process for each", || (holders(&runner) == expected).then_some(()));
    assert!(!runner.node.path("told/twice").exists(), "seed {seed}: two of one pod at once");
    let sandboxes = || fs::read_dir(runner.node.path("run/bootstrap/pods")).unwrap().count();
    eventually("one sandbox for each", || (sandboxes() == wanted.len()).then_some(()));

    for pod in wanted.keys() {
        runner.remove(&format!("p{pod}.yaml"));
    }
    eventually("the end of all", || runner.node.status().pods.is_empty().then_some(()));
    let groups = sweep::control_groups(&runner.node.root);
    let left = || groups.iter().flat_map(|group| sweep::processes(group)).collect::<Vec<_>>();
    eventually("the end of all processes", || left().is_empty().then_some(()));
    assert_eq!((sandboxes(), sweep::mounts(&runner.node.root)), (0, Vec::<PathBuf>::new()), "seed {seed}");
}

#[test]
fn a_directory_that_goes_and_comes_takes_its_pods_along() {
    let runner = Runner::new();
    let manifest = busybox("a", "exec sleep 1000", "", "");
    runner.put("a.yaml", &manifest);
    runner.ready("a");
    let directory = runner.manifest("");
    fs::remove_dir_all(&directory).unwrap();
    runner.gone("a");
    fs::create_dir(&directory).unwrap();
    runner.put("a.yaml", &manifest);
    assert_eq!(runner.ready("a").containers[0].restarts, 1);
}

#[test]
fn a_full_disk_stops_nothing_and_is_written_to_once_there_is_room() {
    let mut runner = Runner::stopped();
    let records = runner.node.path("var/lib/bootstrap/records");
    fs::create_dir_all(&records).unwrap();
    mount(Some("tmpfs"), &records, Some("tmpfs"), MsFlags::empty(), Some("size=256k,mode=0700")).unwrap();
    let told = runner.node.path("told");
    fs::create_dir(&told).unwrap();
    let volume = "  volumes: [{name: told, hostPath: {path: /told}}]\n";
    let mount = "    volumeMounts: [{name: told, mountPath: /told}]\n";
    let words = "until [ -e /told/go ]; do sleep 0.1; done; echo bye > /dev/termination-log; exit 3";
    runner.put("words.yaml", &busybox("words", words, &format!("  restartPolicy: Never\n{volume}"), mount));
    runner.put("steady.yaml", &busybox("steady", "exec sleep 1000", "", ""));
    runner.put("crash.yaml", &busybox("crash", "exec sleep 1000", "", ""));
    runner.start();
    let steady = runner.ready("steady");
    let crash = runner.ready("crash");
    runner.ready("words");

    fill(&records.join("filler"));
    fs::write(told.join("go"), "").unwrap();
    let end = runner.pod("words", |pod| pod.phase == "Failed");
    let ContainerState::Terminated(end) = &end.containers[0].state else { panic!("{end:?}") };
    assert_eq!((end.exit_code, end.message.as_deref()), (3, None));
    kill(pid(&crash.containers[0]).unwrap());
    let crash = runner.pod("crash", |pod| is_ready(pod) && pod.containers[0].restarts == 1);
    runner.stop(Signal::SIGKILL);
    runner.start();
    for before in [&steady, &crash] {
        let after = runner.ready(before.name.strip_suffix(&format!("-{NAME}")).unwrap());
        let of = |pod: &PodStatus| (pod.containers[0].id.clone(), pod.containers[0].restarts);
        assert_eq!(of(&after), of(before));
    }
    for record in fs::read_dir(&records).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let text = fs::read_to_string(record.path().join("record.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    }

    fs::remove_file(records.join("filler")).unwrap();
    let id = crash.containers[0].id.clone().unwrap();
    let path = records.join(&crash.uid).join("record.json");
    eventually("the record", || fs::read_to_string(&path).ok().filter(|text| text.contains(&id)));
}

/// Leaves no byte of a small file system.
fn fill(path: &Path) {
    let block = [b'x'; 512];
    let mut file = fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
}

#[test]
fn a_container_that_takes_too_much_memory_is_told_so() {
    let runner = Runner::new();
    let limit = "    resources: {limits: {memory: 16Mi}}\n";
    let once = "  restartPolicy: Never\n";
    runner.put("greedy.yaml", &busybox("greedy", "exec dd if=/dev/zero of=/dev/null bs=200M count=1", once, limit));
    let pod = runner.pod("greedy", |pod| pod.phase == "Failed");
    let ContainerState::Terminated(end) = &pod.containers[0].state else { panic!("{pod:?}") };
    assert_eq!((end.reason.as_str(), end.exit_code), ("OOMKilled", 137));
    let told = runner.node.run(&["status"]);
    assert!(format!("{}{}", told.stdout, told.stderr).contains("OOMKilled"), "{told:?}");
}

#[test]
fn a_flooded_log_takes_bounded_space_and_memory() {
    const MIB: u64 = 1 << 20;
    let runner = Runner::new();
    let line = "x".repeat(999);
    let flood = format!("yes {line} | head -c 100000000; echo the end; exec sleep 1000");
    runner.put("flood.yaml", &busybox("flood", &flood, "", ""));
    let pod = runner.ready("flood");
    let logs = pod.containers[0].log.clone().unwrap();
    let logs = logs.parent().unwrap();
    let last = || runner.node.run(&["logs", &format!("flood-{NAME}"), "--tail=1"]).stdout;
    let mut most = 0;
    eventually("the last line", || {
        let sizes = fs::read_dir(logs).unwrap().flatten().filter_map(|entry| entry.metadata().ok());
        most = most.max(sizes.map(|metadata| metadata.len()).sum());
        (last() == "the end\n").then_some(())
    });
    assert!((5 * MIB..=55 * MIB).contains(&most), "{most} bytes of logs");
    let peak = |pid: i32| Process::new(pid).unwrap().status().unwrap().vmhwm.unwrap() / 1024;
    let shim = Process::new(pid(&pod.containers[0]).unwrap()).unwrap().stat().unwrap().ppid;
    let (runner, shim) = (peak(runner.node.runner()), peak(shim));
    // most of it is the program's own code, unoptimised; the flood is larger than both
    assert!(runner < 90 && shim < 48, "the runner took {runner} MiB, the shim {shim} MiB");
}
