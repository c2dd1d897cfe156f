//! `bootstrap kubeconfig`: a kubeconfig for another user, with a certificate of its own or a token [9.6].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Invocation;
use super::certs::{SourceArgs, check_clock, settings};
use super::config::read_config;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::config::{EncryptionAlgorithm, defaults, duration};
use crate::desired::certificate::Certificate;
use crate::desired::issue::{self, Issue, Key};
use crate::desired::kubeconfig::existing::Existing;
use crate::desired::kubeconfig::{self, Access, Credentials};
use crate::desired::pki::{Authority, CertificateSpec, Purpose};
use crate::desired::renewal::Settings;
use crate::desired::verify;
use crate::error::{Context, Fault, Result};
use crate::host::writer::Writer;
use crate::host::{cluster, facts, keys};
use crate::plan::KeyPairPaths;
use crate::secret::Secret;

#[derive(Debug, Args)]
pub struct KubeconfigArgs {
    #[command(subcommand)]
    command: KubeconfigCommand,
}

#[derive(Debug, Subcommand)]
enum KubeconfigCommand {
    /// Print a kubeconfig for a user
    User(UserArgs),
}

#[derive(Debug, Args)]
struct UserArgs {
    /// Name of the user
    #[arg(long, value_name = "NAME")]
    client_name: String,
    /// A group of the user; may be given several times
    #[arg(long = "org", value_name = "GROUP")]
    organizations: Vec<String>,
    /// Log in with this token instead of a certificate
    #[arg(long, value_name = "TOKEN", value_parser = secret, conflicts_with = "organizations")]
    token: Option<Secret>,
    /// How long the certificate is good
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = duration::parse)]
    validity_period: Duration,
    /// Configuration file (kubeadm.k8s.io/v1beta4) [default: `admin.conf` tells where the cluster is]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

pub fn run(args: KubeconfigArgs, invocation: &Invocation) -> Result<()> {
    let KubeconfigCommand::User(args) = args.command;
    check_clock()?;
    if args.client_name.is_empty() {
        return Err(Fault::usage("`--client-name` is empty").into());
    }
    if args.validity_period.is_zero() {
        return Err(Fault::usage("`--validity-period` must be longer than zero").into());
    }
    let (settings, server, cluster_name) = cluster(&args, invocation)?;
    let layout = &invocation.layout;
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let algorithm = settings.algorithm.unwrap_or(EncryptionAlgorithm::Rsa2048);
    let writer = Writer::new(layout.clone(), layout.clone(), algorithm, now);
    let paths = KeyPairPaths::in_directory(&settings.certificates_dir, Authority::Kubernetes.base());
    let access = Access { server: &server, cluster_name: &cluster_name, user: &args.client_name };
    let text = match &args.token {
        Some(token) => {
            let cannot = || format!("cannot use `{}`", paths.certificate.display());
            let authority = Certificate::from_pem(&writer.read(&paths.certificate)?).with_context(cannot)?;
            kubeconfig::text(access, Some(&authority), Credentials::Token(token))?
        }
        None => {
            let signer = writer.authority(&paths)?;
            let misfits = verify::authority(signer.certificate(), None, now);
            if !misfits.is_empty() {
                let (path, why) = (paths.certificate.display(), verify::clause(&misfits));
                return Err(Fault::usage(format!("cannot use `{path}`: {why}")).into());
            }
            if args.validity_period > defaults::CERTIFICATE_VALIDITY_PERIOD {
                let usual = duration::format(defaults::CERTIFICATE_VALIDITY_PERIOD);
                invocation.report.warning(format!("the certificate is good for longer than kubeadm's {usual}"));
            }
            if now + args.validity_period > signer.certificate().not_after {
                let end = verify::stamp(signer.certificate().not_after);
                invocation.report.warning(format!("the certificate outlives its authority, which expires at {end}"));
            }
            let spec = CertificateSpec {
                common_name: args.client_name.clone(),
                organizations: args.organizations.clone(),
                purpose: Purpose::Client(Authority::Kubernetes),
                dns_names: Vec::new(),
                ip_addresses: Vec::new(),
                validity: args.validity_period,
            };
            let key = Key::generate(algorithm)?;
            let issue = Issue { not_before: signer.not_before(), now, serial: keys::serial()? };
            let pem = issue::leaf(&spec, &key, &signer, issue)?;
            let credentials = Credentials::Certificate { pem: &pem, key: &key.to_pem() };
            kubeconfig::text(access, Some(signer.certificate()), credentials)?
        }
    };
    // with its own end of line, and one more, as kubeadm's
    invocation.report.line(text);
    Ok(())
}

/// What is known of certificates, the server that clients use, and the cluster's name.
fn cluster(args: &UserArgs, invocation: &Invocation) -> Result<(Settings, String, String)> {
    if let Some(path) = &args.config {
        let facts = facts::gather(&invocation.layout)?;
        let config = resolve(&Flags::default(), Some(read_config(path)?), &facts).map_err(Fault::from)?;
        return Ok((Settings::of(&config), config.server(), config.cluster_name.clone()));
    }
    let hint = "`--config` tells of the cluster as well";
    let text = cluster::administrator(&invocation.layout)?
        .ok_or_else(|| Fault::usage("there is no `admin.conf` that tells where the cluster is").hint(hint))?;
    let existing = Existing::read(text.as_bytes()).context("cannot use `admin.conf`")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = runtime.block_on(settings(&SourceArgs { config: None, cert_dir: None }, invocation))?;
    Ok((settings, existing.server().to_owned(), existing.cluster_name().to_owned()))
}
