//! Probes: one task for each role of each running container [5].
//!
//! A task tries, counts and tells; what follows from a verdict is the machine's to decide. The first try comes at
//! once, or when the initial delay since the container's start is over; the next ones keep the period from there.

pub mod exec;
mod grpc;
pub(crate) mod http;
pub mod tally;
pub mod tcp;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, MissedTickBehavior};

use super::env;
use super::metrics::Try;
use super::pod::{Check, Pod, Probe};
use super::runtime::Runtime;
use super::worker::Site;
use super::worker::machine::{Event, Live, Role, Tag};
use super::worker::words::label;
use tally::Tally;

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// A success that somebody should hear of.
    Warning(String),
    /// Why, in words.
    Failure(String),
    /// The probe itself did not work: it counts as neither [5.7].
    Unknown(String),
}

/// Tries until the outcome is known [5.7].
const TRIES: usize = 3;

/// What one probe task needs.
#[derive(Debug)]
pub struct Subject<R> {
    pub site: Arc<Site<R>>,
    pub pod: Arc<Pod>,
    pub tag: Tag,
    pub role: Role,
    pub live: Live,
    /// The pod's.
    pub ip: IpAddr,
    /// The container was found running: its first probe is spread over the period, so that a restarted runner does
    /// not ask everything at once [5.3].
    pub adopted: bool,
}

/// Probes until aborted, or until a verdict after which this container is not asked again [5.9].
pub async fn run<R: Runtime>(subject: Subject<R>, events: UnboundedSender<Event>) {
    let Subject { role, tag, .. } = subject;
    let spec = &subject.pod.containers[tag.container];
    let probe = match role {
        Role::Startup => &spec.startup,
        Role::Liveness => &spec.liveness,
        Role::Readiness => &spec.readiness,
    };
    let Some(probe) = probe else { return };
    let checker = Checker::new(&subject, probe);
    let mut ticker = tokio::time::interval_at(first(&subject, probe), probe.period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tally = Tally::new(probe.success_threshold, probe.failure_threshold);
    let (mut failing, mut warned) = (false, false);
    loop {
        ticker.tick().await;
        let since = Instant::now();
        let outcome = checker.attempt().await;
        let tried = match &outcome {
            Outcome::Success | Outcome::Warning(_) => Try::Successful,
            Outcome::Failure(_) => Try::Failed,
            Outcome::Unknown(_) => Try::Unknown,
        };
        subject.site.metrics.probed(&subject.pod, tag.container, role.name(), tried, since.elapsed());
        let warns = matches!(outcome, Outcome::Warning(_));
        let outcome = match outcome {
            Outcome::Success => Ok(()),
            Outcome::Warning(message) => {
                // when it begins, not each time
                if !warned {
                    let label = label(&subject.pod, tag.container);
                    tracing::warn!("{label}: ProbeWarning: {} probe warning: {message}", role.name());
                }
                Ok(())
            }
            Outcome::Failure(message) => Err(message),
            Outcome::Unknown(message) => {
                tracing::warn!("{}: {} probe errored: {message}", spec.name, role.name());
                continue;
            }
        };
        warned = warns;
        let verdict = tally.record(outcome.is_ok());
        let is_over = match (role, verdict) {
            (Role::Startup, Some(_)) | (Role::Liveness, Some(false)) => true,
            (Role::Startup | Role::Liveness | Role::Readiness, _) => false,
        };
        // success after success is no news
        let is_news = verdict.is_some() || outcome.is_err() || failing;
        failing = outcome.is_err();
        if is_news && events.send(Event::Probed { tag, role, outcome, verdict }).is_err() || is_over {
            return;
        }
    }
}

fn first<R>(subject: &Subject<R>, probe: &Probe) -> Instant {
    let age = Timestamp::now().duration_since(subject.live.started_at);
    let age = Duration::try_from(age).unwrap_or_default();
    let delay = probe.initial_delay.saturating_sub(age);
    let spread = if subject.adopted {
        probe.period.mul_f64(RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64)
    } else {
        Duration::ZERO
    };
    Instant::now() + delay.max(spread)
}

struct Checker<'a, R> {
    subject: &'a Subject<R>,
    probe: &'a Probe,
    http: Option<http::Client>,
    command: Vec<String>,
}

impl<'a, R: Runtime> Checker<'a, R> {
    fn new(subject: &'a Subject<R>, probe: &'a Probe) -> Self {
        let (mut http, mut command) = (None, Vec::new());
        match &probe.check {
            Check::Http(get) => {
                http = Some(http::Client::new(get, &subject.ip.to_string(), http::Agent::Probe));
            }
            Check::Exec { command: words } => {
                let known = env::literals(&subject.pod.containers[subject.tag.container]);
                command = words.iter().map(|word| env::expand(word, &known)).collect();
            }
            Check::Tcp { .. } | Check::Grpc { .. } => {}
        }
        Checker { subject, probe, http, command }
    }

    async fn attempt(&self) -> Outcome {
        let mut outcome = self.once().await;
        for _ in 1..TRIES {
            if !matches!(outcome, Outcome::Unknown(_)) {
                break;
            }
            outcome = self.once().await;
        }
        outcome
    }

    async fn once(&self) -> Outcome {
        let timeout = self.probe.timeout;
        match &self.probe.check {
            Check::Http(_) => match &self.http {
                Some(client) => client.get(timeout).await,
                None => Outcome::Unknown("no client".to_owned()),
            },
            Check::Tcp { host, port } => {
                let ip = self.subject.ip.to_string();
                tcp::connects(if host.is_empty() { &ip } else { host }, *port, timeout).await
            }
            Check::Grpc { port, service } => grpc::serves(&self.subject.ip.to_string(), *port, service, timeout).await,
            Check::Exec { .. } => {
                exec::succeeds(&self.subject.site.runtime, &self.subject.live.id, &self.command, timeout).await
            }
        }
    }
}
