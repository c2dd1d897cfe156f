//! Asks the API server about users: TokenReview and SubjectAccessReview, as the node's own user (`kubelet.conf`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::access::Reviewer;
use super::identity::User;
use super::watched::Watched;
use crate::error::{Context, Result};

/// Whoever waits for an answer waits no longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The API server that a kubeconfig names; the file may come late, and be replaced.
#[derive(Debug)]
pub struct ApiReviewer {
    kubeconfig: PathBuf,
    node: String,
    client: Watched<Connected>,
}

struct Connected(Client);

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connected")
    }
}

impl ApiReviewer {
    /// `node` is the node whose subresources are asked about.
    pub fn new(kubeconfig: PathBuf, node: String) -> ApiReviewer {
        ApiReviewer { client: Watched::new(vec![kubeconfig.clone()]), kubeconfig, node }
    }

    async fn connected(&self) -> Result<Arc<Connected>> {
        self.client
            .get(|| async {
                let cannot = || format!("cannot use `{}`", self.kubeconfig.display());
                // the parser's words would quote the file
                let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)
                    .map_err(|_| anyhow::anyhow!("it cannot be read as a kubeconfig"))
                    .with_context(cannot)?;
                let options = KubeConfigOptions::default();
                let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(cannot)?;
                config.connect_timeout = Some(PATIENCE);
                config.read_timeout = Some(PATIENCE);
                config.default_retry = false;
                Ok(Connected(Client::try_from(config).with_context(cannot)?))
            })
            .await
    }
}

async fn within<T>(asked: impl Future<Output = kube::Result<T>>) -> Result<T> {
    let answered = tokio::time::timeout(PATIENCE, asked).await.context("the API server does not answer")?;
    answered.context("the API server does not say")
}

impl Reviewer for ApiReviewer {
    async fn token(&self, token: &str) -> Result<Option<User>> {
        let reviews: Api<TokenReview> = Api::all(self.connected().await?.0.clone());
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviewed = within(reviews.create(&PostParams::default(), &review)).await?;
        let status = reviewed.status.unwrap_or_default();
        Ok(status.user.filter(|_| status.authenticated == Some(true)).map(user))
    }

    async fn access(&self, user: &User, verb: &str, subresource: &str) -> Result<bool> {
        let reviews: Api<SubjectAccessReview> = Api::all(self.connected().await?.0.clone());
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".to_owned()),
            resource: Some("nodes".to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(self.node.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            user: Some(user.name.clone()),
            groups: Some(user.groups.clone()),
            uid: user.uid.clone(),
            extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviewed = within(reviews.create(&PostParams::default(), &review)).await?;
        Ok(reviewed.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

fn user(info: UserInfo) -> User {
    User {
        name: info.username.unwrap_or_default(),
        groups: info.groups.unwrap_or_default(),
        uid: info.uid,
        extra: info.extra.unwrap_or_default(),
    }
}
