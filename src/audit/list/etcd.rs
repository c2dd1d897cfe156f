//! 2: etcd.

use super::super::rule::{Check, Rule, Test, test};
use super::{Item, automated, manual};
use crate::desired::manifest::Component;

const fn flags(tests: &'static [Test]) -> Rule {
    Rule::Flags { of: Component::Etcd, tests }
}

pub(super) const ITEMS: &[Item] = &[
    automated(
        "2.1",
        "etcd: a serving certificate",
        flags(&[test("cert-file", Check::Set), test("key-file", Check::Set)]),
    ),
    automated("2.2", "etcd: clients need a certificate", flags(&[test("client-cert-auth", Check::Is("true"))])),
    automated("2.3", "etcd: no certificate that signs itself", flags(&[test("auto-tls", Check::IsOrUnset("false"))])),
    automated(
        "2.4",
        "etcd: a certificate for peers",
        flags(&[test("peer-cert-file", Check::Set), test("peer-key-file", Check::Set)]),
    ),
    automated("2.5", "etcd: peers need a certificate", flags(&[test("peer-client-cert-auth", Check::Is("true"))])),
    automated(
        "2.6",
        "etcd: no peer certificate that signs itself",
        flags(&[test("peer-auto-tls", Check::IsOrUnset("false"))]),
    ),
    manual("2.7", "etcd: an authority of its own", Rule::EtcdAuthority),
];
