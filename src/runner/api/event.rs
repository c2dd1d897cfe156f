//! What has happened, sent to the API as Events of component `kubelet` [3.F]. What cannot be sent is dropped after some
//! tries, and what the ring has forgotten meanwhile is not missed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::complaint::Complaint;
use super::link::Link;
use crate::api::{ApiError, ApiServer};
use crate::control;
use crate::runner::event::Recorder;

/// Tries of one event, and the time between them [3.63].
const TRIES: u32 = 12;
const RETRY: Duration = Duration::from_secs(10);
/// What came before counts is older than the API keeps any event.
const OLDEST: Duration = Duration::from_secs(3600);
/// Fifty in a second [3.62].
const PACE: Duration = Duration::from_millis(20);

/// Sends until dropped.
pub(super) async fn send(mut link: Link, node: String, recorder: Recorder) {
    let mut complaint = Complaint::about("cannot send events");
    let (mut sent, mut tries) = (0, 0);
    loop {
        recorder.newer_than(sent).await;
        let server = link.server().await;
        for event in recorder.since(sent) {
            let is_old = Timestamp::now().duration_since(event.last).unsigned_abs() > OLDEST;
            match if is_old { Ok(()) } else { post(&server, &event, &node).await } {
                Err(error) if tries < TRIES => {
                    complaint.tell(error);
                    tries += 1;
                    tokio::time::sleep(RETRY).await;
                    // by now it may have happened again
                    break;
                }
                Err(error) => complaint.tell(error),
                Ok(()) => complaint.settle(),
            }
            (sent, tries) = (event.revision, 0);
            tokio::time::sleep(PACE).await;
        }
    }
}

async fn post(server: &ApiServer, event: &control::Event, node: &str) -> Result<(), ApiError> {
    let object = object(event, node);
    let (name, namespace) = (object.metadata.name.as_deref(), object.metadata.namespace.as_deref());
    let events: Api<api::Event> = Api::namespaced(server.client(), namespace.unwrap_or_default());
    if event.count > 1 {
        let again = json!({ "count": object.count, "lastTimestamp": object.last_timestamp });
        let (params, patch) = (PatchParams::default(), Patch::Strategic(again));
        match server.ask(events.patch(name.unwrap_or_default(), &params, &patch)).await {
            Err(ApiError::NotFound { .. }) => {}
            outcome => return outcome.map(drop),
        }
    }
    match server.ask(events.create(&PostParams::default(), &object)).await {
        Ok(_) | Err(ApiError::AlreadyExists { .. }) => Ok(()),
        // there is no such namespace: nobody could see it
        Err(ApiError::NotFound { .. } | ApiError::Invalid { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// As the API has it: one object for all times that something happened.
fn object(event: &control::Event, node: &str) -> api::Event {
    let involved = &event.object;
    // events of what has no namespace are in this one
    let namespace = if involved.namespace.is_empty() { "default" } else { &involved.namespace };
    api::Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", involved.name, event.first.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: api::ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(involved.kind.clone()),
            name: Some(involved.name.clone()),
            namespace: (!involved.namespace.is_empty()).then(|| involved.namespace.clone()),
            uid: Some(involved.uid.clone()),
            field_path: involved.field_path.clone(),
            ..api::ObjectReference::default()
        },
        type_: Some(event.level.name().to_owned()),
        reason: Some(event.reason.clone()),
        message: Some(event.message.clone()),
        count: Some(i32::try_from(event.count).unwrap_or(i32::MAX)),
        first_timestamp: Some(Time(event.first)),
        last_timestamp: Some(Time(event.last)),
        source: Some(api::EventSource { component: Some("kubelet".to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..api::Event::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::event::Told;
    use crate::runner::testing;

    #[test]
    fn an_event_is_about_the_static_pod() {
        let recorder = Recorder::default();
        recorder.container(&testing::pod("a"), 0, Told::normal("Started", "Container started"));
        recorder.node("n1", Told::normal("Starting", "Starting kubelet."));
        let objects: Vec<_> = recorder.since(0).iter().map(|event| object(event, "n1")).collect();
        let about = serde_json::to_value(&objects[0].involved_object).unwrap();
        let expected = json!({
            "apiVersion": "v1", "kind": "Pod", "name": "a-node", "namespace": "default", "uid": "uid-a",
            "fieldPath": "spec.containers{a}",
        });
        assert_eq!(about, expected);
        assert!(objects[0].metadata.name.as_ref().unwrap().starts_with("a-node."));
        let source = serde_json::to_value(&objects[0].source).unwrap();
        assert_eq!(source, json!({ "component": "kubelet", "host": "n1" }));
        let about = serde_json::to_value(&objects[1].involved_object).unwrap();
        assert_eq!(about, json!({ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1" }));
        assert_eq!(objects[1].metadata.namespace.as_deref(), Some("default"));
    }
}
