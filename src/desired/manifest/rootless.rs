//! RootlessControlPlane: a user of its own for each component, and the files that it then has to own [3.10].

use std::path::PathBuf;

use serde::Serialize;

use super::Component;
use crate::config::Config;
use crate::config::facts::{Facts, Identities};
use crate::desired::account::{Accounts, Existing, Group};
use crate::desired::ownership::{Ownership, ROOT, Reach};
use crate::layout::{KUBERNETES, SECRET_FILE};

const ETCD: &str = "kubeadm-etcd";
const API_SERVER: &str = "kubeadm-kas";
const CONTROLLER_MANAGER: &str = "kubeadm-kcm";
const SCHEDULER: &str = "kubeadm-ks";
/// Who signs the service accounts' tokens.
const SERVICE_ACCOUNT_KEY_READERS: &str = "kubeadm-sa-key-readers";

/// Mode of the one key that two components share.
const SHARED_FILE: u32 = 0o640;

/// Every user and group of a rootless control plane.
pub const ACCOUNTS: Accounts = Accounts {
    users: &[ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER],
    groups: &[
        Group { name: ETCD, members: &[ETCD] },
        Group { name: API_SERVER, members: &[API_SERVER] },
        Group { name: CONTROLLER_MANAGER, members: &[CONTROLLER_MANAGER] },
        Group { name: SCHEDULER, members: &[SCHEDULER] },
        Group { name: SERVICE_ACCOUNT_KEY_READERS, members: &[API_SERVER, CONTROLLER_MANAGER] },
    ],
    existing: Existing::MustFit,
};

/// What a pod and its container say of themselves, in the words of the template. All other capabilities are dropped.
#[derive(Debug, Serialize)]
pub(super) struct Security {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) supplemental_groups: Vec<u32>,
    pub(super) forbids_escalation: bool,
    pub(super) added_capabilities: Vec<&'static str>,
}

/// `None` where an id is not known: a dry run has no users yet.
pub(super) fn security(component: Component, identities: &Identities) -> Option<Security> {
    let user = user(component);
    let readers = identities.groups.get(SERVICE_ACCOUNT_KEY_READERS);
    let is_api_server = component == Component::ApiServer;
    Some(Security {
        user: *identities.users.get(user)?,
        group: *identities.groups.get(user)?,
        supplemental_groups: match component {
            Component::ApiServer | Component::ControllerManager => vec![*readers?],
            Component::Etcd | Component::Scheduler => Vec::new(),
        },
        // its program has the capability as a file, and cannot be started where it may not gain it
        forbids_escalation: !is_api_server,
        added_capabilities: if is_api_server { vec!["NET_BIND_SERVICE"] } else { Vec::new() },
    })
}

/// What has to be somebody else's than root's before the component starts.
pub(super) fn ownerships(component: Component, config: &Config, facts: &Facts) -> Vec<Ownership> {
    let user = user(component);
    let own = |path: PathBuf| Ownership { path, user, group: user, reach: Reach::File(SECRET_FILE) };
    let pki = |name: &str| own(config.pki_file(name));
    let kubeconfig = |name: &str| own(PathBuf::from(KUBERNETES).join(name));
    let service_account_key = || Ownership {
        user: ROOT,
        group: SERVICE_ACCOUNT_KEY_READERS,
        reach: Reach::File(SHARED_FILE),
        ..pki("sa.key")
    };
    match component {
        Component::Etcd => {
            let data =
                config.etcd.local().map(|member| Ownership { reach: Reach::Tree, ..own(member.data_dir.clone()) });
            data.into_iter().chain(["etcd/server.key", "etcd/peer.key"].map(pki)).collect()
        }
        Component::ApiServer => {
            let keys = ["sa.pub", "apiserver.key", "apiserver-kubelet-client.key", "front-proxy-client.key"];
            let mut ownerships = Vec::from(keys.map(pki));
            ownerships.extend(config.etcd.local().map(|_| pki("apiserver-etcd-client.key")));
            ownerships.push(service_account_key());
            ownerships
        }
        Component::ControllerManager => {
            let mut ownerships = vec![kubeconfig("controller-manager.conf"), service_account_key()];
            if !facts.external_ca {
                ownerships.push(pki("ca.key"));
            }
            ownerships
        }
        Component::Scheduler => vec![kubeconfig("scheduler.conf")],
    }
}

fn user(component: Component) -> &'static str {
    match component {
        Component::Etcd => ETCD,
        Component::ApiServer => API_SERVER,
        Component::ControllerManager => CONTROLLER_MANAGER,
        Component::Scheduler => SCHEDULER,
    }
}
