//! Manifests of static pods: one is refused for a reason, or it is a pod with one revision, that a record keeps whole.
#![no_main]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::LazyLock;

use bootstrap::error::chain_of;
use bootstrap::layout::Layout;
use bootstrap::runner::container;
use bootstrap::runner::node::{MAX_PODS, Node};
use bootstrap::runner::pod::{Pod, decode, decode_list};
use bootstrap::runner::source::Origin;
use bootstrap_fuzz::bounded;
use libfuzzer_sys::{Corpus, fuzz_target};

static NODE: LazyLock<Node> = LazyLock::new(|| Node {
    name: "node".to_owned(),
    host_name: "node".to_owned(),
    ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    cluster_dns: Vec::new(),
    cluster_domain: "cluster.local".to_owned(),
    memory: 1 << 32,
    cpu: 2000,
    max_pods: MAX_PODS,
    pod_max_pids: None,
    seccomp_default: false,
    labels: BTreeMap::new(),
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let source = Origin::File(Path::new("/etc/kubernetes/manifests/pod.yaml").to_owned());
    match bounded(|| decode(data, &source, "Node")) {
        Err(error) => assert!(!chain_of(&error).trim().is_empty(), "it is refused, and nobody says why"),
        Ok(pod) => {
            check(&pod);
            let again = decode(data, &source, "Node").expect("what is a pod stays one");
            assert_eq!(again, pod, "the same text is another pod");
            let elsewhere = decode(data, &source, "other").expect("a pod on every node");
            assert_ne!(elsewhere.revision, pod.revision, "every node has revisions of its own");
        }
    }
    if let Ok(pods) = bounded(|| decode_list(data, &source, "Node")) {
        pods.iter().for_each(check);
    }
    Corpus::Keep
});

/// What the rest of the program rests on.
fn check(pod: &Pod) {
    assert!(pod.name.ends_with("-node") && pod.name.len() <= 253, "its name is `{}`", pod.name);
    assert!(!pod.namespace.is_empty() && !pod.containers.is_empty());
    assert!(!pod.uid.contains(['/', '_']) && pod.uid != "." && pod.uid != "..", "its UID is `{}`", pod.uid);
    let is_hash = pod.revision.len() == 32 && pod.revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hash, "its revision is `{}`", pod.revision);
    let record = serde_json::to_vec(pod).expect("a record of it");
    let read: Pod = serde_json::from_slice(&record).expect("a record that can be read");
    // what somebody should hear of once is no part of it
    let kept = Pod { remarks: Vec::new(), ..pod.clone() };
    assert_eq!(read, kept, "the record is of another pod");
    let layout = Layout::default();
    for index in 0..pod.containers.len() {
        for refused in [
            container::config(pod, index, 0, &BTreeMap::new(), &NODE, &[], &layout).err(),
            container::sub_paths(pod, index, &BTreeMap::new(), &NODE, &[], &layout).err(),
        ]
        .into_iter()
        .flatten()
        {
            assert!(!refused.trim().is_empty(), "a container cannot be made, and nobody says why");
        }
    }
}
