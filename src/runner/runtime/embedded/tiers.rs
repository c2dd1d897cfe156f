//! The cgroups between the instance's own and its pods': one for each quality of service [3.100].
//!
//! ```text
//! <instance>/kubepods/pod<uid>/<container>             guaranteed
//!                    /burstable/pod<uid>/<container>
//!                    /besteffort/pod<uid>/<container>
//! ```
//!
//! Against the others, a tier has the processor shares that its pods ask for together [3.105].

use std::sync::PoisonError;

use super::{CgroupParent, Embedded, PodSandbox, SandboxState, blocking};
use crate::error::{Result, chain_of};
use crate::linux::cgroup::Limits;

/// What a pod's cgroup may be in, each after the one that it is in itself.
pub(super) const PARENTS: [CgroupParent; 4] =
    [CgroupParent::Instance, CgroupParent::Pods, CgroupParent::Burstable, CgroupParent::BestEffort];

/// The kernel's least and greatest, for whoever asks for none and for whoever asks for too much.
const LEAST: u64 = 2;
const MOST: u64 = 262_144;

const OF_A_CPU: u64 = 1024;

/// Of the burstable tier. Shares are whole numbers, rounded down from thousandths of a CPU: they become those again
/// before they are added, or many pods would have less together than they ask for.
fn burstable_shares<'a>(sandboxes: impl IntoIterator<Item = &'a PodSandbox>) -> u64 {
    let is_burstable = |sandbox: &&PodSandbox| {
        sandbox.state == SandboxState::Ready && sandbox.config.cgroup_parent == CgroupParent::Burstable
    };
    let shares = sandboxes.into_iter().filter(is_burstable).filter_map(|sandbox| sandbox.config.resources.cpu_shares);
    let requests = shares.filter(|shares| *shares > LEAST).map(|shares| (shares * 1000).div_ceil(OF_A_CPU));
    (requests.sum::<u64>() * OF_A_CPU / 1000).clamp(LEAST, MOST)
}

impl Embedded {
    /// Makes what pods are put into. Where that fails, what runs goes on, and a new pod will tell.
    pub(super) async fn make_tiers(&self) -> Result<()> {
        let runtime = self.clone();
        let made = blocking(move || -> Result<Vec<String>> {
            let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let all = OF_A_CPU * u64::try_from(cpus).unwrap_or(1);
            let mut warnings = Vec::new();
            for (parent, shares) in [
                (CgroupParent::Pods, Some(all.min(MOST))),
                (CgroupParent::Burstable, None),
                (CgroupParent::BestEffort, Some(LEAST)),
            ] {
                let cgroup = runtime.inner.cgroups.at(runtime.inner.places.parent_cgroup(parent));
                cgroup.create()?;
                warnings.extend(cgroup.limit(&Limits { cpu_shares: shares, ..Limits::default() })?);
            }
            Ok(warnings)
        });
        match made.await? {
            Ok(warnings) => self.warn_once(warnings),
            Err(error) => tracing::warn!("cannot make the control groups of pods: {}", chain_of(&error)),
        }
        self.share_out().await
    }

    /// [`Embedded::share_out_now`], for those that may not block.
    pub(super) async fn share_out(&self) -> Result<()> {
        let runtime = self.clone();
        blocking(move || runtime.share_out_now()).await
    }

    /// Sets the shares of the burstable tier where its pods have changed. Blocking; what fails is tried again with the
    /// next pod that comes or goes.
    pub(super) fn share_out_now(&self) {
        // the sum is taken under the lock, or an older one might be written last
        let mut known = self.inner.burstable_shares.lock().unwrap_or_else(PoisonError::into_inner);
        let shares = burstable_shares(self.known().sandboxes.values());
        if *known == Some(shares) {
            return;
        }
        let cgroup = self.inner.cgroups.at(self.inner.places.parent_cgroup(CgroupParent::Burstable));
        match cgroup.limit(&Limits { cpu_shares: Some(shares), ..Limits::default() }) {
            Ok(warnings) => {
                *known = Some(shares);
                self.warn_once(warnings);
            }
            Err(error) => tracing::warn!("cannot give burstable pods their shares: {}", chain_of(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::container;
    use crate::runner::testing;

    /// A pod with a request of so many thousandths of a CPU.
    fn burstable(request: i64, state: SandboxState) -> Option<PodSandbox> {
        let mut pod = testing::pod("a");
        pod.containers[0].resources.cpu_request = Some(request);
        pod.containers[0].resources.memory_request = Some(1 << 20);
        let (layout, now) = (crate::layout::Layout::default(), jiff::Timestamp::UNIX_EPOCH);
        let config = container::sandbox(&pod, 0, &testing::node(), &layout, now).ok()?;
        Some(PodSandbox { id: "s".to_owned(), state, created_at: now, ips: Vec::new(), config })
    }

    #[test]
    fn thousandths_are_added_and_not_what_is_left_of_them() {
        for (requests, expected) in [
            (vec![], 2),
            (vec![0], 2),
            (vec![100], 102),
            (vec![0, 100, 250], 358),
            (vec![33; 100], 3379),
            (vec![1000; 300], 262_144),
        ] {
            let pods = requests.iter().filter_map(|request| burstable(*request, SandboxState::Ready));
            assert_eq!(burstable_shares(&pods.collect::<Vec<_>>()), expected, "{requests:?}");
        }
    }

    #[test]
    fn only_what_runs_in_the_tier_counts() {
        let stopped = burstable(500, SandboxState::NotReady);
        let mut guaranteed = burstable(500, SandboxState::Ready);
        guaranteed.iter_mut().for_each(|pod| pod.config.cgroup_parent = CgroupParent::Pods);
        let pods: Vec<_> = [stopped, guaranteed, burstable(100, SandboxState::Ready)].into_iter().flatten().collect();
        assert_eq!((pods.len(), burstable_shares(&pods)), (3, 102));
    }
}
