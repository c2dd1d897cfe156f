//! Renews certificates in their places, and asks for new ones.
//!
//! A renewed file keeps its owner and its mode, since whoever reads it has to go on reading it; only what everybody may
//! do with a key is taken away. A file that is a link stays one: what it leads to is renewed.

use std::path::{Path, PathBuf};

use super::Writer;
use crate::desired::certificate::Certificate;
use crate::desired::issue::{self, BACK_DATE, Issue, Key};
use crate::desired::kubeconfig;
use crate::desired::kubeconfig::existing::Existing;
use crate::error::{Context, Result};
use crate::files::Access;
use crate::host::keys;
use crate::layout::SECRET_FILE;
use crate::plan::renewal::{CertificateFiles, Renewal, Request, RequestKey};

/// What everybody may do with a file.
const OTHERS: u32 = 0o007;

impl Writer {
    /// Both files of a pair are on the disk before the first of them takes its place, which is the key. A kill between
    /// the two leaves a key that is not the certificate's: another renewal, or init, makes that good.
    pub(super) async fn renew(&self, renewal: &Renewal, key: Key) -> Result<()> {
        let signer = self.authority(&renewal.authority)?;
        let issue = Issue { not_before: self.now - BACK_DATE, now: self.now, serial: keys::serial()? };
        let (purpose, validity) = (renewal.what.purpose, renewal.validity);
        let anew = |existing: &Certificate| issue::renewed(existing, purpose, validity, &key, &signer, issue);
        let files = match &renewal.files {
            CertificateFiles::Pair(paths) => {
                let existing = Certificate::from_pem(&self.read(&paths.certificate)?)?;
                let (certificate, public) = self.place(&paths.certificate)?;
                // a certificate may have lost its key
                let (secret_place, secret) = match self.place(&paths.key) {
                    Ok((place, access)) => (place, private(access)),
                    Err(_) => {
                        (self.target.under(&paths.key), Access { owner: public.owner, ..Access::new(SECRET_FILE) })
                    }
                };
                vec![
                    (secret_place, key.to_pem().reveal().into(), secret),
                    (certificate, anew(&existing)?.into_bytes(), public),
                ]
            }
            CertificateFiles::Kubeconfig(path) => {
                let existing = Existing::read(&self.read(path)?)?;
                let client = existing.client()?.context("it holds no certificate")?;
                let certificate = anew(&client.certificate)?;
                let text = existing.renewed(signer.certificate(), &certificate, &key.to_pem())?;
                let (place, access) = self.place(path)?;
                vec![(place, text.into_bytes(), private(access))]
            }
        };
        self.write_together(files).await
    }

    pub(super) async fn request(&self, request: &Request, key: Key) -> Result<()> {
        let text = issue::request(&request.spec, &key)?;
        let secret = match &request.key {
            RequestKey::File(_) => key.to_pem().reveal().to_owned(),
            RequestKey::Kubeconfig(file, _) => kubeconfig::render_unsigned(file, &key.to_pem())?,
        };
        let access = Access::new(SECRET_FILE);
        let place = |path: &Path| self.target.under(path);
        self.write_together(vec![
            (place(request.key.path()), secret.into_bytes(), access.clone()),
            (place(&request.request), text.into_bytes(), access),
        ])
        .await
    }

    /// Where a file of the node really is, and whose it is.
    fn place(&self, path: &Path) -> Result<(PathBuf, Access)> {
        let place = self.target.under(path);
        let place = place.canonicalize().with_context(|| format!("cannot find `{}`", place.display()))?;
        let access = Access::of(&place)?;
        Ok((place, access))
    }
}

fn private(access: Access) -> Access {
    Access { mode: access.mode & !OTHERS, ..access }
}
