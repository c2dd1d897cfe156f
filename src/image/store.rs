//! The images of this machine, below `/var/lib/bootstrap/images`.
//!
//! ```text
//! index.json              references, and what each one needs; replaced whole, read without a lock
//! blobs/sha256/<digest>   configurations of images
//! layers/<chain id>/fs    unpacked layers, shared by images; `size` beside it
//! leases/<hash>.json      which layers a mounted root uses
//! tmp/<random>/           work in progress, locked by its owner; without an owner it is rubbish
//! lock                    held for every change, for milliseconds
//! ```
//!
//! A change becomes true with the rename of `index.json`, and everything that it names is on disk before; a kill or a
//! power cut anywhere leaves the old state and, at most, rubbish that the next change clears away. Any number of
//! processes may work at once. Compressed layers are not kept: nothing needs them once they are unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::manifest::{Configuration, ImageConfig};
use super::reference::Reference;
use super::rootfs;
use super::staging::{self, Staging};
use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::{Layout, PRIVATE_DIRECTORY, SECRET_FILE};

const INDEX_VERSION: u32 = 1;

/// The store of one instance. Cheap to open and to clone: it holds nothing but the path.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// An image that is whole and ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub reference: Reference,
    /// Digest of the image's configuration.
    pub id: Digest,
    /// `registry/repository@sha256:…`, where a registry or a layout named it.
    pub repo_digest: Option<String>,
    pub config: ImageConfig,
    /// Bytes of the unpacked layers' files.
    pub size: u64,
    /// The unpacked layers' root directories, lowest first.
    pub layers: Vec<PathBuf>,
    pub(super) chains: Vec<Digest>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    version: u32,
    pub(super) images: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: Digest,
    /// Of the index that the tag named, then of the manifest in it; empty for an image that was built or saved.
    pub(super) digests: Vec<Digest>,
    /// Chain ids, lowest first.
    pub(super) layers: Vec<Digest>,
    pub(super) size: u64,
}

impl Store {
    pub fn open(layout: &Layout) -> Store {
        Store { directory: layout.images() }
    }

    /// The image for a reference; one with a digest is also found under the tag by which it came. Takes no lock and
    /// well under a millisecond. An image whose layers are gone counts as absent.
    pub fn get(&self, reference: &Reference) -> Result<Option<Image>> {
        let index = self.index()?;
        let entry = index.images.get(&reference.to_string()).or_else(|| {
            let digest = reference.digest()?;
            index.images.iter().find_map(|(key, entry)| {
                let same_name = key.parse::<Reference>().is_ok_and(|its| its.name() == reference.name());
                (same_name && entry.digests.contains(digest)).then_some(entry)
            })
        });
        entry.map_or(Ok(None), |entry| self.image(reference.clone(), entry))
    }

    /// All images, by reference.
    pub fn list(&self) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for (reference, entry) in &self.index()?.images {
            let reference =
                reference.parse().with_context(|| format!("cannot use `{}`", self.index_path().display()))?;
            images.extend(self.image(reference, entry)?);
        }
        Ok(images)
    }

    /// Forgets a reference and frees what nothing else uses: another image, a mounted root, a pull in progress.
    /// `false` when there is no such image.
    pub fn remove(&self, reference: &Reference) -> Result<bool> {
        let staging = Staging::new(self)?;
        let lock = self.lock()?;
        let mut index = self.index()?;
        let removed = index.images.remove(&reference.to_string()).is_some();
        if removed {
            self.write_index(&index)?;
            self.collect(&index, &staging)?;
        }
        drop(lock);
        Ok(removed)
    }

    /// Bytes of all unpacked layers' files, each layer counted once.
    pub fn layers_size(&self) -> Result<u64> {
        let directory = self.directory.join("layers");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            read => read.with_context(|| format!("cannot read `{}`", directory.display()))?,
        };
        // a layer that is gone meanwhile takes nothing
        let sizes = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("size")).ok());
        Ok(sizes.filter_map(|size| size.trim().parse::<u64>().ok()).sum())
    }

    fn image(&self, reference: Reference, entry: &Entry) -> Result<Option<Image>> {
        let path = self.blob(&entry.id);
        let Some(content) = files::read_if_exists(&path)? else { return Ok(None) };
        let configuration =
            Configuration::parse(&content).with_context(|| format!("cannot use `{}`", path.display()))?;
        let layers: Vec<_> = entry.layers.iter().map(|chain| self.layer(chain).join("fs")).collect();
        if !layers.iter().all(|layer| layer.is_dir()) {
            return Ok(None);
        }
        Ok(Some(Image {
            repo_digest: entry.digests.first().map(|digest| format!("{}@{digest}", reference.name())),
            reference,
            id: entry.id,
            config: configuration.config,
            size: entry.size,
            layers,
            chains: entry.layers.clone(),
        }))
    }

    pub(super) fn index(&self) -> Result<Index> {
        let path = self.index_path();
        let Some(content) = files::read_if_exists(&path)? else {
            return Ok(Index { version: INDEX_VERSION, images: BTreeMap::new() });
        };
        let unusable = |cause: String| {
            Fault::failed(format!("`{}` is not usable: {cause}", path.display()))
                .hint("remove it and pull or import the images again")
        };
        let index: Index = serde_json::from_slice(&content).map_err(|error| unusable(error.to_string()))?;
        if index.version != INDEX_VERSION {
            return Err(unusable(format!("it has version {}, not {INDEX_VERSION}", index.version)).into());
        }
        Ok(index)
    }

    /// The caller holds the lock.
    pub(super) fn write_index(&self, index: &Index) -> Result<()> {
        files::write(&self.index_path(), &serde_json::to_vec_pretty(index)?, SECRET_FILE)
    }

    /// Waits until no other process changes the store; the lock goes with the file.
    pub(super) fn lock(&self) -> Result<File> {
        // images hold setuid programs: nobody but root may reach them here
        let state = self.directory.parent().into_iter().chain([self.directory()]).map(Path::to_owned);
        let parts = ["blobs/sha256", "layers", "leases", "tmp"].map(|part| self.directory.join(part));
        for directory in state.chain(parts) {
            files::make_directory(&directory, PRIVATE_DIRECTORY)?;
        }
        let path = self.directory.join("lock");
        let lock = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).write(true).mode(SECRET_FILE).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().with_context(|| format!("cannot lock `{}`", path.display()))
    }

    /// Moves what nothing needs into `rubbish`, which is deleted once the lock is free. The caller holds the lock.
    pub(super) fn collect(&self, index: &Index, rubbish: &Staging) -> Result<()> {
        let mut used: BTreeSet<Digest> = rootfs::leased(&self.leases())?;
        used.extend(staging::pinned(&self.temporary())?);
        used.extend(index.images.values().flat_map(|entry| entry.layers.iter().copied()));
        self.sweep(&self.directory.join("layers"), &used, rubbish)?;
        used.extend(index.images.values().map(|entry| entry.id));
        self.sweep(&self.directory.join("blobs/sha256"), &used, rubbish)
    }

    fn sweep(&self, directory: &Path, used: &BTreeSet<Digest>, rubbish: &Staging) -> Result<()> {
        let sweep = || -> io::Result<()> {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let digest = entry.file_name().to_str().and_then(Digest::from_hex);
                if !digest.is_some_and(|digest| used.contains(&digest)) {
                    fs::rename(entry.path(), rubbish.path().join(entry.file_name()))?;
                }
            }
            Ok(())
        };
        sweep().with_context(|| format!("cannot clear `{}`", directory.display()))
    }

    fn index_path(&self) -> PathBuf {
        self.directory.join("index.json")
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn layer(&self, chain: &Digest) -> PathBuf {
        self.directory.join("layers").join(chain.hex())
    }

    pub(super) fn leases(&self) -> PathBuf {
        self.directory.join("leases")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.directory.join("tmp")
    }
}

#[cfg(test)]
mod tests;
