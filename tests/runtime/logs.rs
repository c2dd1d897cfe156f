//! Logs as files of the node: rotated, compressed and linked.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bootstrap::control::PodStatus;
use bootstrap::runner::runtime::log::file::Rotation;
use serde_json::json;

use super::case::{Record, until};
use super::node::{Node, container};

/// How many files of a log there may be in case 71, and how long each is.
const FILES: usize = 3;
const SIZE: u64 = 40 << 10;

fn is_running(pod: &PodStatus) -> bool {
    pod.phase == "Running"
}

/// A log's files but for what is being compressed. One that is renamed while the directory is read may be there twice,
/// and is not when it is read again.
fn files(directory: &Path) -> Vec<PathBuf> {
    let read = || -> Vec<_> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_none_or(|extension| extension != "tmp")).collect()
    };
    let found = (0..3).map(|_| read()).find(|found| found.len() <= FILES);
    found.unwrap_or_else(|| panic!("too many files: {:?}", read()))
}

/// What is compressed is whole.
fn is_whole(compressed: &Path) -> bool {
    let Ok(file) = fs::File::open(compressed) else { return false };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert!(text.len() as u64 > SIZE / 2 && text.ends_with('\n'));
    text.lines().all(|line| Record::parse(line).is_full)
}

#[tokio::test(flavor = "multi_thread")]
async fn case_71_the_logs_of_busy_containers_are_rotated_and_compressed_and_never_too_many() {
    let node = Node::rotating(Rotation { max_size: SIZE, max_files: FILES }, |_| ()).await;
    let names = ["one", "two", "three"];
    let busy = names.map(|name| container(name, "while true; do seq 1 200; sleep 0.3; done"));
    node.apply("busy", json!({ "terminationGracePeriodSeconds": 1, "containers": busy }));
    let pod = node.pod("busy", is_running).await;
    let logs = node.layout().pod_logs().join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid));
    for name in names {
        let directory = logs.join(name);
        // both rotated files, and the older one compressed, while no look finds one too many
        until(|| {
            let found = files(&directory);
            let is_compressed = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gz");
            found.len() == FILES && found.iter().filter(|path| is_compressed(path)).any(|path| is_whole(path))
        })
        .await;
        let plain = files(&directory).into_iter().filter_map(|path| fs::metadata(path).ok());
        assert!(plain.map(|file| file.len()).all(|length| length <= SIZE));
    }
    node.remove("busy").await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_logs_are_read_by_other_pods_in_both_of_their_places() {
    let node = Node::new().await;
    node.apply("writer", json!({ "containers": [container("main", "echo written; sleep 600")] }));
    let writer = node.pod("writer", is_running).await;
    let log = node.layout().pod_logs().join(format!("default_{}_{}/main/0.log", writer.name, writer.uid));
    until(|| fs::read_to_string(&log).is_ok_and(|text| text.contains("written"))).await;
    let id = writer.containers[0].id.clone().unwrap();
    let link = node.layout().container_logs().join(format!("{}_default_main-{id}.log", writer.name));
    assert_eq!(fs::read_link(&link).unwrap(), log);

    // links lead to the machine's own paths, which are the container's here
    let mount = node.path("/var/log");
    let mut main = container("main", &format!("cat {} && cat {}", link.display(), log.display()));
    main["volumeMounts"] = json!([{ "name": "logs", "mountPath": mount, "readOnly": true }]);
    let volume = json!({ "name": "logs", "hostPath": { "path": "/var/log", "type": "Directory" } });
    let reader = node.run("reader", json!({ "containers": [main], "volumes": [volume] })).await;
    assert_eq!(reader.phase, "Succeeded", "{reader:#?}");
    let record = fs::read_to_string(&log).unwrap();
    assert_eq!(node.text(&reader, "main"), record.repeat(2));
    node.finish().await;
}
