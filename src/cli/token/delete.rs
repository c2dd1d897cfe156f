//! `bootstrap token delete`

use std::path::Path;

use clap::Args;
use k8s_openapi::api::core::v1;

use super::{explain, secret};
use crate::api::{ApiError, ApiServer, Commit};
use crate::cli::Invocation;
use crate::config::resolve::token;
use crate::desired::object::NAMESPACE;
use crate::desired::object::token::NAME_PREFIX;
use crate::error::{Fault, Result};
use crate::secret::Secret;

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Ids, or whole tokens
    #[arg(required = true, value_name = "ID|TOKEN", value_parser = secret)]
    tokens: Vec<Secret>,
}

/// Goes on after a token that is not there, and tells of all of them at the end.
pub(super) async fn run(args: DeleteArgs, path: &Path, commit: Commit, invocation: &Invocation) -> Result<()> {
    let ids = args.tokens.iter().enumerate().map(|(index, token)| id(index, token)).collect::<Result<Vec<_>>>()?;
    let server = ApiServer::of_file(path).await?;
    let mut absent = Vec::new();
    for id in ids {
        match server.delete::<v1::Secret>(NAMESPACE, &format!("{NAME_PREFIX}{id}"), commit).await {
            Ok(()) if commit == Commit::DryRun => invocation.report.line(format!("bootstrap token \"{id}\" is there")),
            Ok(()) => invocation.report.line(format!("bootstrap token \"{id}\" deleted")),
            Err(ApiError::NotFound { .. }) => absent.push(format!("\"{id}\"")),
            Err(error) => return Err(explain(&format!("cannot delete the bootstrap token \"{id}\""), error)),
        }
    }
    if commit == Commit::DryRun {
        invocation.report.note("Nothing was done.");
    }
    if absent.is_empty() {
        return Ok(());
    }
    Err(Fault::failed(format!("there is no bootstrap token {}", absent.join(", ")))
        .hint("`bootstrap token list` shows those that there are")
        .into())
}

/// The public part. What is neither may be a mistyped token, so it is not repeated.
fn id(index: usize, text: &Secret) -> Result<String> {
    let whole = token::parse(text.reveal()).map(|(id, _)| id);
    let id = whole.or_else(|| token::is_id(text.reveal()).then(|| text.reveal().to_owned()));
    id.ok_or_else(|| {
        Fault::usage(format!("argument {} is no token and no token's id", index + 1))
            .hint("an id is six characters of [a-z0-9]; in a token, a dot and sixteen more of them follow")
            .into()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_named_by_its_id_or_whole() {
        for text in ["abcdef", "abcdef.0123456789abcdef"] {
            assert_eq!(id(0, &Secret::new(text)).unwrap(), "abcdef");
        }
        for text in ["", "abcde", "ABCDEF", "abcdef.", "abcdef.0123456789abcdeX"] {
            let error = id(1, &Secret::new(text)).unwrap_err().to_string();
            assert_eq!(error, "argument 2 is no token and no token's id");
        }
    }
}
