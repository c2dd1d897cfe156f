//! This node's lease in `kube-node-lease`, by which the cluster knows that it is alive [7.75].

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;

use super::complaint::Complaint;
use super::link::Link;
use crate::api::{ApiError, ApiServer};

const NAMESPACE: &str = "kube-node-lease";
/// For how long one renewal lasts, in seconds.
const LASTS: i32 = 40;
const RENEW: Duration = Duration::from_secs(10);
/// Between the first two tries; doubled up to the renewal's.
const RETRY: Duration = Duration::from_millis(100);

/// Renews the lease of a node that has an object until dropped.
pub(super) async fn keep(mut link: Link, node: String, mut uid: watch::Receiver<Option<String>>) {
    let mut complaint = Complaint::about("cannot renew the node's lease");
    let mut delay = RETRY;
    loop {
        let server = link.server().await;
        let Ok(owner) = uid.wait_for(Option::is_some).await.map(|uid| uid.clone().unwrap_or_default()) else { return };
        match renew(&server, &node, &owner).await {
            Ok(()) => {
                complaint.settle();
                delay = RETRY;
                tokio::time::sleep(RENEW).await;
            }
            Err(error) => {
                complaint.tell(error);
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(RENEW);
            }
        }
    }
}

async fn renew(server: &ApiServer, node: &str, owner: &str) -> Result<(), ApiError> {
    let leases: Api<Lease> = Api::namespaced(server.client(), NAMESPACE);
    let params = PostParams::default();
    match server.ask(leases.get_opt(node)).await? {
        Some(found) => {
            let renewed = renewed(found, node, owner, Timestamp::now());
            server.ask(leases.replace(node, &params, &renewed)).await.map(drop)
        }
        None => {
            let new = renewed(Lease::default(), node, owner, Timestamp::now());
            server.ask(leases.create(&params, &new)).await.map(drop)
        }
    }
}

/// The lease with a new time, and with the node that is there now as its owner.
fn renewed(found: Lease, node: &str, owner: &str, now: Timestamp) -> Lease {
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: owner.to_owned(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            owner_references: Some(vec![owner]),
            ..found.metadata
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_owned()),
            lease_duration_seconds: Some(LASTS),
            renew_time: Some(MicroTime(now)),
            ..found.spec.unwrap_or_default()
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_lease_keeps_what_others_have_set() {
        let now = "2027-01-15T08:00:00Z".parse().unwrap();
        let new = serde_json::to_value(renewed(Lease::default(), "n1", "u", now)).unwrap();
        assert_eq!(new["spec"]["holderIdentity"], "n1");
        assert_eq!(new["spec"]["leaseDurationSeconds"], 40);
        let owner = serde_json::json!([{ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u" }]);
        assert_eq!(new["metadata"]["ownerReferences"], owner);
        let mut found = renewed(Lease::default(), "n1", "old", now);
        found.metadata.resource_version = Some("7".to_owned());
        found.spec.as_mut().unwrap().lease_transitions = Some(3);
        let again = renewed(found, "n1", "u", now);
        assert_eq!(again.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(again.spec.unwrap().lease_transitions, Some(3));
        assert_eq!(again.metadata.owner_references.unwrap()[0].uid, "u");
    }
}
