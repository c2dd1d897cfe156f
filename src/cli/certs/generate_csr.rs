//! `bootstrap certs generate-csr`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::check_clock;
use crate::apply::{Observe, Order, apply};
use crate::cli::Invocation;
use crate::cli::config::read_config;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::desired::Desired;
use crate::error::{Context, Fault, Result};
use crate::host::writer::Writer;
use crate::host::{facts, found};
use crate::layout::KUBERNETES;
use crate::phase::request;
use crate::plan::{Action, Step};

#[derive(Debug, Args)]
pub(super) struct GenerateCsrArgs {
    /// Configuration file (kubeadm.k8s.io/v1beta4)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where keys and requests go [default: as configured, /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Where kubeconfigs go
    #[arg(long, value_name = "DIR", default_value = KUBERNETES)]
    kubeconfig_dir: PathBuf,
}

pub(super) fn run(args: GenerateCsrArgs, invocation: &Invocation) -> Result<()> {
    check_clock()?;
    let layout = &invocation.layout;
    let facts = facts::gather(layout)?;
    let file = args.config.as_deref().map(read_config).transpose()?;
    let mut config = resolve(&Flags::default(), file, &facts).map_err(Fault::from)?;
    if let Some(directory) = &args.cert_dir {
        config.certificates_dir = absolute(directory)?;
    }
    let moment = time::OffsetDateTime::from_unix_timestamp(facts.now.as_second())?;
    let desired = Desired::new(config, &facts, &[])?;
    let requests = request::requests(&desired, &absolute(&args.kubeconfig_dir)?);
    let found = found::read(layout, requests.iter().flat_map(request::files), facts.now)?;
    let plan = request::plan(&requests, &found);
    plan.refusals()?;
    let writer = Writer::new(layout.clone(), layout.clone(), desired.config.encryption_algorithm, moment);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(apply(&plan, Order::Listed, &writer, &Tell(invocation)))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot make `{}` absolute", path.display()))
}

/// One line for each request.
struct Tell<'a>(&'a Invocation);

impl Observe for Tell<'_> {
    fn began(&self, _step: &Step) {}

    fn ended(&self, step: &Step, _took: Duration) {
        for action in &step.actions {
            if let Action::Request(request) = action {
                self.0.report.line(format!("{} {}", request.request.display(), request.key.path().display()));
            }
        }
    }
}
