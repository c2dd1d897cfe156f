//! Mirror pods: what the API shows of the static pods of this node [7.D], and their statuses [7.E].
//!
//! `state` is what the API has, by a list and a watch of this node's pods; `decide` compares it with what the workers
//! have put up. The steps are taken one after the other; one that fails is tried again later, and holds up no other.

mod decide;
mod hold;
mod object;
mod state;

use std::time::Duration;

use k8s_openapi::api::core::v1 as api;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use tokio::sync::watch;
use tokio::time::Instant;

use super::complaint::Complaint;
use super::link::Link;
use crate::api::{ApiError, ApiServer};
use crate::runner::mirrored::Mirrored;
use crate::runner::published::Subscription;
use decide::{Step, decide};
use hold::Holds;
use state::Mirrors;

/// Everything is compared anew after so long in any case [7.50].
const RECONCILE: Duration = Duration::from_secs(10);
/// After a list or a watch has failed: doubled up to the time above.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps the mirrors until dropped.
pub(super) async fn keep(
    mut link: Link,
    node: String,
    mut uid: watch::Receiver<Option<String>>,
    mut board: Subscription,
    mirrored: Mirrored,
) {
    let complaint = Complaint::about("cannot keep mirror pods");
    let mut keeper = Keeper { node, complaint, holds: Holds::default(), mirrored };
    let mut watching = Complaint::about("cannot watch this node's pods");
    let mut delay = RETRY;
    loop {
        let server = link.server().await;
        match keeper.follow(&server, &mut link, &mut uid, &mut board).await {
            Ok(()) => {
                watching.settle();
                delay = RETRY;
            }
            Err(error) => {
                watching.tell(error);
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(RECONCILE);
            }
        }
    }
}

struct Keeper {
    node: String,
    complaint: Complaint,
    holds: Holds,
    mirrored: Mirrored,
}

impl Keeper {
    /// Lists the mirrors, then follows both sides until the watch ends or there is another server to ask.
    async fn follow(
        &mut self,
        server: &ApiServer,
        link: &mut Link,
        uid: &mut watch::Receiver<Option<String>>,
        board: &mut Subscription,
    ) -> Result<(), ApiError> {
        let mut mirrors = Mirrors::list(server, &self.node).await?;
        loop {
            let view = board.view();
            let owner = uid.borrow_and_update().clone();
            let steps = decide(&view, mirrors.all(), owner.as_deref());
            self.holds.retain(|name| steps.iter().any(|step| step.full_name() == name));
            for step in steps {
                let name = step.full_name();
                if self.holds.is_held(&name, Instant::now()) {
                    continue;
                }
                match self.take(server, &step, owner.as_deref(), &mut mirrors).await {
                    Ok(()) => self.holds.worked(&name),
                    Err(error) => {
                        self.holds.failed(name, Instant::now());
                        let is_lost = error.is_about_connection();
                        if !step.is_overtaken(&error) {
                            self.complaint.tell(error);
                        }
                        if is_lost {
                            // whatever comes next would wait for it, too; listed anew when it is there
                            tokio::time::sleep(RETRY).await;
                            return Ok(());
                        }
                    }
                }
            }
            self.mirrored.put(mirrors.uids());
            if self.holds.is_empty() {
                self.complaint.settle();
            }
            let now = Instant::now();
            let due = self.holds.due(now).unwrap_or(now + RECONCILE).min(now + RECONCILE);
            tokio::select! {
                is_there = board.changed() => {
                    if !is_there {
                        std::future::pending::<()>().await;
                    }
                }
                changed = uid.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                followed = mirrors.follow() => {
                    if !followed? {
                        return Ok(());
                    }
                }
                () = link.changed() => return Ok(()),
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    async fn take(
        &self,
        server: &ApiServer,
        step: &Step,
        owner: Option<&str>,
        mirrors: &mut Mirrors,
    ) -> Result<(), ApiError> {
        match step {
            Step::Create(published) => {
                let (Some(pod), Some(owner)) = (published.object(), owner) else { return Ok(()) };
                let mirror = object::mirror(pod, &self.node, owner);
                let pods = pods_in(server, &published.pod.namespace);
                match server.ask(pods.create(&PostParams::default(), &mirror)).await {
                    Ok(made) => {
                        tracing::info!("{}: its mirror pod is in the API", published.pod.name);
                        mirrors.put(&made);
                        Ok(())
                    }
                    // by an earlier runner, or by this one: the watch is about to tell
                    Err(ApiError::AlreadyExists { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Step::Delete { namespace, name, uid } => {
                let params = DeleteParams {
                    grace_period_seconds: Some(0),
                    preconditions: Some(Preconditions { uid: Some(uid.clone()), resource_version: None }),
                    ..DeleteParams::default()
                };
                match server.ask(pods_in(server, namespace).delete(name, &params)).await {
                    Ok(_) | Err(ApiError::NotFound { .. }) => {
                        mirrors.remove(namespace, name, uid);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            Step::Upload { namespace, name, patch } => {
                let pods = pods_in(server, namespace);
                let patch = Patch::Strategic(patch);
                let patched = server.ask(pods.patch_status(name, &PatchParams::default(), &patch)).await?;
                mirrors.put(&patched);
                Ok(())
            }
        }
    }
}

fn pods_in(server: &ApiServer, namespace: &str) -> Api<api::Pod> {
    Api::namespaced(server.client(), namespace)
}
