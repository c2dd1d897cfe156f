//! `bootstrap images pull`

use std::path::PathBuf;

use clap::Args;

use super::progress::Shown;
use crate::cli::Invocation;
use crate::error::{Context, Result};
use crate::image::policy::PullPolicy;
use crate::image::pull::Puller;
use crate::image::reference::Reference;
use crate::image::registry::credentials::Credentials;
use crate::image::registry::settings::{Mirror, Registries};
use crate::image::store::Store;
use crate::layout::Layout;

#[derive(Debug, Args)]
pub struct PullArgs {
    /// References such as `registry.k8s.io/pause:3.10`; without a registry Docker Hub is meant
    #[arg(required = true, value_name = "REF")]
    references: Vec<Reference>,
    #[command(flatten)]
    registries: RegistryArgs,
}

/// Flags of every command that pulls; they add to `/etc/bootstrap/registries.yaml`.
#[derive(Debug, Default, Args)]
pub struct RegistryArgs {
    /// Ask HOST (`host[:port][/path]`) before REGISTRY; `*` is any registry without mirrors of its own
    #[arg(long = "mirror", value_name = "REGISTRY=HOST", value_parser = mirror)]
    mirrors: Vec<(String, Mirror)>,
    /// Speak plain HTTP to HOST
    #[arg(long = "plain-http", value_name = "HOST")]
    plain_http: Vec<String>,
    /// Trust the certificate authorities in FILE (PEM) besides the machine's own
    #[arg(long = "ca-file", value_name = "FILE")]
    ca_files: Vec<PathBuf>,
}

impl RegistryArgs {
    /// The settings of the instance with those of the command line.
    pub fn settings(&self, layout: &Layout) -> Result<Registries> {
        let mut settings = Registries::load(layout)?;
        let mut own = Registries {
            plain_http: self.plain_http.iter().cloned().collect(),
            ca_files: self.ca_files.clone(),
            ..Registries::default()
        };
        for (registry, mirror) in &self.mirrors {
            own.mirrors.entry(registry.clone()).or_default().push(mirror.clone());
        }
        settings.extend(own);
        Ok(settings)
    }
}

fn mirror(text: &str) -> Result<(String, Mirror), String> {
    match text.split_once('=') {
        Some((registry, host)) if !registry.is_empty() => Ok((registry.to_owned(), host.parse()?)),
        _ => Err("it must have the form `REGISTRY=HOST`".to_owned()),
    }
}

pub fn run(args: PullArgs, invocation: &Invocation) -> Result<()> {
    pull(&args.references, PullPolicy::Always, &args.registries, invocation)
}

/// Pulls one image after the other and prints each.
pub fn pull(
    references: &[Reference],
    policy: PullPolicy,
    registries: &RegistryArgs,
    invocation: &Invocation,
) -> Result<()> {
    let layout = &invocation.layout;
    let puller = Puller::new(Store::open(layout), registries.settings(layout)?, Credentials::of_user(layout));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        for reference in references {
            let progress = Shown::new(&invocation.report);
            let image = puller.ensure(reference, policy, &progress).await?;
            drop(progress);
            super::print(&image, invocation);
        }
        Ok(())
    })
}
