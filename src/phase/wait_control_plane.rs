//! `wait-control-plane`: every component healthy, then the administrator's rights [2, 5.6].

use super::objects;
use crate::desired::Desired;
use crate::plan::found::Found;
use crate::plan::{Action, Condition, Decision, Step};

pub(super) fn steps(desired: &Desired, _found: &Found) -> Vec<Step> {
    let wait = |condition: Condition, manifest: &str, needs: &[&str]| Step {
        phase: "wait-control-plane",
        item: Some(condition.component().to_owned()),
        needs: [manifest, "runner-start"].iter().chain(needs).map(|need| (*need).to_owned()).collect(),
        decision: Decision::Do,
        actions: vec![Action::Await(condition)],
    };
    // the API server is asked with the most powerful certificate there is
    let clients = ["kubeconfig/admin", "kubeconfig/super-admin"];
    let etcd = desired.config.etcd.local().map(|_| wait(Condition::EtcdHealthy, "etcd/local", &[]));
    let others = [
        wait(Condition::ApiServerReady, "control-plane/apiserver", &clients),
        wait(Condition::ControllerManagerHealthy, "control-plane/controller-manager", &[]),
        wait(Condition::SchedulerHealthy, "control-plane/scheduler", &[]),
        objects::step("wait-control-plane", Some("admin-rbac"), "wait-control-plane/admin-rbac"),
    ];
    etcd.into_iter().chain(others).collect()
}
