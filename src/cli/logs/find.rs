//! Which log a pod's name stands for: `<namespace>_<name>_<uid>/<container>/<attempt>.log` [6.1].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cli::pod_name;
use crate::error::{Fault, Result};
use crate::layout::Layout;

/// One container of one pod, whatever its UID and attempts.
#[derive(Debug)]
pub(super) struct Container {
    logs: PathBuf,
    /// `<namespace>_<name>`
    pod: String,
    name: String,
}

/// The container that is meant; `name` may be left out when there is one only.
pub(super) fn container(layout: &Layout, pod: &str, name: Option<&str>) -> Result<Container> {
    let logs = layout.pod_logs();
    let pod = matching(pod, &pod_name::host(), pods(&logs))?;
    let mut names: Vec<String> = directories(&logs, &pod).iter().flat_map(|directory| children(directory)).collect();
    names.sort();
    names.dedup();
    let name = match name {
        Some(name) if names.iter().any(|known| known == name) => name.to_owned(),
        Some(name) => {
            return Err(Fault::failed(format!("pod `{pod}` has no log of a container `{name}`"))
                .hint(format!("it has logs of: {}", names.join(", ")))
                .into());
        }
        None if names.len() == 1 => names.remove(0),
        None if names.is_empty() => {
            return Err(Fault::failed(format!("no container of pod `{pod}` has written a log yet")).into());
        }
        None => {
            return Err(Fault::usage(format!("pod `{pod}` has several containers: {}", names.join(", ")))
                .hint("name one with `-c`")
                .into());
        }
    };
    Ok(Container { logs, pod, name })
}

impl Container {
    /// The newest run's log, or the one before it.
    pub(super) fn log(&self, previous: bool) -> Result<PathBuf> {
        let attempts = self.attempts();
        let found = if previous { attempts.iter().rev().nth(1) } else { attempts.last() };
        let Some((_, path)) = found else {
            let what = if previous { "previous terminated container" } else { "log of container" };
            return Err(Fault::failed(format!("{what} `{}` in pod `{}` not found", self.name, self.pod)).into());
        };
        Ok(path.clone())
    }

    pub(super) fn latest(&self) -> Option<PathBuf> {
        self.attempts().pop().map(|(_, path)| path)
    }

    /// The live files of the newest revision's runs, in order.
    fn attempts(&self) -> Vec<(u32, PathBuf)> {
        let of = |pod: &PathBuf| -> Vec<(u32, PathBuf)> {
            let directory = pod.join(&self.name);
            let attempt = |name: &String| name.strip_suffix(".log")?.parse().ok();
            let mut found: Vec<_> = children(&directory)
                .into_iter()
                .filter_map(|name| Some((attempt(&name)?, directory.join(name))))
                .collect();
            found.sort();
            found
        };
        let revisions = directories(&self.logs, &self.pod).into_iter().map(|pod| of(&pod));
        revisions.filter(|attempts| !attempts.is_empty()).max_by_key(|attempts| newest(attempts)).unwrap_or_default()
    }
}

fn newest(attempts: &[(u32, PathBuf)]) -> SystemTime {
    let written = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    attempts.iter().filter_map(|(_, path)| written(path)).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// `<namespace>_<name>` of every pod that has logs.
fn pods(logs: &Path) -> Vec<String> {
    let mut pods: Vec<_> = children(logs).iter().filter_map(|name| Some(name.rsplit_once('_')?.0.to_owned())).collect();
    pods.sort();
    pods.dedup();
    pods
}

fn directories(logs: &Path, pod: &str) -> Vec<PathBuf> {
    let is_of = |name: &String| name.rsplit_once('_').is_some_and(|(known, _)| known == pod);
    children(logs).into_iter().filter(is_of).map(|name| logs.join(name)).collect()
}

fn children(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn matching(given: &str, host: &str, pods: Vec<String>) -> Result<String> {
    match pod_name::matching(given, host, &pods)[..] {
        [pod] => Ok(pod.to_owned()),
        [] => {
            let names: Vec<_> = pods.iter().map(|pod| pod.split_once('_').map_or(&**pod, |(_, name)| name)).collect();
            let fault = Fault::failed(format!("no pod `{given}` has logs"));
            let known =
                if names.is_empty() { "no pod has".to_owned() } else { format!("these have: {}", names.join(", ")) };
            Err(fault.hint(known).into())
        }
        ref several => Err(Fault::usage(format!("`{given}` may be any of these pods: {}", several.join(", "))).into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_known_by_its_name_with_or_without_the_node() {
        let pods = || {
            ["kube-system_etcd-n1", "kube-system_etcd-events-n1", "kube-system_a-x", "kube-system_a-y"]
                .map(str::to_owned)
                .to_vec()
        };
        for (given, expected) in [
            ("etcd-n1", "kube-system_etcd-n1"),
            ("etcd", "kube-system_etcd-n1"),
            ("etcd-events", "kube-system_etcd-events-n1"),
            ("kube-system_a-y", "kube-system_a-y"),
        ] {
            assert_eq!(matching(given, "n1", pods()).unwrap(), expected, "{given}");
        }
        let several = matching("a", "n1", pods()).unwrap_err().to_string();
        assert_eq!(several, "`a` may be any of these pods: kube-system_a-x, kube-system_a-y");
        assert_eq!(matching("none", "n1", pods()).unwrap_err().to_string(), "no pod `none` has logs");
    }

    #[test]
    fn the_newest_run_of_the_newest_revision_is_meant() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let write = |path: &str, age: u64| {
            let path = layout.pod_logs().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(path).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        };
        write("default_a-n1_old/c/7.log", 100);
        write("default_a-n1_new/c/9.log", 20);
        write("default_a-n1_new/c/10.log", 10);
        write("default_a-n1_new/c/10.log.20260101-000000", 15);
        let found = container(&layout, "a-n1", None).unwrap();
        assert!(found.log(false).unwrap().ends_with("default_a-n1_new/c/10.log"));
        assert!(found.log(true).unwrap().ends_with("default_a-n1_new/c/9.log"));
        write("default_a-n1_new/d/0.log", 1);
        assert!(container(&layout, "a-n1", None).unwrap_err().to_string().contains("several containers: c, d"));
        assert!(container(&layout, "a-n1", Some("d")).unwrap().log(true).is_err());
    }
}
