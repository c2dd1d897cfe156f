//! `etcd`: the data directory and the manifest of the stacked member [3.4].

use std::path::PathBuf;

use super::control_plane;
use crate::desired::Desired;
use crate::desired::account::Allocation;
use crate::desired::manifest::Component;
use crate::desired::profile::{ETCD, ETCD_NAME};
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
            let owner = found.etcd_owner.iter().flat_map(|allocation| give(path.clone(), allocation));
            let make = Action::MakeDirectory { path: path.clone(), mode: layout::PRIVATE_DIRECTORY };
            step.actions.splice(0..0, [make].into_iter().chain(owner));
            step
        })
        .collect()
}

/// The directory goes to a user who is made for it. etcd itself stays root: its keys do, as everything in the PKI has to
/// (items 1.1.12 and 1.1.19), and as another user it could not read them.
fn give(path: PathBuf, allocation: &Allocation) -> Vec<Action> {
    let identities = &allocation.identities;
    let (user, group) = (identities.users.get(ETCD_NAME), identities.groups.get(ETCD_NAME));
    let missing = !(allocation.missing_users.is_empty() && allocation.missing_groups.is_empty());
    let make = missing.then(|| Action::MakeAccounts { accounts: ETCD, allocation: allocation.clone() });
    let give = user.zip(group).map(|(user, group)| Action::GiveDirectory {
        path,
        owner: ETCD_NAME,
        user: *user,
        group: *group,
    });
    make.into_iter().chain(give).collect()
}
