//! `control-plane`: the manifests of kube-apiserver, kube-controller-manager and kube-scheduler [3].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{file, hardening};
use crate::desired::manifest::{Component, Manifest};
use crate::desired::ownership::ROOT;
use crate::desired::{self, Desired};
use crate::layout;
use crate::plan::found::Found;
use crate::plan::{Action, Decision, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    desired
        .manifests
        .iter()
        .filter_map(|manifest| {
            let needs: Vec<String> = match manifest.component {
                Component::Etcd => return None,
                Component::ApiServer => [
                    "ca",
                    "apiserver",
                    "apiserver-kubelet-client",
                    "front-proxy-ca",
                    "front-proxy-client",
                    "etcd-ca",
                    "apiserver-etcd-client",
                    "sa",
                ]
                .map(|name| format!("certs/{name}"))
                .into_iter()
                .chain(hardening::NEEDED_BY_API_SERVER.map(str::to_owned))
                .collect(),
                // they can do nothing before the API server answers, and would only take its CPU time
                Component::ControllerManager => needs_of(&["kubeconfig/controller-manager", "certs/front-proxy-ca"]),
                Component::Scheduler => needs_of(&["kubeconfig/scheduler"]),
            };
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            Some(step(desired, found, manifest, &needs))
        })
        .collect()
}

fn needs_of(names: &[&str]) -> Vec<String> {
    let mut needs: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    needs.push("certs/sa".to_owned());
    needs.push("wait-control-plane/kube-apiserver".to_owned());
    needs
}

/// A manifest's step: the directories its pod takes from the node, then the file, once its image is there.
pub(super) fn step(desired: &Desired, found: &Found, manifest: &Manifest, needs: &[&str]) -> Step {
    let (phase, item) = manifest_step(manifest.component);
    let path = manifest_path(manifest.component);
    let (decision, mut actions) = match hardening::refusal_to_drop_encryption(manifest, found) {
        Some(reason) => (Decision::Refuse(reason), Vec::new()),
        None => file::decide(desired, found, path, layout::SECRET_FILE, manifest.yaml.clone()),
    };
    // also where the manifest stays: a file that was made anew belongs to root
    actions.splice(0..0, ownership(desired, manifest));
    if !matches!(decision, Decision::Keep) {
        let directories = host_directories(manifest)
            .map(|path| Action::MakeDirectory { path, mode: layout::PUBLIC_DIRECTORY })
            .chain([Action::MakeDirectory { path: MANIFESTS.into(), mode: layout::PRIVATE_DIRECTORY }]);
        actions.splice(0..0, directories);
    }
    let mut needs: Vec<String> = needs.iter().map(|need| (*need).to_owned()).collect();
    needs.push(format!("images/{}", manifest.component.name()));
    Step { phase, item: Some(item.to_owned()), needs, decision, actions }
}

/// The users that are missing, and what is to be theirs.
fn ownership(desired: &Desired, manifest: &Manifest) -> Vec<Action> {
    let (Some(accounts), Some(allocation)) = (desired::accounts(&desired.config), &desired.accounts) else {
        return Vec::new();
    };
    let is_needed = !allocation.is_complete() && !manifest.ownerships.is_empty();
    let make = is_needed.then(|| Action::MakeAccounts { accounts, allocation: allocation.clone() });
    let give = manifest.ownerships.iter().filter_map(|ownership| {
        let id = |ids: &BTreeMap<String, u32>, name| if name == ROOT { Some(0) } else { ids.get(name).copied() };
        Some(Action::GiveAway {
            ownership: ownership.clone(),
            user: id(&allocation.identities.users, ownership.user)?,
            group: id(&allocation.identities.groups, ownership.group)?,
        })
    });
    make.into_iter().chain(give).collect()
}

const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// Where a component's manifest is.
pub fn manifest_path(component: Component) -> PathBuf {
    Path::new(MANIFESTS).join(format!("{}.yaml", component.name()))
}

/// The phase and the step that write a component's manifest, by kubeadm's names.
pub fn manifest_step(component: Component) -> (&'static str, &'static str) {
    match component {
        Component::Etcd => ("etcd", "local"),
        Component::ApiServer => ("control-plane", "apiserver"),
        Component::ControllerManager => ("control-plane", "controller-manager"),
        Component::Scheduler => ("control-plane", "scheduler"),
    }
}

/// The runner would make these too; made here, `reset` knows that they are ours.
fn host_directories(manifest: &Manifest) -> impl Iterator<Item = PathBuf> {
    let volumes = manifest.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| volume.host_path.as_ref())
        .filter(|host_path| host_path.type_.as_deref() == Some("DirectoryOrCreate"))
        .map(|host_path| PathBuf::from(&host_path.path))
}
