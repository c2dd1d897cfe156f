//! `SystemVerification`: what the kernel must have. kubeadm reads the kernel's configuration [6.4]; here each thing is
//! tried or read where it shows, since not every kernel carries its configuration.

use super::Given;
use super::cgroups;
use super::machine::Machine;
use super::verdict::{Finding, or_ok};
use crate::desired::Desired;

pub(super) fn verify(given: &Given) -> Vec<Finding> {
    let (desired, machine) = (given.desired, given.machine);
    let mut findings = Vec::new();
    if !is_validated(&machine.kernel.release) {
        findings.push(Finding::warning(format!(
            "Kubernetes is not tried with kernel {}: 5.4, 5.10, 5.15, or 6.0 and newer are",
            machine.kernel.release
        )));
    }
    findings.extend(missing(desired, machine).into_iter().map(Finding::error));
    findings.extend(cgroups::judge(desired, &machine.cgroups));
    or_ok(findings, || format!("kernel {} has what the pods need", machine.kernel.release))
}

/// The long-term releases that kubeadm names [6.4].
fn is_validated(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u64>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    major >= 6 || (major == 5 && [4, 10, 15].contains(&minor))
}

fn missing(desired: &Desired, machine: &Machine) -> Vec<String> {
    let kernel = &machine.kernel;
    let mut missing: Vec<_> =
        kernel.refused_calls.iter().map(|call| format!("the container runtime cannot do without {call}")).collect();
    // a container of version 1 sees its cgroups by bind mounts, and host-network pods keep the node's other namespaces
    let mut namespaces = vec!["ipc", "mnt", "pid"];
    if cgroups::is_version2(&machine.cgroups) {
        namespaces.push("cgroup");
    }
    for namespace in namespaces.into_iter().filter(|namespace| !kernel.namespaces.contains(*namespace)) {
        missing.push(format!("the kernel has no {namespace} namespaces"));
    }
    if !kernel.has_overlayfs {
        missing.push("the kernel has no overlayfs".to_owned());
    }
    if !kernel.has_seccomp && wants_seccomp(desired) {
        missing.push("the kernel has no seccomp filters, and the pods ask for the profile `RuntimeDefault`".to_owned());
    }
    missing
}

fn wants_seccomp(desired: &Desired) -> bool {
    desired.manifests.iter().filter_map(|manifest| manifest.pod.spec.as_ref()).any(|spec| {
        let of_pod = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
        let of_container = |container: &k8s_openapi::api::core::v1::Container| {
            container.security_context.as_ref().is_some_and(|context| context.seccomp_profile.is_some())
        };
        of_pod.is_some() || spec.containers.iter().any(of_container)
    })
}

#[cfg(test)]
mod tests {
    use super::super::machine::Kernel;
    use super::super::testing::{Scene, told};

    #[test]
    fn releases_are_those_of_kubeadm() {
        for (release, expected) in [
            ("5.4.0-150-generic", true),
            ("5.10.0-28-amd64", true),
            ("5.15.167.4-microsoft-standard-WSL2", true),
            ("6.1.0", true),
            ("7.0.0-rc1", true),
            ("5.14.0-427.el9", false),
            ("4.18.0-553.el8", false),
            ("", false),
        ] {
            assert_eq!(super::is_validated(release), expected, "{release}");
        }
    }

    fn found(fields: &str, change: impl Fn(&mut Kernel)) -> Vec<String> {
        let mut scene = Scene::new(fields);
        change(&mut scene.machine.kernel);
        told(super::verify(&scene.given()))
    }

    #[test]
    fn everything_that_is_missing_is_told_together() {
        assert_eq!(found("", |_| ()), ["ok: kernel 6.1.0 has what the pods need"]);
        let nothing = found("", |kernel| {
            kernel.refused_calls = vec!["openat2 (Function not implemented)".into()];
            kernel.namespaces.clear();
            (kernel.has_overlayfs, kernel.has_seccomp) = (false, false);
        });
        let expected = [
            "error: the container runtime cannot do without openat2 (Function not implemented)",
            "error: the kernel has no ipc namespaces",
            "error: the kernel has no mnt namespaces",
            "error: the kernel has no pid namespaces",
            "error: the kernel has no cgroup namespaces",
            "error: the kernel has no overlayfs",
            "error: the kernel has no seccomp filters, and the pods ask for the profile `RuntimeDefault`",
        ];
        assert_eq!(nothing, expected);
        let old = found("", |kernel| kernel.release = "4.18.0-553.el8".into());
        assert!(old[0].starts_with("warning: Kubernetes is not tried with kernel 4.18"), "{old:?}");
    }

    #[test]
    fn seccomp_is_needed_only_where_it_is_asked_for() {
        let without = |fields: &str| found(fields, |kernel| kernel.has_seccomp = false);
        assert!(without("kubernetesVersion: v1.21.0\n")[0].starts_with("ok: "));
        assert!(without("kubernetesVersion: v1.22.0\n")[0].starts_with("error: "));
    }
}
