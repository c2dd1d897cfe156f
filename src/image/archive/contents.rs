//! The files in an archive: a tar, a compressed tar, or a directory, read at random and never unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use tar::EntryType;

use crate::error::{Context, Fault, Result};
use crate::image::tree::{EntryPath, open_beneath, read_fault};
use crate::image::unpack::decompress;

/// A `docker save` of all images of a machine has some thousands.
const MOST_MEMBERS: usize = 100_000;
/// Bytes of a compressed archive once it is decompressed.
const LARGEST_ARCHIVE: u64 = 256 << 30;
/// Bytes that the headers of one member may take in memory.
const LARGEST_HEADER: u64 = 1 << 20;
/// Old archives name a layer that two images share by one link.
const MOST_LINKS: usize = 8;

/// An archive that is open for reading.
#[derive(Debug)]
pub enum Contents {
    Tar { file: File, members: BTreeMap<PathBuf, Member> },
    Directory(File),
}

#[derive(Debug)]
pub enum Member {
    Data {
        offset: u64,
        size: u64,
    },
    /// Another member, by its path in the archive.
    Link(PathBuf),
}

impl Contents {
    /// Opens a file or a directory; `-` is the standard input. What is compressed or cannot be read at random goes to
    /// a file in `scratch` first.
    pub fn open(path: &Path, scratch: &Path) -> Result<Contents> {
        if path == Path::new("-") {
            return Contents::tar(spool(io::stdin().lock(), scratch)?);
        }
        let mut file = File::open(path)
            .map_err(|error| Fault::usage(format!("cannot open `{}`", path.display())).because(error))?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Ok(Contents::Directory(file));
        }
        let mut first = [0; 4];
        let seekable = metadata.is_file() && file.read(&mut first).is_ok() && file.rewind().is_ok();
        let compressed = first.starts_with(&[0x1f, 0x8b]) || first == [0x28, 0xb5, 0x2f, 0xfd];
        if !seekable || compressed {
            return Contents::tar(spool(file, scratch)?);
        }
        Contents::tar(file)
    }

    fn tar(file: File) -> Result<Contents> {
        let length = file.metadata()?.len();
        let mut members = BTreeMap::new();
        let mut archive = tar::Archive::new(Headers { file: &file, left: LARGEST_HEADER.into() });
        // the reader cannot be reached while it is iterated over, so the budget is renewed by each seek
        let entries = archive.entries_with_seek().map_err(read_fault)?;
        for entry in entries {
            // the reader's words would show what is in a file that is none
            let entry = entry.map_err(|error| match error.raw_os_error() {
                _ if error.kind() == io::ErrorKind::FileTooLarge => {
                    Fault::usage("the headers of a member are too large").into()
                }
                None => anyhow::Error::from(Fault::usage("it is no tar archive, or a damaged one")),
                Some(_) => error.into(),
            })?;
            let path = EntryPath::new(&entry.path_bytes())?;
            let link = || entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
            let member = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let (offset, size) = (entry.raw_file_position(), entry.size());
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        let path = path.as_path().display();
                        return Err(Fault::usage(format!("the archive ends within `{path}`")).into());
                    }
                    Member::Data { offset, size }
                }
                EntryType::Symlink => Member::Link(resolve(path.parent().as_path(), &link())?),
                EntryType::Link => Member::Link(EntryPath::new(&link())?.as_path().to_owned()),
                _ => continue,
            };
            members.insert(path.as_path().to_owned(), member);
            if members.len() > MOST_MEMBERS {
                return Err(Fault::usage(format!("it has more than {MOST_MEMBERS} members")).into());
            }
        }
        Ok(Contents::Tar { file, members })
    }

    /// The content of a file; `None` when there is none of this name.
    pub fn find(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>> {
        let path = EntryPath::new(name.as_bytes())?;
        match self {
            Contents::Tar { file, members } => {
                let mut at = path.as_path();
                for _ in 0..=MOST_LINKS {
                    match members.get(at) {
                        None => return Ok(None),
                        Some(Member::Link(target)) => at = target,
                        Some(Member::Data { offset, size }) => {
                            return Ok(Some(Box::new(Range { file, at: *offset, end: offset + size })));
                        }
                    }
                }
                Err(Fault::usage(format!("`{name}` is a link in a circle")).into())
            }
            Contents::Directory(root) => {
                let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                let open = || {
                    let parent = open_beneath(root, &path.parent())?;
                    openat(&parent, path.name().ok_or(Errno::EISDIR)?, flags, Mode::empty())
                };
                match open() {
                    Ok(descriptor) => {
                        let file = File::from(descriptor);
                        if !file.metadata()?.is_file() {
                            return Err(Fault::usage(format!("`{name}` is no file")).into());
                        }
                        Ok(Some(Box::new(file)))
                    }
                    Err(Errno::ENOENT) => Ok(None),
                    Err(error @ (Errno::ELOOP | Errno::ENOTDIR | Errno::EISDIR)) => {
                        Err(Fault::usage(format!("`{name}` is no file")).because(error).into())
                    }
                    Err(error) => Err(error).with_context(|| format!("cannot open `{name}`")),
                }
            }
        }
    }

    /// The content of a file that the archive itself names.
    pub fn get(&self, name: &str) -> Result<Box<dyn Read + '_>> {
        self.find(name)?.ok_or_else(|| Fault::usage(format!("`{name}` is missing in it")).into())
    }

    /// A whole document of at most `limit` bytes; `None` when there is none of this name.
    pub fn document(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.find(name)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content).with_context(|| format!("cannot read `{name}`"))?;
        if content.len() as u64 > limit {
            return Err(Fault::usage(format!("`{name}` is larger than {limit} bytes")).into());
        }
        Ok(Some(content))
    }
}

/// Where a symbolic link in `directory` leads, by the names alone.
fn resolve(directory: &Path, target: &[u8]) -> Result<PathBuf> {
    let mut path = directory.to_owned();
    for component in Path::new(std::ffi::OsStr::from_bytes(target)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => {
                let target = String::from_utf8_lossy(target);
                return Err(Fault::usage(format!("a link to `{target}` leaves the archive")).into());
            }
        }
    }
    Ok(path)
}

fn spool(compressed: impl Read, scratch: &Path) -> Result<File> {
    let mut file = tempfile::tempfile_in(scratch).context("cannot make a temporary file")?;
    let written = io::copy(&mut decompress(compressed)?.take(LARGEST_ARCHIVE + 1), &mut file).map_err(read_fault);
    if written.context("cannot decompress it")? > LARGEST_ARCHIVE {
        return Err(Fault::usage(format!("it is larger than {LARGEST_ARCHIVE} bytes")).into());
    }
    file.rewind()?;
    Ok(file)
}

/// Reads headers, a bounded number of bytes between two seeks: long names are held in memory.
struct Headers<'a> {
    file: &'a File,
    left: std::cell::Cell<u64>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        let left = self.left.get().checked_sub(length as u64);
        self.left.set(left.ok_or(io::ErrorKind::FileTooLarge)?);
        Ok(length)
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.left.set(LARGEST_HEADER);
        self.file.seek(to)
    }
}

/// A part of a file, with a position of its own.
struct Range<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}
