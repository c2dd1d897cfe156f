//! Imports what `docker save`, `podman save`, `ctr images export` and `skopeo` write: Docker archives and OCI layouts,
//! as a tar, a compressed tar or a directory.
//!
//! Everything in an archive is hostile until a digest says otherwise: its configuration must be the one that is named,
//! its layers the ones that the configuration names. Nothing of it is written but what [`super::unpack`] lets through.

pub mod contents;

use std::path::Path;

use serde::Deserialize;

use super::digest::Digest;
use super::manifest::{Configuration, Descriptor, LARGEST_DOCUMENT, Manifest, Platform, choose};
use super::reference::Reference;
use super::staging::{Draft, Staging};
use super::store::{Image, Store};
use super::unpack::Limits;
use crate::error::{Context, Fault, Result};
use contents::Contents;

/// Where an image stands in an archive.
#[derive(Debug)]
struct Found {
    references: Vec<Reference>,
    /// Of the index and of the manifest.
    digests: Vec<Digest>,
    configuration: Vec<u8>,
    /// Names of the layers' files, lowest first.
    layers: Vec<String>,
}

/// Imports every image of an archive that this machine can run. `path` is a file, a directory, or `-` for the
/// standard input; `name` names the image of an archive that holds one, whatever the archive says. Blocks.
pub fn import(store: &Store, path: &Path, name: Option<&Reference>) -> Result<Vec<Image>> {
    let staging = Staging::new(store)?;
    import_with(&staging, path, name).with_context(|| format!("cannot import `{}`", path.display()))
}

fn import_with(staging: &Staging, path: &Path, name: Option<&Reference>) -> Result<Vec<Image>> {
    let contents = Contents::open(path, staging.path())?;
    let mut found = match layout(&contents)? {
        Some(found) => found,
        None => docker_archive(&contents)?.ok_or_else(|| {
            Fault::usage("it is no image archive: it has neither an `index.json` nor a `manifest.json`")
                .hint("`docker save`, `podman save` and `skopeo copy` write image archives, `docker export` does not")
        })?,
    };
    match (name, &mut found[..]) {
        (_, []) => return Err(Fault::usage(format!("it has no image for {}", Platform::this())).into()),
        (Some(name), [only]) => only.references = vec![name.clone()],
        (Some(_), several) => {
            return Err(Fault::usage(format!("it has {} images, and one name cannot be for all", several.len())).into());
        }
        (None, _) => {}
    }
    if found.iter().all(|image| image.references.is_empty()) {
        return Err(Fault::usage("its image has no name").hint("give it one with `--name`").into());
    }
    let named = found.iter().filter(|image| !image.references.is_empty());
    named.map(|image| add(staging, &contents, image)).collect()
}

fn add(staging: &Staging, contents: &Contents, image: &Found) -> Result<Image> {
    let configuration = Configuration::parse(&image.configuration)?;
    configuration.check_platform()?;
    if image.layers.len() != configuration.diff_ids.len() {
        let (listed, configured) = (image.layers.len(), configuration.diff_ids.len());
        return Err(Fault::usage(format!("it lists {listed} layers, its configuration {configured}")).into());
    }
    let mut stacked = Vec::new();
    let chains = Digest::chains(&configuration.diff_ids);
    for ((name, diff_id), chain) in image.layers.iter().zip(&configuration.diff_ids).zip(&chains) {
        let layer = match staging.find(chain)? {
            Some(layer) => layer,
            None => {
                let unpacked = staging.unpack(contents.get(name)?, diff_id, &Limits::default());
                staging.stack(unpacked.with_context(|| format!("cannot unpack layer `{name}`"))?, &stacked)?
            }
        };
        stacked.push(layer);
    }
    staging.commit(&Draft {
        references: &image.references,
        configuration: &image.configuration,
        digests: &image.digests,
        layers: &stacked,
    })
}

/// The images of an OCI layout; `None` if it is none, or one whose images only `manifest.json` names.
fn layout(contents: &Contents) -> Result<Option<Vec<Found>>> {
    let (Some(_), Some(index)) = (contents.find("oci-layout")?, contents.document("index.json", LARGEST_DOCUMENT)?)
    else {
        return Ok(None);
    };
    let Manifest::Index(entries) = Manifest::parse(&index).context("cannot read `index.json`")? else {
        return Err(Fault::usage("`index.json` is no index").into());
    };
    let this = Platform::this();
    let mut found = Vec::new();
    for entry in &entries {
        let runs = choose(std::slice::from_ref(entry), &this).is_ok();
        if !runs || entry.annotation("vnd.docker.reference.type").is_some() {
            continue;
        }
        let (mut digests, mut manifest) = (vec![entry.digest], Manifest::parse(&blob(contents, entry)?)?);
        if let Manifest::Index(inner) = &manifest {
            let entry = choose(inner, &this)?;
            digests.push(entry.digest);
            manifest = Manifest::parse(&blob(contents, entry)?)?;
        }
        let Manifest::Image(manifest) = manifest else {
            return Err(Fault::usage("an index in it names another index").into());
        };
        found.push(Found {
            references: name_of(entry)?.into_iter().collect(),
            digests,
            configuration: blob(contents, &manifest.config)?,
            layers: manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        });
    }
    let named_elsewhere =
        found.iter().all(|image| image.references.is_empty()) && contents.find("manifest.json")?.is_some();
    Ok((!named_elsewhere).then_some(found))
}

/// containerd and Docker annotate the whole name, Podman and skopeo write it as the reference's name; buildkit writes
/// only a tag there, which names nothing.
fn name_of(entry: &Descriptor) -> Result<Option<Reference>> {
    let whole = entry.annotation("io.containerd.image.name");
    let named = entry.annotation("org.opencontainers.image.ref.name").filter(|name| name.contains(['/', ':']));
    whole.or(named).map(|name| name.parse().map_err(|error| Fault::usage(format!("{error}")).into())).transpose()
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A document of the layout, verified.
fn blob(contents: &Contents, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let path = blob_path(&descriptor.digest);
    let content = contents.document(&path, LARGEST_DOCUMENT)?;
    let content = content.ok_or_else(|| Fault::usage(format!("`{path}` is missing in it")))?;
    verified(&path, content, &descriptor.digest)
}

fn verified(path: &str, content: Vec<u8>, digest: &Digest) -> Result<Vec<u8>> {
    match Digest::of(&content) {
        actual if actual == *digest => Ok(content),
        actual => Err(Fault::usage(format!("the content of `{path}` is `{actual}`")).into()),
    }
}

/// The images of a Docker archive; `None` if it is none.
fn docker_archive(contents: &Contents) -> Result<Option<Vec<Found>>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        config: String,
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
    }
    let Some(manifest) = contents.document("manifest.json", LARGEST_DOCUMENT)? else { return Ok(None) };
    let entries: Vec<Entry> = serde_json::from_slice(&manifest)
        .map_err(|error| Fault::usage("`manifest.json` is not that of an image archive").because(error))?;
    let mut found = Vec::new();
    for entry in entries {
        let content = contents.document(&entry.config, LARGEST_DOCUMENT)?;
        let mut configuration = content.ok_or_else(|| Fault::usage(format!("`{}` is missing in it", entry.config)))?;
        let file = entry.config.rsplit('/').next().unwrap_or_default();
        if let Some(digest) = Digest::from_hex(file.trim_end_matches(".json")) {
            configuration = verified(&entry.config, configuration, &digest)?;
        }
        let references = entry.repo_tags.unwrap_or_default().iter().map(|tag| tag.parse()).collect::<Result<_, _>>();
        found.push(Found {
            references: references
                .map_err(|error: super::reference::InvalidReference| Fault::usage(error.to_string()))?,
            digests: Vec::new(),
            configuration,
            layers: entry.layers,
        });
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests;
