//! Where the node has a CNI configuration, its plugins make the pods' network [CNI 1.0].
//!
//! A file for each sandbox says what was asked for, before the first plugin runs, and the result, after the last one:
//! whatever happens in between, and to the node's configuration, what was added is deleted. Blocking.

mod configuration;
mod plugin;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::configuration::NetworkConfiguration;
use self::plugin::Operation;
use crate::error::{Context, Result, chain_of};
use crate::layout::{Layout, PRIVATE_DIRECTORY};
use crate::runner::runtime::{PodSandboxConfig, PortMapping};

const CONFIGURATIONS: &str = "/etc/cni/net.d";
const PROGRAMS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
/// As long as the kubelet waits for its runtime.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Plugins {
    configurations: PathBuf,
    search: Vec<PathBuf>,
    attachments: PathBuf,
    patience: Duration,
}

/// What there is, or may be, of a sandbox.
#[derive(Debug, Serialize, Deserialize)]
struct Attachment {
    configuration: NetworkConfiguration,
    namespace: PathBuf,
    interface: String,
    arguments: String,
    ports: Vec<PortMapping>,
    /// Of the last plugin; `None` as long as not all have run.
    #[serde(default)]
    result: Option<Value>,
}

impl Plugins {
    pub(super) fn new(layout: &Layout) -> Plugins {
        let mut search: Vec<_> = PROGRAMS.iter().map(|directory| layout.under(directory)).collect();
        if !layout.is_default_root() {
            search.extend(PROGRAMS.map(PathBuf::from));
        }
        Plugins {
            configurations: layout.under(CONFIGURATIONS),
            search,
            attachments: layout.cni_attachments(),
            patience: PATIENCE,
        }
    }

    /// The node's configuration, if it has one.
    pub(super) fn configuration(&self) -> Result<Option<NetworkConfiguration>> {
        let Some(name) = configuration::first_of(names(&self.configurations)?.into_iter()) else { return Ok(None) };
        let path = self.configurations.join(name);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let parsed = NetworkConfiguration::parse(&bytes);
        parsed.map(Some).with_context(|| format!("`{}` is no CNI configuration", path.display()))
    }

    /// Runs all plugins of the configuration; returns the sandbox's addresses. After a failure nothing is left, unless
    /// that fails, too: then it is left to the next [`Plugins::delete`].
    pub(super) fn add(
        &self,
        id: &str,
        config: &PodSandboxConfig,
        namespace: &Path,
        configuration: NetworkConfiguration,
    ) -> Result<Vec<IpAddr>> {
        let pod = &config.metadata;
        let mut attachment = Attachment {
            configuration,
            namespace: namespace.to_owned(),
            interface: super::INTERFACE.to_owned(),
            arguments: configuration::arguments(&pod.namespace, &pod.name, id, &pod.uid),
            ports: config.port_mappings.clone(),
            result: None,
        };
        let added = self.try_add(id, &mut attachment);
        let name = &attachment.configuration.name;
        let added = added.with_context(|| format!("cannot connect the pod to network `{name}`"));
        if added.is_err()
            && let Err(error) = self.delete(id)
        {
            tracing::warn!("{}", chain_of(&error));
        }
        added
    }

    fn try_add(&self, id: &str, attachment: &mut Attachment) -> Result<Vec<IpAddr>> {
        self.keep(id, attachment)?;
        let mut result = None;
        for plugin in &attachment.configuration.plugins {
            let input = attachment.configuration.input(plugin, &attachment.ports, result.as_ref());
            let output = self.operation("ADD", id, attachment).run(&plugin.kind, &input)?;
            let parsed = serde_json::from_slice(&output);
            result = Some(parsed.with_context(|| format!("the result of CNI plugin `{}` is no JSON", plugin.kind))?);
        }
        attachment.result = result;
        self.keep(id, attachment)?;
        configuration::addresses(attachment.result.as_ref().unwrap_or(&Value::Null))
    }

    /// Undoes what has been added for the sandbox; nothing is no error.
    pub(super) fn delete(&self, id: &str) -> Result<()> {
        let path = self.file(id);
        let Some(bytes) = crate::files::read_if_exists(&path)? else { return Ok(()) };
        let parsed = serde_json::from_slice(&bytes);
        let attachment: Attachment = parsed.with_context(|| format!("cannot read `{}`", path.display()))?;
        let Attachment { configuration, ports, result, .. } = &attachment;
        let previous = configuration.told_at_the_end(result.as_ref());
        for plugin in configuration.plugins.iter().rev() {
            let input = configuration.input(plugin, ports, previous);
            let deleted = self.operation("DEL", id, &attachment).run(&plugin.kind, &input);
            deleted.with_context(|| format!("cannot disconnect a pod from network `{}`", configuration.name))?;
        }
        crate::files::remove_file(&path)?;
        Ok(())
    }

    /// Undoes what was added for sandboxes that are not known any more; goes on where something resists, and returns the
    /// first failure.
    pub(super) fn delete_unless(&self, is_known: impl Fn(&str) -> bool) -> Result<()> {
        let mut first = Ok(());
        for name in names(&self.attachments)? {
            // other names are files that were never complete
            let deleted = match name.strip_suffix(".json") {
                Some(id) if !name.starts_with('.') => {
                    if is_known(id) {
                        Ok(())
                    } else {
                        self.delete(id)
                    }
                }
                _ => crate::files::remove_file(&self.attachments.join(name)).map(drop),
            };
            first = first.and(deleted);
        }
        // of no use when it is empty
        let _ = std::fs::remove_dir(&self.attachments);
        first
    }

    fn operation<'a>(&'a self, command: &'static str, sandbox: &'a str, attachment: &'a Attachment) -> Operation<'a> {
        let Attachment { namespace, interface, arguments, .. } = attachment;
        Operation {
            command,
            sandbox,
            namespace: Some(namespace.as_path()).filter(|path| is_namespace(path)),
            interface,
            arguments,
            search: &self.search,
            patience: self.patience,
        }
    }

    fn keep(&self, id: &str, attachment: &Attachment) -> Result<()> {
        crate::files::make_directory(&self.attachments, PRIVATE_DIRECTORY)?;
        crate::files::write(&self.file(id), &serde_json::to_vec(attachment)?, crate::layout::SECRET_FILE)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.attachments.join(format!("{id}.json"))
    }
}

/// Whether a namespace is mounted there; what stays without is an empty file.
fn is_namespace(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

/// Of the files in a directory, which may be missing.
fn names(directory: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot read `{}`", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(cannot),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().with_context(cannot)
}

#[cfg(test)]
mod tests;
