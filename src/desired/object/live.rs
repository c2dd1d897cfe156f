//! What the cluster has already, as far as the objects of init depend on it. `host::live` looks; nothing here does.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::FIELD_MANAGER;
use super::dns::COREFILE;
use super::token::stored::StoredToken;

/// Nothing of it for a new cluster, and for a dry run.
#[derive(Debug, Clone, Default)]
pub struct Live {
    pub tokens: Vec<StoredToken>,
    pub dns: Dns,
}

/// The cluster's DNS.
#[derive(Debug, Clone, Default)]
pub struct Dns {
    /// Names and replicas of the Deployments that have its label.
    pub deployments: Vec<(String, i32)>,
    corefile: Option<String>,
    /// Who set it last is not us.
    is_changed: bool,
}

impl Dns {
    pub fn new(deployments: &[Deployment], config_map: Option<&ConfigMap>) -> Dns {
        let name = |deployment: &Deployment| deployment.metadata.name.clone().unwrap_or_default();
        // the API server's default
        let replicas = |deployment: &Deployment| deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let fields = config_map.and_then(|map| map.metadata.managed_fields.as_deref()).unwrap_or_default();
        let key = format!("f:{COREFILE}");
        Dns {
            deployments: deployments.iter().map(|deployment| (name(deployment), replicas(deployment))).collect(),
            corefile: config_map.and_then(|map| map.data.as_ref()).and_then(|data| data.get(COREFILE).cloned()),
            is_changed: !fields.iter().any(|entry| is_ours(entry) && owns(entry, &["f:data", &key])),
        }
    }

    /// There is a Corefile other than ours, and it is not what an earlier init made.
    pub fn keeps_corefile(&self, ours: &str) -> bool {
        self.is_changed && self.corefile.as_deref().is_some_and(|corefile| corefile != ours)
    }
}

/// The tokens among these Secrets that can be read as such.
pub fn tokens(secrets: &[Secret]) -> Vec<StoredToken> {
    secrets.iter().filter_map(|secret| StoredToken::from_secret(secret).ok()).collect()
}

/// An entry of what init has applied. A field that somebody else sets to another value leaves it.
pub(super) fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

fn owns(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    fields.is_some_and(|fields| path.iter().try_fold(fields, |fields, part| fields.get(part)).is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn dns(manager: &str, operation: &str, field: &str) -> Dns {
        let map = json!({
            "metadata": { "managedFields": [
                { "manager": manager, "operation": operation, "fieldsV1": { "f:data": { field: {} } } },
                { "manager": "odd" },
            ] },
            "data": { "Corefile": "theirs" },
        });
        Dns::new(&[], Some(&serde_json::from_value(map).unwrap()))
    }

    #[test]
    fn a_corefile_is_kept_once_somebody_else_has_set_it() {
        assert!(!dns("bootstrap", "Apply", "f:Corefile").keeps_corefile("ours"));
        assert!(dns("bootstrap", "Apply", "f:other").keeps_corefile("ours"));
        assert!(dns("bootstrap", "Update", "f:Corefile").keeps_corefile("ours"));
        assert!(dns("kubectl-edit", "Update", "f:Corefile").keeps_corefile("ours"));
        // the same text may be applied: it changes nothing
        assert!(!dns("kubectl-edit", "Update", "f:Corefile").keeps_corefile("theirs"));
        assert!(!Dns::new(&[], None).keeps_corefile("ours"));
        assert!(!Dns::new(&[], Some(&ConfigMap::default())).keeps_corefile("ours"));
    }

    #[test]
    fn a_deployment_without_a_number_has_one_replica() {
        let deployment: Deployment = serde_json::from_value(json!({"metadata": {"name": "coredns"}})).unwrap();
        assert_eq!(Dns::new(&[deployment], None).deployments, [("coredns".to_owned(), 1)]);
    }
}
