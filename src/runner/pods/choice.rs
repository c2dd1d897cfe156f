//! PURE: which pods are to run, from the manifests of the sources and what runs already; and what must change for that.
//!
//! The kubelet lets the last file win when two hold the same pod, takes a pod away while an editor renames its file,
//! and ends a pod whose manifest becomes invalid [12]. Here a file that holds a pod keeps it while it is there, a pod
//! passes to another file only after a moment of quiet, and the last good version of a manifest goes on. Where a source
//! has not delivered yet, what runs from it goes on, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::Rejected;
use crate::runner::pod::Pod;
use crate::runner::source::{Kind, Manifest, Origin, Scan};

/// What the sources ask for.
#[derive(Debug, Default)]
pub struct Choice {
    /// No two of one full name; the order to start them in is that of the manifests.
    pub pods: Vec<Arc<Pod>>,
    pub rejected: Vec<Rejected>,
    /// A pod is about to pass from a file that is gone to another: look again when the directory has been quiet.
    pub unsettled: bool,
}

/// What all sources have delivered, as one; `None` for a source that has not yet.
pub fn merge(sources: &BTreeMap<Kind, Option<Scan>>, held: &BTreeMap<String, Arc<Pod>>) -> Scan {
    let manifests = sources.iter().flat_map(|(kind, scan)| match scan {
        Some(scan) => scan.manifests.clone(),
        None => {
            let of_it = held.values().filter(|pod| pod.source.kind() == *kind);
            of_it.map(|pod| Manifest { origin: pod.source.clone(), pod: Ok(Arc::clone(pod)) }).collect()
        }
    });
    Scan { manifests: manifests.collect() }
}

/// `held`: the pods that run or are meant to, by full name. `quiet`: nothing has changed for a moment.
pub fn choose(scan: &Scan, held: &BTreeMap<String, Arc<Pod>>, quiet: bool) -> Choice {
    let mut choice = Choice::default();
    let mut owners: BTreeMap<String, &Origin> = BTreeMap::new();
    // byte order of the paths: the last file wins where nothing is held yet [1.13]
    for file in &scan.manifests {
        if let Ok(pod) = &file.pod {
            let full_name = pod.full_name();
            let is_held_by = |origin: &Origin| held.get(&full_name).is_some_and(|held| held.source == *origin);
            if !owners.get(&full_name).is_some_and(|owner| is_held_by(owner)) {
                owners.insert(full_name, &file.origin);
            }
        }
    }
    for file in &scan.manifests {
        match &file.pod {
            Ok(pod) => choice.take(pod, owners[&pod.full_name()], held, quiet),
            Err(reason) => {
                let is_last_good =
                    |held: &&Arc<Pod>| held.source == file.origin && !owners.contains_key(&held.full_name());
                let last_good: Vec<_> = held.values().filter(is_last_good).cloned().collect();
                choice.rejected.push(Rejected {
                    path: file.origin.clone().into(),
                    reason: reason.clone(),
                    last_good_running: !last_good.is_empty(),
                });
                choice.pods.extend(last_good);
            }
        }
    }
    choice
}

impl Choice {
    fn take(&mut self, pod: &Arc<Pod>, owner: &Origin, held: &BTreeMap<String, Arc<Pod>>, quiet: bool) {
        let refused = |reason: String| Rejected { path: pod.source.clone().into(), reason, last_good_running: false };
        if *owner != pod.source {
            self.rejected.push(refused(format!("it holds the same pod as `{owner}`")));
            return;
        }
        if self.pods.iter().any(|other| other.full_name() == pod.full_name()) {
            self.rejected.push(refused(format!("it holds pod `{}` twice", pod.name)));
            return;
        }
        let same_uid = |other: &Arc<Pod>| other.uid == pod.uid && other.full_name() != pod.full_name();
        if let Some(other) = self.pods.iter().find(|other| same_uid(other)) {
            self.rejected.push(refused(format!("its UID `{}` is that of pod `{}`", pod.uid, other.name)));
            return;
        }
        match held.get(&pod.full_name()) {
            Some(before) if before.source != pod.source && !quiet => {
                self.unsettled = true;
                self.pods.push(Arc::clone(before));
            }
            _ => self.pods.push(Arc::clone(pod)),
        }
    }
}

/// What a worker is to be told.
#[derive(Debug, PartialEq)]
pub enum Change {
    Start(Arc<Pod>),
    Replace(Arc<Pod>),
    Stop(String),
}

/// Stops first, then starts and replacements in the order of the files [1.80].
pub fn diff(desired: &[Arc<Pod>], held: &BTreeMap<String, Arc<Pod>>) -> Vec<Change> {
    let is_desired = |name: &String| desired.iter().any(|pod| pod.full_name() == *name);
    let stops = held.keys().filter(|name| !is_desired(name)).map(|name| Change::Stop(name.clone()));
    let starts = desired.iter().filter_map(|pod| match held.get(&pod.full_name()) {
        None => Some(Change::Start(Arc::clone(pod))),
        Some(before) if before.revision != pod.revision => Some(Change::Replace(Arc::clone(pod))),
        Some(_) => None,
    });
    stops.chain(starts).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::runner::testing;

    fn pod(name: &str, file: &str, revision: &str) -> Arc<Pod> {
        Arc::new(Pod {
            source: PathBuf::from(file).into(),
            revision: revision.to_owned(),
            uid: format!("{name}{revision}"),
            ..testing::pod(name)
        })
    }

    fn scan(files: &[(&str, Option<&Arc<Pod>>)]) -> Scan {
        let file = |(path, pod): &(&str, Option<&Arc<Pod>>)| Manifest {
            origin: PathBuf::from(path).into(),
            pod: pod.map(Arc::clone).ok_or_else(|| "bad".to_owned()),
        };
        Scan { manifests: files.iter().map(file).collect() }
    }

    fn held(pods: &[&Arc<Pod>]) -> BTreeMap<String, Arc<Pod>> {
        pods.iter().map(|pod| (pod.full_name(), Arc::clone(pod))).collect()
    }

    #[test]
    fn case_163_the_last_file_wins_where_nothing_runs_and_the_holder_where_something_does() {
        let (a, b) = (pod("x", "a", "1"), pod("x", "b", "2"));
        let files = scan(&[("a", Some(&a)), ("b", Some(&b))]);
        let fresh = choose(&files, &held(&[]), false);
        assert_eq!(fresh.pods, std::slice::from_ref(&b));
        assert_eq!(fresh.rejected[0].reason, "it holds the same pod as `b`");
        let running = choose(&files, &held(&[&a]), true);
        assert_eq!(running.pods, [a]);
        assert_eq!(running.rejected[0].path, Path::new("b"));
    }

    #[test]
    fn an_edit_in_place_counts_at_once() {
        let (old, new) = (pod("x", "a", "1"), pod("x", "a", "2"));
        let choice = choose(&scan(&[("a", Some(&new))]), &held(&[&old]), false);
        assert_eq!((choice.pods, choice.unsettled), (vec![new], false));
    }

    #[test]
    fn an_editor_that_renames_the_file_away_for_a_moment_stops_nothing() {
        let (old, backup, new) = (pod("x", "a", "1"), pod("x", "a~", "2"), pod("x", "a", "3"));
        let running = held(&[&old]);
        let away = choose(&scan(&[("a~", Some(&backup))]), &running, false);
        assert_eq!((away.pods, away.unsettled), (vec![Arc::clone(&old)], true));
        let written = choose(&scan(&[("a", Some(&new)), ("a~", Some(&backup))]), &running, false);
        assert_eq!((written.pods, written.unsettled), (vec![new], false));
        let stayed = choose(&scan(&[("a~", Some(&backup))]), &running, true);
        assert_eq!((stayed.pods, stayed.unsettled), (vec![backup], false));
    }

    #[test]
    fn a_manifest_that_becomes_invalid_keeps_its_last_good_version() {
        let (a, moved) = (pod("x", "a", "1"), pod("x", "b", "2"));
        let choice = choose(&scan(&[("a", None)]), &held(&[&a]), false);
        assert_eq!(choice.pods, std::slice::from_ref(&a));
        assert!(choice.rejected[0].last_good_running);
        let nothing = choose(&scan(&[("a", None)]), &held(&[]), false);
        assert!(nothing.pods.is_empty() && !nothing.rejected[0].last_good_running);
        let elsewhere = choose(&scan(&[("a", None), ("b", Some(&moved))]), &held(&[&a]), true);
        assert_eq!(elsewhere.pods, [moved]);
    }

    #[test]
    fn a_list_is_taken_as_a_whole() {
        const URL: &str = "https://a.example/pods";
        let (x, y, again) = (pod("x", URL, "1"), pod("y", URL, "1"), pod("x", URL, "2"));
        let both = choose(&scan(&[(URL, Some(&x)), (URL, Some(&y)), (URL, Some(&again))]), &held(&[]), false);
        assert_eq!(both.pods, [Arc::clone(&x), Arc::clone(&y)]);
        assert_eq!(both.rejected[0].reason, "it holds pod `x-node` twice");
        let broken = choose(&scan(&[(URL, None)]), &held(&[&x, &y]), false);
        assert_eq!(broken.pods, [x, y]);
    }

    #[test]
    fn what_runs_from_a_source_that_has_not_delivered_goes_on() {
        let (file, url) = (pod("x", "/a", "1"), pod("y", "https://a.example/pods", "1"));
        let running = held(&[&file, &url]);
        let chosen = |directory: Option<Scan>, list: Option<Scan>| {
            let sources = BTreeMap::from([(Kind::Directory, directory), (Kind::Url, list)]);
            choose(&merge(&sources, &running), &running, false).pods
        };
        assert_eq!(chosen(None, None), [Arc::clone(&file), Arc::clone(&url)]);
        assert_eq!(chosen(Some(Scan::default()), None), [Arc::clone(&url)]);
        assert_eq!(chosen(None, Some(Scan::default())), std::slice::from_ref(&file));
        let only = BTreeMap::from([(Kind::Directory, None)]);
        assert_eq!(merge(&only, &running).manifests.len(), 1, "nobody asks for the URL's any more");
    }

    #[test]
    fn two_pods_may_not_share_a_uid() {
        let (a, b) = (pod("x", "a", "1"), Arc::new(Pod { uid: "x1".to_owned(), ..Pod::clone(&pod("y", "b", "1")) }));
        let choice = choose(&scan(&[("a", Some(&a)), ("b", Some(&b))]), &held(&[]), false);
        assert_eq!(choice.pods, [a]);
        assert_eq!(choice.rejected[0].reason, "its UID `x1` is that of pod `x-node`");
    }

    #[test]
    fn case_141_changes_stop_first_and_start_in_the_order_of_the_files() {
        let (a1, a2, b, c) = (pod("a", "1", "1"), pod("a", "1", "2"), pod("b", "0", "1"), pod("c", "2", "1"));
        let changes = diff(&[Arc::clone(&b), Arc::clone(&a2)], &held(&[&a1, &c]));
        assert_eq!(changes, [Change::Stop(c.full_name()), Change::Start(b), Change::Replace(a2)]);
    }
}
