//! Files whose content decides.

use std::path::Path;

use super::{Verdict, flags};
use crate::audit::Status;
use crate::audit::facts::{Facts, flag};
use crate::config::profile::ENCRYPTION_FLAG;
use crate::desired::manifest::Component;
use crate::desired::{encryption as configuration, profile};

/// Providers that the benchmark takes for encryption.
const STRONG: [&str; 3] = ["aescbc", "kms", "secretbox"];

/// New Secrets are written by a provider that encrypts.
pub(super) fn encryption(facts: &Facts) -> Verdict {
    let expected = format!("Secrets are written by one of {}", STRONG.join(", "));
    let Some(arguments) = facts.processes.get(&Component::ApiServer) else {
        return flags::down(Component::ApiServer, expected, facts);
    };
    let Some(path) = flag(arguments, ENCRYPTION_FLAG) else {
        let fix = format!("set `{ENCRYPTION_FLAG}` in `apiServer.extraArgs`");
        return Verdict::fail(expected, format!("`--{ENCRYPTION_FLAG}` is not set"), fix);
    };
    let fix = format!("name one of them first in `{path}`");
    match facts.texts.get(Path::new(path)).map(|text| configuration::provider_of_secrets(text)) {
        None => Verdict::new(Status::Warn, expected, format!("`{path}` is not on this node: a person has to look")),
        Some(Err(reason)) => Verdict::fail(expected, format!("`{path}`: {reason}"), fix),
        Some(Ok(None)) => Verdict::fail(expected, format!("`{path}` says nothing of Secrets"), fix),
        Some(Ok(Some(provider))) if STRONG.contains(&provider.as_str()) => {
            Verdict::new(Status::Pass, expected, format!("`{path}` has `{provider}` first"))
        }
        Some(Ok(Some(provider))) => Verdict::fail(expected, format!("`{path}` has `{provider}` first"), fix),
    }
}

/// The profile's own policy is known to cover what the item lists; any other one has to be read.
pub(super) fn audit_policy(facts: &Facts) -> Verdict {
    let expected = "Secrets, ConfigMaps and TokenReviews are logged without their content; so are changes of pods and \
                    deployments, and who gets into pods and through proxies";
    let arguments = facts.processes.get(&Component::ApiServer).map(Vec::as_slice).unwrap_or_default();
    let Some(path) = flag(arguments, "audit-policy-file") else {
        return Verdict::fail(expected, "there is no audit policy", "set `audit-policy-file` in `apiServer.extraArgs`");
    };
    let ours = profile::audit_policy()
        .is_ok_and(|policy| facts.texts.get(Path::new(path)).is_some_and(|text| text == policy.as_bytes()));
    match ours {
        true => Verdict::new(Status::Pass, expected, format!("`{path}` is the policy of `--profile=cis`")),
        false => Verdict::new(Status::Warn, expected, format!("`{path}`: a person has to look")),
    }
}

/// Whoever has a certificate for the API server must not have one for etcd by that.
pub(super) fn etcd_authority(facts: &Facts) -> Verdict {
    let expected = "`--trusted-ca-file` of etcd is another authority than `--client-ca-file` of kube-apiserver";
    let Some(arguments) = facts.processes.get(&Component::Etcd) else {
        return flags::down(Component::Etcd, expected.to_owned(), facts);
    };
    let Some(trusted) = flag(arguments, "trusted-ca-file") else {
        let fix = "set `trusted-ca-file` in `etcd.local.extraArgs`";
        return Verdict::fail(expected, "`--trusted-ca-file` is not set", fix);
    };
    let clients = facts.processes.get(&Component::ApiServer).and_then(|arguments| flag(arguments, "client-ca-file"));
    let text = |path: &str| facts.texts.get(Path::new(path));
    match (text(trusted), clients.and_then(text)) {
        (Some(trusted), Some(clients)) if trusted == clients => {
            Verdict::fail(expected, "they are the same", "give etcd an authority of its own")
        }
        (Some(_), Some(_)) => Verdict::new(Status::Pass, expected, format!("`{trusted}` is etcd's own")),
        _ => Verdict::new(Status::Warn, expected, "one of the two cannot be read: a person has to look"),
    }
}
