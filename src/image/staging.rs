//! Work in progress in the store: a private directory whose content becomes part of the store in one step, or never.
//!
//! The directory is locked for as long as its owner lives. One that nobody holds was left by a kill and is removed by
//! whoever makes the next. A layer that the work counts on is pinned first, so that no `remove` takes it meanwhile.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::manifest::Configuration;
use super::reference::Reference;
use super::store::{Entry, Image, Store};
use super::tree::{self, EntryPath};
use super::unpack::{self, Limits};
use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::{PUBLIC_DIRECTORY, SECRET_FILE};

/// One piece of work: the making of one or more images.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    directory: PathBuf,
    _held: File,
}

/// A layer that is in the store or waits to go there.
#[derive(Debug, Clone)]
pub struct Layer {
    pub chain: Digest,
    size: u64,
    /// Where it is now, unless it is in the store.
    staged: Option<PathBuf>,
}

/// What an image is made of, besides its layers.
#[derive(Debug)]
pub struct Draft<'a> {
    pub references: &'a [Reference],
    /// The document as it came; its digest is the image's id.
    pub configuration: &'a [u8],
    /// Of the index and of the manifest, where they are known.
    pub digests: &'a [Digest],
    /// Lowest first.
    pub layers: &'a [Layer],
}

impl Staging {
    pub fn new(store: &Store) -> Result<Staging> {
        let lock = store.lock()?;
        let abandoned = abandoned(&store.temporary());
        let directory = tempfile::Builder::new()
            .prefix("")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(store.temporary())
            .with_context(|| format!("cannot make a directory in `{}`", store.temporary().display()))?
            .keep();
        let hold = || -> io::Result<File> {
            let held = File::open(&directory)?;
            held.lock()?;
            fs::create_dir(directory.join("pins"))?;
            Ok(held)
        };
        let held = hold().with_context(|| format!("cannot lock `{}`", directory.display()))?;
        drop(lock);
        for (path, _held) in abandoned {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove what an earlier run left");
            }
        }
        Ok(Staging { store: store.clone(), directory, _held: held })
    }

    /// A private directory on the store's filesystem, gone with this value.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The layer, if the store has it; it then stays for as long as this work lasts.
    pub fn find(&self, chain: &Digest) -> Result<Option<Layer>> {
        let path = self.store.layer(chain);
        let _lock = self.store.lock()?;
        let size = match fs::read_to_string(path.join("size")) {
            Ok(size) => size.trim().parse().with_context(|| format!("cannot use `{}`", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        File::create(self.directory.join("pins").join(chain.hex()))
            .with_context(|| format!("cannot pin layer `{chain}`"))?;
        Ok(Some(Layer { chain: *chain, size, staged: None }))
    }

    /// Unpacks a layer and compares its digest; it is not part of the store yet.
    pub fn unpack(&self, layer: impl Read, diff_id: &Digest, limits: &Limits) -> Result<UnpackedLayer> {
        let make = || -> io::Result<PathBuf> {
            let directory = tempfile::Builder::new().prefix("layer-").tempdir_in(&self.directory)?.keep();
            // the mode of the container's root unless the image says otherwise; what is above it is private
            let root = directory.join("fs");
            fs::DirBuilder::new().mode(PUBLIC_DIRECTORY).create(&root)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(PUBLIC_DIRECTORY))?;
            Ok(directory)
        };
        let directory = make().with_context(|| format!("cannot make a directory in `{}`", self.directory.display()))?;
        let unpacked = unpack::unpack(layer, &directory.join("fs"), limits)?;
        if unpacked.diff_id != *diff_id {
            let _ = fs::remove_dir_all(&directory);
            return Err(Fault::usage(format!("the layer's content is `{}`, not `{diff_id}`", unpacked.diff_id)).into());
        }
        fs::write(directory.join("size"), unpacked.size.to_string())
            .with_context(|| format!("cannot write `{}`", directory.join("size").display()))?;
        Ok(UnpackedLayer { directory, diff_id: *diff_id, size: unpacked.size, implicit: unpacked.implicit })
    }

    /// Puts an unpacked layer on top of others, lowest first. They come in order, one after the other.
    pub fn stack(&self, layer: UnpackedLayer, below: &[Layer]) -> Result<Layer> {
        let lower: Vec<PathBuf> = below.iter().rev().map(|layer| self.root_of(layer)).collect();
        for directory in &layer.implicit {
            tree::inherit(&layer.directory.join("fs"), directory, &lower)?;
        }
        let chain = Digest::chain(below.last().map(|layer| &layer.chain), &layer.diff_id);
        Ok(Layer { chain, size: layer.size, staged: Some(layer.directory) })
    }

    fn root_of(&self, layer: &Layer) -> PathBuf {
        layer.staged.clone().unwrap_or_else(|| self.store.layer(&layer.chain)).join("fs")
    }

    /// Moves finished layers into the store, so that a later attempt finds them.
    pub fn keep(&self, layers: &[Layer]) -> Result<()> {
        if layers.iter().any(|layer| layer.staged.is_some()) {
            self.sync()?;
            let _lock = self.store.lock()?;
            self.place(layers)?;
        }
        Ok(())
    }

    /// Makes an image part of the store, under all its references. Returns it under the first.
    pub fn commit(&self, draft: &Draft<'_>) -> Result<Image> {
        let first = draft.references.first().context("an image without a reference")?;
        let configuration = Configuration::parse(draft.configuration)?;
        let layers: Vec<Digest> = draft.layers.iter().map(|layer| layer.chain).collect();
        if layers != Digest::chains(&configuration.diff_ids) {
            return Err(Fault::usage("its layers are not those of its configuration").into());
        }
        let id = Digest::of(draft.configuration);
        if draft.layers.iter().any(|layer| layer.staged.is_some()) {
            self.sync()?;
        }
        let size = draft.layers.iter().map(|layer| layer.size).sum();
        let entry = Entry { id, digests: draft.digests.to_vec(), layers, size };

        let lock = self.store.lock()?;
        self.place(draft.layers)?;
        files::write(&self.store.blob(&id), draft.configuration, SECRET_FILE)?;
        let mut index = self.store.index()?;
        let mut replaced = false;
        for reference in draft.references {
            let old = index.images.insert(reference.to_string(), entry.clone());
            replaced |= old.is_some_and(|old| old != entry);
        }
        self.store.write_index(&index)?;
        if replaced {
            self.store.collect(&index, self)?;
        }
        drop(lock);
        self.store.get(first)?.context("the image is not whole: something removed parts of it")
    }

    /// Puts the layers on disk: a rename may be durable before the files below it are.
    fn sync(&self) -> Result<()> {
        let sync = || nix::unistd::syncfs(File::open(&self.directory)?).map_err(io::Error::from);
        sync().with_context(|| format!("cannot sync `{}`", self.directory.display()))
    }

    /// The caller holds the lock and has synced.
    fn place(&self, layers: &[Layer]) -> Result<()> {
        let mut placed = false;
        for layer in layers {
            let Some(staged) = &layer.staged else { continue };
            let target = self.store.layer(&layer.chain);
            // another process, or another image of this work, may have been first
            if !target.exists() {
                fs::rename(staged, &target).with_context(|| format!("cannot make `{}`", target.display()))?;
                placed = true;
            }
        }
        if placed {
            let directory = self.store.directory().join("layers");
            files::sync_directory(&directory).with_context(|| format!("cannot sync `{}`", directory.display()))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::debug!(path = %self.directory.display(), %error, "left for the next change to clear");
        }
    }
}

/// A layer before it is known what lies below it.
#[derive(Debug)]
pub struct UnpackedLayer {
    directory: PathBuf,
    diff_id: Digest,
    size: u64,
    implicit: Vec<EntryPath>,
}

/// Directories whose owner is gone, now held by us. The caller holds the store's lock, under which owners begin.
fn abandoned(temporary: &Path) -> Vec<(PathBuf, File)> {
    let hold = |path: PathBuf| {
        let directory = File::open(&path).ok()?;
        directory.try_lock().is_ok().then_some((path, directory))
    };
    let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
    entries.filter_map(|entry| hold(entry.path())).collect()
}

/// The layers that work in progress counts on.
pub(super) fn pinned(temporary: &Path) -> Result<BTreeSet<Digest>> {
    let mut pins = BTreeSet::new();
    let read = |directory: &Path| -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    for staging in read(temporary).with_context(|| format!("cannot list `{}`", temporary.display()))? {
        // one that has just ended has no directory of pins any more
        let names = read(&staging.join("pins")).unwrap_or_default();
        pins.extend(names.iter().filter_map(|path| Digest::from_hex(path.file_name()?.to_str()?)));
    }
    Ok(pins)
}
