//! Objects that the cluster has: read, made and removed one by one.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::connection::ApiServer;
use super::error::ApiError;
use super::retry::{Patience, retry};
use crate::desired::object::{FIELD_MANAGER, Object};
use crate::error::Result;

/// Whether a change is to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    Yes,
    /// The server only says what it would do.
    DryRun,
}

impl Commit {
    fn is_dry_run(self) -> bool {
        self == Commit::DryRun
    }
}

impl ApiServer {
    /// Every object of a kind in a namespace that both selectors fit; an empty one fits all.
    pub async fn list<K>(&self, namespace: &str, labels: &str, fields: &str, patience: Patience) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = ListParams::default().labels(labels).fields(fields);
        Ok(retry(patience, async || self.ask(api.list(&params)).await).await?.items)
    }

    /// One object, if it is there.
    pub async fn get<K>(&self, namespace: &str, name: &str, patience: Patience) -> Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        retry(patience, async || self.ask(api.get_opt(name)).await).await
    }

    /// Makes an object that must not be there yet.
    pub async fn create(&self, object: &Object, commit: Commit) -> Result<(), ApiError> {
        let params = PostParams { dry_run: commit.is_dry_run(), field_manager: Some(FIELD_MANAGER.to_owned()) };
        let value = serde_json::from_value(object.value.clone())
            .map_err(|_| ApiError::Invalid { message: format!("{object} is no object of the API") })?;
        self.ask(self.api_of(object).create(&params, &value)).await.map(drop)
    }

    /// Removes an object that must be there.
    pub async fn delete<K>(&self, namespace: &str, name: &str, commit: Commit) -> Result<(), ApiError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let params = DeleteParams { dry_run: commit.is_dry_run(), ..DeleteParams::default() };
        self.ask(api.delete(name, &params)).await.map(drop)
    }
}
