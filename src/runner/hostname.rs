//! PURE: what a pod is called on the network [3.89].

use super::node::Node;
use super::pod::{Pod, PodNetwork};

/// The kernel takes no longer one.
const MAX_NAME: usize = 64;

/// What the pod's processes see as the host's name: `Err` in the kubelet's words where it would be too long.
pub fn of_pod(pod: &Pod, node: &Node) -> Result<String, String> {
    let Some(network) = &pod.network else { return Ok(node.host_name.clone()) };
    let name = match (qualified(pod, node), network.is_qualified) {
        (Some(qualified), true) => qualified,
        _ => network.hostname.clone(),
    };
    if name.len() > MAX_NAME {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long ({MAX_NAME} \
             characters is the max, {} characters requested)",
            name.len()
        ));
    }
    Ok(name)
}

/// The pod's whole name, where it has a subdomain.
pub fn qualified(pod: &Pod, node: &Node) -> Option<String> {
    let PodNetwork { hostname, subdomain, .. } = pod.network.as_ref()?;
    let subdomain = subdomain.as_ref()?;
    Some(format!("{hostname}.{subdomain}.{}.svc.{}", pod.namespace, node.cluster_domain))
}

/// The name of a pod that asks for none, cut to what a label may have.
pub fn truncated(pod: &str) -> String {
    let cut: String = pod.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::testing;

    #[test]
    fn case_084_a_pod_is_called_what_it_asks_for() {
        let named = |hostname: &str, subdomain: Option<&str>, is_qualified| {
            let network = PodNetwork {
                hostname: hostname.to_owned(),
                subdomain: subdomain.map(str::to_owned),
                is_qualified,
                ..PodNetwork::default()
            };
            let pod = Pod { network: Some(network), ..testing::pod("a") };
            (of_pod(&pod, &testing::node()), qualified(&pod, &testing::node()))
        };
        let whole = "h.s.default.svc.cluster.local".to_owned();
        assert_eq!(named("h", None, false), (Ok("h".to_owned()), None));
        assert_eq!(named("h", None, true), (Ok("h".to_owned()), None));
        assert_eq!(named("h", Some("s"), false), (Ok("h".to_owned()), Some(whole.clone())));
        assert_eq!(named("h", Some("s"), true), (Ok(whole.clone()), Some(whole)));
        let (long, _) = named(&"h".repeat(60), Some("s"), true);
        assert!(long.unwrap_err().ends_with("(64 characters is the max, 88 characters requested)"));
        assert_eq!(of_pod(&testing::pod("a"), &testing::node()).as_deref(), Ok("host"));
    }

    #[test]
    fn case_145_a_long_name_is_cut() {
        for (name, expected) in [
            ("a", "a".to_owned()),
            (&"a".repeat(70), "a".repeat(63)),
            (&format!("{}-.-b", "a".repeat(60)), "a".repeat(60)),
        ] {
            assert_eq!(truncated(name), expected);
        }
    }
}
