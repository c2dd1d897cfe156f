//! What the commands for certificates know: from `--config`, else from the cluster, else nothing in particular.

use super::SourceArgs;
use crate::cli::Invocation;
use crate::cli::config::read_config;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::desired::renewal::Settings;
use crate::error::{Context, Fault, Result, chain_of};
use crate::host::{cluster, facts};

/// `--cert-dir` has the last word about the directory.
pub(in crate::cli) async fn settings(args: &SourceArgs, invocation: &Invocation) -> Result<Settings> {
    let mut settings = match &args.config {
        Some(path) => {
            let facts = facts::gather(&invocation.layout)?;
            let config = resolve(&Flags::default(), Some(read_config(path)?), &facts).map_err(Fault::from)?;
            Settings::of(&config)
        }
        None => {
            let asked = async { Settings::of_cluster(&cluster::configuration(&invocation.layout).await?) };
            asked.await.unwrap_or_else(|error| {
                let reason = chain_of(&error);
                let told = "the cluster does not tell its configuration, kubeadm's defaults are assumed";
                invocation.report.note(format!("{told}: {reason}"));
                Settings::default()
            })
        }
    };
    if let Some(directory) = &args.cert_dir {
        settings.certificates_dir = std::path::absolute(directory).context("cannot make `--cert-dir` absolute")?;
    }
    Ok(settings)
}
