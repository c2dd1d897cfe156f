//! Mirror pods: what the API shows of the static pods of this node [7.D], and their statuses [7.E].
//!
//! `state` is what the API has, by a list and a watch of this node's pods; `decide` compares it with what the workers
//! have put up. The steps are taken one after the other; one that fails is tried again later, and holds up no other.

mod decide;
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
use crate::runner::published::Subscription;
use decide::{Step, decide};
use state::Mirrors;

/// Everything is compared anew after so long in any case [7.50].
const RECONCILE: Duration = Duration::from_secs(10);
/// After something has failed: doubled up to the time above.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps the mirrors until dropped.
pub(super) async fn keep(
    mut link: Link,
    node: String,
    mut uid: watch::Receiver<Option<String>>,
    mut board: Subscription,
) {
    let mut keeper = Keeper { node, complaint: Complaint::about("cannot keep mirror pods") };
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
        let mut delay = RETRY;
        loop {
            let now = board.view();
            let owner = uid.borrow_and_update().clone();
            let mut failed = false;
            for step in decide(&now, mirrors.all(), owner.as_deref()) {
                match self.take(server, &step, owner.as_deref(), &mut mirrors).await {
                    Ok(()) => {}
                    // the API has changed since: the watch tells, and it is decided again
                    Err(ApiError::Conflict { .. } | ApiError::NotFound { .. }) if !matches!(step, Step::Create(_)) => {}
                    Err(error) => {
                        let lost = error.is_about_connection();
                        self.complaint.tell(error);
                        failed = true;
                        if lost {
                            break;
                        }
                    }
                }
            }
            let next = if failed { delay } else { RECONCILE };
            delay = if failed { (delay * 2).min(RECONCILE) } else { RETRY };
            if !failed {
                self.complaint.settle();
            }
            let due = Instant::now() + next;
            // what failed is not tried again with each change of anything
            let until = if failed { Some(due) } else { None };
            loop {
                tokio::select! {
                    is_there = board.changed(), if until.is_none() => {
                        if !is_there {
                            std::future::pending::<()>().await;
                        }
                        break;
                    }
                    changed = uid.changed(), if until.is_none() => {
                        if changed.is_err() {
                            std::future::pending::<()>().await;
                        }
                        break;
                    }
                    followed = mirrors.follow() => {
                        if !followed? {
                            return Ok(());
                        }
                        if until.is_none() {
                            break;
                        }
                    }
                    () = link.changed() => return Ok(()),
                    () = tokio::time::sleep_until(due) => break,
                }
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
