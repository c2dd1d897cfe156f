//! Layers and images for the tests of this module.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;

use tar::{EntryType, Header};

use super::digest::Digest;
use super::manifest::Platform;
use super::reference::Reference;
use super::staging::{Draft, Layer, Staging};
use super::store::{Image, Store};
use super::unpack::Limits;
use crate::layout::Layout;

/// A tar whose paths are written as they are, however wrong.
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Tar(Vec::new())
    }

    pub(crate) fn header(kind: EntryType, path: &[u8], mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        header
    }

    pub(crate) fn raw(mut self, header: &Header, content: &[u8]) -> Self {
        let mut header = header.clone();
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.file_with(path, content, 0o644)
    }

    pub(crate) fn file_with(self, path: &str, content: &[u8], mode: u32) -> Self {
        let mut header = Tar::header(EntryType::Regular, path.as_bytes(), mode);
        header.set_size(content.len() as u64);
        self.raw(&header, content)
    }

    pub(crate) fn directory(self, path: &str, mode: u32) -> Self {
        self.raw(&Tar::header(EntryType::Directory, path.as_bytes(), mode), b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    pub(crate) fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        let mut header = Tar::header(kind, path.as_bytes(), 0o777);
        header.set_link_name_literal(target).unwrap();
        self.raw(&header, b"")
    }

    /// An extended header for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length).unwrap();
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        let mut header = Tar::header(EntryType::XHeader, b"pax", 0o644);
        header.set_size(content.len() as u64);
        self.raw(&header, &content)
    }

    /// Without the two blocks of zeros that end an archive.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn configuration(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    serde_json::to_vec(&serde_json::json!({
        "os": "linux", "architecture": Platform::this().architecture,
        "config": {"Entrypoint": ["/bin/a"], "Env": ["A=1"], "User": "65532", "StopSignal": "SIGINT"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
    .unwrap()
}

pub(crate) fn store(directory: &Path) -> Store {
    Store::open(&Layout::new(directory))
}

/// Unpacks `layers` on top of one another.
pub(crate) fn stack(staging: &Staging, layers: &[Vec<u8>]) -> Vec<Layer> {
    let mut stacked: Vec<Layer> = Vec::new();
    for (layer, chain) in layers.iter().zip(Digest::chains(&layers.iter().map(|it| Digest::of(it)).collect::<Vec<_>>()))
    {
        let next = match staging.find(&chain).unwrap() {
            Some(layer) => layer,
            None => {
                let unpacked = staging.unpack(&layer[..], &Digest::of(layer), &Limits::default()).unwrap();
                staging.stack(unpacked, &stacked).unwrap()
            }
        };
        stacked.push(next);
    }
    stacked
}

pub(crate) fn add(store: &Store, reference: &str, layers: &[Vec<u8>]) -> Image {
    let staging = Staging::new(store).unwrap();
    let references: [Reference; 1] = [reference.parse().unwrap()];
    let (stacked, configuration) = (stack(&staging, layers), configuration(layers));
    staging
        .commit(&Draft { references: &references, configuration: &configuration, digests: &[], layers: &stacked })
        .unwrap()
}
