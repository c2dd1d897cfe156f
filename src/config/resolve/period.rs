//! How long certificates are good and how long somebody waits: durations, longer than zero [4.4, 4.6].

use std::time::Duration;

use super::Resolver;
use crate::config::file::v1beta4;
use crate::config::{Timeouts, defaults, duration};

impl Resolver<'_> {
    /// Periods of leaf and CA certificates.
    pub(super) fn validity(
        &mut self,
        leaf: Option<String>,
        ca: Option<String>,
    ) -> (Option<Duration>, Option<Duration>) {
        let (leaf_default, ca_default) =
            (defaults::CERTIFICATE_VALIDITY_PERIOD, defaults::CA_CERTIFICATE_VALIDITY_PERIOD);
        let (leaf_field, ca_field) = ("certificateValidityPeriod", "caCertificateValidityPeriod");
        let leaf = self.positive_duration(leaf_field, leaf.as_deref(), leaf_default);
        let ca = self.positive_duration(ca_field, ca.as_deref(), ca_default);
        for (field, period, default) in [(leaf_field, leaf, leaf_default), (ca_field, ca, ca_default)] {
            if period.is_some_and(|period| period > default) {
                self.warn(field, format_args!("longer than kubeadm's {}", duration::format(default)));
            }
        }
        if let (Some(leaf), Some(ca)) = (leaf, ca)
            && leaf > ca
        {
            self.warn(leaf_field, format_args!("longer than {ca_field}: certificates outlive their authority"));
        }
        (leaf, ca)
    }

    pub(super) fn timeouts(&mut self, timeouts: v1beta4::Timeouts) -> Option<Timeouts> {
        let v1beta4::Timeouts {
            control_plane_component_health_check: component,
            kubelet_health_check,
            kubernetes_api_call: api_call,
            etcd_api_call,
            tls_bootstrap,
            discovery,
            upgrade_manifests,
        } = timeouts;
        let mut timeout = |name: &str, text: Option<String>, default| {
            self.positive_duration(&format!("timeouts.{name}"), text.as_deref(), default)
        };
        let component =
            timeout("controlPlaneComponentHealthCheck", component, defaults::CONTROL_PLANE_COMPONENT_HEALTH_CHECK);
        let api_call = timeout("kubernetesAPICall", api_call, defaults::KUBERNETES_API_CALL);
        let kubelet = timeout("kubeletHealthCheck", kubelet_health_check, defaults::KUBELET_HEALTH_CHECK);
        let etcd = timeout("etcdAPICall", etcd_api_call, defaults::ETCD_API_CALL);
        let tls_bootstrap = timeout("tlsBootstrap", tls_bootstrap, defaults::TLS_BOOTSTRAP);
        let discovery = timeout("discovery", discovery, defaults::DISCOVERY);
        let upgrade = timeout("upgradeManifests", upgrade_manifests, defaults::UPGRADE_MANIFESTS);
        for (name, timeout, default) in [
            ("kubeletHealthCheck", kubelet, defaults::KUBELET_HEALTH_CHECK),
            ("etcdAPICall", etcd, defaults::ETCD_API_CALL),
            ("tlsBootstrap", tls_bootstrap, defaults::TLS_BOOTSTRAP),
            ("discovery", discovery, defaults::DISCOVERY),
            ("upgradeManifests", upgrade, defaults::UPGRADE_MANIFESTS),
        ] {
            if timeout.is_some_and(|timeout| timeout != default) {
                self.warn(&format!("timeouts.{name}"), "no effect: `init` waits for nothing of the kind here");
            }
        }
        Some(Timeouts {
            control_plane_component_health_check: component?,
            kubelet_health_check: kubelet?,
            kubernetes_api_call: api_call?,
            etcd_api_call: etcd?,
            tls_bootstrap: tls_bootstrap?,
            discovery: discovery?,
            upgrade_manifests: upgrade?,
        })
    }

    fn positive_duration(&mut self, field: &str, text: Option<&str>, default: Duration) -> Option<Duration> {
        let Some(text) = text else { return Some(default) };
        match duration::parse(text) {
            Ok(Duration::ZERO) => self.problems.invalid(field, text, "must be longer than zero"),
            Ok(duration) => return Some(duration),
            Err(reason) => self.problems.invalid(field, text, reason),
        }
        None
    }
}
