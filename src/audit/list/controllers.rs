//! 1.3 and 1.4: kube-controller-manager and kube-scheduler.

use super::super::rule::{Check, Rule, Test, test};
use super::{Item, automated, manual};
use crate::desired::manifest::Component;
use crate::release::Version;

const fn manager(tests: &'static [Test]) -> Rule {
    Rule::Flags { of: Component::ControllerManager, tests }
}

const fn scheduler(tests: &'static [Test]) -> Rule {
    Rule::Flags { of: Component::Scheduler, tests }
}

/// Older versions have a second port, without TLS, that listens unless it is switched off.
const LOOPBACK: &[Test] = &[
    test("bind-address", Check::IsOrUnset("127.0.0.1")),
    Test { flag: "port", check: Check::Is("0"), when: Version::has_insecure_component_ports },
];

pub(super) const ITEMS: &[Item] = &[
    manual(
        "1.3.1",
        "kube-controller-manager: pods that have ended are removed",
        manager(&[test("terminated-pod-gc-threshold", Check::Set)]),
    ),
    automated("1.3.2", "kube-controller-manager: no profiling", manager(&[test("profiling", Check::Is("false"))])),
    automated(
        "1.3.3",
        "kube-controller-manager: each controller has an account of its own",
        manager(&[test("use-service-account-credentials", Check::Is("true"))]),
    ),
    automated(
        "1.3.4",
        "kube-controller-manager: a key for service accounts",
        manager(&[test("service-account-private-key-file", Check::Set)]),
    ),
    automated(
        "1.3.5",
        "kube-controller-manager: service accounts know the cluster's authority",
        manager(&[test("root-ca-file", Check::Set)]),
    ),
    automated(
        "1.3.6",
        "kube-controller-manager: kubelets may renew their certificates",
        manager(&[test("feature-gates", Check::HasNot("RotateKubeletServerCertificate=false"))]),
    ),
    automated("1.3.7", "kube-controller-manager: listens on loopback only", manager(LOOPBACK)),
    automated("1.4.1", "kube-scheduler: no profiling", scheduler(&[test("profiling", Check::Is("false"))])),
    automated("1.4.2", "kube-scheduler: listens on loopback only", scheduler(LOOPBACK)),
];
