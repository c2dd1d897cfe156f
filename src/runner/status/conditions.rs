//! PURE: a pod's conditions, in the kubelet's order and words [7.20]–[7.25].

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::runner::pod::{ContainerKind, Pod};

/// What the kubelet owns among a pod's conditions, in its order; others keep theirs.
pub const OWNED: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// What conditions are told from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions<'a> {
    pub(super) pod: &'a Pod,
    pub(super) phase: &'a str,
    /// Its sandbox is there, and is not going away.
    pub(super) has_sandbox: bool,
    /// Init containers and sidecars.
    pub(super) init: &'a [api::ContainerStatus],
    pub(super) regular: &'a [api::ContainerStatus],
    /// Conditions that the pod asks for besides.
    pub(super) gates: &'a [api::PodReadinessGate],
}

/// A condition without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Told {
    fn new(kind: &'static str, holds: bool) -> Told {
        Told { kind, holds, reason: None, message: None }
    }
}

impl Conditions<'_> {
    pub(super) fn all(&self) -> Vec<Told> {
        let containers = self.containers_ready();
        vec![
            Told::new(OWNED[0], self.has_sandbox),
            self.initialized(),
            self.ready(&containers),
            containers,
            Told::new(OWNED[4], true),
        ]
    }

    /// Nobody can give a static pod the conditions that its gates name: it never becomes ready [7.24].
    fn ready(&self, containers: &Told) -> Told {
        let told = Told { kind: OWNED[2], ..containers.clone() };
        if !told.holds || self.gates.is_empty() {
            return told;
        }
        let missing = |gate: &api::PodReadinessGate| {
            format!("corresponding condition of pod readiness gate \"{}\" does not exist.", gate.condition_type)
        };
        let message = self.gates.iter().map(missing).collect::<Vec<_>>().join(", ");
        Told { holds: false, reason: Some("ReadinessGatesNotReady"), message: Some(message), ..told }
    }

    fn initialized(&self) -> Told {
        let told = Told::new(OWNED[1], true);
        if self.phase == "Succeeded" {
            return Told { reason: Some("PodCompleted"), ..told };
        }
        let has_run = |status: &api::ContainerStatus| {
            let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let now = status.state.as_ref().is_some_and(|now| now.running.is_some() || now.terminated.is_some());
            now || last.is_some()
        };
        let incomplete = self.names(|kind, status| match kind {
            ContainerKind::Init => !status.ready,
            ContainerKind::Sidecar => status.started != Some(true),
            ContainerKind::Regular => false,
        });
        if incomplete.is_empty() || self.regular.iter().any(has_run) {
            return told;
        }
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        Told { holds: false, reason: Some("ContainersNotInitialized"), message: Some(message), ..told }
    }

    fn containers_ready(&self) -> Told {
        let told = Told::new(OWNED[3], false);
        match self.phase {
            "Succeeded" => return Told { reason: Some("PodCompleted"), ..told },
            "Failed" => return Told { reason: Some("PodFailed"), ..told },
            _ => {}
        }
        let unready = self.names(|kind, status| kind != ContainerKind::Init && !status.ready);
        if unready.is_empty() {
            return Told { holds: true, ..told };
        }
        let message = format!("containers with unready status: [{}]", unready.join(" "));
        Told { reason: Some("ContainersNotReady"), message: Some(message), ..told }
    }

    /// Of the containers that `is_one` holds for, in the order of the manifest.
    fn names(&self, is_one: impl Fn(ContainerKind, &api::ContainerStatus) -> bool) -> Vec<&str> {
        let status = |name: &str| self.init.iter().chain(self.regular).find(|status| status.name == name);
        let of = self.pod.containers.iter().filter_map(|own| Some((own.kind, status(&own.name)?)));
        of.filter(|(kind, status)| is_one(*kind, status)).map(|(_, status)| status.name.as_str()).collect()
    }
}

/// A condition that holds, or does not, as it did before keeps the time since when [7.25].
pub(super) fn at(now: &Time, told: Vec<Told>, before: Option<&[api::PodCondition]>) -> Vec<api::PodCondition> {
    let told = told.into_iter().map(|told| {
        let status = if told.holds { "True" } else { "False" };
        let same = |known: &&api::PodCondition| known.type_ == told.kind && known.status == status;
        let since = before.into_iter().flatten().find(same).and_then(|known| known.last_transition_time.clone());
        api::PodCondition {
            type_: told.kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
            reason: told.reason.map(str::to_owned),
            message: told.message,
            ..api::PodCondition::default()
        }
    });
    told.collect()
}
