//! What the runner counts while it works: how often it has started what, how long that took, what probes said.
//!
//! Whoever counts goes on at once; `server` tells it to who asks. Nothing of it outlives the runner, as Prometheus has it.

mod histogram;
pub mod startup;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pod::{ContainerKind, Pod};
pub use histogram::Histogram;

/// Prometheus' own, in seconds.
const SHORT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The kubelet's for the start of a pod, in seconds.
const START: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0,
    600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

/// A clone counts into the same.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Counts>>);

/// Since the runner began.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Sandboxes that were to be made.
    pub started_pods: u64,
    pub started_pods_errors: u64,
    /// Pods that ended and began anew with the same UID.
    pub restarted_pods: u64,
    /// Pods that were found in the runtime and that no source asks for.
    pub orphaned_pods: u64,
    /// Containers whose start was tried, by the kubelet's word for their kind.
    pub started_containers: BTreeMap<&'static str, u64>,
    /// By the word for their kind and the reason.
    pub started_containers_errors: BTreeMap<(&'static str, &'static str), u64>,
    pub pod_start: Histogram,
    /// Without the time for images and init containers.
    pub pod_start_sli: Histogram,
    /// Of a worker with an event, by what the event is.
    pub worker: BTreeMap<&'static str, Histogram>,
    /// Of the pods that there are.
    pub probes: BTreeMap<Probed, Probes>,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            started_pods: 0,
            started_pods_errors: 0,
            restarted_pods: 0,
            orphaned_pods: 0,
            started_containers: BTreeMap::new(),
            started_containers_errors: BTreeMap::new(),
            pod_start: Histogram::new(START),
            pod_start_sli: Histogram::new(START),
            worker: BTreeMap::new(),
            probes: BTreeMap::new(),
        }
    }
}

/// A probe of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probed {
    pub uid: String,
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// `Liveness`, `Readiness` or `Startup`.
    pub kind: &'static str,
}

/// What its tries came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Probes {
    pub successful: u64,
    pub failed: u64,
    pub unknown: u64,
    pub durations: Histogram,
}

/// One try of a probe, in the kubelet's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    Successful,
    Failed,
    Unknown,
}

impl Default for Probes {
    fn default() -> Probes {
        Probes { successful: 0, failed: 0, unknown: 0, durations: Histogram::new(SHORT) }
    }
}

/// The kubelet's word for a container's kind; a sidecar is an init container there, too.
fn kind(pod: &Pod, container: usize) -> &'static str {
    match pod.containers[container].kind {
        ContainerKind::Regular => "container",
        ContainerKind::Init | ContainerKind::Sidecar => "init_container",
    }
}

impl Metrics {
    /// As it is now.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// One that panicked with the counts in its hands has left at worst something out.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pod_begins(&self) {
        self.lock().started_pods += 1;
    }

    pub(super) fn pod_failed(&self) {
        self.lock().started_pods_errors += 1;
    }

    pub(super) fn pod_restarts(&self) {
        self.lock().restarted_pods += 1;
    }

    pub(super) fn pod_is_orphaned(&self) {
        self.lock().orphaned_pods += 1;
    }

    pub(super) fn pod_started(&self, took: startup::Took) {
        let mut counts = self.lock();
        counts.pod_start.observe(took.whole.as_secs_f64());
        counts.pod_start_sli.observe(took.own.as_secs_f64());
    }

    /// `container` is an index in the pod's list.
    pub(super) fn container_begins(&self, pod: &Pod, container: usize) {
        *self.lock().started_containers.entry(kind(pod, container)).or_default() += 1;
    }

    pub(super) fn container_failed(&self, pod: &Pod, container: usize, reason: &'static str) {
        *self.lock().started_containers_errors.entry((kind(pod, container), reason)).or_default() += 1;
    }

    pub(super) fn worked(&self, on: &'static str, took: Duration) {
        let mut counts = self.lock();
        counts.worker.entry(on).or_insert_with(|| Histogram::new(SHORT)).observe(took.as_secs_f64());
    }

    pub(super) fn probed(&self, pod: &Pod, container: usize, kind: &'static str, tried: Try, took: Duration) {
        let probed = Probed {
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            container: pod.containers[container].name.clone(),
            kind,
        };
        let mut counts = self.lock();
        let probes = counts.probes.entry(probed).or_default();
        match tried {
            Try::Successful => probes.successful += 1,
            Try::Failed => probes.failed += 1,
            Try::Unknown => probes.unknown += 1,
        }
        probes.durations.observe(took.as_secs_f64());
    }

    /// The pod is gone, and its probes with it.
    pub(super) fn forget(&self, uid: &str) {
        self.lock().probes.retain(|probed, _| probed.uid != uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::testing;

    #[test]
    fn a_pod_that_is_gone_leaves_no_probes() {
        let metrics = Metrics::default();
        for name in ["a", "b"] {
            for tried in [Try::Successful, Try::Failed, Try::Successful, Try::Unknown] {
                metrics.probed(&testing::pod(name), 0, "Liveness", tried, Duration::from_millis(20));
            }
        }
        metrics.forget("uid-a");
        let probes = metrics.counts().probes;
        let (probed, probes) = probes.first_key_value().unwrap_or_else(|| panic!("no probes"));
        assert_eq!((probed.uid.as_str(), probed.container.as_str()), ("uid-b", "b"));
        assert_eq!((probes.successful, probes.failed, probes.unknown, probes.durations.count()), (2, 1, 1, 4));
        assert_eq!(metrics.counts().probes.len(), 1);
    }
}
