//! Control groups: can they be used at all, and can they limit what the pods' requests and limits speak of?
//!
//! A controller that is missing costs a limit, not the pod: the runner says so and goes on, so it is a warning here.
//! What refuses device nodes is no concern in version 2: images are mounted without them.

use std::collections::BTreeMap;

use super::machine::Cgroups;
use super::verdict::Finding;
use crate::desired::Desired;

pub(super) fn is_version2(cgroups: &Cgroups) -> bool {
    matches!(cgroups, Cgroups::Version2 { .. })
}

pub(super) fn judge(desired: &Desired, cgroups: &Cgroups) -> Vec<Finding> {
    let (usable, version) = match cgroups {
        Cgroups::Unknown => return Vec::new(),
        Cgroups::Unusable(reason) => return vec![Finding::error(format!("control groups cannot be used: {reason}"))],
        Cgroups::Version1 { controllers } => (controllers.clone(), 1),
        Cgroups::Version2 { available, enabled, is_busy: false } => (available | enabled, 2),
        Cgroups::Version2 { enabled, .. } => (enabled.clone(), 2),
    };
    let missing = needs(desired).into_iter().filter(|(controller, _)| !usable.contains(*controller));
    let judge = |(controller, what): (&str, String)| {
        let why = match cgroups {
            Cgroups::Version2 { available, .. } if available.contains(controller) => {
                "cannot be enabled while processes are in the uppermost cgroup"
            }
            _ => "is missing",
        };
        Finding::warning(format!("{what} has no effect: the controller `{controller}` (cgroup v{version}) {why}"))
    };
    missing.map(judge).collect()
}

/// The controllers that the pods need, each with what asks for it first.
fn needs(desired: &Desired) -> BTreeMap<&'static str, String> {
    let mut needs = BTreeMap::new();
    for manifest in &desired.manifests {
        let containers = manifest.pod.spec.iter().flat_map(|spec| &spec.containers);
        for resources in containers.filter_map(|container| container.resources.as_ref()) {
            let mut add = |resource: &'static str, kind| {
                needs.entry(resource).or_insert_with(|| format!("the {resource} {kind} of {}", manifest.component));
            };
            if resources.requests.as_ref().is_some_and(|requests| requests.contains_key("cpu")) {
                add("cpu", "request");
            }
            for limited in ["cpu", "memory"] {
                if resources.limits.as_ref().is_some_and(|limits| limits.contains_key(limited)) {
                    add(limited, "limit");
                }
            }
        }
    }
    needs
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::super::testing::{Scene, told};
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn found(desired: &Desired, cgroups: Cgroups) -> Vec<String> {
        told(judge(desired, &cgroups))
    }

    #[test]
    fn what_requests_ask_for_has_to_be_there() {
        let desired = Scene::new("").desired;
        let with = |controllers| found(&desired, Cgroups::Version1 { controllers: set(controllers) });
        assert!(with(&["cpu"]).is_empty(), "no memory limit, so no memory controller");
        assert_eq!(
            with(&["cpuacct", "memory"]),
            ["warning: the cpu request of etcd has no effect: the controller `cpu` (cgroup v1) is missing"]
        );
        let unusable = found(&desired, Cgroups::Unusable("no control groups are mounted".into()));
        assert_eq!(unusable, ["error: control groups cannot be used: no control groups are mounted"]);
    }

    #[test]
    fn version_2_gives_what_is_enabled_and_what_can_be() {
        let desired = Scene::new("").desired;
        let with = |available: &[&str], enabled: &[&str], is_busy| {
            found(&desired, Cgroups::Version2 { available: set(available), enabled: set(enabled), is_busy })
        };
        assert!(with(&["cpu", "memory"], &[], false).is_empty());
        assert!(with(&["cpu", "memory"], &["cpu"], true).is_empty());
        assert!(with(&["cpu", "memory"], &["memory"], true)[0].contains("cannot be enabled while processes"));
        assert!(with(&["memory"], &[], false)[0].ends_with("(cgroup v2) is missing"));
    }

    #[test]
    fn a_memory_limit_needs_the_memory_controller() {
        let mut desired = Scene::new("").desired;
        let spec = desired.manifests[1].pod.spec.as_mut().unwrap();
        let resources = spec.containers[0].resources.as_mut().unwrap();
        resources.limits = Some([("memory".to_owned(), Quantity("1Gi".to_owned()))].into());
        let told = found(&desired, Cgroups::Version1 { controllers: set(&["cpu"]) });
        assert_eq!(
            told,
            [
                "warning: the memory limit of kube-apiserver has no effect: the controller `memory` (cgroup v1) is missing"
            ]
        );
    }
}
