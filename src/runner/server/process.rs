//! `/exec`, `/attach`, `/run` and `/portForward`: which container or sandbox is meant, and who carries its streams.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use super::access::Reviewer;
use super::query::Query;
use super::respond::{self, Answer};
use super::route::Target;
use super::serve::Server;
use super::{port_forward, remote, upgrade};
use crate::control::ContainerState;
use crate::error::chain_of;
use crate::runner::runtime::Runtime;

/// For a command whose whole output is waited for.
const RUN: Duration = Duration::from_secs(120);

fn no_pod() -> Answer {
    respond::text(StatusCode::NOT_FOUND, "pod does not exist")
}

impl<R: Runtime, V: Reviewer> Server<R, V> {
    /// The id of a container that runs; `Err` in the kubelet's words [8.39].
    async fn running(&self, target: &Target) -> Result<String, Box<Answer>> {
        let pod = self.pod(target).await.ok_or_else(|| Box::new(no_pod()))?;
        let container = pod.all_containers().find(|one| one.name == target.container);
        let running = container.filter(|one| matches!(one.state, ContainerState::Running { .. }));
        running.and_then(|one| one.id.clone()).ok_or_else(|| {
            let words = format!("container not found (\"{}\")", target.container);
            Box::new(respond::text(StatusCode::INTERNAL_SERVER_ERROR, words))
        })
    }

    pub(super) async fn exec(self: Arc<Self>, target: &Target, query: &Query, request: Request<Incoming>) -> Answer {
        let command = query.all("command");
        self.process(target, query, request, Some(command)).await
    }

    pub(super) async fn attach(self: Arc<Self>, target: &Target, query: &Query, request: Request<Incoming>) -> Answer {
        self.process(target, query, request, None).await
    }

    /// Of a new process with `command`, of the container's own without.
    async fn process(
        self: Arc<Self>,
        target: &Target,
        query: &Query,
        request: Request<Incoming>,
        command: Option<Vec<String>>,
    ) -> Answer {
        let options = match upgrade::options(query) {
            Ok(options) => options,
            Err(words) => return respond::text(StatusCode::BAD_REQUEST, words),
        };
        let id = match self.running(target).await {
            Ok(id) => id,
            Err(answer) => return *answer,
        };
        upgrade::remote_command(request, options, move |channels| async move {
            let runtime = &self.site.runtime;
            let session = match &command {
                Some(command) => runtime.exec(&id, command, options).await,
                None => runtime.attach(&id, options).await,
            };
            remote::run(session, command.as_deref(), channels).await;
        })
    }

    /// Runs a command and answers with what it says.
    pub(super) async fn run_command(&self, target: &Target, query: &Query) -> Answer {
        let id = match self.running(target).await {
            Ok(id) => id,
            Err(answer) => return *answer,
        };
        let command: Vec<_> = query.get("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
        match self.site.runtime.exec_sync(&id, &command, RUN).await {
            Ok(output) if output.exit_code == Some(0) => respond::whole(StatusCode::OK, respond::TEXT, output.output),
            Ok(output) => {
                let code = output.exit_code.map_or("none".to_owned(), |code| code.to_string());
                let mut words = output.output;
                words.extend_from_slice(format!("command terminated with exit code {code}").as_bytes());
                respond::whole(StatusCode::INTERNAL_SERVER_ERROR, respond::TEXT, words)
            }
            Err(error) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, chain_of(&anyhow::Error::from(error))),
        }
    }

    pub(super) async fn port_forward(
        self: Arc<Self>,
        target: &Target,
        query: &Query,
        request: Request<Incoming>,
    ) -> Answer {
        let Some(pod) = self.pod(target).await else { return no_pod() };
        let Some(sandbox) = pod.sandbox_id else {
            return respond::text(StatusCode::INTERNAL_SERVER_ERROR, "the pod has no sandbox yet");
        };
        let told = format!("{}, uid {}", pod.name, pod.uid);
        let site = Arc::clone(&self.site);
        let ports = port_forward::ports(query);
        upgrade::port_forward(request, ports, move |by| port_forward::run(site, sandbox, told, by))
    }
}
