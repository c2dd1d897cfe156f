//! `kubeconfig`: the administrator's and the components' [2].

use super::certs::{Signer, authority_paths, signer};
use crate::desired::Desired;
use crate::desired::kubeconfig::{self, KubeconfigFile};
use crate::desired::pki::Authority;
use crate::desired::verify::Verdict;
use crate::error::{Context, Result};
use crate::layout;
use crate::plan::found::{Found, FoundFile};
use crate::plan::{Action, Decision, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    desired.kubeconfigs.iter().map(|file| step(desired, found, file)).collect()
}

pub(super) fn step(desired: &Desired, found: &Found, file: &KubeconfigFile) -> Step {
    let decision =
        decide(desired, found, file).unwrap_or_else(|error| Decision::Refuse(crate::error::chain_of(&error)));
    let mut actions = Vec::new();
    if matches!(decision, Decision::Create | Decision::Replace(_)) {
        actions.push(Action::MakeDirectory { path: layout::KUBERNETES.into(), mode: layout::PUBLIC_DIRECTORY });
        let authority = authority_paths(desired, Authority::Kubernetes);
        actions.push(Action::WriteKubeconfig { file: file.clone(), authority });
    }
    Step {
        phase: "kubeconfig",
        item: Some(file.name.to_owned()),
        needs: vec!["certs/ca".to_owned()],
        decision,
        actions,
    }
}

fn decide(desired: &Desired, found: &Found, file: &KubeconfigFile) -> Result<Decision> {
    let path = file.path();
    let authority = signer(desired, found, Authority::Kubernetes);
    let without_key = matches!(authority, Signer::Existing { has_key: false, .. });
    let text = match found.file(&path) {
        FoundFile::Absent if without_key => {
            return Ok(Decision::Refuse(format!(
                "`{}` is missing and cannot be made without `{}`",
                path.display(),
                authority_paths(desired, Authority::Kubernetes).key.display()
            )));
        }
        FoundFile::Absent => return Ok(Decision::Create),
        FoundFile::Unreadable => return Ok(Decision::Keep),
        FoundFile::Content(text) => text,
    };
    let verdict = match authority {
        Signer::New => Verdict::Refuse("it exists, but its certificate authority does not".to_owned()),
        Signer::Unknown => Verdict::Fits,
        Signer::Existing { certificate_pem, .. } => kubeconfig::judge(file, text, &certificate_pem, found.now())
            .with_context(|| format!("cannot use `{}`", path.display()))?,
    };
    Ok(match verdict {
        Verdict::Fits => Decision::Keep,
        Verdict::Renew(reason) if without_key => Decision::Refuse(format!(
            "cannot use `{}`: {reason}, and it cannot be renewed without `{}`",
            path.display(),
            authority_paths(desired, Authority::Kubernetes).key.display()
        )),
        Verdict::Renew(reason) => Decision::Replace(reason),
        Verdict::Refuse(reason) => Decision::Refuse(format!("cannot use `{}`: {reason}", path.display())),
    })
}
