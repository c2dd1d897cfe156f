//! `bootstrap restart`

use clap::Args;

use super::{Invocation, status};
use crate::control::{PodStatus, Request, Status};
use crate::error::{Fault, Result};

#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Name of a pod, with or without the node's name behind it
    #[arg(value_name = "POD")]
    pod: String,
}

pub fn run(args: RestartArgs, invocation: &Invocation) -> Result<()> {
    let status = status::ask(&invocation.layout)?;
    let pod = matching(&status, &args.pod)?;
    status::call(&invocation.layout, Request::RestartPod { uid: pod.uid.clone(), grace_seconds: None })?;
    invocation.report.line(format!("{} is starting anew", pod.name));
    Ok(())
}

/// The one pod that is called so.
fn matching<'a>(status: &'a Status, name: &str) -> Result<&'a PodStatus> {
    let with_node = format!("{name}-{}", status.runner.node_name);
    let found: Vec<_> = status.pods.iter().filter(|pod| pod.name == name || pod.name == with_node).collect();
    match found.as_slice() {
        [pod] => Ok(pod),
        [] => Err(Fault::usage(format!("there is no pod `{name}`")).hint("`bootstrap status` lists the pods").into()),
        several => {
            let names: Vec<_> = several.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
            Err(Fault::usage(format!("several pods are called `{name}`: {}", names.join(", "))).into())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_found_with_and_without_the_nodes_name() {
        let pod = |name: &str, namespace: &str| {
            serde_json::json!({"name": name, "namespace": namespace, "uid": format!("{namespace}-uid"),
                "source": "p.yaml", "phase": "Running", "revisionWanted": null, "revisionRunning": null,
                "containers": []})
        };
        let runner = serde_json::json!({"pid": 1, "version": "", "nodeName": "n1", "manifests": ""});
        let pods = [pod("etcd-n1", "kube-system"), pod("web-n1", "a"), pod("web-n1", "b")];
        let status: Status =
            serde_json::from_value(serde_json::json!({"runner": runner, "pods": pods, "rejected": []})).unwrap();
        for name in ["etcd", "etcd-n1"] {
            assert_eq!(matching(&status, name).unwrap().uid, "kube-system-uid");
        }
        assert_eq!(matching(&status, "etc").unwrap_err().to_string(), "there is no pod `etc`");
        let several = matching(&status, "web").unwrap_err().to_string();
        assert_eq!(several, "several pods are called `web`: a/web-n1, b/web-n1");
    }
}
