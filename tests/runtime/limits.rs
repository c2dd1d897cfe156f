//! Where pods' control groups are and what they hold, in either version.

use std::fs;

use bootstrap::layout::Layout;
use bootstrap::linux::cgroup::Cgroups;
use bootstrap::runner::runtime::{CgroupParent, ContainerState, Runtime};
use serde_json::{Value, json};

use super::case::{Case, config};
use super::node::{Node, container, is_up};

/// The control groups of an instance; paths are below its uppermost one.
struct Groups {
    all: Cgroups,
    instance: String,
}

impl Groups {
    fn of(layout: &Layout) -> Groups {
        Groups { all: Cgroups::detect().unwrap(), instance: layout.instance() }
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.instance)
    }

    fn exists(&self, path: &str) -> bool {
        self.all.at(self.path(path)).exists()
    }

    fn processes(&self, path: &str) -> usize {
        self.all.at(self.path(path)).processes().len()
    }

    /// What stands in a file of the first of those names that there is.
    fn read(&self, path: &str, names: &[&str]) -> String {
        let files = self.all.mount_points().flat_map(|mount| names.iter().map(move |name| (mount, name)));
        let mut files = files.map(|(mount, name)| mount.join(self.path(path)).join(name));
        let file = files.find(|file| file.exists()).unwrap_or_else(|| panic!("{path} has none of {names:?}"));
        fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

fn sleeping(resources: Value) -> Value {
    let mut main = container("main", "exec sleep 600");
    main["resources"] = resources;
    json!({ "terminationGracePeriodSeconds": 0, "containers": [main] })
}

#[tokio::test(flavor = "multi_thread")]
async fn case_77_a_pod_is_in_the_tier_of_its_class_until_it_is_gone() {
    let mut node = Node::new().await;
    let groups = Groups::of(node.layout());
    let tiers = ["kubepods", "kubepods/burstable", "kubepods/besteffort"];
    assert!(tiers.iter().all(|tier| groups.exists(tier)));
    let full = json!({ "limits": { "cpu": "100m", "memory": "64Mi" } });
    let of_tiers = [full, json!({ "requests": { "cpu": "100m" } }), json!({})];
    let mut places = Vec::new();
    for (tier, resources) in tiers.iter().zip(of_tiers) {
        let name = tier.replace('/', "-");
        node.apply(&name, sleeping(resources));
        let pod = node.pod(&name, is_up).await;
        let place = format!("{tier}/pod{}", pod.uid);
        let id = pod.containers[0].id.clone().unwrap();
        assert!(groups.processes(&format!("{place}/{id}")) > 0, "{place}");
        places.push((name, place, id));
    }
    node.restart().await;
    for (name, place, id) in &places {
        let pod = node.pod(name, is_up).await;
        assert_eq!((pod.containers[0].id.as_ref(), pod.containers[0].restarts), (Some(id), 0));
        node.remove(name).await;
        assert!(!groups.exists(place), "{place}");
    }
    assert!(tiers.iter().all(|tier| groups.exists(tier)), "the tiers stay");
    node.finish().await;
}

/// In the first version's words; those of the second go through the same sum.
#[tokio::test(flavor = "multi_thread")]
async fn case_77_burstable_pods_have_together_what_they_ask_for() {
    let node = Node::new().await;
    let groups = Groups::of(node.layout());
    let shares = |path: &str| groups.read(path, &["cpu.shares", "cpu.weight"]);
    let is_unified = groups.all.is_unified();
    let told = |shares: u64| if is_unified { 1 + (shares - 2) * 9999 / 262_142 } else { shares }.to_string();
    assert_eq!((shares("kubepods/besteffort"), shares("kubepods/burstable")), (told(2), told(2)));
    for (name, request) in [("a", "100m"), ("b", "250m")] {
        node.apply(name, sleeping(json!({ "requests": { "cpu": request } })));
        node.pod(name, is_up).await;
    }
    // guaranteed, and with memory alone: neither counts
    node.apply("c", sleeping(json!({ "limits": { "cpu": "500m", "memory": "64Mi" } })));
    node.apply("d", sleeping(json!({ "requests": { "memory": "64Mi" } })));
    for name in ["c", "d"] {
        node.pod(name, is_up).await;
    }
    assert_eq!(shares("kubepods/burstable"), told(358));
    node.remove("b").await;
    assert_eq!(shares("kubepods/burstable"), told(102));
    assert_eq!(shares("kubepods/besteffort"), told(2));
    node.finish().await;
}

/// Their records do not tell where their pods' control groups are.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_runner_has_placed_is_adopted_where_it_is() {
    let mut case = Case::new().await;
    let groups = Groups::of(&case.layout);
    let old = case.run("exec sleep 600").await;
    let file = case.layout.run_pods().join(&old.sandbox_id).join("sandbox.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(record["sandbox"]["config"].as_object_mut().unwrap().remove("cgroup_parent").is_some());
    fs::write(&file, record.to_string()).unwrap();
    case.reopen().await;
    assert!(groups.processes(&format!("pod0123abcd/{}", old.id)) > 0);
    let state = case.runtime.container_status(&old.id).await.unwrap().state;
    assert!(matches!(state, ContainerState::Running { .. }), "{state:?}");
    let mut again = config("exec sleep 600");
    (again.attempt, again.log_path) = (1, "main/1.log".into());
    let again = case.runtime.create_container(&old.sandbox_id, &again).await.unwrap();
    case.runtime.start_container(&again.id).await.unwrap();
    assert!(groups.processes(&format!("pod0123abcd/{}", again.id)) > 0);

    let mut next = case.sandbox_config();
    (next.attempt, next.cgroup_parent) = (1, CgroupParent::Burstable);
    let next = case.runtime.run_pod_sandbox(&next).await.unwrap();
    let new = case.runtime.create_container(&next.id, &config("exec sleep 600")).await.unwrap();
    case.runtime.start_container(&new.id).await.unwrap();
    case.runtime.remove_pod_sandbox(&old.sandbox_id).await.unwrap();
    assert!(!groups.exists("pod0123abcd"));
    case.reopen().await;
    assert!(groups.processes(&format!("kubepods/burstable/pod0123abcd/{}", new.id)) > 0);
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_73_a_pod_has_so_many_processes_as_its_node_lets_it() {
    let node = Node::with(|options| options.pod_max_pids = Some(1024)).await;
    let groups = Groups::of(node.layout());
    node.apply("a", sleeping(json!({})));
    let pod = node.pod("a", is_up).await;
    let place = format!("kubepods/besteffort/pod{}", pod.uid);
    assert_eq!(groups.read(&place, &["pids.max"]), "1024");
    let id = pod.containers[0].id.as_ref().unwrap();
    assert_eq!(groups.read(&format!("{place}/{id}"), &["pids.max"]), "max", "containers share what their pod has");
    node.finish().await;
}
