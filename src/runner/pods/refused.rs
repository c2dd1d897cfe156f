//! PURE: the pods that the node has not taken in. A refusal stays, as long as the manifest says the same [2.41, 9.17].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::control::{PodStatus, Rejected};
use crate::runner::admission::admit;
use crate::runner::node::Node;
use crate::runner::pod::Pod;
use crate::runner::status;
use crate::runner::worker::machine::Why;

#[derive(Debug, Default)]
pub(super) struct Refused(BTreeMap<String, (Arc<Pod>, Why)>);

impl Refused {
    /// Judges what is new among the desired, in order; `held` are the pods that run or are meant to, by full name, and
    /// `is_over` tells which of them have ended for good. What is refused now is returned.
    pub(super) fn judge(
        &mut self,
        desired: &[Arc<Pod>],
        held: &BTreeMap<String, Arc<Pod>>,
        is_over: impl Fn(&str) -> bool,
        node: &Node,
    ) -> Vec<(Arc<Pod>, Why)> {
        let is_as_before = |pod: &Arc<Pod>, before: &Arc<Pod>| before.revision == pod.revision;
        self.0.retain(|name, (refused, _)| {
            desired.iter().any(|pod| pod.full_name() == *name && is_as_before(pod, refused))
        });
        let is_held = |pod: &Arc<Pod>| held.get(&pod.full_name()).is_some_and(|held| is_as_before(pod, held));
        let mut taken: BTreeMap<_, _> =
            desired.iter().filter(|pod| is_held(pod)).map(|pod| (pod.full_name(), Arc::clone(pod))).collect();
        // where a new version is refused, the old one goes on
        let refused = self.0.keys().filter_map(|name| Some((name.clone(), Arc::clone(held.get(name)?))));
        taken.extend(refused);
        taken.retain(|name, _| !is_over(name));
        let mut news = Vec::new();
        for pod in desired.iter().filter(|pod| !is_held(pod)) {
            let name = pod.full_name();
            if self.0.contains_key(&name) {
                continue;
            }
            let others: Vec<_> = taken.iter().filter(|(other, _)| **other != name).map(|(_, pod)| pod).collect();
            match admit(pod, node, &others) {
                Ok(()) => {
                    taken.insert(name, Arc::clone(pod));
                }
                Err(why) => {
                    taken.extend(held.get(&name).map(|held| (name.clone(), Arc::clone(held))));
                    news.push((Arc::clone(pod), why.clone()));
                    self.0.insert(name, (Arc::clone(pod), why));
                }
            }
        }
        news
    }

    pub(super) fn contains(&self, pod: &Pod) -> bool {
        self.0.get(&pod.full_name()).is_some_and(|(refused, _)| refused.revision == pod.revision)
    }

    /// As the kubelet shows them [7.28]; `is_running`: an older version of it runs on.
    pub(super) fn failed(&self, is_running: impl Fn(&str) -> bool) -> impl Iterator<Item = PodStatus> {
        let alone = self.0.iter().filter(move |(name, _)| !is_running(name));
        alone.map(|(_, (pod, why))| PodStatus {
            phase: "Failed".to_owned(),
            reason: Some(why.reason.to_owned()),
            message: Some(format!("Pod was rejected: {}", why.message)),
            ..status::unmade(pod)
        })
    }

    /// Edits that are refused, while what was there before runs on.
    pub(super) fn edits(&self, is_running: impl Fn(&str) -> bool) -> impl Iterator<Item = Rejected> {
        let edits = self.0.iter().filter(move |(name, _)| is_running(name));
        edits.map(|(_, (pod, why))| Rejected {
            path: pod.source.clone().into(),
            reason: format!("{}: {}", why.reason, why.message),
            last_good_running: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::pod::placement::HostPort;
    use crate::runner::testing;

    fn pod(name: &str, revision: &str, port: i32) -> Arc<Pod> {
        let mut pod = Pod { revision: revision.to_owned(), ..testing::pod(name) };
        pod.placement.host_ports = vec![HostPort { protocol: "TCP".to_owned(), ip: String::new(), port }];
        Arc::new(pod)
    }

    fn held(pods: &[&Arc<Pod>]) -> BTreeMap<String, Arc<Pod>> {
        pods.iter().map(|pod| (pod.full_name(), Arc::clone(pod))).collect()
    }

    #[test]
    fn a_refusal_stays_until_the_manifest_changes() {
        let (a, b) = (pod("a", "1", 80), pod("b", "1", 80));
        let mut refused = Refused::default();
        let node = testing::node();
        let news = refused.judge(&[Arc::clone(&a), Arc::clone(&b)], &held(&[]), |_| false, &node);
        assert_eq!(news.iter().map(|(pod, why)| (pod, why.reason)).collect::<Vec<_>>(), [(&b, "NodePorts")]);
        assert!(refused.judge(&[Arc::clone(&b)], &held(&[]), |_| false, &node).is_empty() && refused.contains(&b));
        let edited = pod("b", "2", 81);
        assert!(refused.judge(&[a, Arc::clone(&edited)], &held(&[]), |_| false, &node).is_empty());
        assert!(!refused.contains(&edited) && !refused.contains(&b));
    }

    #[test]
    fn pods_that_change_together_are_judged_by_what_they_become() {
        let (a, b) = (pod("a", "1", 80), pod("b", "1", 81));
        let (c, d) = (pod("a", "2", 81), pod("b", "2", 80));
        let mut refused = Refused::default();
        let running = held(&[&a, &b]);
        assert!(refused.judge(&[c, d], &running, |_| false, &testing::node()).is_empty());
        // one that is over holds nothing, one whose edit is refused goes on as it was
        let e = pod("c", "1", 80);
        assert!(refused.judge(&[Arc::clone(&a), e], &held(&[&a]), |_| true, &testing::node()).is_empty());
        let (edit, other) = (pod("a", "3", 81), pod("c", "2", 80));
        let desired = [edit, Arc::clone(&b), other];
        assert_eq!(refused.judge(&desired, &running, |_| false, &testing::node()).len(), 2);
        let is_running = |name: &str| running.contains_key(name);
        assert!(refused.edits(is_running).all(|edit| edit.last_good_running));
        assert_eq!((refused.edits(is_running).count(), refused.failed(is_running).count()), (1, 1));
    }
}
