//! The integration tests: one crate.
#![allow(clippy::unwrap_used)]

/// The objects for the nodes of a cluster.
mod addons;
/// API servers that do not behave.
mod api;
/// Certificates and kubeconfigs, as files.
mod certificates;
/// `bootstrap config`, and the page about the configuration.
mod configuration;
/// `init --dry-run`.
mod dry_run;
/// The real control plane, end to end.
mod e2e;
/// Golden files.
mod golden;
/// Profiles.
mod hardening;
/// Images: archives, registries, binaries.
mod images;
/// A kubelet's files.
mod kubelet;
/// The rules of the architecture.
mod layers;
/// Static pod manifests and API objects.
mod manifests;
/// What init does to objects that depend on the cluster, and the certificates that it uploads.
mod objects;
/// Patches, compared with kubectl.
mod patches;
/// The phases of init.
mod phases;
/// What init looks at before it does anything.
mod preflight;
/// Wrong input.
mod refusals;
/// The runner with a runtime that runs nothing.
mod runner;
/// The embedded runtime with real containers.
mod runtime;
/// What the tests share.
mod support;
