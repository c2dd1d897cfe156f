//! kube-scheduler [3.7].

use super::Component;
use super::command::{Defaults, last};
use super::pod::{Endpoint, Parts, StaticPod, bind_host, environment};
use super::volume::{Volume, merged};
use crate::config::Config;
use crate::config::facts::Facts;
use crate::layout::port;

const KUBECONFIG: &str = "/etc/kubernetes/scheduler.conf";

pub(super) fn static_pod(config: &Config, facts: &Facts) -> StaticPod {
    let own = &config.scheduler;
    let version = &config.kubernetes_version;
    let volumes = merged(vec![Volume::file("kubeconfig", KUBECONFIG).read_only()], &own.extra_volumes);
    let mut flags = Defaults::default();
    flags.set_all([
        ("authentication-kubeconfig", KUBECONFIG),
        ("authorization-kubeconfig", KUBECONFIG),
        ("bind-address", "127.0.0.1"),
        ("kubeconfig", KUBECONFIG),
        ("leader-elect", "true"),
    ]);
    if version.has_insecure_component_ports() {
        flags.set("port", "0");
    }
    let (health, readiness) =
        if version.scheduler_has_livez() { ("/livez", Some("/readyz")) } else { ("/healthz", None) };
    StaticPod::new(
        config,
        facts,
        Parts {
            component: Component::Scheduler,
            annotation: None,
            command: flags.command(Component::Scheduler.name(), &own.extra_args, version),
            env: environment(facts, &own.extra_envs),
            endpoint: Endpoint {
                host: bind_host(last(&own.extra_args, "bind-address")),
                scheme: "HTTPS",
                port: port::SCHEDULER,
                liveness: health,
                readiness,
                startup: health,
            },
            requests: vec![("cpu", "100m")],
            mounts: volumes.clone(),
            volumes,
        },
    )
}
