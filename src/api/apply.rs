//! Server-side apply: the server merges what we want into what it has. Wanting the same again changes nothing.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};

use super::connection::ApiServer;
use super::error::{ApiError, FieldConflict};
use super::retry::{Patience, retry};
use crate::desired::object::{FIELD_MANAGER, Object};
use crate::error::{Context, Result};

/// What became of an object.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    pub uid: Option<String>,
    /// Fields that somebody else had set to another value.
    pub taken_back: Vec<FieldConflict>,
}

impl ApiServer {
    /// Applies one object. What somebody else has changed since is changed back, and told.
    pub async fn apply(&self, object: &Object, patience: Patience) -> Result<Applied> {
        retry(patience, async || match self.try_apply(object, &PatchParams::apply(FIELD_MANAGER)).await {
            Err(ApiError::Conflict { fields, .. }) if !fields.is_empty() => {
                let applied = self.try_apply(object, &PatchParams::apply(FIELD_MANAGER).force()).await?;
                Ok(Applied { taken_back: fields, ..applied })
            }
            outcome => outcome,
        })
        .await
        .with_context(|| format!("cannot apply {object}"))
    }

    async fn try_apply(&self, object: &Object, params: &PatchParams) -> Result<Applied, ApiError> {
        let patched =
            self.ask(self.api_of(object).patch(&object.name, params, &Patch::Apply(object.applied()))).await?;
        Ok(Applied { uid: patched.metadata.uid, taken_back: Vec::new() })
    }

    /// Where objects of this kind are.
    pub(super) fn api_of(&self, object: &Object) -> Api<DynamicObject> {
        let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &object.kind));
        match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}
