//! `kubeconfig`: the administrator's and the components' [2].

use super::certs::{Signer, authority_paths, signer};
use super::judgement;
use crate::desired::Desired;
use crate::desired::kubeconfig::KubeconfigFile;
use crate::desired::kubeconfig::existing::{self, Existing, Trust};
use crate::desired::pki::Authority;
use crate::desired::verify::Misfit;
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
    let authority_key = authority_paths(desired, Authority::Kubernetes).key;
    let missing_key = matches!(authority, Signer::Existing { has_key: false, .. }).then_some(authority_key.as_path());
    let text = match (found.file(&path), missing_key) {
        (FoundFile::Absent, Some(key)) => {
            return Ok(Decision::Refuse(format!(
                "`{}` is missing and cannot be made without `{}`",
                path.display(),
                key.display()
            )));
        }
        (FoundFile::Absent, None) => return Ok(Decision::Create),
        (FoundFile::Unreadable, _) => return Ok(Decision::Keep),
        (FoundFile::Content(text), _) => text,
    };
    match authority {
        Signer::New => Ok(Decision::Refuse(format!(
            "cannot use `{}`: it exists, but its certificate authority does not",
            path.display()
        ))),
        Signer::Unknown => Ok(Decision::Keep),
        Signer::Existing { pem, .. } => {
            let misfits =
                misfits(found, file, text, pem).with_context(|| format!("cannot use `{}`", path.display()))?;
            Ok(judgement::decide(&misfits, &path, missing_key))
        }
    }
}

fn misfits(found: &Found, file: &KubeconfigFile, text: &[u8], authority_pem: &[u8]) -> Result<Vec<Misfit>> {
    let existing = Existing::read(text)?;
    let trusted = match existing.trust()? {
        Trust::Embedded(pem) => pem,
        Trust::File(_) => match existing::trusted_file(&file.path(), text).map(|path| found.file(&path).clone()) {
            Some(FoundFile::Content(pem)) => pem,
            _ => anyhow::bail!("the `certificate-authority` that its cluster trusts cannot be read"),
        },
        Trust::Nothing => anyhow::bail!("its cluster trusts no certificate authority"),
    };
    existing::judge(file, &existing, &trusted, authority_pem, found.now())
}

/// What is kept and may surprise: another server, a user whose certificate cannot be renewed here, a key that is no
/// secret.
pub(super) fn warnings(desired: &Desired, found: &Found, is_kept: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for file in desired.kubeconfigs.iter().filter(|file| is_kept(&format!("kubeconfig/{}", file.name))) {
        let path = file.path();
        warnings.extend(judgement::open_to_all(found, &path));
        let FoundFile::Content(text) = found.file(&path) else { continue };
        let Ok(existing) = Existing::read(text) else { continue };
        let name = path.display();
        if existing.server() != file.server {
            warnings.push(format!("`{name}`: its server is `{}` instead of `{}`", existing.server(), file.server));
        }
        if let Signer::Existing { pem, has_key: false } = signer(desired, found, Authority::Kubernetes) {
            let misfits = misfits(found, file, text, pem).unwrap_or_default();
            let subject = misfits.iter().find(|misfit| matches!(misfit, Misfit::Subject { .. }));
            warnings.extend(subject.map(|misfit| format!("`{name}`: {misfit}")));
        }
    }
    warnings
}
