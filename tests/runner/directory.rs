//! A directory of manifests at its limits: a thousand at once, more changes than the kernel keeps, large and slow files.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::{Node, is_running, manifest};

#[tokio::test(start_paused = true)]
async fn a_thousand_manifests_at_once_all_run_once() {
    let mut node = Node::new();
    node.max_pods = 1000;
    node.start().await;
    let names: Vec<_> = (0..1000).map(|number| format!("p{number:03}")).collect();
    for name in &names {
        node.write(&format!("{name}.yaml"), &manifest(name, "run"));
    }
    node.runtime.until("a thousand containers", |runtime| runtime.running().len() == names.len()).await;
    node.running(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(node.runtime.sandboxes().len(), names.len());
    for name in &names {
        assert_eq!(node.runtime.times(&format!("start {name}")).len(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_the_kernel_keeps_hide_none() {
    let node = Node::started().await;
    node.write("before.yaml", &manifest("before", "run"));
    node.running(&["before"]).await;
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // nothing is awaited: the runner, in the same thread, reads no event
    let other = node.path(".other");
    for _ in 0..most {
        // at least one event: written, and closed
        File::create(&other).unwrap().write_all(b"x").unwrap();
    }
    fs::remove_file(node.path("before.yaml")).unwrap();
    node.write("after.yaml", &manifest("after", "run"));
    let begin = Instant::now();
    node.running(&["after"]).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "it was not waited for the next scan: {:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn ten_mebibytes_are_a_manifest_and_more_are_none() {
    let node = Node::started().await;
    let padded = |name: &str, size: usize| {
        let text = manifest(name, "run");
        let comment = format!("# {}\n", "x".repeat(1021));
        let mut text = text + &comment.repeat(size / comment.len());
        text.truncate(size);
        text
    };
    node.write("a.yaml", &padded("a", 10 << 20));
    node.write("b.yaml", &padded("b", 11 << 20));
    node.pod("a-n1", is_running).await;
    let rejected = node.rejected("b.yaml").await;
    assert_eq!(rejected.reason, "it is larger than 10 MiB");
    assert_eq!(node.runtime.running().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_written_slowly_is_read_when_it_is_whole() {
    let node = Node::started().await;
    let text = manifest("a", "run");
    // a valid manifest of another pod, as far as it goes
    let half = "apiVersion: v1\nkind: Pod\nmetadata: {name: half}\nspec:\n  hostNetwork: true\n  containers:\n  - name: h\n    image: run\n";
    let mut file = File::create(node.path("a.yaml")).unwrap();
    for part in half.as_bytes().chunks(10) {
        file.write_all(part).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(node.runtime.history().is_empty() && node.status().await.rejected.is_empty());
    file.set_len(0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, text.as_bytes(), 0).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(node.runtime.history().is_empty());
    let begin = Instant::now();
    drop(file);
    node.running(&["a"]).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_made_again_is_watched_again() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.running(&["a"]).await;
    for round in 1..4 {
        fs::remove_dir_all(node.layout.manifests()).unwrap();
        node.running(&[]).await;
        fs::create_dir(node.layout.manifests()).unwrap();
        node.write("a.yaml", &manifest("a", "run"));
        node.running(&["a"]).await;
        // and the new one is watched, not only looked at every now and then
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begin = Instant::now();
        node.write("b.yaml", &manifest("b", "run"));
        node.running(&["a", "b"]).await;
        assert!(begin.elapsed() < Duration::from_secs(1), "round {round}: {:?}", begin.elapsed());
    }
}
