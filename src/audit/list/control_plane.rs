//! 3: who gets in, and what is logged.

use super::super::rule::{Check, Rule, test};
use super::{Item, manual};
use crate::desired::manifest::Component;

pub(super) const ITEMS: &[Item] = &[
    manual(
        "3.1.1",
        "users have no client certificates",
        Rule::ByHand("people sign in by OpenID Connect or the like; `admin.conf` is for emergencies"),
    ),
    manual(
        "3.1.2",
        "users have no service account tokens",
        Rule::ByHand("tokens of service accounts are with programs only"),
    ),
    manual(
        "3.1.3",
        "users have no bootstrap tokens",
        Rule::ByHand("bootstrap tokens are for nodes that join, and end soon"),
    ),
    manual(
        "3.2.1",
        "an audit policy",
        Rule::Flags { of: Component::ApiServer, tests: &[test("audit-policy-file", Check::Set)] },
    ),
    manual("3.2.2", "the audit policy covers what matters", Rule::AuditPolicy),
];
