//! Performs the actions that make files: on the machine, or below `--out` for a dry run. The bytes, modes and
//! directories are the same, since it is the same code.

mod renewal;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::keys::{self, KeyPool};
use crate::apply::Perform;
use crate::config::EncryptionAlgorithm;
use crate::desired::issue::{self, BACK_DATE, Issue, Key, SigningAuthority};
use crate::desired::pki::CertificateFile;
use crate::desired::{encryption, kubeconfig};
use crate::error::{Context, Result};
use crate::files::{self, Access, Durability, Staged};
use crate::layout::{Layout, PUBLIC_FILE, SECRET_FILE};
use crate::plan::{Action, KeyPairPaths, Step};

/// Writes below `target`; what is not there is read below `machine`, where kept files are.
#[derive(Debug)]
pub struct Writer {
    pub target: Layout,
    pub machine: Layout,
    durability: Durability,
    pub algorithm: EncryptionAlgorithm,
    /// One moment for every certificate of the run [1.4].
    pub now: time::OffsetDateTime,
    keys: KeyPool,
    authorities: Mutex<HashMap<PathBuf, Arc<SigningAuthority>>>,
}

/// Of plans that only make files.
impl Perform for Writer {
    async fn prepare(&self, steps: &[&Step]) -> Result<()> {
        Writer::prepare(self, steps);
        Ok(())
    }

    async fn perform(&self, step: &Step, action: &Action) -> Result<()> {
        match Writer::perform(self, step, action).await? {
            true => Ok(()),
            false => anyhow::bail!("this makes no file: {action}"),
        }
    }
}

impl Writer {
    pub fn new(target: Layout, machine: Layout, algorithm: EncryptionAlgorithm, now: time::OffsetDateTime) -> Writer {
        // a dry run's tree can be made again
        let durability = if target == machine { Durability::Synced } else { Durability::Cached };
        Writer { target, machine, durability, algorithm, now, keys: KeyPool::default(), authorities: Mutex::default() }
    }

    /// Begins making the keys that these steps need.
    pub fn prepare(&self, steps: &[&Step]) {
        let algorithm = |step: &Step| step.actions.iter().find_map(|action| action.new_key(self.algorithm));
        let needing = steps.iter().filter_map(|step| Some((step.name(), algorithm(step)?)));
        self.keys.begin(needing.collect());
    }

    /// Performs the action if it makes files or directories; `false` if it is none of those.
    pub async fn perform(&self, step: &Step, action: &Action) -> Result<bool> {
        match action {
            Action::MakeDirectory { path, mode } => {
                files::make_directory(&self.target.under(path), *mode)?;
            }
            Action::WriteFile { path, mode, content } => {
                self.write(path, content.as_bytes().to_vec(), *mode).await?;
            }
            Action::IssueCertificate { file, paths, reuse_key, signer } => {
                let key = match reuse_key {
                    true => self.read_key(&paths.key)?,
                    false => self.keys.take(&step.name()).await?,
                };
                self.issue(file, paths, key, *reuse_key, signer.as_ref()).await?;
            }
            Action::WriteServiceAccountKey { key: key_path, public, reuse_key } => {
                let key = match reuse_key {
                    true => self.read_key(key_path)?,
                    false => self.keys.take(&step.name()).await?,
                };
                if !reuse_key {
                    self.write(key_path, key.to_pem().reveal().into(), SECRET_FILE).await?;
                }
                self.write(public, key.public_pem().into_bytes(), SECRET_FILE).await?;
            }
            Action::WriteKubeconfig { file, authority } => {
                let key = self.keys.take(&step.name()).await?;
                let signer = self.authority(authority)?;
                let issue = Issue { not_before: signer.not_before(), now: self.now, serial: keys::serial()? };
                let certificate = issue::leaf(&file.client, &key, &signer, issue)?;
                let text = kubeconfig::render(file, signer.certificate(), &certificate, &key.to_pem())?;
                self.write(&file.path(), text.into_bytes(), SECRET_FILE).await?;
            }
            Action::WriteEncryptionConfiguration { path } => {
                let configuration = encryption::configuration(&keys::random()?)?;
                self.write(path, configuration.reveal().into(), SECRET_FILE).await?;
            }
            Action::Renew(renewal) => self.renew(renewal, self.keys.take(&step.name()).await?).await?,
            Action::Request(request) => self.request(request, self.keys.take(&step.name()).await?).await?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Both are on the disk before the first of them takes its place, which is the key: a key without a certificate is
    /// what an interrupted run leaves, and the next one uses it.
    async fn issue(
        &self,
        file: &CertificateFile,
        paths: &KeyPairPaths,
        key: Key,
        reuse_key: bool,
        signer: Option<&KeyPairPaths>,
    ) -> Result<()> {
        let serial = keys::serial()?;
        let certificate = match signer {
            None => issue::authority(&file.spec, &key, self.now, serial),
            Some(signer) => {
                let signer = self.authority(signer)?;
                let issue = Issue { not_before: self.now - BACK_DATE, now: self.now, serial };
                issue::leaf(&file.spec, &key, &signer, issue)
            }
        }
        .with_context(|| format!("cannot make `{}`", paths.certificate.display()))?;
        let file = |path: &Path, content: Vec<u8>, mode| (self.target.under(path), content, Access::new(mode));
        let mut files = vec![file(&paths.certificate, certificate.clone().into_bytes(), PUBLIC_FILE)];
        if !reuse_key {
            files.insert(0, file(&paths.key, key.to_pem().reveal().into(), SECRET_FILE));
        }
        self.write_together(files).await?;
        if signer.is_none() {
            let authority = Arc::new(SigningAuthority::new(certificate.as_bytes(), key)?);
            self.remember(&paths.certificate, authority);
        }
        Ok(())
    }

    fn remember(&self, path: &Path, authority: Arc<SigningAuthority>) {
        self.authorities.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(path.to_owned(), authority);
    }

    /// An authority made in this run, or read from disk.
    pub fn authority(&self, paths: &KeyPairPaths) -> Result<Arc<SigningAuthority>> {
        let known = self.authorities.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(authority) = known.get(&paths.certificate) {
            return Ok(authority.clone());
        }
        drop(known);
        let authority = SigningAuthority::new(&self.read(&paths.certificate)?, self.read_key(&paths.key)?)
            .with_context(|| format!("cannot sign with `{}`", paths.certificate.display()))?;
        let authority = Arc::new(authority);
        self.remember(&paths.certificate, authority.clone());
        Ok(authority)
    }

    fn read_key(&self, path: &Path) -> Result<Key> {
        Key::from_pem(&self.read(path)?).with_context(|| format!("cannot use `{}`", path.display()))
    }

    /// A file of the node: of this run, or kept.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.read_if_exists(path)?.with_context(|| format!("`{}` does not exist", path.display()))
    }

    pub fn read_if_exists(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        for layout in [&self.target, &self.machine] {
            if let Some(content) = files::read_if_exists(&layout.under(path))? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    async fn write(&self, path: &Path, content: Vec<u8>, mode: u32) -> Result<()> {
        self.write_together(vec![(self.target.under(path), content, Access::new(mode))]).await
    }

    /// All of them, the first one first, or none. On a thread of its own where the write waits for the disk.
    async fn write_together(&self, files: Vec<(PathBuf, Vec<u8>, Access)>) -> Result<()> {
        let durability = self.durability;
        let write = move || {
            let stage =
                |(path, content, access): &(PathBuf, Vec<u8>, Access)| files::stage(path, content, access, durability);
            let staged: Vec<_> = files.iter().map(stage).collect::<Result<_>>()?;
            staged.into_iter().try_for_each(Staged::commit)
        };
        match durability {
            Durability::Cached => write(),
            Durability::Synced => tokio::task::spawn_blocking(write).await?,
        }
    }
}
