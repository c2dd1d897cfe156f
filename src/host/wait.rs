//! Waits for the real things: etcd's health, `/readyz`, the components' health ports; and says why it waits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::daemon;
use super::diagnosis::{self, Story};
use crate::api::Endpoint;
use crate::control::{self, ContainerState, Reply, Request};
use crate::desired::manifest::Manifest;
use crate::error::{Exit, Fault, Result};
use crate::layout::Layout;
use crate::plan::Condition;

/// Between two questions.
const POLL: Duration = Duration::from_millis(50);
/// After this long, a person wants to know what takes so long.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
/// Between two looks at the runner's picture, and two lines about the same wait.
const LOOK: Duration = Duration::from_millis(500);
/// A container that has ended this often is not going to come up by itself.
const CRASHES: u32 = 3;

/// What one wait needs to know.
pub struct Wait<'a> {
    pub layout: &'a Layout,
    pub condition: Condition,
    pub manifest: &'a Manifest,
    pub endpoint: Endpoint,
    pub patience: Duration,
    /// Is told what is waited for and why, at most once for each reason.
    pub tell: &'a dyn Fn(String),
}

impl Wait<'_> {
    /// Polls until the condition holds.
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
            let Err(gate) = self.endpoint.check().await else { return Ok(()) };
            let over = begin.elapsed() >= self.patience;
            if over || last_look.elapsed() >= LOOK {
                last_look = Instant::now();
                let story = self.story(&gate).await?;
                let ended =
                    story.restarts.saturating_sub(*earlier.get_or_insert(story.restarts)) + u32::from(story.has_ended);
                if over || ended >= CRASHES {
                    return Err(self.failure(&story, over));
                }
                if begin.elapsed() >= SILENCE && told != story.reason {
                    (self.tell)(format!("waiting for {}: {}", self.condition.component(), story.reason));
                    told = story.reason;
                }
            }
            sleep(POLL).await;
        }
    }

    /// The runner's picture of the component. A runner that does not answer is itself the reason.
    async fn story(&self, gate: &str) -> Result<Story> {
        let component = self.condition.component();
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
        let manifest = crate::phase::manifest_path(self.manifest.component);
        let place = self.layout.under(&manifest);
        if let Some(rejected) = status.rejected.iter().find(|rejected| rejected.path == place) {
            return Err(Fault::failed(format!("the runner refuses `{}`: {}", place.display(), rejected.reason)).into());
        }
        let pod = status.pods.iter().find(|pod| pod.source == place);
        let container = pod.and_then(|pod| pod.containers.iter().find(|container| container.name == component));
        let Some(container) = container else {
            let reason =
                pod.and_then(|pod| pod.message.clone()).unwrap_or_else(|| "its pod is not there yet".to_owned());
            return Ok(Story::of_missing(reason));
        };
        let reason = match &container.state {
            ContainerState::Waiting { reason, message: Some(message) } => format!("{reason}: {message}"),
            ContainerState::Waiting { reason, message: None } => reason.clone(),
            ContainerState::Running { .. } => format!("{} says {gate}", self.endpoint.url),
            ContainerState::Terminated(exit) => diagnosis::exit_words(exit),
        };
        Ok(Story::of(container, reason))
    }

    fn failure(&self, story: &Story, over: bool) -> anyhow::Error {
        let component = self.condition.component();
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
