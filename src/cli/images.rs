//! `bootstrap images`

pub mod progress;
pub mod pull;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Invocation;
use crate::error::{Fault, Result};
use crate::image::reference::Reference;
use crate::image::store::{Image, Store};
use crate::image::{archive, binary};

#[derive(Debug, Args)]
pub struct ImagesArgs {
    #[command(subcommand)]
    command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
enum ImagesCommand {
    /// List the images of this machine
    List {
        /// How to print them
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Pull images from their registries
    Pull(pull::PullArgs),
    /// Import archives: what `docker save`, `podman save` or `skopeo` wrote, or an OCI layout
    Import {
        /// A file, a directory, or `-` for the standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Name the image of an archive that holds one, whatever the archive says
        #[arg(long, value_name = "REF")]
        name: Option<Reference>,
    },
    /// Build an image from plain binaries and the shared libraries they need
    Build {
        /// The name of the image
        #[arg(value_name = "NAME")]
        name: Reference,
        /// An executable for `/usr/local/bin`; the first is the entrypoint
        #[arg(long = "binary", required = true, value_name = "PATH")]
        binaries: Vec<PathBuf>,
    },
    /// Remove images and what only they use
    Remove {
        /// References as `bootstrap images list` prints them
        #[arg(required = true, value_name = "REF")]
        references: Vec<Reference>,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

pub fn run(args: ImagesArgs, invocation: &Invocation) -> Result<()> {
    let store = Store::open(&invocation.layout);
    match args.command {
        ImagesCommand::List { output } => list(&store, output, invocation),
        ImagesCommand::Pull(args) => pull::run(args, invocation),
        ImagesCommand::Import { files, name } => {
            if name.is_some() && files.len() > 1 {
                return Err(Fault::usage("`--name` is for one file").into());
            }
            for file in &files {
                for image in archive::import(&store, file, name.as_ref())? {
                    print(&image, invocation);
                }
            }
            Ok(())
        }
        ImagesCommand::Build { name, binaries } => {
            print(&binary::build(&store, &name, &binaries)?, invocation);
            Ok(())
        }
        ImagesCommand::Remove { references } => remove(&store, &references),
    }
}

fn list(store: &Store, output: Output, invocation: &Invocation) -> Result<()> {
    let images = store.list()?;
    match output {
        Output::Table => {
            let row = |image: &Image| vec![image.reference.to_string(), image.id.short(), size(image.size)];
            let rows: Vec<_> = images.iter().map(row).collect();
            invocation.report.table(&["REFERENCE", "ID", "SIZE"], &rows);
            Ok(())
        }
        Output::Json => {
            let describe = |image: &Image| {
                json!({
                    "reference": image.reference.to_string(),
                    "id": image.id,
                    "repoDigest": image.repo_digest,
                    "size": image.size,
                    "config": image.config,
                })
            };
            invocation.report.json(&images.iter().map(describe).collect::<Vec<_>>())
        }
    }
}

/// Removes what there is, then says what there was not.
fn remove(store: &Store, references: &[Reference]) -> Result<()> {
    let mut missing = Vec::new();
    for reference in references {
        if !store.remove(reference)? {
            missing.push(format!("`{reference}`"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Fault::failed(format!("there is no image {}", missing.join(", ")))
        .hint("`bootstrap images list` shows all")
        .into())
}

fn print(image: &Image, invocation: &Invocation) {
    invocation.report.line(format!("{} {}", image.reference, image.id.short()));
}

/// In the units of thousand that image tools use.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (97_600_000, "97.6 MB"), (1 << 50, "1125.9 TB")]
        {
            assert_eq!(super::size(bytes), text);
        }
    }
}
