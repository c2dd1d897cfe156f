//! A container's root directory: the image's layers below, a writable directory on top, mounted by overlayfs within a
//! millisecond.
//!
//! A lease in the store says which layers a root uses, until it is unmounted, its mount point is gone, or the machine
//! has booted anew. (The mount table cannot say it: the mount may live in another mount namespace.)
//!
//! Where overlayfs cannot write (the store lies on overlayfs itself, as in a container without a volume), the layers
//! are copied instead: the same result, slower and larger.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use serde::{Deserialize, Serialize};

use super::copy;
use super::digest::Digest;
use super::store::{Image, Store};
use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::{PRIVATE_DIRECTORY, PUBLIC_DIRECTORY};
use crate::linux::process::boot_id;

/// The kernel takes one page of options, with its final zero.
const LONGEST_OPTIONS: usize = 4095;

/// How a root was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootKind {
    Overlay,
    /// The layers were copied, because overlayfs cannot write where the store or the scratch directory lies.
    Copy,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    target: PathBuf,
    boot: String,
    layers: Vec<Digest>,
}

impl Store {
    /// Mounts the image's root at the existing directory `target`. What the container writes goes to `scratch`, which
    /// is made if it is missing and can be mounted again after a boot; the caller removes it after [`Store::unmount`].
    pub fn mount(&self, image: &Image, scratch: &Path, target: &Path) -> Result<RootKind> {
        self.lease(image, target)?;
        let mounted = self.mount_leased(image, scratch, target);
        if mounted.is_err() {
            // the first failure is the one to tell
            let _ = files::remove_file(&self.lease_path(target));
        }
        mounted.with_context(|| format!("cannot mount image `{}`", image.reference))
    }

    fn mount_leased(&self, image: &Image, scratch: &Path, target: &Path) -> Result<RootKind> {
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        files::make_directory(scratch, PRIVATE_DIRECTORY)?;
        let on_overlay = |path: &Path| Ok(statfs(path)?.filesystem_type() == OVERLAYFS_SUPER_MAGIC);
        let copied = [self.directory(), scratch].into_iter().map(on_overlay).collect::<nix::Result<Vec<_>>>()?;
        if copied.contains(&true) {
            if !upper.exists() {
                let unfinished = scratch.join("copying");
                match fs::remove_dir_all(&unfinished) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).with_context(|| format!("cannot remove `{}`", unfinished.display()));
                    }
                    _ => files::make_directory(&unfinished, PUBLIC_DIRECTORY)?,
                };
                copy::layers(&image.layers, &unfinished)?;
                fs::rename(&unfinished, &upper).with_context(|| format!("cannot make `{}`", upper.display()))?;
            }
            mount(Some(&upper), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .with_context(|| format!("cannot bind `{}` to `{}`", upper.display(), target.display()))?;
            return Ok(RootKind::Copy);
        }
        // the root's own mode and owner come from the image: overlayfs shows those of the upper directory
        if !upper.exists() {
            files::make_directory(&upper, PUBLIC_DIRECTORY)?;
            let root = super::tree::EntryPath::new(b"")?;
            let lower: Vec<_> = image.layers.iter().rev().cloned().collect();
            super::tree::inherit(&upper, &root, &lower)?;
        }
        files::make_directory(&work, PRIVATE_DIRECTORY)?;
        overlay(&image.layers, &upper, &work, target)?;
        Ok(RootKind::Overlay)
    }

    /// Unmounts what [`Store::mount`] mounted and gives its layers free. Nothing mounted is no error.
    pub fn unmount(&self, target: &Path) -> Result<()> {
        match umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // no mount point, or no such path
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot unmount `{}`", target.display())),
        }
        files::remove_file(&self.lease_path(target)).map(drop)
    }

    /// Under the lock, so that no `remove` runs between the look at the layers and the lease.
    fn lease(&self, image: &Image, target: &Path) -> Result<()> {
        let lease = Lease {
            target: target.to_owned(),
            boot: boot_id().context("cannot read the boot id")?,
            layers: image.chains.clone(),
        };
        let path = self.lease_path(target);
        let _lock = self.lock()?;
        if !image.layers.iter().all(|layer| layer.is_dir()) {
            return Err(Fault::failed(format!("image `{}` has been removed", image.reference)).into());
        }
        // it need not survive a power cut: the mount does not either
        let temporary = path.with_extension("new");
        fs::write(&temporary, serde_json::to_vec(&lease)?)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn lease_path(&self, target: &Path) -> PathBuf {
        let name = Digest::of(target.as_os_str().as_encoded_bytes()).hex();
        self.leases().join(format!("{}.json", &name[..32]))
    }
}

/// The layers that mounted roots use. Leases that have ended are removed. The caller holds the store's lock.
pub(super) fn leased(leases: &Path) -> Result<BTreeSet<Digest>> {
    let boot = boot_id().context("cannot read the boot id")?;
    let mut layers = BTreeSet::new();
    let read =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(leases)?.map(|entry| entry.map(|entry| entry.path())).collect() };
    for path in read().with_context(|| format!("cannot list `{}`", leases.display()))? {
        let lease = fs::read(&path).ok().and_then(|content| serde_json::from_slice::<Lease>(&content).ok());
        match lease {
            Some(lease) if lease.boot == boot && lease.target.exists() => layers.extend(lease.layers),
            _ => drop(files::remove_file(&path)?),
        }
    }
    Ok(layers)
}

/// Mounts `layers`, lowest first, with `upper` on top.
fn overlay(layers: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> Result<()> {
    let empty;
    let layers = if layers.is_empty() {
        // overlayfs wants a lower directory
        empty = [work.with_file_name("empty")];
        files::make_directory(&empty[0], PRIVATE_DIRECTORY)?;
        &empty[..]
    } else {
        layers
    };
    // the upper directory is never indexed: several containers share the layers
    let index = if Path::new("/sys/module/overlay/parameters/index").exists() { ",index=off" } else { "" };
    let paths: Vec<PathBuf> = layers.iter().rev().cloned().chain([upper.to_owned(), work.to_owned()]).collect();
    // descriptors have short names without separators; kept open until the mount is done
    let mut open = Vec::new();
    let mut options = options(&paths, index);
    if options.is_none() {
        let mut short = Vec::new();
        for path in &paths {
            let directory = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
            short.push(PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())));
            open.push(directory);
        }
        options = self::options(&short, index);
    }
    let options = options.with_context(|| format!("{} layers are more than a mount can name", layers.len()))?;
    let mounted = mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    drop(open);
    mounted.map_err(|error| {
        let fault = Fault::failed(format!("cannot mount overlayfs at `{}`", target.display()));
        match error {
            Errno::ENODEV => fault.hint("this kernel has no overlayfs: try `modprobe overlay`"),
            Errno::EINVAL => fault.hint("`dmesg` tells why; the store's filesystem may not do for overlayfs"),
            _ => fault,
        }
        .because(error)
        .into()
    })
}

/// The option string for the lower directories, topmost first, and then the upper and the work directory. `None` if
/// it is too long, or a path holds a separator of the string.
fn options(paths: &[PathBuf], index: &str) -> Option<String> {
    let texts: Vec<&str> = paths.iter().map(|path| path.to_str()).collect::<Option<_>>()?;
    if texts.iter().any(|text| text.contains([':', ',', '\\'])) {
        return None;
    }
    let (lower, rest) = texts.split_at(texts.len() - 2);
    let text = format!("lowerdir={},upperdir={},workdir={}{index}", lower.join(":"), rest[0], rest[1]);
    (text.len() <= LONGEST_OPTIONS).then_some(text)
}
