//! Builds an image from plain binaries and the shared libraries they need, without running any of them.
//!
//! The image has one layer: the binaries in `/usr/local/bin`, the libraries where the binaries' loader looks for them,
//! and the few files that programs expect. Nothing in it depends on the time or the directory it was made in, so the
//! same files give the same image.

pub mod elf;
pub mod libraries;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::{EntryType, Header};

use super::digest::{Digest, Hashing};
use super::manifest::Configuration;
use super::reference::Reference;
use super::staging::{Draft, Staging};
use super::store::{Image, Store};
use super::unpack::Limits;
use crate::error::{Context, Fault, Result};
use elf::Elf;

const BINARIES: &str = "/usr/local/bin";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n\
    nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// A member of the layer.
#[derive(Debug)]
enum Node {
    Directory(u32),
    Text(&'static str),
    /// An executable or a library, copied from the machine.
    Copy(PathBuf),
}

/// Builds an image whose entrypoint is the first binary, and puts it into the store. Blocks.
pub fn build(store: &Store, reference: &Reference, binaries: &[PathBuf]) -> Result<Image> {
    let build = || {
        let staging = Staging::new(store)?;
        let (nodes, search, architecture) = collect(binaries)?;
        let path = staging.path().join("layer.tar");
        write_layer(&path, &nodes)?;
        let configuration = configuration(binaries, &search, architecture, digest(&path)?)?;
        let parsed = Configuration::parse(&configuration)?;
        parsed.check_platform()?;
        let unpacked = staging.unpack(File::open(&path)?, &parsed.diff_ids[0], &Limits::default())?;
        let layer = staging.stack(unpacked, &[])?;
        let (references, layers) = ([reference.clone()], [layer]);
        let draft = Draft { references: &references, configuration: &configuration, digests: &[], layers: &layers };
        staging.commit(&draft)
    };
    build().with_context(|| format!("cannot build image `{reference}`"))
}

/// Everything that goes into the layer, where its loader must be told to look besides, and what it runs on.
fn collect(binaries: &[PathBuf]) -> Result<(BTreeMap<PathBuf, Node>, Vec<PathBuf>, &'static str)> {
    let mut nodes: BTreeMap<PathBuf, Node> = BTreeMap::new();
    for (path, mode) in [("/dev", 0o755), ("/proc", 0o755), ("/sys", 0o755), ("/root", 0o700), ("/tmp", 0o1777)] {
        nodes.insert(path.into(), Node::Directory(mode));
    }
    for (path, text) in [("/etc/passwd", PASSWD), ("/etc/group", GROUP), ("/etc/nsswitch.conf", NSSWITCH)] {
        nodes.insert(path.into(), Node::Text(text));
    }
    let (mut search, mut architecture) = (Vec::new(), None);
    for binary in binaries {
        let named = |error: anyhow::Error| error.context(format!("cannot use binary `{}`", binary.display()));
        let elf = Elf::read(binary).map_err(named)?;
        let its = elf.architecture().map_err(named)?;
        if architecture.is_some_and(|first| first != its) {
            return Err(Fault::usage("the binaries are for different machines").into());
        }
        architecture = Some(its);
        let name = binary.file_name().with_context(|| format!("`{}` is no file", binary.display()))?;
        let target = Path::new(BINARIES).join(name);
        let found = libraries::of(binary, &target, &elf).map_err(named)?;
        add(&mut nodes, target, binary)?;
        for (target, source) in found.files {
            add(&mut nodes, target, &source)?;
        }
        search.extend(found.search);
    }
    search.sort();
    search.dedup();
    let architecture = architecture.ok_or_else(|| Fault::usage("an image needs a binary"))?;
    Ok((nodes, search, architecture))
}

fn add(nodes: &mut BTreeMap<PathBuf, Node>, target: PathBuf, source: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()));
    match nodes.get(&target) {
        Some(Node::Copy(first)) if real(first)? == real(source)? => {}
        Some(_) => {
            let (source, target) = (source.display(), target.display());
            return Err(Fault::usage(format!("`{source}` would be a second `{target}` in the image")).into());
        }
        None => drop(nodes.insert(target, Node::Copy(source.to_owned()))),
    }
    Ok(())
}

fn write_layer(path: &Path, nodes: &BTreeMap<PathBuf, Node>) -> Result<()> {
    let mut all: BTreeMap<&Path, &Node> = nodes.iter().map(|(path, node)| (path.as_path(), node)).collect();
    for path in nodes.keys() {
        for parent in path.ancestors().skip(1) {
            all.entry(parent).or_insert(&Node::Directory(0o755));
        }
    }
    let file = File::create_new(path).with_context(|| format!("cannot make `{}`", path.display()))?;
    let mut tar = tar::Builder::new(BufWriter::with_capacity(128 * 1024, file));
    // parents come first: a path sorts after its prefix
    for (path, node) in all {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(if matches!(node, Node::Directory(_)) {
            EntryType::Directory
        } else {
            EntryType::Regular
        });
        let relative = path.strip_prefix("/").unwrap_or(path);
        let mut name = OsString::from("./");
        name.push(relative);
        let written = match node {
            Node::Directory(mode) => {
                header.set_mode(*mode);
                header.set_size(0);
                tar.append_data(&mut header, name, io::empty())
            }
            Node::Text(text) => {
                header.set_mode(0o644);
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, name, text.as_bytes())
            }
            Node::Copy(source) => File::open(source).and_then(|file| {
                let size = file.metadata()?.len();
                header.set_mode(0o755);
                header.set_size(size);
                // one that grows meanwhile would break the archive, one that shrinks is found by its digest
                tar.append_data(&mut header, name, file.take(size))
            }),
        };
        written.with_context(|| format!("cannot put `{}` into the layer", path.display()))?;
    }
    tar.into_inner().and_then(|mut file| file.flush()).with_context(|| format!("cannot write `{}`", path.display()))
}

fn digest(path: &Path) -> Result<Digest> {
    let mut file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    file.rewind()?;
    let mut hashing = Hashing::new(file, u64::MAX);
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(hashing.digest())
}

fn configuration(binaries: &[PathBuf], search: &[PathBuf], architecture: &str, layer: Digest) -> Result<Vec<u8>> {
    let text = |path: &Path| match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(anyhow::Error::from(Fault::usage(format!("`{}` is not UTF-8", path.display())))),
    };
    let entrypoint = text(&Path::new(BINARIES).join(binaries[0].file_name().unwrap_or_default()))?;
    let mut env = vec![PATH.to_owned()];
    if !search.is_empty() {
        let directories = search.iter().map(|path| text(path)).collect::<Result<Vec<_>>>()?;
        env.push(format!("LD_LIBRARY_PATH={}", directories.join(":")));
    }
    let epoch = "1970-01-01T00:00:00Z";
    Ok(serde_json::to_vec(&json!({
        "created": epoch,
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": env, "Entrypoint": [entrypoint], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created": epoch, "created_by": "bootstrap images build" }],
    }))?)
}

#[cfg(test)]
mod tests;
