//! PURE: a static pod as the runner needs it, and the way there from the bytes of a manifest.
//!
//! ```text
//! bytes ─► the API's Pod ─► defaults ─► hash, name, UID ─► validation ─► references ─► unsupported ─► Pod
//! ```
//!
//! The order is the kubelet's [1.35]. The API's own types live only while a manifest is read: what stays in memory,
//! and in the record of a running pod, is this smaller [`Pod`].

mod convert;
mod defaults;
mod document;
mod identity;
pub mod object;
pub mod placement;
pub(crate) mod quantity;
mod references;
pub(super) mod sysctls;
mod unknown;
mod unsupported;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1 as api;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::runtime::{PortMapping, Propagation, SecurityContext};
use super::source::Origin;
use crate::error::{Context, Result, chain_of};
use crate::image::policy::PullPolicy;
use document::Document;
use object::Object;
use placement::Placement;
use quantity::Quantity;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// With the node's suffix [1.43].
    pub name: String,
    pub namespace: String,
    pub uid: String,
    /// Changes with everything that counts in the manifest, with where it is and with the node's name.
    pub revision: String,
    /// The manifest.
    pub source: Origin,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// `shareProcessNamespace`
    #[serde(default)]
    pub share_process: bool,
    /// `None` for a pod on the node's network.
    #[serde(default)]
    pub network: Option<PodNetwork>,
    /// In the pod's own namespaces, names with dots.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    pub restart_policy: RestartPolicy,
    pub grace: Duration,
    /// Since it was first to be made: what runs longer has failed [2.43].
    #[serde(default)]
    pub active_deadline: Option<Duration>,
    /// Named so by its priority class: killed last when memory runs out [3.85].
    pub node_critical: bool,
    pub volumes: Vec<Volume>,
    /// How it resolves names, where it is not simply as its node does.
    #[serde(default)]
    pub dns: Option<PodDns>,
    #[serde(default)]
    pub host_aliases: Vec<HostAlias>,
    /// Who owns the pod's own volumes.
    #[serde(default)]
    pub fs_group: Option<i64>,
    #[serde(default)]
    pub placement: Placement,
    /// The init containers, then the others, each in the order of the manifest.
    pub containers: Vec<Container>,
    /// What somebody should hear of when the pod is taken; no part of a record.
    #[serde(skip)]
    pub remarks: Vec<String>,
    /// As the API has it; records of older runners, and pods of which only the runtime knows, are without.
    #[serde(default)]
    pub object: Option<Object>,
}

impl Pod {
    /// Unique among the pods of a node.
    pub fn full_name(&self) -> String {
        format!("{}_{}", self.name, self.namespace)
    }

    /// Enough of the revision to tell two apart.
    pub fn short_revision(&self) -> &str {
        self.revision.get(..10).unwrap_or(&self.revision)
    }
}

/// What a pod has where it is not on the node's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNetwork {
    /// Ports of the node that lead to the pod.
    pub ports: Vec<PortMapping>,
    pub hostname: String,
    /// Of a host name that the pod does not override.
    pub subdomain: Option<String>,
    /// `setHostnameAsFQDN`
    pub is_qualified: bool,
}

/// `dnsPolicy` and `dnsConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodDns {
    pub policy: DnsPolicy,
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<DnsOption>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsOption {
    pub name: String,
    pub value: Option<String>,
}

/// What a pod's own wishes are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsPolicy {
    /// `Default`, and `ClusterFirst` on the node's network.
    Node,
    /// `ClusterFirstWithHostNet`, and `ClusterFirst` on a network of the pod's own.
    Cluster,
    None,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    pub ip: String,
    pub names: Vec<String>,
}

/// When in the life of its pod a container runs [3.B].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerKind {
    /// To its success, before those that follow.
    Init,
    /// An init container that is restarted always: from its place in the order until the regular ones have ended.
    Sidecar,
    #[default]
    Regular,
}

/// What is done about the end of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartAction {
    #[default]
    Restart,
    /// The whole pod begins anew, init containers first, in its sandbox.
    RestartAllContainers,
}

/// Exit codes after which a container is restarted whatever its policy [3.16].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRule {
    #[serde(default)]
    pub action: RestartAction,
    pub codes: Vec<i32>,
    /// It holds for these codes; otherwise for all others.
    pub holds_within: bool,
}

impl RestartRule {
    pub fn holds(&self, code: i32) -> bool {
        self.codes.contains(&code) == self.holds_within
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// What must be at the path of a hostPath volume, and whether it is made when nothing is there [4.10–4.14].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    Unset,
    DirectoryOrCreate,
    Directory,
    FileOrCreate,
    File,
    Socket,
    CharDevice,
    BlockDevice,
}

impl HostPathType {
    const ALL: [HostPathType; 8] = [
        HostPathType::Unset,
        HostPathType::DirectoryOrCreate,
        HostPathType::Directory,
        HostPathType::FileOrCreate,
        HostPathType::File,
        HostPathType::Socket,
        HostPathType::CharDevice,
        HostPathType::BlockDevice,
    ];
    /// As manifests name them, in the order of `ALL`.
    const NAMES: [&'static str; 8] =
        ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|index| Self::ALL[index])
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    #[serde(flatten)]
    pub source: VolumeSource,
}

/// Untagged, since the first records had nothing but a host path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum VolumeSource {
    /// `path` is without the instance's root.
    HostPath {
        path: PathBuf,
        kind: HostPathType,
    },
    /// `size_limit` is in bytes.
    EmptyDir {
        medium: Medium,
        size_limit: Option<i64>,
    },
    DownwardApi {
        files: Vec<VolumeFile>,
    },
    /// What an image holds, fetched by its own policy.
    Image {
        image: String,
        pull: PullPolicy,
    },
}

/// Where an emptyDir keeps what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    Disk,
    Memory,
    /// Pages of this many bytes; `None`: of the kernel's default size.
    HugePages(Option<i64>),
}

impl Medium {
    /// `None` for one that there is not.
    fn named(name: &str) -> Option<Self> {
        match (name, name.strip_prefix("HugePages-")) {
            ("", _) => Some(Medium::Disk),
            ("Memory", _) => Some(Medium::Memory),
            ("HugePages", _) => Some(Medium::HugePages(None)),
            (_, Some(size)) => {
                let size = Quantity::parse(size).map(Quantity::value).filter(|size| *size > 0)?;
                Some(Medium::HugePages(Some(size)))
            }
            (_, None) => None,
        }
    }
}

/// A file of a volume, with what stands in it; never a literal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFile {
    /// Relative, in the volume.
    pub path: PathBuf,
    pub value: EnvValue,
    pub mode: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    // what the first records did not have needs a default
    #[serde(default)]
    pub kind: ContainerKind,
    /// Its own; otherwise the pod's holds.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(default)]
    pub restart_rules: Vec<RestartRule>,
    #[serde(default)]
    pub post_start: Option<Hook>,
    #[serde(default)]
    pub pre_stop: Option<Hook>,
    pub image: String,
    pub pull: PullPolicy,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub working_dir: Option<String>,
    pub env: Vec<EnvVar>,
    pub mounts: Vec<VolumeMount>,
    pub resources: ResourceRequirements,
    /// The pod's has been merged in.
    pub security: SecurityContext,
    #[serde(default)]
    pub stdin: bool,
    #[serde(default)]
    pub stdin_once: bool,
    #[serde(default)]
    pub tty: bool,
    /// `None` when the manifest asks for none by an empty path.
    pub termination_message: Option<TerminationMessage>,
    pub startup: Option<Probe>,
    pub liveness: Option<Probe>,
    pub readiness: Option<Probe>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvVar {
    pub name: String,
    pub value: EnvValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvValue {
    /// `$(NAME)` in it is not yet expanded.
    Literal(String),
    /// A fieldRef, such as `status.hostIP`.
    Field(String),
    /// A resourceFieldRef, such as `limits.memory` of a container.
    Resource { container: String, resource: String, divisor: String },
    /// A fileKeyRef: a line of a file in an emptyDir volume, read when the container starts. `path` is relative.
    FileKey { volume: String, path: PathBuf, key: String, optional: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    pub volume: String,
    pub path: PathBuf,
    pub read_only: bool,
    pub propagation: Propagation,
    #[serde(default)]
    pub sub_path: Option<SubPath>,
}

/// Which part of a volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubPath {
    Plain(String),
    /// `$(NAME)` in it stands for a variable of the container.
    Expression(String),
}

/// CPU in thousandths, memory in bytes; `None` is not the same as 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRequirements {
    pub cpu_request: Option<i64>,
    pub cpu_limit: Option<i64>,
    pub memory_request: Option<i64>,
    pub memory_limit: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminationMessage {
    /// In the container.
    pub path: PathBuf,
    /// The end of the log stands in when the file stays empty and the container failed.
    pub fallback_to_logs: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub check: Check,
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub success_threshold: u32,
    pub failure_threshold: u32,
    /// Overrides the pod's when this probe ends the container.
    pub grace: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Check {
    Exec {
        command: Vec<String>,
    },
    Http(HttpGet),
    Tcp {
        host: String,
        port: u16,
    },
    /// On the pod's address; the empty service is the server as a whole.
    Grpc {
        port: u16,
        service: String,
    },
}

/// `host` empty: the pod's address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpGet {
    pub https: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

/// What is done when a container has started or is about to be stopped [3.J].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Hook {
    Exec { command: Vec<String> },
    Http(HttpGet),
    Sleep(Duration),
}

/// The pod in a manifest. The error's chain is the reason that the person at the machine reads; what cannot be decoded
/// is told in the kubelet's words [1.31], without the file's name, which is told with every reason.
pub fn decode(bytes: &[u8], source: &Origin, node: &str) -> Result<Pod> {
    let read = document::read(bytes).and_then(|document| document.pod().map(|pod| (document, pod)));
    let (document, pod) =
        read.map_err(|error| anyhow::anyhow!("couldn't parse as pod({}), please check config file", chain_of(&error)))?;
    let pod = take_in(&document.value, pod, source, node)?;
    Ok(Pod { remarks: remarks(&document, source), ..pod })
}

/// The pods in what a URL gives: one pod, or a list of kind PodList, of which one that is not valid spoils all [1.26].
/// The kubelet's words for what is neither [1.27] show what was received; it may be long, and secret, and is left out.
pub fn decode_list(bytes: &[u8], source: &Origin, node: &str) -> Result<Vec<Pod>> {
    let neither = |single: &str, multiple: &str| {
        anyhow::anyhow!("couldn't parse as single ({single}) or multiple pods ({multiple})")
    };
    let document = document::read(bytes).map_err(|error| {
        let cause = chain_of(&error);
        neither(&cause, &cause)
    })?;
    if document.kind() != Some("PodList") {
        let pod = document.pod().map_err(|error| {
            let kind = document.kind().unwrap_or("none");
            neither(&chain_of(&error), &format!("invalid pods list: kind `{kind}`"))
        })?;
        let pod = take_in(&document.value, pod, source, node)?;
        return Ok(vec![Pod { remarks: remarks(&document, source), ..pod }]);
    }
    let items = document.value.get("items").and_then(Value::as_array).context("the PodList has no `items`")?;
    let pods = items.iter().enumerate().map(|(index, item)| {
        let (written, pod) = document::of_item(item).with_context(|| format!("items[{index}]"))?;
        take_in(&written, pod, source, node).with_context(|| format!("items[{index}]"))
    });
    let mut pods = pods.collect::<Result<Vec<Pod>>>()?;
    if let Some(first) = pods.first_mut() {
        first.remarks = remarks(&document, source);
    }
    Ok(pods)
}

fn remarks(document: &Document, source: &Origin) -> Vec<String> {
    let more = || format!("`{source}` holds several YAML documents: only the first one counts");
    document.is_first_of_many.then(more).into_iter().collect()
}

fn take_in(written: &Value, mut pod: api::Pod, source: &Origin, node: &str) -> Result<Pod> {
    let unknown = unknown::fields(written, &serde_json::to_value(&pod).context("cannot compare it with the API")?);
    defaults::apply(&mut pod);
    let name = pod.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        anyhow::bail!("invalid pod: name is needed for the pod");
    }
    let revision = identity::hash(&pod, node, source);
    pod.metadata.name = Some(identity::suffixed(&name, node));
    if pod.metadata.namespace.as_deref().unwrap_or_default().is_empty() {
        pod.metadata.namespace = Some("default".to_owned());
    }
    let problems = validate::problems(&pod);
    if !problems.is_empty() {
        anyhow::bail!("invalid pod: {}", problems.join(", "));
    }
    let spec = pod.spec.as_ref().context("invalid pod: spec: Required value")?;
    if let Some(resource) = references::first(spec).map_err(anyhow::Error::msg)? {
        anyhow::bail!("static pods may not reference {resource}");
    }
    let mut refused = unsupported::fields(&pod);
    refused.extend(unknown.into_iter().map(|path| format!("unknown field `{path}`")));
    if !refused.is_empty() {
        anyhow::bail!("{}", refused.join(", "));
    }
    convert::pod(&pod, spec, revision, node, source)
}

/// `amount` of a unit (`m` or none) in units of `divisor`, rounded up, for a resourceFieldRef.
pub(crate) fn divided(amount: i64, unit: &str, divisor: &str) -> i64 {
    let amount = Quantity::parse(&format!("{amount}{unit}"));
    let divisor = Quantity::parse(if divisor.is_empty() { "0" } else { divisor });
    match (amount, divisor) {
        (Some(amount), Some(divisor)) => amount.divided_by(divisor),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
