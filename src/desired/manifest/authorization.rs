//! `authorization-mode` among the API server's `extraArgs` [3.5].

use crate::config::{Arg, Config};

const FLAG: &str = "authorization-mode";
pub(super) const DEFAULT: &str = "Node,RBAC";
const MODES: [&str; 6] = ["Node", "RBAC", "Webhook", "ABAC", "AlwaysAllow", "AlwaysDeny"];

/// The user's flags, with the modes in them that count.
pub(super) fn extra_args(config: &Config) -> Vec<Arg> {
    let args = config.api_server.component.extra_args.iter().cloned();
    let counting = |arg: Arg| match arg.name == FLAG && config.kubernetes_version.drops_unknown_authorization_modes() {
        true => Arg { value: known(&arg.value), ..arg },
        false => arg,
    };
    args.map(counting).collect()
}

/// What the user should know of the modes, if they are among the flags.
pub(super) fn warning(config: &Config) -> Option<String> {
    let value = super::command::last(&config.api_server.component.extra_args, FLAG)?;
    let unknown: Vec<&str> = value.split(',').filter(|mode| !MODES.contains(mode)).collect();
    let what = match config.kubernetes_version.drops_unknown_authorization_modes() {
        true => "left out",
        false => "kube-apiserver refuses to start with them",
    };
    (!unknown.is_empty()).then(|| format!("apiServer.extraArgs: {FLAG}: no modes are {}: {what}", quoted(&unknown)))
}

fn known(value: &str) -> String {
    let known: Vec<&str> = value.split(',').filter(|mode| MODES.contains(mode)).collect();
    if known.is_empty() { DEFAULT.to_owned() } else { known.join(",") }
}

fn quoted(modes: &[&str]) -> String {
    modes.iter().map(|mode| format!("`{mode}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_nobody_knows_do_not_count() {
        for (value, expected) in [
            ("", DEFAULT),
            ("FooAuthzMode", DEFAULT),
            ("Node,foo,RBAC,bar", DEFAULT),
            ("AlwaysDeny", "AlwaysDeny"),
            ("Node,Webhook,RBAC,ABAC", "Node,Webhook,RBAC,ABAC"),
        ] {
            assert_eq!(known(value), expected, "{value}");
        }
    }
}
