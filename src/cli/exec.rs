//! `bootstrap exec`: asks the container's shim, so that it works without a runner and without an API server.

mod talk;

use std::io::IsTerminal;

use clap::Args;

use super::{Invocation, pod_name};
use crate::error::{Fault, Result};
use crate::runner::runtime::StreamOptions;
use crate::runner::runtime::embedded::{Running, running};

#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Name of the pod, with or without the node's name, or the beginning of a container's id
    #[arg(value_name = "POD|ID")]
    pod: String,
    /// Name of the container, if the pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Hand on what comes on standard input
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal, the one that this command is run in
    #[arg(short, long)]
    tty: bool,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<String>,
}

/// The exit code is the command's.
pub fn run(args: ExecArgs, invocation: &Invocation) -> Result<u8> {
    if args.tty && !(args.stdin && std::io::stdin().is_terminal()) {
        return Err(Fault::usage("`--tty` needs `--stdin`, and a terminal as standard input").into());
    }
    let container = meant(&args.pod, args.container.as_deref(), &pod_name::host(), running(&invocation.layout)?)?;
    let streams = StreamOptions { stdin: args.stdin, stdout: true, stderr: !args.tty, tty: args.tty };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let session = container.exec(&args.command, streams).await?;
        talk::talk(session, &invocation.report).await
    })
}

/// The one container that is meant.
fn meant(given: &str, name: Option<&str>, host: &str, running: Vec<Running>) -> Result<Running> {
    let pod_of = |one: &Running| format!("{}_{}", one.namespace, one.pod);
    let pods: Vec<String> = {
        let mut pods: Vec<_> = running.iter().map(pod_of).collect();
        pods.sort();
        pods.dedup();
        pods
    };
    let mut found: Vec<Running> = match pod_name::matching(given, host, &pods)[..] {
        [] => running.into_iter().filter(|one| !given.is_empty() && one.id.starts_with(given)).collect(),
        [pod] => running.into_iter().filter(|one| pod_of(one) == pod).collect(),
        ref several => {
            let message = format!("`{given}` may be any of these pods: {}", several.join(", "));
            return Err(Fault::usage(message).into());
        }
    };
    if found.is_empty() {
        let message = format!("no running container is in a pod `{given}` or has an id that begins so");
        return Err(Fault::failed(message).hint("`bootstrap ps` lists the containers").into());
    }
    let names = found.iter().map(|one| one.name.clone()).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        found.retain(|one| one.name == name);
    }
    match found.len() {
        0 => Err(Fault::failed(format!("no container `{}` runs in pod `{given}`", name.unwrap_or_default()))
            .hint(format!("these run there: {names}"))
            .into()),
        1 => Ok(found.remove(0)),
        _ => Err(Fault::usage(format!("`{given}` may be any of several containers: {names}"))
            .hint("name one with `-c`, or by more of its id")
            .into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn meant_by(given: &str, name: Option<&str>) -> Result<String> {
        let all = [("abc1", "etcd-n1", "etcd"), ("abd2", "two-n1", "a"), ("abd3", "two-n1", "b")];
        let running = all.map(|(id, pod, name)| Running::new(id, "kube-system", pod, name));
        meant(given, name, "n1", running.to_vec()).map(|one| one.id)
    }

    #[test]
    fn a_container_is_named_by_its_pod_or_by_its_id() {
        for (given, name, expected) in [
            ("etcd", None, "abc1"),
            ("kube-system_etcd-n1", Some("etcd"), "abc1"),
            ("two", Some("b"), "abd3"),
            ("abd2", None, "abd2"),
        ] {
            assert_eq!(meant_by(given, name).unwrap(), expected, "{given}");
        }
        for (given, name, expected) in [
            ("two", None, "`two` may be any of several containers: a, b"),
            ("abd", None, "`abd` may be any of several containers: a, b"),
            ("etcd", Some("x"), "no container `x` runs in pod `etcd`"),
            ("none", None, "no running container is in a pod `none` or has an id that begins so"),
        ] {
            assert_eq!(meant_by(given, name).unwrap_err().to_string(), expected);
        }
    }
}
