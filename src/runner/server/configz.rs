//! PURE: `/configz`: what the runner is set to, in the kubelet's words [8.12].

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use super::access::{ALLOWED, DENIED, TOKEN};
use super::tls::Files;
use super::upgrade::IDLE;
use crate::runner::node::Node;
use crate::runner::runtime::log::file::Rotation;

/// As Go writes whole seconds.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// What does not come from `settings` or `node` is fixed: `longest_backoff` is the longest wait before a restart.
pub fn document(
    settings: &Settings,
    files: &Files,
    node: &Node,
    manifests: &Path,
    longest_backoff: Duration,
    rotation: Rotation,
) -> Value {
    json!({ "kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "staticPodPath": manifests,
        "address": settings.address.map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string()),
        "port": settings.port,
        "tlsCertFile": files.certificate,
        "tlsPrivateKeyFile": files.key,
        "authentication": {
            "x509": { "clientCAFile": files.authority },
            "webhook": { "enabled": true, "cacheTTL": seconds(TOKEN) },
            "anonymous": { "enabled": false },
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": { "cacheAuthorizedTTL": seconds(ALLOWED), "cacheUnauthorizedTTL": seconds(DENIED) },
        },
        "clusterDomain": node.cluster_domain,
        "clusterDNS": node.cluster_dns,
        "streamingConnectionIdleTimeout": seconds(IDLE),
        "maxPods": node.max_pods,
        "podPidsLimit": node.pod_max_pids.unwrap_or(-1),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "containerLogMaxSize": rotation.max_size_text(),
        "containerLogMaxFiles": rotation.max_files,
        "seccompDefault": node.seccomp_default,
        "crashLoopBackOff": { "maxContainerRestartPeriod": seconds(longest_backoff) },
    } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::testing;

    #[test]
    fn the_settings_are_shown_as_a_kubelets() {
        let settings = Settings { port: 10250, ..Settings::default() };
        let files = Files { certificate: "/c".into(), key: "/k".into(), authority: "/a".into() };
        let (longest, rotation) = (Duration::from_secs(300), Rotation::default());
        let shown = document(&settings, &files, &testing::node(), Path::new("/m"), longest, rotation);
        let shown = &shown["kubeletconfig"];
        assert_eq!(
            (&shown["kind"], &shown["apiVersion"]),
            (&json!("KubeletConfiguration"), &json!("kubelet.config.k8s.io/v1beta1"))
        );
        assert_eq!((&shown["staticPodPath"], &shown["port"]), (&json!("/m"), &json!(10250)));
        assert_eq!((&shown["address"], &shown["tlsCertFile"]), (&json!("0.0.0.0"), &json!("/c")));
        assert_eq!(shown["podPidsLimit"], -1);
        let node = Node { pod_max_pids: Some(1024), ..testing::node() };
        let limited = document(&settings, &files, &node, Path::new("/m"), longest, rotation);
        assert_eq!(limited["kubeletconfig"]["podPidsLimit"], 1024);
        assert_eq!((&shown["containerLogMaxSize"], &shown["containerLogMaxFiles"]), (&json!("10Mi"), &json!(5)));
        assert_eq!(shown["seccompDefault"], json!(false));
        assert_eq!(shown["crashLoopBackOff"]["maxContainerRestartPeriod"], "300s");
    }
}
