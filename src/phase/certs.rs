//! `certs`: kubeadm's eleven steps [1.1]; existing files are kept when they fit [1.7].

use std::path::Path;

use super::judgement;
use crate::desired::Desired;
use crate::desired::certificate::Certificate;
use crate::desired::issue::Key;
use crate::desired::pki::{self, Authority, CertificateFile};
use crate::desired::verify::{self, Misfit};
use crate::error::{Context, Result};
use crate::layout;
use crate::plan::found::{Found, FoundFile};
use crate::plan::{Action, Decision, KeyPairPaths, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    let mut steps: Vec<_> = desired.certificates.iter().map(|file| step(desired, found, file)).collect();
    steps.push(service_account(desired, found));
    steps
}

/// The files of a certificate and its key.
pub(super) fn paths(desired: &Desired, file: &CertificateFile) -> KeyPairPaths {
    KeyPairPaths { certificate: file.certificate_path(&desired.config), key: file.key_path(&desired.config) }
}

/// The files of an authority.
pub(super) fn authority_paths(desired: &Desired, authority: Authority) -> KeyPairPaths {
    KeyPairPaths::in_directory(&desired.config.certificates_dir, authority.base())
}

/// How a certificate that `authority` is to sign can be had.
pub(super) enum Signer<'a> {
    /// The authority is made in the same run.
    New,
    Existing {
        pem: &'a [u8],
        has_key: bool,
    },
    /// This user may not look.
    Unknown,
}

pub(super) fn signer<'a>(desired: &Desired, found: &'a Found, authority: Authority) -> Signer<'a> {
    let paths = authority_paths(desired, authority);
    match found.file(&paths.certificate) {
        FoundFile::Absent => Signer::New,
        FoundFile::Unreadable => Signer::Unknown,
        FoundFile::Content(pem) => Signer::Existing { pem, has_key: found.exists(&paths.key) },
    }
}

fn step(desired: &Desired, found: &Found, file: &CertificateFile) -> Step {
    let paths = paths(desired, file);
    let decision =
        decide(desired, found, file, &paths).unwrap_or_else(|error| Decision::Refuse(crate::error::chain_of(&error)));
    let signer = file.spec.purpose.signer();
    let mut actions = Vec::new();
    if matches!(decision, Decision::Create | Decision::Replace(_)) {
        let directory = paths.certificate.parent().unwrap_or(Path::new("/")).to_owned();
        actions.push(Action::MakeDirectory { path: directory, mode: layout::PUBLIC_DIRECTORY });
        // a key without a certificate is what an interrupted init leaves
        let reuse_key = matches!(decision, Decision::Create) && found.exists(&paths.key);
        let signer = signer.map(|authority| authority_paths(desired, authority));
        actions.push(Action::IssueCertificate { file: file.clone(), paths, reuse_key, signer });
    }
    Step {
        phase: "certs",
        item: Some(file.name.to_owned()),
        needs: signer.iter().map(|authority| format!("certs/{}", authority.name())).collect(),
        decision,
        actions,
    }
}

fn decide(desired: &Desired, found: &Found, file: &CertificateFile, paths: &KeyPairPaths) -> Result<Decision> {
    let key = match found.file(&paths.key) {
        FoundFile::Content(pem) => {
            Some(Key::from_pem(pem).with_context(|| format!("cannot use `{}`", paths.key.display()))?)
        }
        FoundFile::Unreadable => return Ok(Decision::Keep),
        FoundFile::Absent => None,
    };
    let certificate = match found.file(&paths.certificate) {
        FoundFile::Content(pem) => {
            Some(Certificate::from_pem(pem).with_context(|| format!("cannot use `{}`", paths.certificate.display()))?)
        }
        FoundFile::Unreadable => return Ok(Decision::Keep),
        FoundFile::Absent => None,
    };
    match (certificate, file.spec.purpose.signer()) {
        (None, None) => Ok(Decision::Create),
        (None, Some(authority)) => Ok(match signer(desired, found, authority) {
            Signer::Existing { has_key: false, .. } => {
                let key = authority_paths(desired, authority).key;
                Decision::Refuse(format!(
                    "`{}` is missing and cannot be made without `{}`",
                    paths.certificate.display(),
                    key.display()
                ))
            }
            _ => Decision::Create,
        }),
        (Some(certificate), None) => {
            let misfits = verify::authority(&certificate, key.as_ref(), found.now());
            // nothing that it signed would be of use any more
            let refused = format!("cannot use `{}`: {}", paths.certificate.display(), verify::clause(&misfits));
            Ok(if misfits.is_empty() { Decision::Keep } else { Decision::Refuse(refused) })
        }
        (Some(certificate), Some(authority)) => match signer(desired, found, authority) {
            Signer::New => Ok(Decision::Refuse(format!(
                "cannot use `{}`: it exists, but its certificate authority does not",
                paths.certificate.display()
            ))),
            Signer::Unknown => Ok(Decision::Keep),
            Signer::Existing { pem, has_key } => {
                let misfits = misfits(file, &certificate, key.as_ref(), pem, found)?;
                let authority_key = authority_paths(desired, authority).key;
                let missing_key = (!has_key).then_some(authority_key.as_path());
                Ok(judgement::decide(&misfits, &paths.certificate, missing_key))
            }
        },
    }
}

fn misfits(
    file: &CertificateFile,
    certificate: &Certificate,
    key: Option<&Key>,
    authority_pem: &[u8],
    found: &Found,
) -> Result<Vec<Misfit>> {
    let authority = Certificate::from_pem(authority_pem).context("its certificate authority cannot be read")?;
    let mut misfits = verify::leaf(&file.spec, certificate, key, &authority, found.now());
    if key.is_none() {
        misfits.push(Misfit::KeyMissing);
    }
    Ok(misfits)
}

fn service_account(desired: &Desired, found: &Found) -> Step {
    let (key, public) = pki::service_account_paths(&desired.config);
    let decision = match (found.file(&key), found.file(&public)) {
        (FoundFile::Absent, FoundFile::Absent) => Decision::Create,
        (FoundFile::Absent, _) => {
            Decision::Refuse(format!("`{}` exists, but its private key `{}` does not", public.display(), key.display()))
        }
        (FoundFile::Unreadable, _) => Decision::Keep,
        (FoundFile::Content(pem), public_file) => match Key::from_pem(pem) {
            Err(error) => Decision::Refuse(format!("cannot use `{}`: {error}", key.display())),
            Ok(pair) => match public_file {
                // beside older ones, whose tokens are still good
                FoundFile::Content(pem) if pair.is_in(pem) => Decision::Keep,
                FoundFile::Unreadable => Decision::Keep,
                FoundFile::Absent => Decision::Replace(format!("`{}` is missing", public.display())),
                FoundFile::Content(_) => {
                    Decision::Replace(format!("`{}` is not the public half of `{}`", public.display(), key.display()))
                }
            },
        },
    };
    let mut actions = Vec::new();
    if matches!(decision, Decision::Create | Decision::Replace(_)) {
        let reuse_key = matches!(decision, Decision::Replace(_));
        let path = desired.config.certificates_dir.clone();
        actions.push(Action::MakeDirectory { path, mode: layout::PUBLIC_DIRECTORY });
        actions.push(Action::WriteServiceAccountKey { key, public, reuse_key });
    }
    Step { phase: "certs", item: Some("sa".to_owned()), needs: Vec::new(), decision, actions }
}

/// What is kept and may surprise: an authority that ends before what it signs now, a certificate for somebody else
/// that cannot be renewed here, a key that is no secret.
pub(super) fn warnings(desired: &Desired, found: &Found, is_kept: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let (service_account, _) = pki::service_account_paths(&desired.config);
    warnings.extend(judgement::open_to_all(found, &service_account));
    for file in desired.certificates.iter().filter(|file| is_kept(&format!("certs/{}", file.name))) {
        let paths = paths(desired, file);
        warnings.extend(judgement::open_to_all(found, &paths.key));
        let FoundFile::Content(pem) = found.file(&paths.certificate) else { continue };
        let Ok(certificate) = Certificate::from_pem(pem) else { continue };
        let name = paths.certificate.display();
        match file.spec.purpose.signer() {
            None if certificate.not_after < found.now() + desired.config.certificate_validity_period => {
                let end = verify::stamp(certificate.not_after);
                warnings.push(format!("`{name}` expires at {end}: what it signs now is worth nothing after that"));
            }
            None => {}
            Some(authority) => {
                let Signer::Existing { pem, has_key: false } = signer(desired, found, authority) else { continue };
                let misfits = misfits(file, &certificate, None, pem, found).unwrap_or_default();
                let subject = misfits.iter().find(|misfit| matches!(misfit, Misfit::Subject { .. }));
                warnings.extend(subject.map(|misfit| format!("`{name}`: {misfit}")));
            }
        }
    }
    warnings
}
