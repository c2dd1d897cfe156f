//! `kubelet-finalize`: where a kubelet runs this node already and renews its client certificate, its kubeconfig follows
//! it [5.4]. A machine that no kubelet ran on has no such certificate, and nothing is done.

use super::kubeconfig;
use crate::desired::{Desired, kubelet};
use crate::layout;
use crate::plan::found::{Found, FoundFile};
use crate::plan::{Action, Decision, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    let (decision, actions) = decide(desired, found).unwrap_or((Decision::Keep, Vec::new()));
    let item = Some("enable-client-cert-rotation".to_owned());
    vec![Step { phase: "kubelet-finalize", item, needs: vec!["kubeconfig/kubelet".to_owned()], decision, actions }]
}

/// A kubeconfig that is made in the same run is the next one's affair.
fn decide(desired: &Desired, found: &Found) -> Option<(Decision, Vec<Action>)> {
    let certificate = kubelet::client_certificate(&desired.config);
    let file = desired.kubeconfigs.iter().find(|file| file.name == "kubelet")?;
    let path = file.path();
    let FoundFile::Content(text) = found.file(&path) else { return None };
    if !found.exists(&certificate) || kubeconfig::step(desired, found, file).decision != Decision::Keep {
        return None;
    }
    match kubelet::with_client_certificate(text, &certificate) {
        Ok(None) => None,
        Ok(Some(content)) => {
            let reason = format!("the kubelet renews `{}`", certificate.display());
            let actions = vec![
                Action::MakeDirectory { path: layout::KUBERNETES.into(), mode: layout::PUBLIC_DIRECTORY },
                Action::WriteFile { path, mode: layout::SECRET_FILE, content },
            ];
            Some((Decision::Replace(reason), actions))
        }
        Err(error) => {
            let reason = format!("cannot use `{}`: {}", path.display(), crate::error::chain_of(&error));
            Some((Decision::Refuse(reason), Vec::new()))
        }
    }
}
