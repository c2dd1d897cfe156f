//! What the checks need to know of the machine: facts, without a judgement. `host::probe` fills them in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The default knows nothing: what was not looked at is absent.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    pub is_root: bool,
    pub cpus: usize,
    pub memory_bytes: u64,
    /// Swap devices and files, as `/proc/swaps` names them.
    pub swap: Vec<String>,
    /// Seconds since the epoch.
    pub now: i64,
    /// The day of this program's source, in the same count: no clock that is right is before it.
    pub source_date: i64,
    pub listeners: Vec<Listener>,
    /// Another runtime's kubelet runs here.
    pub kubelet: Option<i32>,
    /// A firewalld that is in charge of this network.
    pub firewalld: Option<i32>,
    pub etcd_data: EtcdData,
    /// `etcd.yaml` is among the manifests although etcd is external.
    pub has_stray_etcd_manifest: bool,
    pub kernel: Kernel,
    pub cgroups: Cgroups,
    /// Where init writes, in no particular order.
    pub places: Vec<Place>,
    pub etcd_disk: Option<EtcdDisk>,
    pub network: Network,
    /// Names that were looked up, and what came of it. A name that has had no answer yet is missing.
    pub lookups: BTreeMap<String, Lookup>,
    pub limits: Limits,
    pub external_etcd: ExternalEtcd,
}

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub port: u16,
    /// Process id and name, where they can be seen.
    pub process: Option<(i32, String)>,
    /// A container of this instance.
    pub ours: bool,
}

/// What is in etcd's data directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EtcdData {
    #[default]
    None,
    /// Of a member that this instance has made.
    Ours,
    Foreign,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// As uname(2) says it.
    pub release: String,
    /// System calls that the runtime makes and that were refused when they were tried, each with the reason.
    pub refused_calls: Vec<String>,
    /// Kinds of namespaces that it has, as in `/proc/self/ns`.
    pub namespaces: BTreeSet<String>,
    pub has_overlayfs: bool,
    /// Filters of system calls can be installed.
    pub has_seccomp: bool,
}

/// The control groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cgroups {
    #[default]
    Unknown,
    /// Why not, in words.
    Unusable(String),
    /// Version 1, or both versions side by side: the controllers are version 1's.
    Version1 { controllers: BTreeSet<String> },
    Version2 {
        /// What our cgroups could have.
        available: BTreeSet<String>,
        /// What they have without any further doing.
        enabled: BTreeSet<String>,
        /// The root that we see is no real one, and processes are in it: nothing more can be enabled.
        is_busy: bool,
    },
}

/// A file system that init writes to, with what it writes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub use_: Use,
    /// As the node names it.
    pub path: PathBuf,
    /// Places of one file system have the same.
    pub device: u64,
    pub writable: Writable,
    /// For unprivileged users, as statvfs(3) counts.
    pub free_bytes: u64,
    /// `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    Configuration,
    Images,
    EtcdData,
    Logs,
    RuntimeState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writable {
    Yes,
    /// Why not, in the kernel's words.
    No(String),
}

/// The disk that will hold etcd's data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdDisk {
    pub path: PathBuf,
    /// Where it is one that etcd should not be on.
    pub unfit: Option<UnfitFilesystem>,
    /// How long each of a few small writes took to reach the disk; empty when it was not tried.
    pub syncs: Vec<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfitFilesystem {
    Tmpfs,
    Nfs,
    Smb,
    Fuse,
    Overlay,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Addresses that the components are to listen on, and why the kernel lets nobody.
    pub unusable: BTreeMap<IpAddr, String>,
    pub has_ipv6: bool,
    /// `None` where the kernel has no such setting.
    pub forwards_ipv4: Option<bool>,
    pub forwards_ipv6: Option<bool>,
}

/// What looking up a name has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Found(Vec<IpAddr>),
    /// Why not, in the resolver's words.
    Failed(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many files the control plane's processes may open.
    pub open_files: u64,
    /// How many more inotify instances could be made, as far as it was tried.
    pub inotify_instances: usize,
    /// `fs.inotify.max_user_watches`
    pub inotify_watches: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalEtcd {
    /// What each endpoint said when it was asked for its version; the error in words.
    pub versions: Vec<(String, Result<String, String>)>,
    /// Files of the configuration that are not there.
    pub missing_files: Vec<PathBuf>,
}
