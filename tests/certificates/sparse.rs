//! A directory with some of the files: what is made, what is kept, what is refused.

use std::fs;

use super::Machine;

enum Outcome {
    /// These are written, and nothing else.
    Writes(&'static [&'static str]),
    /// Exit code 2 with these words, and nothing is written.
    Refuses(&'static [&'static str]),
}

use Outcome::{Refuses, Writes};

/// Files taken away from a whole set, and the outcome.
const CASES: &[(&str, &[&str], Outcome)] = &[
    ("all there", &[], Writes(&[])),
    (
        "authorities with their keys, no leaves",
        LEAVES,
        Writes(&[
            "pki/apiserver-etcd-client.crt",
            "pki/apiserver-etcd-client.key",
            "pki/apiserver-kubelet-client.crt",
            "pki/apiserver-kubelet-client.key",
            "pki/apiserver.crt",
            "pki/apiserver.key",
            "pki/etcd/healthcheck-client.crt",
            "pki/etcd/healthcheck-client.key",
            "pki/etcd/peer.crt",
            "pki/etcd/peer.key",
            "pki/etcd/server.crt",
            "pki/etcd/server.key",
            "pki/front-proxy-client.crt",
            "pki/front-proxy-client.key",
        ]),
    ),
    (
        "authorities without their keys, no leaves",
        &[
            "pki/apiserver",
            "pki/front-proxy-client",
            "pki/etcd/healthcheck",
            "pki/etcd/peer",
            "pki/etcd/server",
            "pki/ca.key",
            "pki/front-proxy-ca.key",
            "pki/etcd/ca.key",
        ],
        Refuses(&[
            "certs/apiserver: ",
            "certs/front-proxy-client: ",
            "certs/etcd-server: ",
            "/pki/apiserver.crt` is missing and cannot be made without `/etc/kubernetes/pki/ca.key`",
        ]),
    ),
    ("somebody else signs", &["pki/ca.key"], Writes(&[])),
    ("somebody else signs everything", &["pki/ca.key", "pki/front-proxy-ca.key", "pki/etcd/ca.key"], Writes(&[])),
    ("somebody else signs for the front proxy", &["pki/front-proxy-ca.key"], Writes(&[])),
    ("somebody else signs for etcd", &["pki/etcd/ca.key"], Writes(&[])),
    (
        "somebody else signs, and a kubeconfig is missing",
        &["pki/ca.key", "scheduler.conf"],
        Refuses(&["kubeconfig/scheduler: ", "scheduler.conf` is missing", "without `/etc/kubernetes/pki/ca.key`"]),
    ),
    (
        "somebody else signs, and a key is missing",
        &["pki/ca.key", "pki/apiserver.key"],
        Refuses(&["certs/apiserver: ", "its private key is missing, and it cannot be renewed without"]),
    ),
    (
        "a client without its authority",
        &["pki/front-proxy-ca.crt", "pki/front-proxy-ca.key"],
        Refuses(&["certs/front-proxy-client: ", "it exists, but its certificate authority does not"]),
    ),
    ("a lone key of a leaf", &["pki/apiserver.crt"], Writes(&["pki/apiserver.crt"])),
    (
        "a lone key of an authority",
        &["pki/front-proxy-ca.crt", "pki/front-proxy-client"],
        Writes(&["pki/front-proxy-ca.crt", "pki/front-proxy-client.crt", "pki/front-proxy-client.key"]),
    ),
    ("a lone certificate", &["pki/apiserver.key"], Writes(&["pki/apiserver.crt", "pki/apiserver.key"])),
    ("no public half", &["pki/sa.pub"], Writes(&["pki/sa.pub"])),
    ("a lone public half", &["pki/sa.key"], Refuses(&["certs/sa: ", "its private key"])),
    ("no service account keys", &["pki/sa.key", "pki/sa.pub"], Writes(&["pki/sa.key", "pki/sa.pub"])),
];

/// By the beginnings of their names.
const LEAVES: &[&str] =
    &["pki/apiserver", "pki/front-proxy-client", "pki/etcd/healthcheck", "pki/etcd/peer", "pki/etcd/server"];

#[test]
fn what_is_missing_is_made_or_refused() {
    for (name, taken, outcome) in CASES {
        let machine = Machine::made("");
        for (path, _) in crate::support::picture(&machine.path("")) {
            let relative = path.to_string_lossy().into_owned();
            if taken.iter().any(|taken| relative.starts_with(taken)) {
                fs::remove_file(machine.path(&relative)).unwrap();
            }
        }
        let run = machine.init("");
        match outcome {
            Writes(files) => {
                run.succeeds();
                assert_eq!(machine.written(), *files, "{name}");
            }
            Refuses(says) => {
                run.fails(2, says);
                assert!(!machine.out().exists(), "{name}");
            }
        }
    }
}

#[test]
fn what_was_made_for_what_is_missing_fits_the_rest() {
    let machine = Machine::made("");
    for name in ["pki/apiserver.crt", "pki/etcd/server.key", "admin.conf", "pki/sa.pub"] {
        fs::remove_file(machine.path(name)).unwrap();
    }
    machine.init("").succeeds();
    machine.take_over();
    machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
}
