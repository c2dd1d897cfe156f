//! PURE: `/metrics/probes`: what the probes of each container came to.

use std::collections::BTreeMap;

use super::family::{Family, text};
use crate::runner::metrics::{Probed, Probes};

pub fn document(probes: &BTreeMap<Probed, Probes>) -> String {
    let mut total = Family::counter("prober_probe_total", "Tries of a probe, by what came of them.");
    let mut durations =
        Family::distribution("prober_probe_duration_seconds", "How long the tries of a probe took, in seconds.");
    for (probed, probes) in probes {
        let Probed { uid, namespace, pod, container, kind } = probed;
        let labels = [
            ("container", container.as_str()),
            ("namespace", namespace.as_str()),
            ("pod", pod.as_str()),
            ("probe_type", *kind),
        ];
        let results = [("successful", probes.successful), ("failed", probes.failed), ("unknown", probes.unknown)];
        for (result, count) in results.into_iter().filter(|(_, count)| *count > 0) {
            total.value(&[&labels[..], &[("pod_uid", uid.as_str()), ("result", result)]].concat(), count);
        }
        durations.histogram(&labels, &probes.durations);
    }
    text([total, durations])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runner::metrics::{Metrics, Try};
    use crate::runner::testing;

    #[test]
    fn every_probe_has_its_results_and_durations() {
        let metrics = Metrics::default();
        assert_eq!(document(&metrics.counts().probes), "");
        for tried in [Try::Successful, Try::Successful, Try::Failed] {
            metrics.probed(&testing::pod("a"), 0, "Readiness", tried, Duration::from_millis(20));
        }
        let text = document(&metrics.counts().probes);
        let labels = r#"container="a",namespace="default",pod="a-node",probe_type="Readiness""#;
        for line in [
            format!(r#"prober_probe_total{{{labels},pod_uid="uid-a",result="successful"}} 2"#),
            format!(r#"prober_probe_total{{{labels},pod_uid="uid-a",result="failed"}} 1"#),
            format!(r#"prober_probe_duration_seconds_bucket{{{labels},le="0.01"}} 0"#),
            format!(r#"prober_probe_duration_seconds_bucket{{{labels},le="0.025"}} 3"#),
            format!("prober_probe_duration_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("unknown"));
    }
}
