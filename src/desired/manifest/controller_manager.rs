//! kube-controller-manager [3.6].

use super::Component;
use super::command::{Defaults, last};
use super::pod::{Endpoint, Parts, StaticPod, bind_host, environment};
use super::volume::{Volume, ca_directories, merged};
use crate::config::Config;
use crate::config::facts::Facts;
use crate::layout::port;

/// Drivers make sockets in there, so it is not mounted read-only [3.6].
const FLEX_VOLUMES: &str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";
const KUBECONFIG: &str = "/etc/kubernetes/controller-manager.conf";

pub(super) fn static_pod(config: &Config, facts: &Facts) -> StaticPod {
    let own = &config.controller_manager;
    let mut volumes = ca_directories(facts);
    volumes.push(Volume::directory("k8s-certs", &config.certificates_dir).read_only());
    volumes.push(Volume::file("kubeconfig", KUBECONFIG).read_only());
    if config.kubernetes_version.has_flex_volumes() {
        let directory = last(&own.extra_args, "flex-volume-plugin-dir").unwrap_or(FLEX_VOLUMES);
        volumes.push(Volume::directory("flexvolume-dir", directory));
    }
    let volumes = merged(volumes, &own.extra_volumes);
    StaticPod::new(
        config,
        facts,
        Parts {
            component: Component::ControllerManager,
            annotation: None,
            command: flags(config, facts).command(
                Component::ControllerManager.name(),
                &own.extra_args,
                &config.kubernetes_version,
            ),
            env: environment(facts, &own.extra_envs),
            endpoint: Endpoint {
                host: bind_host(last(&own.extra_args, "bind-address")),
                scheme: "HTTPS",
                port: port::CONTROLLER_MANAGER,
                liveness: "/healthz",
                readiness: None,
                startup: "/healthz",
            },
            requests: vec![("cpu", "200m")],
            mounts: volumes.clone(),
            volumes,
        },
    )
}

fn flags(config: &Config, facts: &Facts) -> Defaults {
    let pki = |file: &str| config.pki_file(file).to_string_lossy().into_owned();
    let mut flags = Defaults::default();
    flags.set_all([
        ("authentication-kubeconfig", KUBECONFIG),
        ("authorization-kubeconfig", KUBECONFIG),
        ("bind-address", "127.0.0.1"),
        ("controllers", "*,bootstrapsigner,tokencleaner"),
        ("kubeconfig", KUBECONFIG),
        ("leader-elect", "true"),
        ("use-service-account-credentials", "true"),
    ]);
    for (flag, file) in [
        ("client-ca-file", "ca.crt"),
        ("requestheader-client-ca-file", "front-proxy-ca.crt"),
        ("root-ca-file", "ca.crt"),
        ("service-account-private-key-file", "sa.key"),
    ] {
        flags.set(flag, pki(file));
    }
    // without the CA's key nothing can be signed, and a path to a missing file keeps the component from starting
    let signing = |file: &str| if facts.external_ca { String::new() } else { pki(file) };
    flags.set("cluster-signing-cert-file", signing("ca.crt"));
    flags.set("cluster-signing-key-file", signing("ca.key"));
    flags.set("cluster-name", config.cluster_name.clone());
    if !config.networking.pod_subnet.is_empty() {
        flags.set("allocate-node-cidrs", "true");
        flags.set("cluster-cidr", config.networking.pod_subnet.clone());
        flags.set("service-cluster-ip-range", config.networking.service_subnet.clone());
    }
    if config.kubernetes_version.has_insecure_component_ports() {
        flags.set("port", "0");
    }
    flags
}
