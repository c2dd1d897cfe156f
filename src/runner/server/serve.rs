//! From a request to its answer.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::access::{Credentials, Gate, Refusal, Reviewer};
use super::identity::User;
use super::logs;
use super::query::Query;
use super::respond::{self, Answer};
use super::route::{Attributes, Route, Target};
use crate::control::{self, Reply};
use crate::error::{Context, Result};
use crate::runner::pods::Ask;
use crate::runner::runtime::{ContainerState, PodMetadata, PodSandbox, Runtime};
use crate::runner::worker::Site;

/// What every request is served with.
pub struct Server<R, V> {
    pub(super) site: Arc<Site<R>>,
    asks: mpsc::Sender<Ask>,
    gate: Gate<V>,
    /// `/configz`.
    shown: Value,
    /// Logs that may still be read at the same time.
    pub(super) readers: Arc<Semaphore>,
}

impl<R: Runtime, V: Reviewer> Server<R, V> {
    pub(crate) fn new(site: Arc<Site<R>>, asks: mpsc::Sender<Ask>, gate: Gate<V>, shown: Value) -> Self {
        Server { site, asks, gate, shown, readers: logs::readers() }
    }

    /// `certificate` is the user of the client's certificate, if it has shown one.
    pub async fn serve(self: Arc<Self>, request: Request<Incoming>, certificate: Option<User>) -> Answer {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let credentials = Credentials { certificate, token: token.map(str::to_owned) };
        let attributes = Attributes::of(request.method(), request.uri().path());
        match self.gate.admit(&credentials, &attributes).await {
            Ok(_) => {}
            Err(Refusal::Unauthorized) => return respond::text(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Err(Refusal::Forbidden(words)) => return respond::text(StatusCode::FORBIDDEN, words),
            Err(Refusal::Unknown(words)) => return respond::text(StatusCode::INTERNAL_SERVER_ERROR, words),
        }
        let Some(route) = Route::of(request.uri().path()) else {
            return respond::text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        if !route.methods().contains(request.method()) {
            return respond::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        let query = Query::of(request.uri().query());
        match route {
            // the pods' owner answers: its loop goes round
            Route::Healthz => match self.status().await {
                Ok(_) => respond::text(StatusCode::OK, "ok"),
                Err(_) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, "syncloop: the runner is ending"),
            },
            Route::Pods => self.pods(),
            Route::Configz => respond::whole(StatusCode::OK, respond::JSON, self.shown.to_string()),
            Route::Metrics => self.own_metrics().await,
            Route::MetricsResource => self.resource_metrics().await,
            Route::MetricsProbes => self.probe_metrics(),
            Route::Summary => self.summary().await,
            Route::RunningPods => self.running_pods().await,
            Route::ContainerLogs(target) => self.logs(&target, &query).await,
            Route::Exec(target) => self.exec(&target, &query, request).await,
            Route::Attach(target) => self.attach(&target, &query, request).await,
            Route::Run(target) => self.run_command(&target, &query).await,
            Route::PortForward(target) => self.port_forward(&target, &query, request).await,
            _ => respond::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    /// The pods that are configured, as the API has them, and their status [8.11].
    fn pods(&self) -> Answer {
        let pods: Vec<_> = self.site.board.pods().values().filter_map(|pod| pod.object()).collect();
        list(&pods)
    }

    /// What the runtime knows [8.11].
    async fn running_pods(&self) -> Answer {
        let (sandboxes, containers) =
            match tokio::try_join!(self.site.runtime.list_pod_sandboxes(), self.site.runtime.list_containers()) {
                Ok(found) => found,
                Err(error) => return respond::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            };
        let of = |sandbox: &PodSandbox| {
            let running = containers
                .iter()
                .filter(|one| one.sandbox_id == sandbox.id && matches!(one.state, ContainerState::Running { .. }));
            let running: Vec<_> = running
                .map(|one| json!({ "name": one.config.name, "image": one.config.image, "resources": {} }))
                .collect();
            let PodMetadata { name, namespace, uid } = &sandbox.config.metadata;
            let metadata = json!({ "name": name, "namespace": namespace, "uid": uid });
            (!running.is_empty())
                .then(|| json!({ "metadata": metadata, "spec": { "containers": running }, "status": {} }))
        };
        list(&sandboxes.iter().filter_map(of).collect::<Vec<_>>())
    }

    /// The pod that a path names: by its name, and where the path has one also by its UID [8.17].
    pub(super) async fn pod(&self, target: &Target) -> Option<control::PodStatus> {
        let pods = self.status().await.ok()?.pods;
        let named = pods.into_iter().find(|pod| pod.name == target.pod && pod.namespace == target.namespace)?;
        target.uid.as_ref().is_none_or(|uid| *uid == named.uid).then_some(named)
    }

    /// Every pod and container as it is now.
    pub(super) async fn status(&self) -> Result<control::Status> {
        let (answer, answered) = oneshot::channel();
        self.asks.send((control::Request::Status, answer)).await.context("the runner is ending")?;
        match answered.await.context("the runner has ended")? {
            Reply::Status(status) => Ok(status),
            _ => anyhow::bail!("the runner answers something else than its status"),
        }
    }
}

fn list(items: &[impl Serialize]) -> Answer {
    let list = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items });
    respond::whole(StatusCode::OK, respond::JSON, list.to_string())
}

/// RFC 6750, 2.1.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!((bearer("Basic abc"), bearer("Bearer "), bearer("Bearer")), (None, None, None));
    }
}
