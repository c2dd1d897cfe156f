//! `bootstrap certs`: kubeadm's commands for certificates [9.4].

mod check_expiration;
mod generate_csr;
mod renew;
mod source;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Invocation;
use crate::error::{Fault, Result};
use crate::host::keys;
use crate::preflight;
use crate::release::SOURCE_DATE;

pub(super) use source::settings;

#[derive(Debug, Args)]
pub struct CertsArgs {
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Debug, Subcommand)]
enum CertsCommand {
    /// Show when every certificate expires, and what is wrong with it
    CheckExpiration(check_expiration::CheckExpirationArgs),
    /// Renew one certificate or all, and restart the pods that read them
    Renew(renew::RenewArgs),
    /// Make keys and certificate signing requests, for somebody else to sign
    GenerateCsr(generate_csr::GenerateCsrArgs),
    /// Print a random key for certificates that are uploaded
    CertificateKey,
}

/// Where the certificates are, and what is known of them besides.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Configuration file (kubeadm.k8s.io/v1beta4) [default: the cluster's own configuration, if it answers]
    #[arg(long = "config", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where certificates are [default: as configured, /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    pub(super) cert_dir: Option<PathBuf>,
}

pub fn run(args: CertsArgs, invocation: &Invocation) -> Result<()> {
    match args.command {
        CertsCommand::CheckExpiration(args) => check_expiration::run(args, invocation),
        CertsCommand::Renew(args) => renew::run(args, invocation),
        CertsCommand::GenerateCsr(args) => generate_csr::run(args, invocation),
        CertsCommand::CertificateKey => {
            invocation.report.line(hex::encode(keys::random::<32>()?));
            Ok(())
        }
    }
}

/// Refuses to make certificates by a clock that cannot be right.
pub(super) fn check_clock() -> Result<()> {
    match preflight::clock(jiff::Timestamp::now().as_second(), SOURCE_DATE) {
        Some(verdict) => Err(Fault::usage(verdict.message).hint("set the clock first; nothing was changed").into()),
        None => Ok(()),
    }
}
