//! The worker: the task that owns one pod, the only writer of its state.
//!
//! It carries what happens to the machine and what the machine asks for to the world. Whatever takes time is a task
//! of its own that sends its outcome back as an event, so that the worker itself never waits for anything but events.
//! When it is dropped, all of these end with it; containers live on.

pub mod adopt;
pub mod backoff;
mod effect;
mod image;
pub mod machine;
pub mod told;
pub mod words;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::event::{Recorder, Told};
use super::metrics::Metrics;
use super::metrics::startup::Startup;
use super::mirrored::Mirrored;
use super::node::Node;
use super::pod::Pod;
use super::probe;
use super::published::{Board, Published};
use super::record::{self, Clock, Record};
use super::runtime::Runtime;
use super::runtime::log::file::Rotation;
use super::status;
use crate::control::PodStatus;
use crate::error::chain_of;
use crate::layout::Layout;
use machine::{Command, Event, Life, Role, State, step};

/// How long a full disk is left alone.
const REWRITE: Duration = Duration::from_secs(10);

/// What every worker uses.
#[derive(Debug)]
pub struct Site<R> {
    pub runtime: R,
    pub layout: Layout,
    pub node: Node,
    /// Where workers put up what others may see of their pods.
    pub board: Board,
    pub recorder: Recorder,
    pub metrics: Metrics,
    /// The pods' mirrors in the API.
    pub mirrored: Mirrored,
    /// No container waits longer for its restart.
    pub longest_backoff: Duration,
    /// How much of each container's output is kept.
    pub rotation: Rotation,
}

impl<R> Site<R> {
    /// Of a pod that does not exist yet.
    pub fn state(&self) -> State {
        State { longest_backoff: self.longest_backoff, ..State::default() }
    }
}

/// The worker's ends of its channels.
#[derive(Debug)]
pub struct Channels {
    pub events: UnboundedReceiver<Event>,
    /// For the tasks that it spawns.
    pub sender: UnboundedSender<Event>,
    pub status: watch::Sender<Option<PodStatus>>,
    /// Pods whose sandbox is gone, for the removal of what stays of them.
    pub gone: UnboundedSender<Arc<Pod>>,
}

/// Owns the pod until it is gone and none is wanted.
pub async fn run<R: Runtime>(site: Arc<Site<R>>, begin: Begin, channels: Channels) {
    let Begin { state, commands, sandbox } = begin;
    let adopted = state.up().is_some();
    let full_name = status::shown(&state).map(|pod| pod.full_name()).unwrap_or_default();
    let mut worker = Worker {
        site,
        full_name,
        state,
        channels,
        tasks: JoinSet::new(),
        probes: HashMap::new(),
        hooks: HashSet::new(),
        sandbox,
        record: None,
        rewrite: None,
        adopted,
        startup: Startup::default(),
    };
    worker.work(commands).await;
}

/// Where a worker begins: with a new pod, or with one that an earlier runner started.
#[derive(Debug, Default)]
pub struct Begin {
    pub state: State,
    pub commands: Vec<Command>,
    /// UID and attempt of the sandbox that was found.
    pub sandbox: Option<(String, u32)>,
}

struct Worker<R> {
    site: Arc<Site<R>>,
    /// Of every pod that it will ever own.
    full_name: String,
    state: State,
    channels: Channels,
    tasks: JoinSet<()>,
    probes: HashMap<(usize, Role), AbortHandle>,
    /// Containers whose end has been told with their preStop hook, with their attempts.
    hooks: HashSet<(usize, u32)>,
    /// UID and attempt of the newest sandbox.
    sandbox: Option<(String, u32)>,
    /// As it was last written.
    record: Option<Record>,
    /// When a record that could not be written is written again, at the latest.
    rewrite: Option<Instant>,
    /// The first commands are about what was found, not about what was made.
    adopted: bool,
    startup: Startup,
}

impl<R: Runtime> Worker<R> {
    async fn work(&mut self, first: Vec<Command>) {
        if let (true, Life::Clearing { up, .. }) = (self.adopted, &self.state.life) {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.site.recorder.pod(&up.pod, Told::normal("SandboxChanged", message));
        }
        let mut commands = first;
        let (mut on, mut since) = ("create", Instant::now());
        self.startup.follow(&self.state, since.into_std());
        loop {
            for command in commands.drain(..) {
                if command == Command::End {
                    self.site.metrics.worked(on, since.elapsed());
                    self.channels.status.send_replace(None);
                    self.site.board.put(&self.full_name, None);
                    return;
                }
                self.obey(command);
            }
            self.adopted = false;
            self.publish();
            self.site.metrics.worked(on, since.elapsed());
            let event = self.next().await;
            (on, since) = (operation(&event), Instant::now());
            let before = self.state.up().map(|up| up.pod.uid.clone());
            if let (Event::SandboxGone { generation }, Life::Clearing { up, .. }) = (&event, &self.state.life)
                && *generation == self.state.generation
            {
                // nobody listens any more when the runner ends
                let _ = self.channels.gone.send(Arc::clone(&up.pod));
                tracing::info!("{}: stopped", up.pod.name);
            }
            let now = Instant::now().into_std();
            let failure = self.state.failure;
            commands = step(&mut self.state, event.clone(), now);
            self.record(&event);
            self.count(&event, before.as_deref(), &commands, now);
            if let (None, Some(failure), Some(pod)) = (failure, self.state.failure, self.state.current()) {
                let why = failure.why();
                tracing::warn!("{}: {}: {}", pod.name, why.reason, why.message);
            }
            if let Some((level, line)) = words::line(&self.state, &event, now) {
                match level {
                    tracing::Level::WARN => tracing::warn!("{line}"),
                    tracing::Level::INFO => tracing::info!("{line}"),
                    _ => tracing::debug!("{line}"),
                }
            }
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            let deadline = self.state.deadline().map(Instant::from_std).into_iter().chain(self.rewrite).min();
            tokio::select! {
                // Cancel-safe: an event is taken out or not
                event = self.channels.events.recv() => return event.unwrap_or(Event::Due),
                // Cancel-safe: the deadline is computed anew
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Event::Due;
                }
                // Cancel-safe: only to let go of what has ended
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    fn clock(&self) -> Clock {
        Clock { now: Instant::now().into_std(), wall: Timestamp::now() }
    }

    /// Status for whoever looks, record for the next runner.
    fn publish(&mut self) {
        let clock = self.clock();
        self.channels.status.send_replace(status::pod(&self.state, &self.site.layout, clock));
        self.site.board.put(&self.full_name, self.published(clock));
        let Some(record) = Record::of_state(&self.state, clock) else {
            self.rewrite = None;
            return;
        };
        if self.record.as_ref() == Some(&record) {
            self.rewrite = None;
            return;
        }
        match record::write(&self.site.layout, &record) {
            Ok(()) => (self.record, self.rewrite) = (Some(record), None),
            Err(error) => {
                if self.rewrite.is_none() {
                    tracing::warn!("{}", chain_of(&error));
                }
                self.rewrite = Some(Instant::now() + REWRITE);
            }
        }
    }

    fn record(&self, event: &Event) {
        let Some(pod) = self.state.current() else { return };
        for (container, told) in told::events(&self.state, event) {
            match container {
                Some(container) => self.site.recorder.container(pod, container, told),
                None => self.site.recorder.pod(pod, told),
            }
        }
    }

    /// `before`: the UID of the pod that had a sandbox; `commands`: what follows from the event.
    fn count(&mut self, event: &Event, before: Option<&str>, commands: &[Command], now: std::time::Instant) {
        let metrics = &self.site.metrics;
        let up = |generation: u64| self.state.up().filter(|_| self.state.generation == generation);
        match event {
            Event::SandboxFailed { generation, .. }
                if *generation == self.state.generation && matches!(self.state.life, Life::Retrying { .. }) =>
            {
                metrics.pod_failed();
            }
            Event::PullFailed { tag, why } | Event::StartFailed { tag, why, .. } => {
                if let Some(up) = up(tag.generation) {
                    metrics.container_failed(&up.pod, tag.container, why.reason);
                }
            }
            Event::SandboxGone { .. } => {
                let is_same = |pod: &Arc<Pod>| Some(pod.uid.as_str()) == before;
                if commands.iter().any(|command| matches!(command, Command::MakeSandbox { pod, .. } if is_same(pod))) {
                    metrics.pod_restarts();
                }
            }
            _ => {}
        }
        if let Some(took) = self.startup.follow(&self.state, now) {
            metrics.pod_started(took);
        }
    }

    /// A container is asked to end: its hook, if it is called, comes before the signal.
    fn record_kill(&self, container: usize) {
        if let Some(up) = self.state.up()
            && let Some(told) = told::killing(up, container)
        {
            self.site.recorder.container(&up.pod, container, told);
        }
    }

    /// What others may see of the pod; times go on from what they saw before.
    fn published(&self, clock: Clock) -> Option<Published> {
        let pod = status::shown(&self.state)?;
        let before = self.site.board.before(&self.full_name).filter(|before| before.pod.uid == pod.uid);
        let known = before.as_ref().map(|before| &before.status);
        let is_ending = matches!(self.state.life, Life::Stopping(_) | Life::Clearing { .. });
        Some(Published {
            seen: before.as_ref().map_or(clock.wall, |before| before.seen),
            status: status::api::pod_status(pod, &self.state, &self.site.node, clock, known),
            terminating: is_ending || !self.state.wants(pod),
            pod: Arc::clone(pod),
        })
    }

    fn obey(&mut self, command: Command) {
        let (site, sender) = (Arc::clone(&self.site), self.channels.sender.clone());
        let ips = self.state.up().map(|up| up.ips.clone()).unwrap_or_default();
        let ip = ips.first().copied().unwrap_or(site.node.ip);
        match command {
            Command::MakeSandbox { generation, pod } => {
                site.metrics.pod_begins();
                let before = self.sandbox.as_ref().filter(|(uid, _)| *uid == pod.uid);
                let attempt = before.map_or(0, |(_, attempt)| attempt + 1);
                self.sandbox = Some((pod.uid.clone(), attempt));
                self.spawn(async move { effect::make_sandbox(&site, generation, &pod, attempt).await });
            }
            Command::ClearSandbox { generation, sandbox } => {
                self.probes.drain().for_each(|(_, task)| task.abort());
                let pod = self.state.current().cloned();
                if let Some(pod) = &pod {
                    site.metrics.forget(&pod.uid);
                }
                let is_wanted = pod.as_ref().is_some_and(|pod| self.state.wants(pod));
                let volumes = if is_wanted { effect::Volumes::Keep } else { effect::Volumes::Remove };
                self.spawn(
                    async move { effect::clear_sandbox(&site, generation, &sandbox, pod.as_ref(), volumes).await },
                );
            }
            Command::RestSandbox { sandbox } => {
                let pod = self.state.current().cloned();
                self.tasks.spawn(async move { effect::rest_sandbox(&site, &sandbox, pod.as_ref()).await });
            }
            Command::Pull { tag, pod } => {
                site.metrics.container_begins(&pod, tag.container);
                self.spawn(async move { image::pull(&site, tag, &pod).await });
            }
            Command::Start { tag, pod, sandbox } => {
                self.spawn(async move { effect::start(&site, tag, &pod, &sandbox, &ips).await });
            }
            Command::Watch { tag, id } => {
                let Some(pod) = self.state.current().cloned() else { return };
                self.spawn(async move { effect::watch(&site, tag, &pod, &id).await });
            }
            Command::Stop { tag, id, grace } => {
                if !self.hooks.remove(&(tag.container, tag.attempt)) {
                    self.record_kill(tag.container);
                }
                if let Some(pod) = self.state.current() {
                    let label = words::label(pod, tag.container);
                    tracing::info!("{label}: stopping (container {}, grace {} s)", short(&id), grace.as_secs());
                }
                self.tasks.spawn(async move {
                    if let Some(event) = effect::stop(&site, tag, &id, grace).await {
                        let _ = sender.send(event);
                    }
                });
            }
            Command::PostStart { tag, pod, live } => {
                self.spawn(async move { effect::post_start(&site, tag, &pod, &live, ip).await });
            }
            Command::PreStop { tag, pod, live, grace } => {
                self.record_kill(tag.container);
                self.hooks.insert((tag.container, tag.attempt));
                self.spawn(async move { effect::pre_stop(&site, tag, &pod, &live, ip, grace).await });
            }
            Command::Probe { tag, role, pod, live } => {
                let subject = probe::Subject { site, pod, tag, role, live, ip, adopted: self.adopted };
                let task = self.tasks.spawn(probe::run(subject, sender));
                if let Some(before) = self.probes.insert((tag.container, role), task) {
                    before.abort();
                }
            }
            Command::Unprobe { container, roles } => {
                for role in roles {
                    if let Some(task) = self.probes.remove(&(container, *role)) {
                        task.abort();
                    }
                }
            }
            Command::Forget { pod, container, attempt, id } => {
                self.tasks.spawn(async move { effect::forget(&site, &pod, container, attempt, &id).await });
            }
            Command::End => {}
        }
    }

    fn spawn(&mut self, effect: impl Future<Output = Event> + Send + 'static) {
        let sender = self.channels.sender.clone();
        self.tasks.spawn(async move {
            let event = effect.await;
            // the worker holds a receiver as long as its tasks live
            let _ = sender.send(event);
        });
    }
}

/// What dealing with an event is called where it is counted, in the kubelet's words.
fn operation(event: &Event) -> &'static str {
    match event {
        Event::Wanted(_) | Event::Drain(_) | Event::Restart { .. } => "update",
        _ => "sync",
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
