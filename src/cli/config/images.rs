//! `bootstrap config images`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::read_config;
use crate::cli::Invocation;
use crate::cli::images::pull::{self, RegistryArgs};
use crate::config::Config;
use crate::config::facts::Facts;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::desired::{config_file, image_list, manifest};
use crate::error::{Fault, Result};
use crate::image::reference::Reference;

#[derive(Debug, Args)]
pub(super) struct ConfigImagesArgs {
    #[command(subcommand)]
    command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
enum ImagesCommand {
    /// List every image that the cluster runs on some node
    List {
        #[command(flatten)]
        cluster: ClusterFlags,
        /// How to print them
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Pull those that this node runs, as init would
    Pull {
        #[command(flatten)]
        cluster: ClusterFlags,
        #[command(flatten)]
        registries: RegistryArgs,
    },
}

/// What images depend on.
#[derive(Debug, Args)]
struct ClusterFlags {
    /// Configuration file (kubeadm.k8s.io/v1beta4)
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Feature gates
    #[arg(long, value_name = "A=true,B=false")]
    feature_gates: Option<String>,
    /// Registry and path of the images [default: registry.k8s.io]
    #[arg(long, value_name = "REPOSITORY")]
    image_repository: Option<String>,
    /// Version of the control plane [default: v1.36.2]
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
    Yaml,
}

pub(super) fn run(args: ConfigImagesArgs, invocation: &Invocation) -> Result<()> {
    match args.command {
        ImagesCommand::List { cluster, output } => list(&cluster.resolve(invocation)?, output, invocation),
        ImagesCommand::Pull { cluster, registries } => pull(&cluster.resolve(invocation)?, &registries, invocation),
    }
}

impl ClusterFlags {
    fn resolve(self, invocation: &Invocation) -> Result<Config> {
        let file = self.file.as_deref().map(read_config).transpose()?;
        let flags = Flags {
            feature_gates: self.feature_gates,
            image_repository: self.image_repository,
            kubernetes_version: self.kubernetes_version,
            ..Flags::default()
        };
        let config = resolve(&flags, file, &Facts::placeholder(Timestamp::now())).map_err(Fault::from)?;
        for warning in &config.warnings {
            invocation.report.warning(warning);
        }
        Ok(config)
    }
}

fn list(config: &Config, output: Output, invocation: &Invocation) -> Result<()> {
    let images = image_list::images(config);
    let list = json!({ "kind": "Images", "apiVersion": "output.kubeadm.k8s.io/v1alpha3", "images": images });
    match output {
        Output::Text => invocation.report.line(images.join("\n")),
        Output::Json => invocation.report.json(&list)?,
        Output::Yaml => invocation.report.line(config_file::to_yaml(&list)?.trim_end()),
    }
    Ok(())
}

/// What only other nodes run, and what nobody runs here, is left to them and named.
fn pull(config: &Config, registries: &RegistryArgs, invocation: &Invocation) -> Result<()> {
    let needed = manifest::images(config);
    let references: Vec<Reference> = needed.iter().map(|image| image.parse()).collect::<Result<_, _>>()?;
    pull::pull(&references, config.node.image_pull_policy, registries, invocation)?;
    for image in image_list::images(config).iter().filter(|image| !needed.contains(image)) {
        invocation.report.note(format!("not pulled, for no pod of this node runs it: {image}"));
    }
    Ok(())
}
