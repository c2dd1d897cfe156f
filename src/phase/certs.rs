//! `certs`: kubeadm's eleven steps [1.1]; existing files are kept when they fit [1.7].

use std::path::Path;

use crate::desired::Desired;
use crate::desired::issue::Key;
use crate::desired::pki::{self, Authority, CertificateFile};
use crate::desired::verify::{self, Verdict};
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
    let directory = &desired.config.certificates_dir;
    KeyPairPaths {
        certificate: directory.join(format!("{}.crt", authority.base())),
        key: directory.join(format!("{}.key", authority.base())),
    }
}

/// How a certificate that `authority` is to sign can be had.
pub(super) enum Signer {
    /// The authority is made in the same run.
    New,
    Existing {
        certificate_pem: Vec<u8>,
        has_key: bool,
    },
    /// This user may not look.
    Unknown,
}

pub(super) fn signer(desired: &Desired, found: &Found, authority: Authority) -> Signer {
    let paths = authority_paths(desired, authority);
    match found.file(&paths.certificate) {
        FoundFile::Absent => Signer::New,
        FoundFile::Unreadable => Signer::Unknown,
        FoundFile::Content(pem) => Signer::Existing { certificate_pem: pem.clone(), has_key: found.exists(&paths.key) },
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
    let judge = || format!("cannot use `{}`", paths.certificate.display());
    let verdict = match (found.file(&paths.certificate), file.spec.purpose.signer()) {
        (FoundFile::Unreadable, _) => return Ok(Decision::Keep),
        (FoundFile::Absent, None) => return Ok(Decision::Create),
        (FoundFile::Absent, Some(authority)) => match signer(desired, found, authority) {
            Signer::Existing { has_key: false, .. } => {
                let key = authority_paths(desired, authority).key;
                return Ok(Decision::Refuse(format!(
                    "`{}` is missing and cannot be made without `{}`",
                    paths.certificate.display(),
                    key.display()
                )));
            }
            _ => return Ok(Decision::Create),
        },
        (FoundFile::Content(pem), None) => verify::authority(pem, key.as_ref(), found.now()).with_context(judge)?,
        (FoundFile::Content(pem), Some(authority)) => match signer(desired, found, authority) {
            Signer::New => Verdict::Refuse("it exists, but its certificate authority does not".to_owned()),
            Signer::Unknown => Verdict::Fits,
            Signer::Existing { certificate_pem, has_key } => {
                let verdict =
                    verify::leaf(&file.spec, pem, key.as_ref(), &certificate_pem, found.now()).with_context(judge)?;
                match verdict {
                    Verdict::Renew(reason) if !has_key => Verdict::Refuse(format!(
                        "{reason}, and it cannot be renewed without `{}`",
                        authority_paths(desired, authority).key.display()
                    )),
                    verdict => verdict,
                }
            }
        },
    };
    Ok(match verdict {
        Verdict::Fits => Decision::Keep,
        Verdict::Renew(reason) => Decision::Replace(reason),
        Verdict::Refuse(reason) => Decision::Refuse(format!("cannot use `{}`: {reason}", paths.certificate.display())),
    })
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
                FoundFile::Content(pem) if same_pem(pem, &pair.public_pem()) => Decision::Keep,
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

fn same_pem(found: &[u8], ours: &str) -> bool {
    let significant = |text: &str| text.split_whitespace().collect::<String>();
    std::str::from_utf8(found).is_ok_and(|found| significant(found) == significant(ours))
}
