//! What the API has of this node's pods: a list, kept up to date by a watch.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1 as api;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};

use super::object::CONFIG_MIRROR;
use crate::api::{ApiError, ApiServer};

/// Seconds after which a watch begins anew, so that a connection that died in silence is noticed.
const WATCH: u32 = 240;

/// A pod of the API that is bound to this node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mirror {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The static pod that it mirrors; `None` for an ordinary pod of the API.
    pub(super) hash: Option<String>,
    /// The UID of its owner.
    pub(super) owner: Option<String>,
    pub(super) is_leaving: bool,
    pub(super) status: Option<api::PodStatus>,
    /// Which of two pictures of it is the newer one.
    version: u64,
}

impl Mirror {
    pub(super) fn of(pod: &api::Pod) -> Option<Mirror> {
        let metadata = &pod.metadata;
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        Some(Mirror {
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            hash: metadata.annotations.as_ref().and_then(|known| known.get(CONFIG_MIRROR)).cloned(),
            owner: owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()),
            is_leaving: metadata.deletion_timestamp.is_some(),
            status: pod.status.clone(),
            version: metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0),
        })
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}_{}", self.name, self.namespace)
    }
}

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<api::Pod>>> + Send>>;

/// All of them, by full name.
pub(super) struct Mirrors {
    all: BTreeMap<String, Mirror>,
    events: Events,
}

impl Mirrors {
    pub(super) async fn list(server: &ApiServer, node: &str) -> Result<Mirrors, ApiError> {
        let pods: Api<api::Pod> = Api::all(server.client());
        let of_node = format!("spec.nodeName={node}");
        let listed = server.ask(pods.list(&ListParams::default().fields(&of_node))).await?;
        let since = listed.metadata.resource_version.clone().unwrap_or_default();
        let params = WatchParams::default().fields(&of_node).timeout(WATCH);
        let events = server.ask(pods.watch(&params, &since)).await?.boxed();
        let all = listed.items.iter().filter_map(Mirror::of).map(|mirror| (mirror.full_name(), mirror)).collect();
        Ok(Mirrors { all, events })
    }

    pub(super) fn all(&self) -> &BTreeMap<String, Mirror> {
        &self.all
    }

    /// The static pods' UIDs by those of their mirrors.
    pub(super) fn uids(&self) -> BTreeMap<String, String> {
        self.all.values().filter_map(|mirror| Some((mirror.uid.clone(), mirror.hash.clone()?))).collect()
    }

    /// Waits for the watch and takes in what it tells; `false`: it has ended. Cancel-safe.
    pub(super) async fn follow(&mut self) -> Result<bool, ApiError> {
        match self.events.next().await {
            Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod))) => self.put(&pod),
            Some(Ok(WatchEvent::Deleted(pod))) => {
                if let Some(gone) = Mirror::of(&pod) {
                    self.remove(&gone.namespace, &gone.name, &gone.uid);
                }
            }
            Some(Ok(WatchEvent::Bookmark(_))) => {}
            // what was listed is too old by now, or the connection broke: listed anew
            Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a picture in that is not older than the one that is there.
    pub(super) fn put(&mut self, pod: &api::Pod) {
        let Some(mirror) = Mirror::of(pod) else { return };
        let known = self.all.get(&mirror.full_name());
        if known.is_none_or(|known| known.version <= mirror.version) {
            self.all.insert(mirror.full_name(), mirror);
        }
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str, uid: &str) {
        let full_name = format!("{name}_{namespace}");
        if self.all.get(&full_name).is_some_and(|known| known.uid == uid) {
            self.all.remove(&full_name);
        }
    }
}
