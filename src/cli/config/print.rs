//! `bootstrap config print`

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::read_config;
use crate::cli::Invocation;
use crate::cli::init::flags::ConfigFlags;
use crate::config::TokenSource;
use crate::config::facts::Facts;
use crate::config::resolve::resolve;
use crate::desired::config_file::{self, ComponentKind};
use crate::error::{Fault, Result};
use crate::host::facts;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct PrintArgs {
    #[command(subcommand)]
    command: Option<PrintCommand>,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Debug, Subcommand)]
enum PrintCommand {
    /// Print a file to start from: kubeadm's defaults, with placeholders for what depends on the machine
    InitDefaults {
        /// Defaults to print besides
        #[arg(long, value_name = "KIND", value_delimiter = ',')]
        component_configs: Vec<Kind>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Kind {
    KubeletConfiguration,
    KubeProxyConfiguration,
}

impl Kind {
    fn component(self) -> ComponentKind {
        match self {
            Kind::KubeletConfiguration => ComponentKind::Kubelet,
            Kind::KubeProxyConfiguration => ComponentKind::KubeProxy,
        }
    }
}

pub(super) fn run(args: PrintArgs, invocation: &Invocation) -> Result<()> {
    let report = &invocation.report;
    if let Some(PrintCommand::InitDefaults { component_configs }) = args.command {
        let components: Vec<_> = component_configs.into_iter().map(Kind::component).collect();
        let text = config_file::init_defaults(&Facts::placeholder(Timestamp::now()), &components)?;
        report.line(text.trim_end());
        return Ok(());
    }
    let file = args.config.file.as_deref().map(read_config).transpose()?;
    let facts = facts::gather(&invocation.layout)?;
    let config = resolve(&args.config.to_flags(), file, &facts).map_err(Fault::from)?;
    for warning in &config.warnings {
        report.warning(warning);
    }
    for (index, token) in config.bootstrap_tokens.iter().enumerate() {
        if token.source == TokenSource::Generated {
            report.note(format!("bootstrapTokens[{index}].token: nobody named one; every `init` makes another"));
        }
    }
    report.line(config_file::resolved(&config)?.trim_end());
    Ok(())
}
