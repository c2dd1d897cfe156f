//! `etcd`: the data directory and the manifest of the stacked member [3.4].

use super::control_plane;
use crate::desired::Desired;
use crate::desired::manifest::Component;
use crate::layout;
use crate::plan::found::Found;
use crate::plan::{Action, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    let Some(member) = desired.config.etcd.local() else { return Vec::new() };
    desired
        .manifests
        .iter()
        .filter(|manifest| manifest.component == Component::Etcd)
        .map(|manifest| {
            let needs = ["certs/etcd-ca", "certs/etcd-server", "certs/etcd-peer", "certs/etcd-healthcheck-client"];
            let mut step = control_plane::step(desired, found, manifest, &needs);
            // [3.4]: before the manifest, so that nobody makes it with another mode
            let path = member.data_dir.clone();
            step.actions
                .retain(|action| !matches!(action, Action::MakeDirectory { path: other, .. } if *other == path));
            step.actions.insert(0, Action::MakeDirectory { path, mode: layout::PRIVATE_DIRECTORY });
            step
        })
        .collect()
}
