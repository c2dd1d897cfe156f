//! The main use of static pods: a control plane that needs none.

use bootstrap::control::PodStatus;
use k8s_openapi::api::core::v1::Pod;

use super::cluster;
use crate::support::components::NAMES;
use crate::support::inspect::eventually;
use crate::support::runner::is_ready;

#[test]
fn s28_a_control_plane_starts_from_manifests_before_there_is_an_api_server() {
    let node = cluster::shared();
    for component in NAMES {
        let manifest = node.path("etc/kubernetes/manifests").join(component).with_extension("yaml");
        let pod: Pod = serde_yaml::from_str(&std::fs::read_to_string(&manifest).unwrap()).unwrap();
        let spec = pod.spec.unwrap();
        assert_eq!(spec.host_network, Some(true));
        assert!(spec.volumes.unwrap().iter().all(|volume| volume.host_path.is_some()), "{component}");
        let running = node.status().pods.into_iter().find(|pod| pod.source == manifest).unwrap();
        assert_eq!((running.name, running.namespace), (format!("{component}-node"), "kube-system".to_owned()));
    }
    assert_eq!(node.ask(&["get", "--raw", "/readyz"]), "ok");
}

#[test]
fn s49_the_control_planes_pods_stay_as_they_are() {
    let node = cluster::shared();
    let pods = || -> Vec<PodStatus> {
        let of = |pod: &PodStatus| pod.namespace == "kube-system" && is_ready(pod);
        let ask = || node.status().pods.into_iter().filter(of).collect::<Vec<_>>();
        eventually("four pods", || Some(ask()).filter(|pods| pods.len() == NAMES.len()))
    };
    let before = pods();
    for verb in ["create", "delete"] {
        node.ask(&[verb, "namespace", "s49"]);
    }
    for (before, after) in before.iter().zip(pods()) {
        let of = |pod: &PodStatus| (pod.sandbox_id.clone(), pod.containers[0].id.clone());
        assert_eq!(of(before), of(&after));
        assert_eq!((after.phase.as_str(), after.containers[0].restarts), ("Running", 0));
    }
}
