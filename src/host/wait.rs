//! Waits for the real things: etcd's health, `/readyz`, the components' health ports; and says why it waits.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::daemon;
use super::diagnosis::{self, Story};
use crate::api::Endpoint;
use crate::control::{self, ContainerState, PodStatus, Reply, Request};
use crate::error::{Exit, Fault, Result};
use crate::layout::Layout;

/// Between two questions.
const POLL: Duration = Duration::from_millis(50);
/// After this long, a person wants to know what takes so long.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
/// Between two looks at the runner's picture, and two lines about the same wait.
const LOOK: Duration = Duration::from_millis(500);
/// A container that has ended this often is not going to come up by itself.
const CRASHES: u32 = 3;

/// What is asked whether a pod is well.
#[derive(Debug)]
pub enum Gate {
    /// The container that has the component's name, at this endpoint of its.
    Endpoint(Endpoint),
    /// The runner, which probes every container of the pod as its manifest says.
    Runner,
}

/// What one wait needs to know.
pub struct Wait<'a> {
    pub layout: &'a Layout,
    pub component: &'a str,
    /// As the runner knows it: with the instance's root.
    pub manifest: PathBuf,
    pub gate: Gate,
    pub patience: Duration,
    /// Is told what is waited for and why, at most once for each reason.
    pub tell: &'a dyn Fn(String),
}

impl Wait<'_> {
    /// Polls until the gate is open.
    ///
    /// # Errors
    /// When the component keeps ending, when the runner is gone, or when patience is over: with the component, the
    /// gate, the exit, the last lines of its log and the likely cause.
    pub async fn run(self) -> Result<()> {
        let begin = Instant::now();
        let mut last_look = begin;
        let mut told = String::new();
        // restarts before this wait count for nothing
        let mut earlier = None;
        loop {
            let answer = match &self.gate {
                Gate::Endpoint(endpoint) => match endpoint.check().await {
                    Ok(()) => return Ok(()),
                    Err(answer) => format!("{} says {answer}", endpoint.url),
                },
                Gate::Runner => "it is not ready".to_owned(),
            };
            let over = begin.elapsed() >= self.patience;
            if over || last_look.elapsed() >= LOOK {
                last_look = Instant::now();
                let Some(story) = self.story(answer).await? else { return Ok(()) };
                let ended =
                    story.restarts.saturating_sub(*earlier.get_or_insert(story.restarts)) + u32::from(story.has_ended);
                if over || ended >= CRASHES {
                    return Err(self.failure(&story, over));
                }
                if begin.elapsed() >= SILENCE && told != story.reason {
                    (self.tell)(format!("waiting for {}: {}", self.component, story.reason));
                    told = story.reason;
                }
            }
            sleep(POLL).await;
        }
    }

    /// The runner's picture of the component; `None` when its own gate is open. A runner that does not answer is itself
    /// the reason.
    async fn story(&self, answer: String) -> Result<Option<Story>> {
        let component = self.component;
        let status = match control::client::call(self.layout, Request::Status).await {
            Ok(Reply::Status(status)) => status,
            Ok(_) => anyhow::bail!("the runner gave an answer that makes no sense"),
            Err(error) => {
                return Err(Fault::failed(format!("{component} is not up, and the runner does not answer"))
                    .hint(daemon::where_log_is(self.layout))
                    .because(error)
                    .into());
            }
        };
        let place = &self.manifest;
        if let Some(rejected) = status.rejected.iter().find(|rejected| rejected.path == *place) {
            return Err(Fault::failed(format!("the runner refuses `{}`: {}", place.display(), rejected.reason)).into());
        }
        let missing = |pod: Option<&PodStatus>| {
            let message = pod.and_then(|pod| pod.message.clone());
            Ok(Some(Story::of_missing(message.unwrap_or_else(|| "its pod is not there yet".to_owned()))))
        };
        let Some(pod) = status.pods.iter().find(|pod| pod.source == *place) else { return missing(None) };
        let container = match self.gate {
            Gate::Endpoint(_) => pod.containers.iter().find(|container| container.name == component),
            Gate::Runner => match pod.containers.iter().find(|container| !container.ready) {
                Some(container) => Some(container),
                None if pod.sandbox_id.is_some() => return Ok(None),
                None => None,
            },
        };
        let Some(container) = container else { return missing(Some(pod)) };
        let reason = match &container.state {
            ContainerState::Waiting { reason, message: Some(message) } => format!("{reason}: {message}"),
            ContainerState::Waiting { reason, message: None } => reason.clone(),
            ContainerState::Running { .. } => answer,
            ContainerState::Terminated(exit) => diagnosis::exit_words(exit),
        };
        Ok(Some(Story::of(container, reason)))
    }

    fn failure(&self, story: &Story, over: bool) -> anyhow::Error {
        let component = self.component;
        let what = match over {
            true => {
                format!("{component} did not become healthy within {} s: {}", self.patience.as_secs(), story.reason)
            }
            false => {
                let ended = story.restarts + u32::from(story.has_ended);
                format!("{component} does not stay up: it ended {ended} times")
            }
        };
        let exit = if over { Exit::TimedOut } else { Exit::Failed };
        diagnosis::explain(Fault::new(exit, story.with_log(&what)), component, story)
    }
}
