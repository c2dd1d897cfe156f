//! Two containers of one pod want one port: from the manifest to the status.

use std::fs;

use bootstrap::control::{ContainerState, ContainerStatus};
use serde_json::json;

use super::case::until;
use super::network::{ask, in_a_network, interfaces};
use super::node::{Node, container};

fn waits(container: &ContainerStatus) -> bool {
    matches!(&container.state, ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff")
}

#[test]
fn case_155_of_two_containers_on_one_port_the_second_fails() {
    in_a_network(async || {
        let node = Node::new().await;
        let manifests = node.layout().manifests();
        let serve = "mkdir -p /data/www; echo hello > /data/www/x; exec httpd -f -p 80 -h /data/www";
        // the first one has the port already
        let late = "until wget -q -O /dev/null http://127.0.0.1:80/x; do sleep 0.1; done; exec httpd -f -p 80";
        let manifest = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
            "spec": { "terminationGracePeriodSeconds": 0,
                      "containers": [container("first", serve), container("second", late)] } });
        fs::write(manifests.join("web.json"), manifest.to_string()).unwrap();
        let mut started = None;
        // the first restart is at once, the next ones wait 10 s and 20 s
        for restarts in [1, 2] {
            let pod = node.pod("web", |pod| {
                pod.containers.get(1).is_some_and(|second| waits(second) && second.restarts == restarts)
            });
            let pod = pod.await;
            let [first, second] = &pod.containers[..] else { panic!("{pod:#?}") };
            assert_eq!(pod.phase, "Running");
            let ContainerState::Running { started_at, .. } = first.state else { panic!("{first:#?}") };
            assert!(first.ready && first.restarts == 0 && first.last_exit.is_none(), "{first:#?}");
            assert_eq!(*started.get_or_insert(started_at), started_at, "it is left alone");
            let exit = second.last_exit.as_ref().unwrap();
            assert_eq!((exit.exit_code, exit.reason.as_str(), second.ready), (1, "Error", false), "{second:#?}");
            let next = second.next_try.unwrap().as_second() - exit.finished_at.as_second();
            assert!((next - 10 * i64::from(restarts)).abs() <= 1, "{second:#?}");
            let log = fs::read_to_string(second.log.as_ref().unwrap()).unwrap();
            assert!(log.contains("bind: Address already in use"), "{log}");
            assert_eq!(ask(&format!("{}:80", pod.ips[0])).unwrap(), "hello");
        }
        fs::remove_file(manifests.join("web.json")).unwrap();
        until(|| interfaces().is_empty()).await;
        let pods = node.layout().run_pods();
        until(|| fs::read_dir(&pods).unwrap().count() == 0).await;
        node.finish().await;
    });
}
