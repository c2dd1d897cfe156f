//! `bootstrap token`: the tokens that nodes join with [9.5].

mod create;
mod delete;
mod list;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Invocation;
use crate::api::{ApiError, Commit};
use crate::config::resolve::token;
use crate::error::{Fault, Result};
use crate::host::facts;
use crate::secret::Secret;

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
    /// Ask as the user of this kubeconfig, at its server [default: /etc/kubernetes/admin.conf below --root]
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Have the API server check what would be done, and do nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and print it or the command to join with
    Create(Box<create::CreateArgs>),
    /// List the tokens; each is shown whole
    List(list::ListArgs),
    /// Delete tokens
    Delete(delete::DeleteArgs),
    /// Print a random token for `init --token` or `token create`; no API is asked
    Generate,
}

pub fn run(args: TokenArgs, invocation: &Invocation) -> Result<()> {
    let path = args.kubeconfig.unwrap_or_else(|| invocation.layout.admin_kubeconfig());
    let commit = if args.dry_run { Commit::DryRun } else { Commit::Yes };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match args.command {
            TokenCommand::Create(args) => create::run(*args, &path, commit, invocation).await,
            TokenCommand::List(args) => list::run(args, &path, invocation).await,
            TokenCommand::Delete(args) => delete::run(args, &path, commit, invocation).await,
            TokenCommand::Generate => generate(invocation),
        }
    });
    // a name that is still being looked up keeps nobody waiting
    runtime.shutdown_background();
    done
}

fn generate(invocation: &Invocation) -> Result<()> {
    let facts = facts::gather(&invocation.layout)?;
    let (id, secret) = token::generate(&facts.token_seed, 0);
    invocation.report.line(format!("{id}.{}", secret.reveal()));
    Ok(())
}

/// What the user can do about a question that was not answered as it should be.
fn explain(what: &str, error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let hint = match error.downcast_ref::<ApiError>() {
        Some(error) if error.is_about_connection() => {
            "`bootstrap status` shows whether the control plane runs; `--kubeconfig` names another cluster"
        }
        Some(ApiError::Unauthorized { .. }) => "the kubeconfig is of another cluster, or its certificate has expired",
        Some(ApiError::Forbidden { .. }) => "`--kubeconfig` takes that of a user who may do this",
        _ => return error.context(what.to_owned()),
    };
    Fault::failed(what).hint(hint).because(error).into()
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}
