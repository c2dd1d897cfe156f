//! This node's object: made, kept up to date, and made again when somebody has deleted it [7.G].

mod facts;
mod object;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;

use super::complaint::Complaint;
use super::link::Link;
use crate::api::{ApiError, ApiServer};
use crate::runner::event::{Recorder, Told};
pub(super) use facts::Facts;
use facts::Pressure;

/// Between two tries to register: doubled from the first to the longest [7.70].
const REGISTER: Duration = Duration::from_millis(100);
const REGISTER_MOST: Duration = Duration::from_secs(7);
/// Between two looks at the node and its object [7.74].
const LOOK: Duration = Duration::from_secs(10);
/// Right after its start an API server does not tell everybody yet which version it has.
const FAST: Duration = Duration::from_secs(1);
/// Without a change the status is sent after so long [7.74].
const REPORT: Duration = Duration::from_secs(300);

/// Keeps the object until dropped, and tells its UID, `None` while there is none or it is being deleted.
pub(super) async fn keep(mut link: Link, facts: Facts, recorder: Recorder, uid: Arc<watch::Sender<Option<String>>>) {
    recorder.node(&facts.name, Told::normal("Starting", "Starting kubelet."));
    let mut keeper = Keeper { facts, recorder, uid, reported: None, told: Vec::new() };
    let mut complaint = Complaint::about("cannot keep the node's object");
    let mut delay = REGISTER;
    loop {
        let server = link.server().await;
        match keeper.look(&server).await {
            Ok(()) => {
                complaint.settle();
                delay = REGISTER;
                tokio::select! {
                    () = tokio::time::sleep(if keeper.facts.version.is_some() { LOOK } else { FAST }) => {}
                    () = link.changed() => {}
                }
            }
            Err(error) => {
                complaint.tell(error);
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(REGISTER_MOST);
            }
        }
    }
}

struct Keeper {
    facts: Facts,
    recorder: Recorder,
    uid: Arc<watch::Sender<Option<String>>>,
    /// When the status was sent last.
    reported: Option<Instant>,
    /// Reasons of conditions, as they were last told as events.
    told: Vec<String>,
}

impl Keeper {
    /// Makes the object where there is none, and gives it what it lacks.
    async fn look(&mut self, server: &ApiServer) -> Result<(), ApiError> {
        let nodes: Api<api::Node> = Api::all(server.client());
        let name = self.facts.name.clone();
        let mut found = match server.ask(nodes.get_opt(&name)).await? {
            Some(found) => found,
            None => {
                self.uid.send_replace(None);
                self.register(server, &nodes).await?
            }
        };
        if let Some(patch) = object::metadata_patch(&self.facts, &found) {
            let patch = Patch::Strategic(patch);
            found = server.ask(nodes.patch(&name, &PatchParams::default(), &patch)).await?;
        }
        let is_leaving = found.metadata.deletion_timestamp.is_some();
        let uid = found.metadata.uid.clone().filter(|_| !is_leaving);
        self.uid.send_if_modified(|known| std::mem::replace(known, uid.clone()) != uid);
        self.report(server, &nodes, &found).await
    }

    async fn register(&mut self, server: &ApiServer, nodes: &Api<api::Node>) -> Result<api::Node, ApiError> {
        let status = self.status(server, None).await;
        let node = object::new(&self.facts, status);
        match server.ask(nodes.create(&PostParams::default(), &node)).await {
            Ok(made) => {
                tracing::info!("node `{}` is registered", self.facts.name);
                self.reported = Some(Instant::now());
                Ok(made)
            }
            // init, or an administrator, was faster
            Err(ApiError::AlreadyExists { .. }) => server.ask(nodes.get(&self.facts.name)).await,
            Err(error) => Err(error),
        }
    }

    /// Sends the status where it differs from what is there, or has not been sent for long.
    async fn report(&mut self, server: &ApiServer, nodes: &Api<api::Node>, found: &api::Node) -> Result<(), ApiError> {
        let status = self.status(server, found.status.as_ref()).await;
        let is_due = self.reported.is_none_or(|at| at.elapsed() >= REPORT);
        if is_due || object::differs(&status, found.status.as_ref()) {
            let patch = Patch::Strategic(serde_json::json!({ "status": status }));
            server.ask(nodes.patch_status(&self.facts.name, &PatchParams::default(), &patch)).await?;
            self.reported = Some(Instant::now());
        }
        Ok(())
    }

    async fn status(&mut self, server: &ApiServer, before: Option<&api::NodeStatus>) -> api::NodeStatus {
        let pressure = Pressure::measure(&self.facts);
        if self.facts.version.is_none() {
            // a node has the version of its cluster: the runner has none of its own in Kubernetes' count
            let version = server.ask(server.client().apiserver_version()).await;
            self.facts.version = version.ok().map(|version| version.git_version);
        }
        let status = object::status(&self.facts, pressure, Timestamp::now(), before);
        self.tell(&status);
        status
    }

    /// Conditions that have changed are events [7.79].
    fn tell(&mut self, status: &api::NodeStatus) {
        let conditions = status.conditions.iter().flatten();
        let reasons: Vec<_> = conditions.map(object::event_reason).collect();
        for reason in reasons.iter().filter(|reason| !self.told.iter().any(|told| told == *reason)) {
            let message = format!("Node {} status is now: {reason}", self.facts.name);
            self.recorder.node(&self.facts.name, Told::normal(reason, message));
        }
        self.told = reasons.into_iter().map(str::to_owned).collect();
    }
}
