//! The task that owns the workers: it turns what the source delivers into wishes, one worker for each full name.
//!
//! `choice` decides; here is only who is told. A worker ends by itself when its pod is gone and none is wanted; a
//! wish that crosses with that end is seen again, because what is desired is compared with who works after each.

pub mod choice;
mod drain;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::event::Told;
use super::pod::Pod;
use super::record;
use super::runtime::Runtime;
use super::source::{Delivery, Kind, Origin, Scan};
use super::status;
use super::takeover::Found;
use super::volume;
use super::worker::machine::Event;
use super::worker::{self, Begin, Site};
use crate::control::{PodStatus, Rejected, Reply, Request, RunnerStatus, Status};
use crate::error::{Context, Result, chain_of};
use choice::{Change, choose, diff, merge};
use drain::Draining;
use refused::Refused;

/// A pod passes from one file to another when nothing has changed for so long [1.19].
const QUIET: Duration = Duration::from_secs(1);
/// What stays of a pod that is gone is kept for so long: a manifest that comes back counts its restarts on [3.35].
const KEEP: Duration = Duration::from_secs(60);
/// Who waits for events is answered after so long in any case.
const EVENTS_WAIT: Duration = Duration::from_secs(30);

/// A question that came over the control socket.
pub type Ask = (Request, oneshot::Sender<Reply>);

struct Worker {
    events: mpsc::UnboundedSender<Event>,
    status: watch::Receiver<Option<PodStatus>>,
    /// What it has been asked for last.
    wanted: Option<Arc<Pod>>,
    /// Its place in the list, so that status shows pods as the manifests come.
    source: Origin,
}

impl Worker {
    /// Its pod has ended for good.
    fn is_over(&self) -> bool {
        self.status.borrow().as_ref().is_some_and(|status| ["Failed", "Succeeded"].contains(&status.phase.as_str()))
    }
}

pub(super) struct Pods<R> {
    site: Arc<Site<R>>,
    manifests: PathBuf,
    started_at: Timestamp,
    workers: BTreeMap<String, Worker>,
    tasks: JoinSet<String>,
    /// What each source has delivered last.
    sources: BTreeMap<Kind, Option<Scan>>,
    rejected: Vec<Rejected>,
    refused: Refused,
    /// Pods that are not begun yet.
    waiting: Vec<Arc<Pod>>,
    quiet_at: Option<Instant>,
    gone: mpsc::UnboundedSender<Arc<Pod>>,
    leftovers: Vec<(Instant, Arc<Pod>)>,
    draining: Option<Draining>,
    /// Pods that an earlier runner started, until every source has said whether it asks for them.
    found: BTreeSet<String>,
}

impl<R: Runtime> Pods<R> {
    /// Runs until told to shut down; the workers end with it, the containers do not.
    pub(super) async fn run(
        site: Arc<Site<R>>,
        manifests: PathBuf,
        sources: &[Kind],
        found: Found,
        mut scans: mpsc::Receiver<Delivery>,
        mut asks: mpsc::Receiver<Ask>,
    ) -> Result<()> {
        let (gone, mut gone_pods) = mpsc::unbounded_channel();
        let expiry = Instant::now() + KEEP;
        let mut pods = Pods {
            site,
            manifests,
            started_at: Timestamp::now(),
            workers: BTreeMap::new(),
            tasks: JoinSet::new(),
            sources: sources.iter().map(|kind| (*kind, None)).collect(),
            rejected: Vec::new(),
            refused: Refused::default(),
            waiting: Vec::new(),
            quiet_at: None,
            gone,
            leftovers: found.leftovers.into_iter().map(|pod| (expiry, pod)).collect(),
            draining: None,
            found: BTreeSet::new(),
        };
        for begin in found.begins {
            if let Some(pod) = begin.state.current().cloned() {
                tracing::info!("{}: taken over", pod.name);
                if begin.sandbox.is_some() {
                    pods.found.insert(pod.full_name());
                }
                pods.spawn(&pod, begin);
            }
        }
        loop {
            let timer = pods.timer();
            tokio::select! {
                // Cancel-safe, like every other arm: a message is taken out or not
                Some((kind, scan)) = scans.recv() => pods.scanned(kind, scan),
                // a worker that broke has left its containers to nobody: the next runner takes them over
                Some(ended) = pods.tasks.join_next() => pods.ended(ended.context("a pod's worker broke")?),
                Some(pod) = gone_pods.recv() => pods.leftovers.push((Instant::now() + KEEP, pod)),
                ask = asks.recv() => match ask {
                    Some((Request::Shutdown, reply)) => {
                        // whoever asked may have gone
                        let _ = reply.send(Reply::Done);
                        return Ok(());
                    }
                    Some((request, reply)) => pods.answer(request, reply),
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => pods.due(),
            }
        }
    }

    fn timer(&self) -> Option<Instant> {
        let expiry = self.leftovers.iter().map(|(expiry, _)| *expiry).min();
        [self.quiet_at, expiry].into_iter().flatten().min()
    }

    fn due(&mut self) {
        let now = Instant::now();
        if self.quiet_at.is_some_and(|at| at <= now) {
            self.quiet_at = None;
            self.decide(true);
        }
        let (expired, left) = std::mem::take(&mut self.leftovers).into_iter().partition(|(expiry, _)| *expiry <= now);
        self.leftovers = left;
        let expired: Vec<(Instant, Arc<Pod>)> = expired;
        for (_, pod) in expired {
            let in_use = |worker: &Worker| {
                let status = worker.status.borrow();
                status.as_ref().is_some_and(|status| status.uid == pod.uid)
                    || worker.wanted.as_ref().is_some_and(|wanted| wanted.uid == pod.uid)
            };
            if !self.workers.values().any(in_use)
                && let Err(error) = self.remove(&pod)
            {
                tracing::warn!("{}", chain_of(&error));
            }
        }
    }

    /// Removes what stays of a pod that is gone.
    fn remove(&self, pod: &Pod) -> Result<()> {
        // most of it went with its sandbox
        for leftover in volume::remove(&self.site.layout, &pod.uid)? {
            tracing::warn!("cannot remove {leftover}");
        }
        record::remove(&self.site.layout, pod)
    }

    fn scanned(&mut self, kind: Kind, scan: Scan) {
        self.sources.insert(kind, Some(scan));
        self.decide(false);
    }

    /// Compares what is desired with what is asked of the workers, and tells them the difference.
    fn decide(&mut self, quiet: bool) {
        if self.draining.is_some() || self.sources.values().all(Option::is_none) {
            return;
        }
        let held: BTreeMap<_, _> =
            self.workers.iter().filter_map(|(name, worker)| Some((name.clone(), worker.wanted.clone()?))).collect();
        let choice = choose(&merge(&self.sources, &held), &held, quiet);
        self.quiet_at = choice.unsettled.then(|| Instant::now() + QUIET);
        for rejected in &choice.rejected {
            let is_known = |known: &Rejected| known.path == rejected.path && known.reason == rejected.reason;
            if !self.rejected.iter().any(is_known) {
                let kept = if rejected.last_good_running { "; its last good version keeps running" } else { "" };
                let message = format!("`{}`: {}{kept}", rejected.path.display(), rejected.reason);
                tracing::warn!("{message}");
                let is_of = |pod: &&Arc<Pod>| rejected.last_good_running && pod.source.is_at(&rejected.path);
                for pod in held.values().filter(is_of) {
                    self.site.recorder.pod(pod, Told::warning("FailedValidation", message.clone()));
                }
            }
        }
        self.rejected = choice.rejected;
        let is_over = |name: &str| self.workers.get(name).is_some_and(Worker::is_over);
        for (pod, why) in self.refused.judge(&choice.pods, &held, is_over, &self.site.node) {
            tracing::warn!("{}: {}: {}", pod.name, why.reason, why.message);
        }
        let waited = std::mem::take(&mut self.waiting);
        for change in diff(&choice.pods, &held) {
            match change {
                Change::Start(pod) | Change::Replace(pod) if self.refused.contains(&pod) => {}
                Change::Start(pod) if self.is_held(&pod.source) => {
                    if !waited.contains(&pod) {
                        tracing::info!("{}: waits for the end of the pod that its manifest held before", pod.name);
                    }
                    self.waiting.push(pod);
                }
                Change::Start(pod) => self.want(pod),
                Change::Replace(pod) => {
                    let before = held.get(&pod.full_name()).map(|before| before.short_revision().to_owned());
                    let (before, after) = (before.unwrap_or_default(), pod.short_revision());
                    tracing::info!("{}: manifest changed (revision {before} to {after})", pod.name);
                    self.want(pod);
                }
                Change::Stop(name) => {
                    if let Some(worker) = self.workers.get_mut(&name) {
                        tracing::info!("{name}: its manifest is gone");
                        worker.wanted = None;
                        if self.found.remove(&name) {
                            self.site.metrics.pod_is_orphaned();
                        }
                        // a worker that has ended meanwhile has done what is asked
                        let _ = worker.events.send(Event::Wanted(None));
                    }
                }
            }
        }
        if self.sources.values().all(Option::is_some) {
            self.found.clear();
            self.site.board.know(self.workers.keys().cloned().collect());
        }
    }

    /// The pod that this file held before, under another name, has not ended: what it holds of the node, such as a
    /// port, its successor is likely to want.
    fn is_held(&self, source: &Origin) -> bool {
        let is_leaving = |worker: &Worker| worker.wanted.is_none() && worker.source == *source;
        source.kind() == Kind::Directory && self.workers.values().any(is_leaving)
    }

    fn want(&mut self, pod: Arc<Pod>) {
        pod.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        match self.workers.get_mut(&pod.full_name()) {
            Some(worker) => {
                worker.source.clone_from(&pod.source);
                worker.wanted = Some(Arc::clone(&pod));
                let _ = worker.events.send(Event::Wanted(Some(pod)));
            }
            None => {
                if self.leftovers.iter().any(|(_, gone)| gone.uid == pod.uid) {
                    self.site.metrics.pod_restarts();
                }
                let mut state = self.site.state();
                let now = Instant::now().into_std();
                let commands = worker::machine::step(&mut state, Event::Wanted(Some(Arc::clone(&pod))), now);
                tracing::info!("{}: starting (revision {})", pod.name, pod.short_revision());
                self.spawn(&pod, Begin { state, commands, sandbox: None });
            }
        }
    }

    fn spawn(&mut self, pod: &Arc<Pod>, begin: Begin) {
        let name = pod.full_name();
        let (sender, events) = mpsc::unbounded_channel();
        let (status, watched) = watch::channel(None);
        let channels = worker::Channels { events, sender: sender.clone(), status, gone: self.gone.clone() };
        let (site, full_name) = (Arc::clone(&self.site), name.clone());
        self.tasks.spawn(async move {
            worker::run(site, begin, channels).await;
            full_name
        });
        let worker =
            Worker { events: sender, status: watched, wanted: Some(Arc::clone(pod)), source: pod.source.clone() };
        self.workers.insert(name, worker);
    }

    fn ended(&mut self, name: String) {
        self.workers.remove(&name);
        self.go_on_draining();
        self.decide(false);
    }

    fn answer(&mut self, request: Request, reply: oneshot::Sender<Reply>) {
        match request {
            Request::Status => {
                let _ = reply.send(Reply::Status(self.status()));
            }
            Request::StopContainer { id } => self.stop_container(id, reply),
            Request::RestartPod { uid, grace_seconds } => {
                self.restart_pod(&uid, grace_seconds.map(Duration::from_secs), reply);
            }
            Request::Drain { waves, grace_seconds } => {
                let grace = grace_seconds.map(Duration::from_secs);
                let draining = self.draining.get_or_insert_with(|| Draining::new(waves));
                draining.join(grace, reply);
                tracing::info!("stopping every pod");
                self.go_on_draining();
            }
            Request::Events { after, wait } => self.tell_events(after, wait, reply),
            // taken in by the loop
            Request::Shutdown => {}
        }
    }

    fn status(&self) -> Status {
        let mut workers: Vec<_> = self.workers.values().collect();
        workers.sort_by(|a, b| a.source.cmp(&b.source));
        let running = workers.into_iter().filter_map(|worker| worker.status.borrow().clone());
        let has_worker = |name: &str| self.workers.contains_key(name);
        let held = || "waits for the end of the pod that its manifest held before".to_owned();
        let waiting = self.waiting.iter().map(|pod| PodStatus { message: Some(held()), ..status::unmade(pod) });
        Status {
            runner: RunnerStatus {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                node_name: self.site.node.name.clone(),
                manifests: self.manifests.clone(),
                started_at: Some(self.started_at),
                draining: self.draining.is_some(),
            },
            pods: running.chain(waiting).chain(self.refused.failed(has_worker)).collect(),
            rejected: self.rejected.iter().cloned().chain(self.refused.edits(has_worker)).collect(),
        }
    }

    /// Answers at once, or when there is something newer than `after`.
    fn tell_events(&self, after: u64, wait: bool, reply: oneshot::Sender<Reply>) {
        let (recorder, node_name) = (self.site.recorder.clone(), self.site.node.name.clone());
        tokio::spawn(async move {
            if wait {
                // nothing new is an answer, too
                let _ = tokio::time::timeout(EVENTS_WAIT, recorder.newer_than(after)).await;
            }
            let events = recorder.since(after);
            let newest = events.last().map_or(after, |event| event.revision);
            let _ = reply.send(Reply::Events { events, newest, node_name });
        });
    }

    /// Answers when the container has ended.
    fn stop_container(&mut self, id: String, reply: oneshot::Sender<Reply>) {
        fn runs(status: Option<&PodStatus>, id: &str) -> bool {
            let running = |container: &crate::control::ContainerStatus| {
                container.id.as_deref() == Some(id)
                    && matches!(container.state, crate::control::ContainerState::Running { .. })
            };
            status.is_some_and(|status| status.all_containers().any(running))
        }
        let Some(worker) = self.workers.values().find(|worker| runs(worker.status.borrow().as_ref(), &id)) else {
            let _ = reply.send(Reply::Error { message: format!("no container `{id}` is running") });
            return;
        };
        let _ = worker.events.send(Event::Kill { id: id.clone() });
        let mut status = worker.status.clone();
        tokio::spawn(async move {
            // an error is the end of this runner: the container may live on, and nobody is told otherwise
            if status.wait_for(|status| !runs(status.as_ref(), &id)).await.is_ok() {
                let _ = reply.send(Reply::Done);
            }
        });
    }

    /// Answers when what there is of the pod is gone; its successor then begins by itself.
    fn restart_pod(&mut self, uid: &str, grace: Option<Duration>, reply: oneshot::Sender<Reply>) {
        let refuse = |message: String| Reply::Error { message };
        if self.draining.is_some() {
            let _ = reply.send(refuse("every pod is being stopped".to_owned()));
            return;
        }
        let is_it = |worker: &&Worker| worker.status.borrow().as_ref().is_some_and(|status| status.uid == uid);
        let Some(worker) = self.workers.values().find(is_it) else {
            let _ = reply.send(refuse(format!("there is no pod `{uid}`")));
            return;
        };
        let sandbox = |status: &Option<PodStatus>| status.as_ref().and_then(|status| status.sandbox_id.clone());
        let before = sandbox(&worker.status.borrow());
        if let Some(pod) = &worker.wanted {
            tracing::info!("{}: restarting", pod.name);
        }
        let _ = worker.events.send(Event::Restart { grace });
        let mut status = worker.status.clone();
        tokio::spawn(async move {
            // an error is the end of this runner: the pod may live on, and nobody is told otherwise
            if before.is_none() || status.wait_for(|status| sandbox(status) != before).await.is_ok() {
                let _ = reply.send(Reply::Done);
            }
        });
    }

    /// Stops the pods of the first wave that still has any; answers when there are none at all.
    fn go_on_draining(&mut self) {
        let Some(draining) = &mut self.draining else { return };
        let node = &self.site.node.name;
        let names = self.workers.keys().map(String::as_str);
        let wave = draining.next(names, node);
        for full_name in wave {
            if let Some(worker) = self.workers.get_mut(&full_name) {
                worker.wanted = None;
                let _ = worker.events.send(Event::Drain(draining.order()));
            }
        }
        if self.workers.is_empty() {
            draining.finish();
        }
    }
}
