//! Marks this node's object as one of the control plane [5.4].

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};

use super::connection::ApiServer;
use super::error::ApiError;
use super::retry::{Patience, retry};
use crate::desired::node::Marks;
use crate::desired::object::FIELD_MANAGER;
use crate::error::{Context, Result};

impl ApiServer {
    /// Makes the node or patches it; a node that has all marks is left alone.
    pub async fn mark_node(&self, marks: &Marks, patience: Patience) -> Result<()> {
        let marked = retry(patience, async || self.try_mark(marks).await).await;
        marked.with_context(|| format!("cannot mark node `{}`", marks.node))
    }

    async fn try_mark(&self, marks: &Marks) -> Result<(), ApiError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let field_manager = Some(FIELD_MANAGER.to_owned());
        match self.ask(nodes.get_opt(&marks.node)).await? {
            None => {
                let node = serde_json::from_value(marks.object()).map_err(|error| ApiError::Invalid {
                    message: format!("no node can be made of the marks: {error}"),
                })?;
                let params = PostParams { field_manager, ..PostParams::default() };
                match self.ask(nodes.create(&params, &node)).await {
                    // its kubelet was faster
                    Err(ApiError::AlreadyExists { message }) => Err(ApiError::Conflict { message, fields: Vec::new() }),
                    outcome => outcome.map(drop),
                }
            }
            Some(found) => match marks.patch(&found) {
                None => Ok(()),
                Some(patch) => {
                    let params = PatchParams { field_manager, ..PatchParams::default() };
                    self.ask(nodes.patch(&marks.node, &params, &Patch::Merge(patch))).await.map(drop)
                }
            },
        }
    }
}
