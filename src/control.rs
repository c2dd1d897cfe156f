//! The conversation with the runner over its control socket (`/run/bootstrap/runner.sock`, mode 0600).
//!
//! One request and one reply per connection, each a line of JSON. The types are also what `bootstrap status -o json`
//! prints, so a field is never renamed. The runner serves (`runner/control.rs`); `init`, `reset` and the commands
//! for the person at the machine call.

pub mod client;
mod event;

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use event::{Event, EventLevel, Involved};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "request")]
pub enum Request {
    Status,
    /// Ends one container by hand, as `crictl stop` does; the worker then restarts it by its policy.
    StopContainer {
        id: String,
    },
    /// Ends a pod and starts it anew, as if its manifest had been taken away and put back: no crash, and no back-off.
    /// Answered once the old one is gone. It gets this long to end, or as long as its manifest says.
    RestartPod {
        uid: String,
        grace_seconds: Option<u64>,
    },
    /// Stops pods in the given order of waves (all of a wave together, the next when they are gone), then
    /// everything else, and keeps them stopped whatever the sources say. For `reset`.
    Drain {
        waves: Vec<Vec<String>>,
        grace_seconds: Option<u64>,
    },
    /// What has happened after this revision; with `wait`, once there is something or half a minute is over.
    Events {
        after: u64,
        #[serde(default)]
        wait: bool,
    },
    /// Ends the runner; containers live on.
    Shutdown,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "reply")]
pub enum Reply {
    Status(Status),
    /// Oldest first. `newest` is what to ask for next.
    #[serde(rename_all = "camelCase")]
    Events {
        events: Vec<Event>,
        newest: u64,
        node_name: String,
    },
    Done,
    Error {
        message: String,
    },
}

/// Everything the runner knows, for people and programs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub runner: RunnerStatus,
    pub pods: Vec<PodStatus>,
    /// Files of the source that are no pod, with the reason.
    pub rejected: Vec<Rejected>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerStatus {
    pub pid: u32,
    pub version: String,
    pub node_name: String,
    pub manifests: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// A reset has asked for the end of every pod: this runner will start none again.
    #[serde(default)]
    pub draining: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// The manifest: a path or a URL.
    pub path: PathBuf,
    pub reason: String,
    /// The last good version of this manifest keeps running.
    pub last_good_running: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// With the node's name as suffix, as the API would show it.
    pub name: String,
    pub namespace: String,
    pub uid: String,
    /// The manifest it comes from: a path or a URL.
    pub source: PathBuf,
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// Short hash of the manifest wanted, and of the one that runs; they differ while one replaces the other.
    pub revision_wanted: Option<String>,
    pub revision_running: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// Of a network of its own, the primary one first; none on the node's [7.26].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Why the pod has failed as a whole, in the kubelet's word: `DeadlineExceeded`, `NodePorts`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the pod waits for, in words: an image, a sandbox, the end of its predecessor; or more of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Init containers and sidecars, in the order of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<ContainerStatus>,
    pub containers: Vec<ContainerStatus>,
}

impl PodStatus {
    /// Init containers and sidecars, then the others.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_containers.iter().chain(&self.containers)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    pub state: ContainerState,
    /// Passed its startup probe (or has none).
    pub started: bool,
    pub ready: bool,
    pub restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<ExitStatus>,
    /// When the next start is due, while it waits for its back-off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// While it runs: how many seconds its restart would wait if it ended now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_delay: Option<u64>,
    /// The last failed probe, in words, until it succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// The current log file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum ContainerState {
    /// `reason` is the kubelet's: `ContainerCreating`, `ErrImagePull`, `CrashLoopBackOff`, …
    Waiting {
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    Running {
        pid: u32,
        started_at: Timestamp,
    },
    Terminated(ExitStatus),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitStatus {
    pub exit_code: i32,
    /// 0 if no signal ended it.
    pub signal: i32,
    /// The kubelet's: `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`.
    pub reason: String,
    /// Why the runner ended it, in words: which probe or hook failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the runtime said and what the container left as its last words, as the API shows it [3.51].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
}

impl ExitStatus {
    /// Cause and message as one, for people; `None` when there is neither.
    pub fn words(&self) -> Option<String> {
        let words: Vec<_> = [&self.cause, &self.message].into_iter().flatten().map(|words| words.trim_end()).collect();
        (!words.is_empty()).then(|| words.join(": "))
    }
}
