//! `bootstrap token create`

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::{explain, secret};
use crate::api::{ApiError, ApiServer, Commit};
use crate::cli::Invocation;
use crate::cli::config::read_config;
use crate::config::BootstrapToken;
use crate::config::facts::Facts;
use crate::config::file::v1beta4;
use crate::config::flags::Flags;
use crate::config::resolve::{bootstrap_token, resolve};
use crate::desired::join::{JoinCommand, Role};
use crate::desired::object::token;
use crate::desired::seal::CertificateKey;
use crate::error::{Fault, Result};
use crate::host::facts;
use crate::secret::Secret;

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The token: six characters, a dot and sixteen more [default: a random one]
    #[arg(value_parser = secret)]
    token: Option<Secret>,
    /// How long it is good; 0 for ever [default: 24h0m0s]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// What it is for: signing, authentication [default: both]
    #[arg(long, value_name = "USAGE", value_delimiter = ',')]
    usages: Vec<String>,
    /// Groups of who authenticates with it [default: system:bootstrappers:kubeadm:default-node-token]
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    groups: Vec<String>,
    /// What people should know about it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Print the command to join with instead of the token
    #[arg(long)]
    print_join_command: bool,
    /// With --print-join-command: the key of uploaded certificates, to join as a control plane
    #[arg(long, value_name = "HEX", requires = "print_join_command", value_parser = secret)]
    certificate_key: Option<Secret>,
    /// Make the tokens of this configuration file
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["token", "ttl", "usages", "groups", "description"]
    )]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: CreateArgs, path: &Path, commit: Commit, invocation: &Invocation) -> Result<()> {
    let facts = facts::gather(&invocation.layout)?;
    let role = role(args.certificate_key.clone())?;
    let prints_command = args.print_join_command;
    let tokens = tokens(args, &facts)?;
    let server = ApiServer::of_file(path).await?;
    for wanted in &tokens {
        create(&server, wanted, facts.now, commit).await?;
        let shown = match prints_command {
            false => wanted.token(),
            true => {
                let authority = server.authority_pem()?;
                JoinCommand::new(server.url(), authority, wanted.token(), role.clone())?.one_line()
            }
        };
        invocation.report.line(shown.reveal());
    }
    if commit == Commit::DryRun {
        invocation.report.note("Nothing was done.");
    }
    Ok(())
}

fn tokens(args: CreateArgs, facts: &Facts) -> Result<Vec<BootstrapToken>> {
    if let Some(file) = &args.config {
        let config = resolve(&Flags::default(), Some(read_config(file)?), facts).map_err(Fault::from)?;
        return Ok(config.bootstrap_tokens);
    }
    let CreateArgs { token, ttl, usages, groups, description, .. } = args;
    let written = v1beta4::BootstrapToken { token, description, ttl, expires: None, usages, groups };
    let flags = [("token", "TOKEN"), ("ttl", "--ttl"), ("usages", "--usages"), ("groups", "--groups")];
    Ok(vec![bootstrap_token(written, &flags, facts).map_err(Fault::from)?])
}

fn role(certificate_key: Option<Secret>) -> Result<Role> {
    let Some(key) = certificate_key else { return Ok(Role::Worker) };
    CertificateKey::from_hex(&key).map_err(|error| Fault::usage("--certificate-key cannot be used").because(error))?;
    Ok(Role::ControlPlane { certificate_key: Some(key) })
}

async fn create(server: &ApiServer, wanted: &BootstrapToken, now: Timestamp, commit: Commit) -> Result<()> {
    match server.create(&token::object(wanted, now)?, commit).await {
        Err(ApiError::AlreadyExists { .. }) => {
            Err(Fault::failed(format!("a token with id \"{}\" already exists", wanted.id))
                .hint(format!("`bootstrap token delete {}` deletes it", wanted.id))
                .into())
        }
        outcome => outcome.map_err(|error| explain("cannot create the token", error)),
    }
}
