//! The real control plane, end to end: etcd, kube-apiserver, kube-controller-manager and kube-scheduler under the
//! program as a user runs it. docs/testing.md says which versions.

mod again;
mod certificates;
mod cluster;
mod commands;
mod dry_run;
mod failures;
mod faults;
mod hardening;
mod hostile;
mod input;
mod interrupted;
mod join;
mod kills;
mod manifests;
mod metrics;
mod mirror;
mod objects;
mod phases;
mod reboot;
mod reset;
mod rootless;
mod security;
mod seeds;
mod server;
