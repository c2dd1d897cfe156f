//! What the runner shows of its pods to whoever subscribes: the API's mirrors, the node's events, the server's `/pods`.
//!
//! ```text
//! worker ──put──► Board ──subscribe──► Subscription: changed().await, then pods()
//! ```
//!
//! A worker puts its pod up whenever something about it changes and takes it down when it is gone. Nobody who reads can
//! hold a worker up: a subscriber that is slow sees the newest state alone, however often it has changed meanwhile.
//!
//! Rejected manifests are not here, since they are no pods; neither is a pod of which only the runtime knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use tokio::sync::watch;

use super::pod::Pod;
use super::pod::object::CONFIG_SEEN;

/// A static pod and how it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub pod: Arc<Pod>,
    /// When this runner first saw it.
    pub seen: Timestamp,
    pub status: api::PodStatus,
    /// It is being stopped: its manifest is gone or has changed, or somebody has asked for its end. It may begin anew.
    pub terminating: bool,
}

impl Published {
    /// The pod as `/pods` shows it: the static UID, the annotations `config.{hash,seen,source}`, the current status.
    /// `None` for a pod of an older runner's record, which does not hold the API's object.
    pub fn object(&self) -> Option<api::Pod> {
        let mut object = self.pod.object.as_ref()?.pod()?;
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(CONFIG_SEEN.to_owned(), self.seen.to_string());
        object.status = Some(self.status.clone());
        Some(object)
    }
}

/// Every pod, by full name (`<name>_<namespace>`); of two revisions of one name the one that is on the machine.
pub type Pods = BTreeMap<String, Arc<Published>>;

/// What is on the board.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    pub pods: Pods,
    /// The full names of all pods that are asked for or still there, once every source has delivered: what is not among
    /// them is gone for good. `None` before.
    pub known: Option<BTreeSet<String>>,
}

/// Where workers put their pods up. A clone is the same board.
#[derive(Debug, Clone)]
pub struct Board(watch::Sender<View>);

impl Default for Board {
    fn default() -> Board {
        Board(watch::Sender::new(View::default()))
    }
}

impl Board {
    /// Puts a pod up, or takes it down; what is there already is no change.
    pub fn put(&self, full_name: &str, published: Option<Published>) {
        self.0.send_if_modified(|View { pods, .. }| match published {
            Some(published) if pods.get(full_name).is_some_and(|known| **known == published) => false,
            Some(published) => {
                pods.insert(full_name.to_owned(), Arc::new(published));
                true
            }
            None => pods.remove(full_name).is_some(),
        });
    }

    /// For `/pods` and other questions: what there is now.
    pub fn pods(&self) -> Pods {
        self.0.borrow().pods.clone()
    }

    /// Every source has delivered, and these are the pods.
    pub(super) fn know(&self, names: BTreeSet<String>) {
        self.0.send_if_modified(|view| view.known.replace(names.clone()).as_ref() != Some(&names));
    }

    /// What was put up last under this full name.
    pub(super) fn before(&self, full_name: &str) -> Option<Arc<Published>> {
        self.0.borrow().pods.get(full_name).cloned()
    }

    pub fn subscribe(&self) -> Subscription {
        let mut pods = self.0.subscribe();
        pods.mark_changed();
        Subscription(pods)
    }
}

/// A reader of the board.
#[derive(Debug, Clone)]
pub struct Subscription(watch::Receiver<View>);

impl Subscription {
    /// Resolves at once the first time, then after each change. Cancel-safe. `false`: the runner has ended.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// What there is now.
    pub fn pods(&mut self) -> Pods {
        self.view().pods
    }

    /// With what is known to be all.
    pub fn view(&mut self) -> View {
        self.0.borrow_and_update().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::testing;

    fn published(phase: &str) -> Published {
        Published {
            pod: Arc::new(testing::pod("a")),
            seen: Timestamp::UNIX_EPOCH,
            status: api::PodStatus { phase: Some(phase.to_owned()), ..api::PodStatus::default() },
            terminating: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_hears_of_changes_and_of_nothing_else() {
        let board = Board::default();
        let mut reader = board.subscribe();
        assert!(reader.changed().await && reader.pods().is_empty());
        board.put("a-node_default", Some(published("Pending")));
        board.put("a-node_default", Some(published("Running")));
        assert!(reader.changed().await);
        assert_eq!(reader.pods()["a-node_default"].status.phase.as_deref(), Some("Running"));
        board.put("a-node_default", Some(published("Running")));
        board.put("b-node_default", None);
        let second = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(second, reader.changed()).await.is_err(), "nothing has changed");
        board.put("a-node_default", None);
        assert!(reader.changed().await && reader.pods().is_empty());
        drop(board);
        assert!(!reader.changed().await);
    }
}
