//! kubeadm's flags, as clap reads them.

use std::path::PathBuf;

use clap::Args;

use crate::cli::profile::ProfileName;
use crate::config::flags::{ExtraArgs, Flags};
use crate::config::profile::Profile;
use crate::secret::Secret;

/// Flags that say what the cluster is to be; each stands for a field of the configuration file [5.1].
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Configuration")]
pub(in crate::cli) struct ConfigFlags {
    /// Configuration file (kubeadm.k8s.io/v1beta4)
    #[arg(long = "config", value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Address that the API server tells others it listens on [default: that of the default route]
    #[arg(long, value_name = "IP")]
    apiserver_advertise_address: Option<String>,
    /// Port of the API server [default: 6443]
    #[arg(long, value_name = "PORT")]
    apiserver_bind_port: Option<i32>,
    /// More names and addresses for the API server's certificate
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    apiserver_cert_extra_sans: Option<Vec<String>>,
    /// Where certificates are [default: /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<String>,
    /// Key that protects uploaded certificates
    #[arg(long, value_name = "HEX", value_parser = secret)]
    certificate_key: Option<Secret>,
    /// Stable name or address of the control plane
    #[arg(long, value_name = "HOST[:PORT]")]
    control_plane_endpoint: Option<String>,
    /// Socket of a container runtime
    #[arg(long, value_name = "SOCKET")]
    cri_socket: Option<String>,
    /// Feature gates
    #[arg(long, value_name = "A=true,B=false")]
    feature_gates: Option<String>,
    /// Preflight checks whose errors become warnings, or `all`
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    ignore_preflight_errors: Option<Vec<String>>,
    /// Registry and path of the control plane's images [default: registry.k8s.io]
    #[arg(long, value_name = "REPOSITORY")]
    image_repository: Option<String>,
    /// Version of the control plane [default: v1.36.2]
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
    /// Name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Directory of patches
    #[arg(long, value_name = "DIR")]
    patches: Option<String>,
    /// Addresses of pods
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pod_network_cidr: Option<String>,
    /// Set what a hardening benchmark asks for: cis (CIS Kubernetes Benchmark 1.12)
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    profile: Option<ProfileName>,
    /// Addresses of services [default: 10.96.0.0/12]
    #[arg(long, value_name = "CIDR[,CIDR]")]
    service_cidr: Option<String>,
    /// Domain of services [default: cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    service_dns_domain: Option<String>,
    /// Phases to leave out
    #[arg(long, value_name = "NAME[/ITEM]", value_delimiter = ',')]
    skip_phases: Option<Vec<String>>,
    /// Token that nodes join with [default: a random one]
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    token: Option<Secret>,
    /// How long the token is good; 0 for ever [default: 24h0m0s]
    #[arg(long, value_name = "DURATION")]
    token_ttl: Option<String>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Flags that kubeadm has only for single phases [5.1].
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The phase")]
pub(super) struct PhaseFlags {
    /// control-plane: flags of kube-apiserver
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    apiserver_extra_args: Option<Vec<String>>,
    /// control-plane: flags of kube-controller-manager
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    controller_manager_extra_args: Option<Vec<String>>,
    /// control-plane: flags of kube-scheduler
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    scheduler_extra_args: Option<Vec<String>>,
    /// Phases that change the API: ask as the user of this kubeconfig, at its server
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// addon: print the objects instead of applying them
    #[arg(long)]
    pub(super) print_manifest: bool,
}

impl PhaseFlags {
    pub(super) fn extra_args(&self) -> ExtraArgs {
        ExtraArgs {
            api_server: self.apiserver_extra_args.clone(),
            controller_manager: self.controller_manager_extra_args.clone(),
            scheduler: self.scheduler_extra_args.clone(),
        }
    }

    /// The steps whose results nobody needs any more.
    pub(super) fn given(&self) -> &'static [&'static str] {
        match self.print_manifest || self.kubeconfig.is_some() {
            true => &["kubeconfig/admin", "kubeconfig/super-admin"],
            false => &[],
        }
    }
}

impl ConfigFlags {
    pub(in crate::cli) fn to_flags(&self) -> Flags {
        let flags = self.clone();
        Flags {
            apiserver_advertise_address: flags.apiserver_advertise_address,
            apiserver_bind_port: flags.apiserver_bind_port,
            apiserver_cert_extra_sans: flags.apiserver_cert_extra_sans,
            cert_dir: flags.cert_dir,
            certificate_key: flags.certificate_key,
            control_plane_endpoint: flags.control_plane_endpoint,
            cri_socket: flags.cri_socket,
            dry_run: None,
            feature_gates: flags.feature_gates,
            ignore_preflight_errors: flags.ignore_preflight_errors,
            image_repository: flags.image_repository,
            kubernetes_version: flags.kubernetes_version,
            node_name: flags.node_name,
            patches: flags.patches,
            pod_network_cidr: flags.pod_network_cidr,
            profile: flags.profile.map_or(Profile::None, Profile::from),
            service_cidr: flags.service_cidr,
            service_dns_domain: flags.service_dns_domain,
            skip_phases: flags.skip_phases,
            token: flags.token,
            token_ttl: flags.token_ttl,
            upload_certs: false,
            extra_args: ExtraArgs::default(),
        }
    }
}
