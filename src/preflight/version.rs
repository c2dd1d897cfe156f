//! Is the Kubernetes version one that this program knows?

use super::Given;
use super::verdict::Finding;
use crate::release::SUPPORTED_MINORS;

/// kubeadm warns of a minor newer than its own; flags may have gone since, so here it has to be asked for [6.2].
pub(super) fn known(given: &Given) -> Vec<Finding> {
    let version = &given.desired.config.kubernetes_version;
    let newest = SUPPORTED_MINORS.end();
    vec![match version.minor() <= *newest {
        true => Finding::ok(format!("Kubernetes {version}")),
        false => Finding::error(format!(
            "{version} is newer than v1.{newest}, the newest that this program knows: it would be set up like v1.{newest}"
        )),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, told};

    #[test]
    fn a_newer_minor_has_to_be_asked_for() {
        let judged =
            |version: &str| told(super::known(&Scene::new(&format!("kubernetesVersion: {version}\n")).given()));
        assert_eq!(judged("v1.36.99"), ["ok: Kubernetes v1.36.99"]);
        assert_eq!(judged("v1.20.0"), ["ok: Kubernetes v1.20.0"]);
        assert!(judged("v1.37.0")[0].starts_with("error: v1.37.0 is newer than v1.36"));
    }
}
