//! `bootstrap token list`: kubeadm's columns, and its documents for programs [9.5].

use std::path::Path;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::core::v1;
use serde::Serialize;

use super::explain;
use crate::api::{ApiServer, Patience};
use crate::cli::Invocation;
use crate::desired::object::token::SECRET_TYPE;
use crate::desired::object::token::stored::StoredToken;
use crate::desired::object::{NAMESPACE, to_yaml};
use crate::error::Result;
use crate::secret::Secret;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// How to print them: columns, or a document for each
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
    Yaml,
}

const HEADS: [&str; 6] = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"];

pub(super) async fn run(args: ListArgs, path: &Path, invocation: &Invocation) -> Result<()> {
    let server = ApiServer::of_file(path).await?;
    let of_type = format!("type={SECRET_TYPE}");
    let secrets: Vec<v1::Secret> = server
        .list(NAMESPACE, "", &of_type, Patience::Once)
        .await
        .map_err(|error| explain("cannot list the tokens", error))?;
    let mut tokens = Vec::new();
    for secret in &secrets {
        match StoredToken::from_secret(secret) {
            Ok(token) => tokens.push(token),
            Err(error) => {
                let name = secret.metadata.name.as_deref().unwrap_or_default();
                invocation.report.warning(format!("Secret `{NAMESPACE}/{name}` is no token: {error}"));
            }
        }
    }
    let report = &invocation.report;
    match args.output {
        Output::Text => {
            let now = Timestamp::now();
            report.table(&HEADS, &tokens.iter().map(|token| row(token, now)).collect::<Vec<_>>());
        }
        Output::Json => tokens.iter().try_for_each(|token| report.json(&Document::of(token)))?,
        Output::Yaml => {
            for token in &tokens {
                report.line(format!("---\n{}", to_yaml(&Document::of(token))?.trim_end()));
            }
        }
    }
    Ok(())
}

fn row(token: &StoredToken, now: Timestamp) -> Vec<String> {
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    vec![
        token.token().reveal().to_owned(),
        token.expiration.map_or_else(|| "<forever>".to_owned(), |end| left(end.duration_since(now).as_secs())),
        token.expiration.map_or_else(|| "<never>".to_owned(), |end| end.to_string()),
        or_none(token.usages.join(",")),
        or_none(token.description.clone()),
        or_none(token.groups.join(",")),
    ]
}

/// In the largest unit that fits.
fn left(seconds: i64) -> String {
    match seconds {
        ..0 => "<expired>".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A token as kubeadm's output API has it.
#[derive(Serialize)]
struct Document {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    token: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    usages: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
}

impl Document {
    fn of(token: &StoredToken) -> Document {
        Document {
            kind: "BootstrapToken",
            api_version: "output.kubeadm.k8s.io/v1alpha3",
            token: token.token(),
            description: token.description.clone(),
            expires: token.expiration,
            usages: token.usages.clone(),
            groups: token.groups.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::desired::object::token::stored::Maker;
    use serde_json::json;

    fn token(expiration: Option<&str>) -> StoredToken {
        StoredToken {
            id: "abcdef".to_owned(),
            secret: Secret::new("0123456789abcdef"),
            description: String::new(),
            expiration: expiration.map(|text| text.parse().unwrap()),
            usages: vec!["authentication".to_owned(), "signing".to_owned()],
            groups: Vec::new(),
            maker: Maker::Other,
        }
    }

    #[test]
    fn columns_are_kubeadms() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let whole = "abcdef.0123456789abcdef";
        let expected = [whole, "23h", "2026-01-01T23:59:59Z", "authentication,signing", "<none>", "<none>"];
        assert_eq!(row(&token(Some("2026-01-01T23:59:59Z")), now), expected);
        assert_eq!(row(&token(None), now)[1..3], ["<forever>", "<never>"]);
        assert_eq!(row(&token(Some("2025-12-31T23:59:59Z")), now)[1], "<expired>");
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86_400, "1d"), (8_640_000, "100d")] {
            assert_eq!(left(seconds), text);
        }
    }

    #[test]
    fn documents_are_kubeadms() {
        let expected = json!({
            "kind": "BootstrapToken",
            "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
            "token": "abcdef.0123456789abcdef",
            "expires": "2026-01-01T23:59:59Z",
            "usages": ["authentication", "signing"],
        });
        assert_eq!(serde_json::to_value(Document::of(&token(Some("2026-01-01T23:59:59Z")))).unwrap(), expected);
    }
}
