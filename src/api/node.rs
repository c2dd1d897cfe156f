//! Marks this node's object as one of the control plane [5.4].

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::time::{Instant, sleep, timeout_at};

use super::{ApiServer, FIELD_MANAGER};
use crate::desired::node::Marks;
use crate::error::{Exit, Fault, Result};

/// Between two tries: somebody else has changed the node in between, or the server is not ready.
const PAUSE: Duration = Duration::from_millis(100);

impl ApiServer {
    /// Makes the node or patches it; a node that has all marks is left alone. Tries again until `patience` is over,
    /// whatever the failure: a node that is being registered changes under our hands.
    pub async fn mark_node(&self, marks: &Marks, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let gave_up = |error: anyhow::Error| {
            let message = format!("cannot mark node `{}`: gave up after {} s", marks.node, patience.as_secs());
            Err(Fault::new(Exit::TimedOut, message).because(error).into())
        };
        loop {
            match timeout_at(deadline, self.try_mark(marks)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if Instant::now() >= deadline => return gave_up(error),
                Ok(Err(_)) => sleep(PAUSE).await,
                Err(_) => return gave_up(anyhow::anyhow!("the API server gives no answer")),
            }
        }
    }

    async fn try_mark(&self, marks: &Marks) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        match nodes.get_opt(&marks.node).await? {
            None => {
                let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                nodes.create(&params, &serde_json::from_value(marks.object())?).await?;
            }
            Some(found) => {
                if let Some(patch) = marks.patch(&found) {
                    let params =
                        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
                    nodes.patch(&marks.node, &params, &Patch::Merge(patch)).await?;
                }
            }
        }
        Ok(())
    }
}
