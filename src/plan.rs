//! The plan: ordered steps that take what was found to what is desired.
//!
//! Pure. A [`Step`] is an item of a phase, its [`Action`]s are the effects. Whoever performs a plan needs to decide
//! nothing: what is kept, created, replaced or refused, and in which order things may happen, stands in it.

pub mod found;
pub mod renewal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Taint;

use crate::config::EncryptionAlgorithm;
use crate::config::facts::Allocation;
use crate::desired::account::{Accounts, Database};
use crate::desired::kubeconfig::KubeconfigFile;
use crate::desired::node::Marks;
use crate::desired::ownership::Ownership;
use crate::desired::pki::{CertificateFile, CertificateSpec};
use crate::desired::verify;
use crate::error::{Fault, Result};
use crate::image::policy::PullPolicy;
use renewal::{Renewal, Request};

/// What becomes of the thing that a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Create,
    /// It is there and fits.
    Keep,
    /// It is there and does not fit, because …
    Replace(String),
    /// Nothing is done at all before the user has decided, because …
    Refuse(String),
    /// An effect without a state of its own: wait, apply, remove.
    Do,
}

/// Files that a certificate and its key are in; paths of the node, without the instance's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairPaths {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl KeyPairPaths {
    /// `base` is the path below `directory`, without `.crt` or `.key`.
    pub fn in_directory(directory: &Path, base: &str) -> KeyPairPaths {
        KeyPairPaths { certificate: directory.join(format!("{base}.crt")), key: directory.join(format!("{base}.key")) }
    }
}

/// Something that init waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    EtcdHealthy,
    ApiServerReady,
    ControllerManagerHealthy,
    SchedulerHealthy,
}

impl Condition {
    /// The component that it is about.
    pub fn component(self) -> &'static str {
        match self {
            Condition::EtcdHealthy => "etcd",
            Condition::ApiServerReady => "kube-apiserver",
            Condition::ControllerManagerHealthy => "kube-controller-manager",
            Condition::SchedulerHealthy => "kube-scheduler",
        }
    }
}

/// One planned effect. Paths are those of the node, without the instance's root.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Makes a directory and its missing parents; an existing one keeps its mode.
    MakeDirectory {
        path: PathBuf,
        mode: u32,
    },
    WriteFile {
        path: PathBuf,
        mode: u32,
        content: String,
    },
    /// Makes a certificate, and its key unless `reuse_key`. `signer` is `None` for an authority.
    IssueCertificate {
        file: CertificateFile,
        paths: KeyPairPaths,
        reuse_key: bool,
        signer: Option<KeyPairPaths>,
    },
    /// Makes the service accounts' key pair; with `reuse_key` only the public half.
    WriteServiceAccountKey {
        key: PathBuf,
        public: PathBuf,
        reuse_key: bool,
    },
    /// Makes a kubeconfig with a new client key.
    WriteKubeconfig {
        file: KubeconfigFile,
        authority: KeyPairPaths,
    },
    /// Adds system users and groups, as far as they are missing.
    MakeAccounts {
        accounts: Accounts,
        allocation: Allocation,
    },
    /// Makes an EncryptionConfiguration with a new key.
    WriteEncryptionConfiguration {
        path: PathBuf,
    },
    /// Gives a file or a directory to a user and a group, who have these ids.
    GiveAway {
        ownership: Ownership,
        user: u32,
        group: u32,
    },
    ObtainImage {
        reference: String,
        policy: PullPolicy,
    },
    Renew(Renewal),
    Request(Request),
    StartRunner,
    /// Ends a pod, lets the runner start it anew, and waits until it is healthy. `manifest` is with the instance's
    /// root, as the runner knows it.
    RestartPod {
        name: String,
        manifest: PathBuf,
    },
    Await(Condition),
    /// Applies the API objects of a step of init.
    ApplyObjects {
        step: &'static str,
    },
    /// Labels and taints this node's object, which is made where it is missing.
    MarkNode(Marks),
    /// Tells how other machines join, at the end.
    ShowJoinCommand,
    /// Stops every pod, the API server before etcd, then the runner.
    StopPods,
    RemoveFile {
        path: PathBuf,
    },
    /// Removes the directory if nothing is in it.
    RemoveDirectory {
        path: PathBuf,
    },
    /// Removes a directory with everything below it, never through a mount.
    RemoveTree {
        path: PathBuf,
    },
    /// Removes a user or a group.
    RemoveAccount {
        database: Database,
        name: String,
    },
}

impl Action {
    /// The file or directory that the action makes, if it makes one.
    pub fn makes(&self) -> Vec<&Path> {
        match self {
            Action::MakeDirectory { path, .. }
            | Action::WriteFile { path, .. }
            | Action::WriteEncryptionConfiguration { path } => vec![path],
            Action::IssueCertificate { paths, reuse_key: true, .. } => vec![&paths.certificate],
            Action::IssueCertificate { paths, .. } => vec![&paths.key, &paths.certificate],
            Action::WriteServiceAccountKey { public, reuse_key: true, .. } => vec![public],
            Action::WriteServiceAccountKey { key, public, .. } => vec![key, public],
            _ => Vec::new(),
        }
    }

    /// The algorithm of the new private key that it needs, if it needs one; `usual` is that of this run.
    pub fn new_key(&self, usual: EncryptionAlgorithm) -> Option<EncryptionAlgorithm> {
        match self {
            Action::IssueCertificate { reuse_key: false, .. }
            | Action::WriteServiceAccountKey { reuse_key: false, .. }
            | Action::WriteKubeconfig { .. }
            | Action::Request(_) => Some(usual),
            Action::Renew(renewal) => Some(renewal.algorithm),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub phase: &'static str,
    /// `None` for a phase that is one step.
    pub item: Option<String>,
    /// Names of steps that must be done before this one begins. A name that is not in the plan holds nothing up.
    pub needs: Vec<String>,
    pub decision: Decision,
    pub actions: Vec<Action>,
}

impl Step {
    /// `phase/item`, as in `--skip-phases`.
    pub fn name(&self) -> String {
        match &self.item {
            Some(item) => format!("{}/{item}", self.phase),
            None => self.phase.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    /// Fails when a step is refused, with every refusal, before anything is done.
    pub fn refusals(&self) -> Result<()> {
        let refused: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| match &step.decision {
                Decision::Refuse(reason) => Some(format!("{}: {reason}", step.name())),
                _ => None,
            })
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(Fault::usage(format!("what is on this machine does not fit: {}", refused.join("; ")))
            .hint("restore the files named, or move them away to have new ones made; nothing was changed")
            .into())
    }

    /// The indexes of the steps in the order in which they should begin when several could: first everything that
    /// the first goal needs, then what the second needs beyond that, and so on; the rest follows in plan order.
    /// A step never stands before one that it needs.
    pub fn schedule(&self, goals: &[&str]) -> Vec<usize> {
        let by_name: BTreeMap<String, usize> =
            self.steps.iter().enumerate().map(|(index, step)| (step.name(), index)).collect();
        let mut order = Vec::with_capacity(self.steps.len());
        let mut seen = BTreeSet::new();
        let goals = goals.iter().filter_map(|goal| by_name.get(*goal).copied());
        for index in goals.chain(0..self.steps.len()) {
            self.visit(index, &by_name, &mut seen, &mut order);
        }
        order
    }

    fn visit(&self, index: usize, names: &BTreeMap<String, usize>, seen: &mut BTreeSet<usize>, order: &mut Vec<usize>) {
        if !seen.insert(index) {
            return;
        }
        for need in self.steps[index].needs.iter().filter_map(|need| names.get(need)) {
            self.visit(*need, names, seen, order);
        }
        order.push(index);
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::MakeDirectory { path, mode } => write!(f, "make directory {} (mode {mode:04o})", path.display()),
            Action::WriteFile { path, mode, content } => {
                write!(f, "write {} (mode {mode:04o}, {} bytes)", path.display(), content.len())
            }
            Action::IssueCertificate { file, paths, reuse_key, signer } => {
                if !reuse_key {
                    write!(f, "write {} (mode 0600, a new private key) and ", paths.key.display())?;
                } else {
                    f.write_str("write ")?;
                }
                write!(f, "{} (mode 0644): {}", paths.certificate.display(), describe(&file.spec))?;
                match signer {
                    Some(signer) => write!(f, ", signed by {}", signer.certificate.display()),
                    None => f.write_str(", self-signed"),
                }
            }
            Action::WriteServiceAccountKey { key, public, reuse_key: false } => {
                write!(f, "write {} and {} (mode 0600, a new key pair)", key.display(), public.display())
            }
            Action::WriteServiceAccountKey { key, public, reuse_key: true } => {
                write!(f, "write {} (mode 0600, the public half of {})", public.display(), key.display())
            }
            Action::WriteKubeconfig { file, authority } => write!(
                f,
                "write {} (mode 0600): server {}, {}, signed by {}",
                file.path().display(),
                file.server,
                describe(&file.client),
                authority.certificate.display()
            ),
            Action::MakeAccounts { allocation, .. } => {
                let names = |database| {
                    let missing = allocation.missing(database).iter();
                    let described = missing.map(|(name, _)| format!("{database} {name}"));
                    described.collect::<Vec<_>>()
                };
                let missing = Database::ALL.map(names).concat();
                write!(f, "make {}", missing.join(", "))
            }
            Action::WriteEncryptionConfiguration { path } => {
                write!(f, "write {} (mode 0600, a new key)", path.display())
            }
            Action::GiveAway { ownership, .. } => write!(f, "give {ownership}"),
            Action::ObtainImage { reference, policy } => match policy {
                PullPolicy::Always => write!(f, "pull image {reference}"),
                PullPolicy::IfNotPresent => write!(f, "pull image {reference} unless it is present"),
                PullPolicy::Never => write!(f, "make sure that image {reference} is present"),
            },
            Action::Renew(renewal) => renewal.fmt(f),
            Action::Request(request) => request.fmt(f),
            Action::StartRunner => f.write_str("start the static pod runner unless it runs"),
            Action::RestartPod { name, .. } => write!(f, "restart pod {name} and wait until it is healthy"),
            Action::Await(Condition::EtcdHealthy) => f.write_str("wait until etcd answers healthy"),
            Action::Await(Condition::ApiServerReady) => f.write_str("wait until kube-apiserver answers /readyz"),
            Action::Await(condition) => write!(f, "wait until {} answers healthy", condition.component()),
            Action::ApplyObjects { step } => write!(f, "apply the API objects of {step}"),
            Action::MarkNode(marks) => {
                write!(f, "mark node {}: labels {}", marks.node, marks.labels.join(", "))?;
                let taints: Vec<_> = marks.taints.iter().map(taint).collect();
                if taints.is_empty() { f.write_str("; no taints") } else { write!(f, "; taints {}", taints.join(", ")) }
            }
            Action::ShowJoinCommand => f.write_str("show how other machines join"),
            Action::StopPods => f.write_str("stop every pod, kube-apiserver before etcd, then the runner"),
            Action::RemoveFile { path } => write!(f, "remove {}", path.display()),
            Action::RemoveDirectory { path } => write!(f, "remove directory {} if it is empty", path.display()),
            Action::RemoveTree { path } => write!(f, "remove {} with everything below", path.display()),
            Action::RemoveAccount { database, name } => write!(f, "remove {database} {name}"),
        }
    }
}

/// `key=value:effect`
fn taint(taint: &Taint) -> String {
    let value = taint.value.iter().map(|value| format!("={value}")).collect::<String>();
    format!("{}{value}:{}", taint.key, taint.effect)
}

fn describe(spec: &CertificateSpec) -> String {
    let mut text = verify::subject(&spec.organizations, &spec.common_name);
    let names: Vec<_> =
        spec.dns_names.iter().cloned().chain(spec.ip_addresses.iter().map(ToString::to_string)).collect();
    if spec.purpose.signer().is_some() && !names.is_empty() {
        text.push_str(&format!(", for {}", names.join(" ")));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn step(phase: &'static str, needs: &[&str]) -> Step {
        Step {
            phase,
            item: None,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            decision: Decision::Do,
            actions: Vec::new(),
        }
    }

    fn names(plan: &Plan, order: &[usize]) -> Vec<&'static str> {
        order.iter().map(|index| plan.steps[*index].phase).collect()
    }

    #[test]
    fn goals_come_first_with_what_they_need() {
        let plan = Plan {
            steps: vec![step("ca", &[]), step("admin", &["ca"]), step("etcd-ca", &[]), step("etcd", &["etcd-ca"])],
        };
        assert_eq!(names(&plan, &plan.schedule(&["etcd"])), ["etcd-ca", "etcd", "ca", "admin"]);
        assert_eq!(names(&plan, &plan.schedule(&["absent"])), ["ca", "admin", "etcd-ca", "etcd"]);
    }

    #[test]
    fn a_need_outside_the_plan_holds_nothing_up() {
        let plan = Plan { steps: vec![step("etcd", &["preflight"])] };
        assert_eq!(plan.schedule(&[]), [0]);
    }

    #[test]
    fn every_refusal_is_told() {
        let mut plan = Plan { steps: vec![step("a", &[]), step("b", &[])] };
        assert!(plan.refusals().is_ok());
        plan.steps[0].decision = Decision::Refuse("one".into());
        plan.steps[1].decision = Decision::Refuse("two".into());
        let error = plan.refusals().unwrap_err();
        assert!(error.to_string().contains("a: one; b: two"), "{error}");
    }
}
