//! 1.2: kube-apiserver.

use super::super::rule::{Check, Rule, Test, test};
use super::{Item, automated, manual};
use crate::desired::manifest::Component;
use crate::release::Version;

const fn flags(tests: &'static [Test]) -> Rule {
    Rule::Flags { of: Component::ApiServer, tests }
}

/// What the benchmark calls strong; those of TLS 1.3 are always on.
const STRONG: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

const PLUGINS: &str = "enable-admission-plugins";
const NOT_PLUGINS: &str = "disable-admission-plugins";

pub(super) const ITEMS: &[Item] = &[
    manual(
        "1.2.1",
        "kube-apiserver: nobody is let in without credentials",
        flags(&[test("anonymous-auth", Check::Is("false"))]),
    ),
    automated("1.2.2", "kube-apiserver: no file of static tokens", flags(&[test("token-auth-file", Check::Unset)])),
    manual(
        "1.2.3",
        "kube-apiserver: Services cannot take addresses from outside",
        Rule::FlagsSince {
            of: Component::ApiServer,
            tests: &[test(PLUGINS, Check::Has("DenyServiceExternalIPs"))],
            exists: Version::has_deny_service_external_ips,
            what: "admission plugin DenyServiceExternalIPs",
        },
    ),
    automated(
        "1.2.4",
        "kube-apiserver: a client certificate for kubelets",
        flags(&[test("kubelet-client-certificate", Check::Set), test("kubelet-client-key", Check::Set)]),
    ),
    automated(
        "1.2.5",
        "kube-apiserver: the kubelets' certificates are verified",
        flags(&[test("kubelet-certificate-authority", Check::Set)]),
    ),
    automated("1.2.6", "kube-apiserver: not everything is allowed", Rule::Authorization(Check::HasNot("AlwaysAllow"))),
    automated("1.2.7", "kube-apiserver: nodes may do only what nodes need", Rule::Authorization(Check::Has("Node"))),
    automated("1.2.8", "kube-apiserver: rights come from roles", Rule::Authorization(Check::Has("RBAC"))),
    manual("1.2.9", "kube-apiserver: events are limited", flags(&[test(PLUGINS, Check::Has("EventRateLimit"))])),
    automated(
        "1.2.10",
        "kube-apiserver: not everything is admitted",
        flags(&[test(PLUGINS, Check::HasNot("AlwaysAdmit"))]),
    ),
    manual(
        "1.2.11",
        "kube-apiserver: images are always pulled",
        flags(&[test(PLUGINS, Check::Has("AlwaysPullImages"))]),
    ),
    automated(
        "1.2.12",
        "kube-apiserver: admission plugin ServiceAccount",
        flags(&[test(NOT_PLUGINS, Check::HasNot("ServiceAccount"))]),
    ),
    automated(
        "1.2.13",
        "kube-apiserver: admission plugin NamespaceLifecycle",
        flags(&[test(NOT_PLUGINS, Check::HasNot("NamespaceLifecycle"))]),
    ),
    automated(
        "1.2.14",
        "kube-apiserver: admission plugin NodeRestriction",
        flags(&[test(PLUGINS, Check::Has("NodeRestriction"))]),
    ),
    automated("1.2.15", "kube-apiserver: no profiling", flags(&[test("profiling", Check::Is("false"))])),
    automated("1.2.16", "kube-apiserver: an audit log", flags(&[test("audit-log-path", Check::Set)])),
    automated("1.2.17", "kube-apiserver: audit logs: 30 days", flags(&[test("audit-log-maxage", Check::AtLeast(30))])),
    automated(
        "1.2.18",
        "kube-apiserver: audit logs: 10 files",
        flags(&[test("audit-log-maxbackup", Check::AtLeast(10))]),
    ),
    automated(
        "1.2.19",
        "kube-apiserver: audit logs: 100 MB each",
        flags(&[test("audit-log-maxsize", Check::AtLeast(100))]),
    ),
    manual("1.2.20", "kube-apiserver: a time limit for requests", flags(&[test("request-timeout", Check::Set)])),
    automated(
        "1.2.21",
        "kube-apiserver: tokens of deleted service accounts are refused",
        flags(&[test("service-account-lookup", Check::IsOrUnset("true"))]),
    ),
    automated(
        "1.2.22",
        "kube-apiserver: a key of its own for service accounts",
        flags(&[test("service-account-key-file", Check::Set)]),
    ),
    automated(
        "1.2.23",
        "kube-apiserver: a client certificate for etcd",
        flags(&[test("etcd-certfile", Check::Set), test("etcd-keyfile", Check::Set)]),
    ),
    automated(
        "1.2.24",
        "kube-apiserver: a serving certificate",
        flags(&[test("tls-cert-file", Check::Set), test("tls-private-key-file", Check::Set)]),
    ),
    automated("1.2.25", "kube-apiserver: an authority for clients", flags(&[test("client-ca-file", Check::Set)])),
    automated("1.2.26", "kube-apiserver: etcd's certificate is verified", flags(&[test("etcd-cafile", Check::Set)])),
    manual("1.2.27", "kube-apiserver: encryption at rest", flags(&[test("encryption-provider-config", Check::Set)])),
    manual("1.2.28", "kube-apiserver: Secrets are encrypted by a strong provider", Rule::Encryption),
    manual(
        "1.2.29",
        "kube-apiserver: strong cipher suites only",
        flags(&[test("tls-cipher-suites", Check::OnlyOf(STRONG))]),
    ),
    automated(
        "1.2.30",
        "kube-apiserver: tokens end when they say",
        flags(&[test("service-account-extend-token-expiration", Check::Is("false"))]),
    ),
];
