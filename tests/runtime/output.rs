//! From a container's standard output and error to its log.

use std::collections::BTreeMap;
use std::fs;

use bootstrap::linux::process::private_memory;
use bootstrap::runner::runtime::Runtime;
use bootstrap::runner::runtime::log::file::Rotation;

use super::case::{Case, Record, config, until};

#[tokio::test(flavor = "multi_thread")]
async fn both_streams_arrive_whole_and_in_order() {
    let case = Case::new().await;
    let script = "i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; printf 'no end'";
    let container = case.run(script).await;
    assert_eq!(case.wait(&container).await.code, 0);
    let records = case.records(&container);
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in &records {
        lines.entry(&record.stream).or_default().push(&record.content);
    }
    let expected = |word: &str| (0..3000).map(|number| format!("{word} {number}")).collect::<Vec<_>>();
    assert_eq!(lines["stderr"], expected("err"));
    let (last, stdout) = lines["stdout"].split_last().unwrap();
    assert_eq!((*last, stdout), ("no end", &expected("out").iter().map(String::as_str).collect::<Vec<_>>()[..]));
    let unfinished: Vec<_> = records.iter().filter(|record| !record.is_full).collect();
    assert_eq!(unfinished.len(), 1, "{unfinished:?}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_come_in_parts() {
    let case = Case::new().await;
    let (_, text) = case.output_of(config("head -c 100000 /dev/zero | busybox tr '\\0' x; echo; echo end")).await;
    assert_eq!(text, format!("{}\nend\n", "x".repeat(100_000)));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_seen_before_its_line_ends() {
    let case = Case::new().await;
    let container = case.run("printf 'name? '; sleep 600").await;
    case.until_logged(&container, "stdout P name? ").await;
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_rotated_in_bounded_memory() {
    let rotation = Rotation { max_size: 1 << 20, max_files: 4 };
    let case = Case::with(rotation, serde_json::json!({})).await;
    let container = case.run("yes 'a line of some length, and of no interest to anybody at all'").await;
    let log = case.log(&container);
    let files = || -> Vec<u64> {
        let entries = fs::read_dir(log.parent().unwrap()).unwrap().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).collect()
    };
    until(|| files().len() >= 4).await;
    let before = private_memory(case.shim_of(&container)).unwrap();
    let first = fs::read_dir(log.parent().unwrap()).unwrap().flatten().map(|entry| entry.file_name()).min().unwrap();
    // every file has been replaced several times
    for _ in 0..5 {
        let names = || fs::read_dir(log.parent().unwrap()).unwrap().flatten().map(|entry| entry.file_name());
        let newest = names().max().unwrap();
        until(|| names().max().unwrap() > newest).await;
    }
    assert!(first != *"");
    let after = private_memory(case.shim_of(&container)).unwrap();
    assert!(after < before + (256 << 10), "{before} {after}");
    case.runtime.stop_container(&container.id, std::time::Duration::ZERO).await.unwrap();
    let sizes = files();
    assert!(sizes.len() <= 4 && sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
    for record in case.records(&container).iter().filter(|record| record.is_full) {
        assert_eq!(record.content, "a line of some length, and of no interest to anybody at all");
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_may_open_its_streams_again() {
    let case = Case::new().await;
    let mut config = config("echo one > /dev/stdout; echo two > /dev/stderr; echo three > /proc/self/fd/1");
    config.security.run_as_user = Some(1000);
    let container = case.run_with(config).await;
    assert_eq!(case.wait(&container).await.code, 0);
    let records = case.records(&container);
    let find = |content: &str| records.iter().find(|record: &&Record| record.content == content).unwrap();
    assert_eq!((find("one").stream.as_str(), find("two").stream.as_str()), ("stdout", "stderr"));
    assert_eq!(find("three").stream, "stdout");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_goes_on_when_the_disk_is_full() {
    let mut case = Case::new().await;
    let logs = case.path("small");
    fs::create_dir(&logs).unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&logs).status();
    assert!(mounted.unwrap().success());
    let mut sandbox = case.sandbox_config();
    sandbox.log_directory = logs.join("pod");
    let sandbox = case.runtime.run_pod_sandbox(&sandbox).await.unwrap();
    let script = "seq 1 100000; echo finished > /tmp/finished; sleep 600";
    let container = case.runtime.create_container(&sandbox.id, &config(script)).await.unwrap();
    case.runtime.start_container(&container.id).await.unwrap();
    let finished = case.layout.pods().join("0123abcd/layers").join(&container.id).join("upper/tmp/finished");
    until(|| finished.exists()).await;
    let text = fs::read_to_string(logs.join("pod/main/0.log")).unwrap();
    assert!(text.ends_with('\n') && text.lines().all(|line| Record::parse(line).is_full), "no half record");
    case.reopen().await;
    case.runtime.remove_container(&container.id).await.unwrap();
    assert!(std::process::Command::new("umount").arg(&logs).status().unwrap().success());
    case.finish().await;
}
