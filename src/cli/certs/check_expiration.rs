//! `bootstrap certs check-expiration`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{SourceArgs, settings};
use crate::cli::Invocation;
use crate::desired::expiration::{self, CertificateExpirationInfo, Expiration, Look};
use crate::desired::renewal::{Place, Settings};
use crate::error::{Context, Result};
use crate::host::found;
use crate::plan::KeyPairPaths;
use crate::plan::found::FoundFile;

#[derive(Debug, Args)]
pub(super) struct CheckExpirationArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
    Yaml,
}

const HEADS: [&str; 6] =
    ["CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY", "EXTERNALLY MANAGED", "STATE"];
const AUTHORITY_HEADS: [&str; 5] = ["CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME", "EXTERNALLY MANAGED", "STATE"];

pub(super) fn run(args: CheckExpirationArgs, invocation: &Invocation) -> Result<()> {
    let report = &invocation.report;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = runtime.block_on(settings(&args.source, invocation))?;
    let info = look(&settings, invocation)?;
    match args.output {
        Form::Json => return report.json(&info),
        Form::Yaml => {
            let text = serde_yaml::to_string(&info).context("cannot write YAML")?;
            report.line(text.trim_end());
            return Ok(());
        }
        Form::Text => {}
    }
    let rows: Vec<_> = info.certificates.iter().map(|one| row(one, one.ca_name)).collect();
    report.table(&HEADS, &rows);
    report.line("");
    let rows: Vec<_> = info.certificate_authorities.iter().map(|one| row(one, None)).collect();
    report.table(&AUTHORITY_HEADS, &rows);
    Ok(())
}

fn look(settings: &Settings, invocation: &Invocation) -> Result<CertificateExpirationInfo> {
    let directory = &settings.certificates_dir;
    let authorities = settings.authorities().map(|authority| KeyPairPaths::in_directory(directory, authority.base()));
    let mut paths: Vec<PathBuf> = authorities.flat_map(|paths| [paths.certificate, paths.key]).collect();
    for what in settings.renewables() {
        paths.push(what.place.certificate_path(directory));
        if let Place::Pair(base) = what.place {
            paths.push(KeyPairPaths::in_directory(directory, base).key);
        }
    }
    let now = jiff::Timestamp::now();
    let files: BTreeMap<PathBuf, FoundFile> = found::read(&invocation.layout, paths, now)?.files;
    let file = |path: &Path| match files.get(path) {
        Some(FoundFile::Content(content)) => Look::Content(content),
        Some(FoundFile::Unreadable) => Look::Denied,
        Some(FoundFile::Absent) | None => Look::Absent,
    };
    Ok(expiration::report(settings, &file, now))
}

/// kubeadm's columns, and one more.
fn row(one: &Expiration, authority: Option<&str>) -> Vec<String> {
    if one.missing {
        return vec![format!("!MISSING! {}", one.name)];
    }
    let date = |moment: jiff::Timestamp| moment.strftime("%b %d, %Y %H:%M UTC").to_string();
    let expires = one.expiration_date.map(date).unwrap_or_default();
    let residual = one.expiration_date.map(|_| expiration::short(one.residual_time)).unwrap_or_default();
    let managed = if one.externally_managed { "yes" } else { "no" }.to_owned();
    let mut row = vec![one.name.clone(), expires, residual];
    row.extend(authority.map(str::to_owned));
    row.extend([managed, one.summary()]);
    row
}
