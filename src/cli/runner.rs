//! `bootstrap runner`: the static pods, in the foreground.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Invocation;
use crate::error::{Context, Fault, Result};
use crate::host::facts;
use crate::image::pull::Puller;
use crate::layout::port;
use crate::runner::node;
use crate::runner::pod::quantity::Quantity;
use crate::runner::runtime::embedded::{Embedded, Settings};
use crate::runner::runtime::log::file::Rotation;
use crate::runner::server;
use crate::runner::source::url::ManifestUrl;
use crate::runner::worker::backoff;
use crate::runner::{self, Options};

#[derive(Debug, Args)]
pub struct RunnerArgs {
    /// Name of this node, the suffix of every pod's name [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Address of this node [default: that of the default route]
    #[arg(long, value_name = "IP")]
    node_ip: Option<IpAddr>,
    /// Name servers of the cluster, for pods with the DNS policy ClusterFirst
    #[arg(long, value_name = "IP[,IP]", value_delimiter = ',')]
    cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Addresses for pods with a network of their own, unless the node has a CNI configuration [default: 10.90.0.0/24]
    #[arg(long, value_name = "CIDR")]
    pod_cidr: Option<ipnet::Ipv4Net>,
    /// Directory of manifests, or one manifest [default: /etc/kubernetes/manifests]
    #[arg(long, value_name = "PATH")]
    manifests: Option<PathBuf>,
    /// URL of further manifests, a pod or a PodList, asked for every 20 s
    #[arg(long, value_name = "URL")]
    manifest_url: Option<String>,
    /// Headers for --manifest-url; in the environment, other users do not see them
    #[arg(
        long,
        value_name = "NAME:VALUE[,NAME:VALUE]",
        requires = "manifest_url",
        env = "BOOTSTRAP_MANIFEST_URL_HEADER",
        hide_env_values = true
    )]
    manifest_url_header: Vec<String>,
    /// Address of this node that its API listens on [default: every one]
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Port of this node's API (logs, exec, statistics); 0 for none
    #[arg(long, value_name = "PORT", default_value_t = port::KUBELET)]
    port: u16,
    /// Certificate of this node's API; it is read again when it changes [default: one that is made]
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The private key of --tls-cert-file
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,
    /// Authority of the clients of this node's API [default: /etc/kubernetes/pki/ca.crt]
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
    /// The longest wait before a container's restart, 1 to 300
    #[arg(long, value_name = "SECONDS", default_value_t = backoff::LONGEST.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=backoff::LONGEST.as_secs()))]
    max_container_restart_period: u64,
    /// Labels of this node, which node selectors and affinities of pods may ask for
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    node_labels: Vec<(String, String)>,
    /// Pods that this node takes
    #[arg(long, value_name = "COUNT", default_value_t = node::MAX_PODS)]
    max_pods: usize,
    /// Processes that a pod may have; -1 for as many as there may be
    #[arg(long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    pod_max_pids: i64,
    /// Of each container's log, the size at which it is rotated; 0 or less for never
    #[arg(long, value_name = "QUANTITY", default_value = "10Mi", value_parser = size, allow_hyphen_values = true)]
    container_log_max_size: u64,
    /// Of each container's log, the files that there may be, the live one included
    #[arg(long, value_name = "COUNT", default_value_t = Rotation::default().max_files,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..))]
    container_log_max_files: usize,
    /// Filter the system calls of containers that say nothing of it, by the profile RuntimeDefault
    #[arg(long)]
    seccomp_default: bool,
    /// Leave the session of whoever started it
    #[arg(long, hide = true)]
    detach: bool,
}

fn label(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written as `KEY=VALUE`")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Bytes of one log file.
fn size(text: &str) -> std::result::Result<u64, String> {
    let size = Quantity::parse(text).ok_or("a size is a quantity such as `10Mi`")?.value();
    Ok(u64::try_from(size).ok().filter(|size| *size > 0).unwrap_or(Rotation::UNLIMITED))
}

pub fn run(args: RunnerArgs, invocation: &Invocation) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Fault::usage("the user is not root").hint("run it as root").into());
    }
    if args.detach {
        // fails only for a leader of a process group, which is detached enough
        let _ = nix::unistd::setsid();
    }
    let layout = &invocation.layout;
    let facts = facts::gather(layout)?;
    let manifests =
        args.manifests.map(std::path::absolute).transpose().context("cannot make `--manifests` absolute")?;
    let server = server::Settings {
        address: args.address,
        port: args.port,
        certificate: args.tls_cert_file.zip(args.tls_private_key_file),
        client_authority: args.client_ca_file,
    };
    let rotation = Rotation { max_size: args.container_log_max_size, max_files: args.container_log_max_files };
    let options = Options {
        layout: layout.clone(),
        node_name: args.node_name.unwrap_or(facts.hostname).trim().to_lowercase(),
        node_ip: args
            .node_ip
            .or(facts.default_address)
            .ok_or_else(|| Fault::usage("this machine has no default route").hint("name its address: `--node-ip`"))?,
        cluster_dns: args.cluster_dns,
        cluster_domain: args.cluster_domain,
        manifests: manifests.map_or_else(|| layout.manifests(), |path| layout.under(path)),
        max_restart_period: Duration::from_secs(args.max_container_restart_period),
        node_labels: args.node_labels,
        max_pods: args.max_pods,
        pod_max_pids: Some(args.pod_max_pids).filter(|count| *count > 0),
        rotation,
        seccomp_default: args.seccomp_default,
        manifest_url: args.manifest_url.map(|url| ManifestUrl::new(&url, &args.manifest_url_header)).transpose()?,
        server: (args.port != 0).then_some(server),
    };
    // one thread: what the runner does all day is wait
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = Settings { pod_cidr: args.pod_cidr, rotation, ..Settings::default() };
    runtime.block_on(runner::run(options, |layout| async move {
        Embedded::open(&layout, Puller::open(&layout)?, settings).await
    }))
}
