//! A layer's tar (plain, gzip or zstd) becomes a directory.
//!
//! The stream is hostile until its digest has been compared: it is limited in bytes, entries and header sizes, and
//! written through [`Tree`], which leaves its directory on no path. Owners, modes (with setuid), times and the
//! attributes of [`tree::is_kept`] are kept. Device nodes are left out: a container gets its `/dev` from the runtime,
//! and a node in the store would be a way to the machine's disks. The removed names of the layers below are kept for
//! overlayfs. Unpacking is sequential and uses a bounded amount of memory.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use nix::sys::time::TimeSpec;
use tar::EntryType;

use super::digest::{Digest, Hashing};
use super::tree::{self, EntryPath, Metadata, OPAQUE, Tree, WHITEOUT, read_fault};
use crate::error::{Context, Fault, Result};

/// What a layer may take at most. Far above any image in use, far below what fills a machine's memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the tar, and bytes written.
    pub bytes: u64,
    pub entries: u64,
    /// Bytes of the paths of all entries: directories are remembered until the end.
    pub names: u64,
    /// Bytes of one entry's headers, which are held in memory.
    pub header: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 64 << 30, entries: 2_000_000, names: 256 << 20, header: 1 << 20 }
    }
}

/// What came of a layer.
#[derive(Debug)]
pub struct Unpacked {
    pub diff_id: Digest,
    /// Bytes of the files' contents.
    pub size: u64,
    /// Directories without an entry of their own; see [`tree::inherit`].
    pub implicit: Vec<EntryPath>,
}

/// Unpacks `layer` into the empty directory `target`. Whatever error comes, the caller removes the directory.
pub fn unpack(layer: impl Read, target: &Path, limits: &Limits) -> Result<Unpacked> {
    let mut tar = Hashing::new(decompress(layer)?, limits.bytes);
    let headers = Rc::new(Cell::new(0));
    let mut writer = Writer { tree: Tree::open(target)?, limits, size: 0, entries: 0, names: 0, root_seen: false };
    {
        // some writers leave the final padding out, which Go's reader forgives and this one does not
        let padded = (&mut tar).chain(io::repeat(0).take(4096));
        let mut archive = tar::Archive::new(Budget { inner: padded, left: Rc::clone(&headers) });
        let mut entries = archive.entries()?;
        loop {
            headers.set(limits.header);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(read_fault).context("cannot read the next entry")?;
            headers.set(u64::MAX);
            let path = EntryPath::new(&entry.path_bytes())?;
            writer
                .entry(&path, &mut entry)
                .with_context(|| format!("cannot unpack entry {} `{}`", writer.entries, path.as_path().display()))?;
            io::copy(&mut entry, &mut io::sink()).map_err(read_fault)?;
        }
    }
    // what follows the archive belongs to the digest
    io::copy(&mut tar, &mut io::sink()).map_err(read_fault).context("cannot read the end of the layer")?;
    let root_seen = writer.root_seen;
    let mut implicit = writer.tree.finish()?;
    if !root_seen {
        implicit.push(EntryPath::new(b"")?);
    }
    Ok(Unpacked { diff_id: tar.digest(), size: writer.size, implicit })
}

/// Recognises the compression by its first bytes: media types are often wrong, and archives have none.
pub fn decompress<'a>(layer: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let mut layer = BufReader::with_capacity(128 * 1024, layer);
    let first = layer.fill_buf().map_err(read_fault).context("cannot read the beginning")?;
    if first.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(layer)));
    }
    if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(zstd::stream::read::Decoder::with_buffer(layer)?));
    }
    Ok(Box::new(layer))
}

/// Lets `left` bytes through: the tar reader holds an entry's long name and attributes in memory, whatever their size.
struct Budget<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        match self.left.get().checked_sub(length as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("the headers of an entry are too large")),
        }
        Ok(length)
    }
}

struct Writer<'a> {
    tree: Tree,
    limits: &'a Limits,
    size: u64,
    entries: u64,
    names: u64,
    root_seen: bool,
}

impl Writer<'_> {
    fn entry<R: Read>(&mut self, path: &EntryPath, entry: &mut tar::Entry<'_, R>) -> Result<()> {
        self.entries += 1;
        self.names += path.as_path().as_os_str().len() as u64;
        if self.entries > self.limits.entries || self.names > self.limits.names {
            return Err(Fault::usage("the layer has too many entries").into());
        }
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        if let Some(removed) = path.name().and_then(|name| name.as_bytes().strip_prefix(WHITEOUT.as_bytes())) {
            return self.removal(path, removed);
        }
        let metadata = metadata(entry)?;
        let is_directory = kind.is_dir() || (kind.is_file() && entry.path_bytes().ends_with(b"/"));
        match kind {
            _ if is_directory => {
                self.root_seen |= path.name().is_none();
                self.tree.directory(path, &metadata)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                // a sparse file is larger than what is read for it
                let left = self.limits.bytes.saturating_sub(self.size);
                let written = self.tree.file(path, &metadata, &mut entry.take(left.saturating_add(1)))?;
                self.size += written;
                if written > left {
                    return Err(Fault::usage(format!("the layer is larger than {} bytes", self.limits.bytes)).into());
                }
                Ok(())
            }
            EntryType::Symlink => self.tree.symlink(path, &metadata, &link_target(entry)?),
            EntryType::Link => self.tree.hard_link(path, &EntryPath::new(&link_target(entry)?)?),
            EntryType::Fifo => self.tree.fifo(path, &metadata),
            EntryType::Char | EntryType::Block => {
                tracing::debug!(path = %path.as_path().display(), "a device node of the image is left out");
                Ok(())
            }
            other => {
                Err(Fault::usage(format!("entries of type {:?} are not supported", other.as_byte() as char)).into())
            }
        }
    }

    fn removal(&mut self, path: &EntryPath, removed: &[u8]) -> Result<()> {
        if path.name() == Some(OsStr::new(OPAQUE)) {
            return self.tree.opaque(&path.parent());
        }
        if removed.starts_with(WHITEOUT.as_bytes()) {
            // other `.wh..wh.` files are aufs's own bookkeeping
            return Ok(());
        }
        if matches!(removed, b"" | b"." | b"..") {
            return Err(Fault::usage("it removes no name").into());
        }
        self.tree.whiteout(&path.parent().join(OsStr::from_bytes(removed)))
    }
}

fn link_target<R: Read>(entry: &tar::Entry<'_, R>) -> Result<Vec<u8>> {
    match entry.link_name_bytes() {
        Some(target) if !target.is_empty() && !target.contains(&0) => Ok(target.into_owned()),
        _ => Err(Fault::usage("it is a link to nothing").into()),
    }
}

fn metadata<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Metadata> {
    let header = entry.header();
    let fields = header.as_old();
    let number = |field: &[u8], read: &dyn Fn() -> io::Result<u64>| {
        // an empty field is 0, as for Go
        if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { read().map_err(read_fault) }
    };
    let id = |id: u64| match u32::try_from(id) {
        // the last one means "unchanged" to the kernel
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(anyhow::Error::from(Fault::usage(format!("{id} is no user or group")))),
    };
    let seconds = i64::try_from(number(&fields.mtime, &|| header.mtime())?).unwrap_or(0);
    let mut metadata = Metadata {
        mode: (number(&fields.mode, &|| header.mode().map(u64::from))? & 0o7777) as u32,
        uid: id(number(&fields.uid, &|| header.uid())?)?,
        gid: id(number(&fields.gid, &|| header.gid())?)?,
        modified: TimeSpec::new(seconds, 0),
        attributes: Vec::new(),
    };
    for extension in entry.pax_extensions().map_err(read_fault)?.into_iter().flatten() {
        let extension = extension.map_err(read_fault)?;
        let key = extension.key_bytes();
        if key == b"mtime" {
            metadata.modified = pax_time(extension.value_bytes()).unwrap_or(metadata.modified);
        } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.")
            && tree::is_kept(name)
        {
            metadata.attributes.push((OsStr::from_bytes(name).to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(metadata)
}

/// `seconds` or `seconds.fraction`.
fn pax_time(value: &[u8]) -> Option<TimeSpec> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanoseconds): (i64, i64) = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
    // a time before 1970 with a fraction is not worth the borrow
    Some(TimeSpec::new(seconds, if seconds < 0 { 0 } else { nanoseconds }))
}

#[cfg(test)]
mod tests;
