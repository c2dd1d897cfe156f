//! `init` for real: preflight, the plan, the last block.

use std::time::Instant;

use super::preflight::Preflight;
use super::progress::{Progress, Split};
use super::{Decided, Options, Output, images, join};
use crate::apply::{Order, apply};
use crate::cli::Invocation;
use crate::error::{Fault, Result};
use crate::host::lock::InstanceLock;
use crate::host::perform::Host;
use crate::host::probe::Reach;
use crate::layout::Layout;
use crate::phase::URGENT;

pub(super) async fn run(decided: &Decided, options: &Options, invocation: &Invocation) -> Result<()> {
    let begin = Instant::now();
    let (layout, report) = (&invocation.layout, &invocation.report);
    let desired = &decided.desired;
    let progress = Progress::new(report.clone(), options.output, begin);

    let mut preflight = Preflight::look(decided, layout, Reach::Whole).await;
    progress.verdicts(preflight.verdicts(), invocation.verbose);
    preflight.refuse()?;
    if decided.selection.is_preflight_alone() {
        progress.preflight_summary(preflight.verdicts());
        return Ok(());
    }
    if decided.plan.steps.is_empty() {
        report.note(match decided.selection.phase() {
            Some("upload-certs") => "there is nothing to do without `--upload-certs`",
            _ => "there is nothing to do: this configuration has no such step, or it is skipped",
        });
        return Ok(());
    }
    let lock = InstanceLock::take(layout)?;
    let obtain_image = images::obtainer(layout, options, report)?;
    let tell = Box::new(|text: String| progress.tell(&text));
    let host = Host::new(layout.clone(), &lock, desired, decided.now, obtain_image, tell)?
        .as_user_of(decided.kubeconfig.clone());
    let applied = tokio::select! {
        applied = apply(&decided.plan, Order::Urgent(URGENT), &host, &progress) => applied,
        _ = tokio::signal::ctrl_c() => Err(Fault::failed("interrupted").into()),
    };
    applied.map_err(|error| match crate::error::hint_of(&error) {
        Some(_) => error,
        None => Fault::new(crate::error::exit_of(&error), "init did not finish")
            .hint("a second `bootstrap init` goes on where this one ended; `bootstrap reset` takes everything away")
            .because(error)
            .into(),
    })?;
    progress.verdicts(&preflight.catch_up(), invocation.verbose);
    let split = progress.split();
    if options.output == Output::Json {
        let join = join::json(&host.join_commands(), host.certificate_key(), options.withhold);
        progress.summary(&split, &layout.admin_kubeconfig().display().to_string(), join);
        return Ok(());
    }
    if !decided.selection.is_whole() {
        if let Some(key) = host.certificate_key() {
            report.line(join::key_text(&key, options.withhold));
        }
        return Ok(());
    }
    progress.tell(&time_line(&split));
    let join = join::text(&host.join_commands(), host.certificate_key().as_ref(), options.withhold);
    report.line(format!("{}{join}", last_words(layout, decided)));
    Ok(())
}

fn time_line(split: &Split) -> String {
    format!(
        "done in {:.1} s: etcd {:.1} s, kube-apiserver {:.1} s, controller manager and scheduler {:.1} s, the rest {:.1} s",
        split.total.as_secs_f64(),
        split.etcd.as_secs_f64(),
        split.api_server.as_secs_f64(),
        split.components.as_secs_f64(),
        split.ours().as_secs_f64()
    )
}

fn last_words(layout: &Layout, decided: &Decided) -> String {
    let config = &decided.desired.config;
    let root = if layout.is_default_root() { String::new() } else { format!(" --root {}", layout.root().display()) };
    format!(
        "\nThe control plane is up: Kubernetes {} at {}\n\n\
         Use it:        export KUBECONFIG={}\n\
         \x20              kubectl get --raw '/readyz?verbose'\n\
         Look at it:    bootstrap{root} status\n\
         Read a log:    bootstrap{root} logs kube-apiserver\n\
         Take it away:  bootstrap{root} reset",
        config.kubernetes_version,
        config.server(),
        layout.admin_kubeconfig().display()
    )
}
