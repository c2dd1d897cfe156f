//! Reset: the phases undone in reverse, limited to what the journal says this instance made.
//!
//! Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PHASES;
use crate::desired::account::Database;
use crate::plan::{Action, Decision, Plan, Step};

/// Something that a phase made; `path` is the node's, without the instance's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub phase: String,
    pub kind: MadeKind,
    pub path: PathBuf,
}

impl Made {
    /// What tells it from everything else that was made: a path, and in a file that is shared the entry's name.
    pub fn identity(&self) -> (&Path, Option<&str>) {
        match &self.kind {
            MadeKind::Account(name) => (&self.path, Some(name)),
            _ => (&self.path, None),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MadeKind {
    File,
    /// Removed only when nothing is in it any more.
    Directory,
    /// A directory whose whole content is the control plane's: etcd's data, audit logs.
    Tree,
    /// The entry of that name in a file of users or groups, which is not ours.
    Account(String),
}

/// Our own directories, which go last; paths of the node.
#[derive(Debug, Clone)]
pub struct OwnState {
    pub home: PathBuf,
    pub images: PathBuf,
    pub pods: PathBuf,
    pub records: PathBuf,
    pub serving: PathBuf,
    pub run: PathBuf,
    pub runner_log: PathBuf,
    pub journal: PathBuf,
}

/// The plan of a reset. The journal goes last, so that a reset that was interrupted can be finished by another.
pub fn plan(made: &[Made], own: &OwnState, keep_images: bool) -> Plan {
    let mut steps = vec![step("runner-start", vec![Action::StopPods])];
    for phase in PHASES.iter().rev() {
        let removals = made.iter().rev().filter(|made| made.phase == phase.name).filter_map(|made| match &made.kind {
            MadeKind::File => Some(Action::RemoveFile { path: made.path.clone() }),
            MadeKind::Tree => Some(Action::RemoveTree { path: made.path.clone() }),
            MadeKind::Account(name) => {
                let database = Database::ALL.into_iter().find(|database| database.path() == made.path)?;
                Some(Action::RemoveAccount { database, name: name.clone() })
            }
            MadeKind::Directory => None,
        });
        let removals: Vec<_> = removals.collect();
        if !removals.is_empty() {
            steps.push(step(phase.name, removals));
        }
    }
    let mut state = vec![
        Action::RemoveTree { path: own.pods.clone() },
        Action::RemoveTree { path: own.records.clone() },
        Action::RemoveTree { path: own.serving.clone() },
        Action::RemoveFile { path: own.runner_log.clone() },
    ];
    if !keep_images {
        state.push(Action::RemoveTree { path: own.images.clone() });
    }
    steps.push(step("state", state));

    let mut directories: Vec<_> =
        made.iter().filter(|made| made.kind == MadeKind::Directory).map(|made| made.path.as_path()).collect();
    // deepest first: a directory is empty once its children are gone
    directories.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    let (state_home, others): (Vec<&Path>, Vec<&Path>) =
        directories.into_iter().partition(|directory| own.journal.starts_with(directory));
    let (run_home, others): (Vec<&Path>, Vec<&Path>) =
        others.into_iter().partition(|directory| own.run.starts_with(directory));
    let remove = |path: &Path| Action::RemoveDirectory { path: path.to_owned() };
    let mut last: Vec<_> = others.into_iter().map(remove).collect();
    // with images kept, the directories above them stay, and the journal with them: a later reset needs it
    if !keep_images {
        last.push(Action::RemoveFile { path: own.journal.clone() });
        // it is ours by its name, also where a kill came before the journal
        if !state_home.contains(&own.home.as_path()) {
            last.push(remove(&own.home));
        }
        last.extend(state_home.into_iter().map(remove));
    }
    // the lock is in there: until here, nobody else begins
    last.push(Action::RemoveTree { path: own.run.clone() });
    last.extend(run_home.into_iter().map(remove));
    steps.push(step("directories", last));
    Plan { steps }
}

fn step(phase: &'static str, actions: Vec<Action>) -> Step {
    Step { phase, item: None, needs: Vec::new(), decision: Decision::Do, actions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(phase: &str, kind: MadeKind, path: &str) -> Made {
        Made { phase: phase.to_owned(), kind, path: path.into() }
    }

    fn own() -> OwnState {
        OwnState {
            home: "/var/lib/bootstrap".into(),
            images: "/var/lib/bootstrap/images".into(),
            pods: "/var/lib/bootstrap/pods".into(),
            records: "/var/lib/bootstrap/records".into(),
            serving: "/var/lib/bootstrap/serving".into(),
            run: "/run/bootstrap".into(),
            runner_log: "/var/log/bootstrap-runner.log".into(),
            journal: "/var/lib/bootstrap/journal".into(),
        }
    }

    fn told(plan: &Plan) -> Vec<String> {
        plan.steps.iter().flat_map(|step| &step.actions).map(ToString::to_string).collect()
    }

    #[test]
    fn phases_are_undone_in_reverse_and_the_journal_goes_last() {
        let journal = [
            made("runner-start", MadeKind::Directory, "/var/lib/bootstrap"),
            made("certs", MadeKind::Directory, "/etc/kubernetes"),
            made("certs", MadeKind::Directory, "/etc/kubernetes/pki"),
            made("certs", MadeKind::File, "/etc/kubernetes/pki/ca.key"),
            made("etcd", MadeKind::Account("kubeadm-etcd".into()), "/etc/group"),
            made("etcd", MadeKind::Tree, "/var/lib/etcd"),
        ];
        let told = told(&plan(&journal, &own(), false));
        assert_eq!(
            told,
            [
                "stop every pod, kube-apiserver before etcd, then the runner",
                "remove /var/lib/etcd with everything below",
                "remove group kubeadm-etcd",
                "remove /etc/kubernetes/pki/ca.key",
                "remove /var/lib/bootstrap/pods with everything below",
                "remove /var/lib/bootstrap/records with everything below",
                "remove /var/lib/bootstrap/serving with everything below",
                "remove /var/log/bootstrap-runner.log",
                "remove /var/lib/bootstrap/images with everything below",
                "remove directory /etc/kubernetes/pki if it is empty",
                "remove directory /etc/kubernetes if it is empty",
                "remove /var/lib/bootstrap/journal",
                "remove directory /var/lib/bootstrap if it is empty",
                "remove /run/bootstrap with everything below",
            ]
        );
    }

    #[test]
    fn kept_images_keep_the_journal_that_knows_their_directories() {
        let journal = [made("runner-start", MadeKind::Directory, "/var/lib/bootstrap")];
        let told = told(&plan(&journal, &own(), true));
        assert!(!told.iter().any(|action| action.contains("images") || action.contains("journal")), "{told:?}");
        assert!(!told.iter().any(|action| action == "remove directory /var/lib/bootstrap if it is empty"));
    }
}
