//! File, flags and facts become one complete, valid [`Config`], or all that is wrong with them.
//!
//! Every struct of the file is taken apart field by field, so that a field of the API cannot be forgotten: it is acted
//! upon, it is refused by name, or a warning says that it has no effect.

mod component;
mod endpoint;
mod etcd;
mod networking;
mod node;
mod period;
pub mod token;
mod upload;
mod version;

use std::collections::BTreeMap;
use std::path::{Component as PathComponent, Path, PathBuf};

use super::facts::Facts;
use super::file::{self, FileInput, Written, v1beta4};
use super::flags::Flags;
use super::problem::{Collector, Origin, Origins, Problem, Problems};
use super::profile::Profile;
use super::{BootstrapToken, Config, Dns, EncryptionAlgorithm, defaults, name};
use crate::image::reference::Reference;
use crate::secret::Secret;

const GATES: [&str; 3] = ["NodeLocalCRISocket", "PublicKeysECDSA", "RootlessControlPlane"];
/// The size of an AES-256 key [8.4].
const CERTIFICATE_KEY_BYTES: usize = 32;

/// Resolves the configuration. The error holds every problem that was found.
pub fn resolve(flags: &Flags, file: Option<FileInput>, facts: &Facts) -> Result<Config, Problems> {
    let (mut written, found) = file.as_ref().map_or_else(Default::default, |file| file::decode(&file.text));
    let mut collector = Collector { origins: std::mem::take(&mut written.origins), list: found };
    flags.apply(file.is_some(), &mut written, &mut collector);
    let name = file.map(|file| file.name);
    let place = |problem: &Problem| problem.in_file(name.as_deref());
    let deprecated = written.deprecated.iter().map(place);
    let ignored = written.others.iter().chain(&written.foreign);
    let ignored = ignored.map(|document| format!("{}; the document is ignored", place(document)));
    let warnings = deprecated.chain(ignored).collect();
    let mut resolver = Resolver { problems: collector, warnings, facts, profile: flags.profile };
    let config = resolver.config(written);
    match config {
        Some(config) if resolver.problems.list.is_empty() => {
            let config = flags.profile.applied_to(config);
            Ok(if flags.upload_certs { upload::uploading(config, facts) } else { config })
        }
        _ => Err(Problems::new(name, resolver.problems.list)),
    }
}

/// Resolves a bootstrap token that the command line describes. `flags` names the flags that stand for its fields.
pub fn bootstrap_token(
    written: v1beta4::BootstrapToken,
    flags: &[(&str, &'static str)],
    facts: &Facts,
) -> Result<BootstrapToken, Problems> {
    let mut origins = Origins::default();
    for (field, flag) in flags {
        origins.insert(format!("bootstrapTokens[0].{field}"), Origin::Flag(flag));
    }
    let problems = Collector { origins, list: Vec::new() };
    let mut resolver = Resolver { problems, warnings: Vec::new(), facts, profile: Profile::default() };
    let token = resolver.tokens(vec![written]).and_then(|mut tokens| tokens.pop());
    match token {
        Some(token) if resolver.problems.list.is_empty() => Ok(token),
        _ => Err(Problems::new(None, resolver.problems.list)),
    }
}

/// Collects problems and warnings on the way. A method that returns `None` has added a problem.
struct Resolver<'a> {
    problems: Collector,
    warnings: Vec<String>,
    facts: &'a Facts,
    profile: Profile,
}

impl Resolver<'_> {
    fn config(&mut self, written: Written) -> Option<Config> {
        let v1beta4::InitConfiguration {
            api_version: _,
            kind: _,
            bootstrap_tokens,
            dry_run,
            node_registration,
            local_api_endpoint,
            certificate_key,
            skip_phases,
            patches,
            timeouts,
        } = written.init;
        let v1beta4::ClusterConfiguration {
            api_version: _,
            kind: _,
            etcd,
            networking,
            kubernetes_version,
            control_plane_endpoint,
            api_server,
            controller_manager,
            scheduler,
            dns,
            proxy,
            certificates_dir,
            image_repository,
            feature_gates,
            cluster_name,
            encryption_algorithm,
            certificate_validity_period,
            ca_certificate_validity_period,
        } = written.cluster;

        let patches_directory = patches.map(|patches| PathBuf::from(patches.directory));
        let patches_directory = patches_directory.filter(|directory| !directory.as_os_str().is_empty());
        let v1beta4::Proxy { disabled: proxy_disabled } = proxy;
        // a skipped addon counts as disabled [5.2]
        let skips = |addon: &str| skip_phases.iter().any(|phase| phase == "addon" || phase == addon);
        let dns_skipped = skips("addon/coredns");
        let proxy_disabled = proxy_disabled || skips("addon/kube-proxy");

        // every part is resolved before the first `?`, so that one problem does not hide another
        let kubernetes_version = self.version(&kubernetes_version);
        let cluster_name = or_default(cluster_name, defaults::CLUSTER_NAME);
        let certificate_key = self.certificate_key(certificate_key);
        let ignore_preflight_errors = self.ignored(&node_registration.ignore_preflight_errors);
        let node = self.node(node_registration);
        let local_api_endpoint = self.local_api_endpoint(&local_api_endpoint);
        let control_plane_endpoint = self.control_plane_endpoint(&control_plane_endpoint, local_api_endpoint);
        let networking = self.networking(networking, &controller_manager.extra_args);
        if let (Some(networking), Some(endpoint)) = (&networking, local_api_endpoint) {
            self.compare_families(networking, endpoint.advertise_address);
        }
        let certificates_dir =
            self.absolute("certificatesDir", or_default(certificates_dir, defaults::CERTIFICATES_DIR));
        let image_repository = or_default(image_repository, defaults::IMAGE_REPOSITORY);
        self.check_image("imageRepository", &image_repository, "name", "tag");
        let dns = self.dns(dns, dns_skipped, &image_repository);
        self.check_gates(&feature_gates);
        self.check_profile(&feature_gates);
        let encryption_algorithm = self.algorithm(&encryption_algorithm, &feature_gates);
        let (leaf, ca) = self.validity(certificate_validity_period, ca_certificate_validity_period);
        let etcd = self.etcd(etcd, &image_repository);
        let api_server = self.api_server(api_server);
        let controller_manager = self.component("controllerManager", controller_manager);
        let scheduler = self.component("scheduler", scheduler);
        let bootstrap_tokens = self.tokens(bootstrap_tokens);
        let timeouts = self.timeouts(timeouts);

        Some(Config {
            kubernetes_version: kubernetes_version?,
            profile: Profile::None,
            cluster_name,
            node: node?,
            local_api_endpoint: local_api_endpoint?,
            control_plane_endpoint,
            networking: networking?,
            certificates_dir: certificates_dir?,
            image_repository,
            encryption_algorithm: encryption_algorithm?,
            certificate_validity_period: leaf?,
            ca_certificate_validity_period: ca?,
            etcd: etcd?,
            api_server,
            controller_manager,
            scheduler,
            bootstrap_tokens: bootstrap_tokens?,
            timeouts: timeouts?,
            ignore_preflight_errors,
            skip_phases,
            dry_run,
            certificate_key,
            upload_certs: None,
            dns,
            proxy_disabled,
            component_configs: written.component_configs,
            patches_directory,
            feature_gates,
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    fn dns(&mut self, written: v1beta4::Dns, skipped: bool, cluster_repository: &str) -> Dns {
        let v1beta4::Dns { image_repository, image_tag, disabled } = written;
        let image_repository = Some(image_repository).filter(|repository| !repository.is_empty());
        let image_tag = Some(image_tag).filter(|tag| !tag.is_empty());
        if let Some(repository) = &image_repository {
            self.check_image("dns.imageRepository", repository, "coredns", "tag");
        }
        if let Some(tag) = &image_tag {
            let repository = image_repository.as_deref().unwrap_or(cluster_repository);
            self.check_image("dns.imageTag", repository, "coredns", tag);
        }
        Dns { disabled: disabled || skipped, image_repository, image_tag }
    }

    /// 32 bytes in hexadecimal digits; no message shows them [4.6].
    fn certificate_key(&mut self, written: Option<Secret>) -> Option<Secret> {
        let key = written.filter(|key| !key.reveal().is_empty())?;
        if hex::decode(key.reveal()).is_ok_and(|bytes| bytes.len() == CERTIFICATE_KEY_BYTES) {
            return Some(key);
        }
        let digits = 2 * CERTIFICATE_KEY_BYTES;
        self.problems.add("certificateKey", format!("Invalid value: must be {digits} hexadecimal digits"));
        None
    }

    fn warn(&mut self, field: &str, sentence: impl std::fmt::Display) {
        let field = self.problems.origins.name_of(field);
        self.warnings.push(format!("{field}: {sentence}"));
    }

    /// Names of preflight checks, lower-cased; `all` stands alone [4.1].
    fn ignored(&mut self, names: &[String]) -> Vec<String> {
        let mut ignored: Vec<String> = Vec::new();
        for name in names.iter().map(|name| name.trim().to_lowercase()) {
            if !name.is_empty() && !ignored.contains(&name) {
                ignored.push(name);
            }
        }
        if ignored.len() > 1 && ignored.iter().any(|name| name == "all") {
            let field = "nodeRegistration.ignorePreflightErrors";
            self.problems.invalid(field, &ignored.join(","), "`all` cannot stand beside other names");
        }
        ignored
    }

    /// The one gate that gives files of the PKI to others than root.
    fn check_profile(&mut self, gates: &BTreeMap<String, bool>) {
        if self.profile == Profile::Cis && gates.get("RootlessControlPlane") == Some(&true) {
            let message = "Forbidden: cannot stand beside `--profile=cis`, which leaves every file of the PKI to root \
                           (CIS 1.1.19)";
            self.problems.add("featureGates.RootlessControlPlane", message);
        }
    }

    /// `encryptionAlgorithm`, which the older gate `PublicKeysECDSA` overrides [1.5].
    fn algorithm(&mut self, text: &str, gates: &BTreeMap<String, bool>) -> Option<EncryptionAlgorithm> {
        let mut algorithm = EncryptionAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == text);
        if text.is_empty() {
            algorithm = Some(EncryptionAlgorithm::Rsa2048);
        } else if algorithm.is_none() {
            let names = EncryptionAlgorithm::ALL.map(EncryptionAlgorithm::name).join(", ");
            self.problems.invalid("encryptionAlgorithm", text, format!("must be one of {names}"));
        }
        match gates.get("PublicKeysECDSA") {
            Some(true) => Some(EncryptionAlgorithm::EcdsaP256),
            Some(false) => Some(EncryptionAlgorithm::Rsa2048),
            None => algorithm,
        }
    }

    /// kubeadm's own gates [4.8].
    fn check_gates(&mut self, gates: &BTreeMap<String, bool>) {
        for (gate, enabled) in gates {
            let field = format!("featureGates.{gate}");
            match (gate.as_str(), enabled) {
                ("PublicKeysECDSA", _) => self.warn(&field, "deprecated; `encryptionAlgorithm` says more"),
                ("NodeLocalCRISocket", false) => self.warn(&field, "no effect: it is on for good"),
                ("NodeLocalCRISocket", true) | ("RootlessControlPlane", _) => {}
                _ => {
                    let reason = format!("{gate} is not a valid feature name; known are {}", GATES.join(", "));
                    self.problems.invalid(field, gate, reason);
                }
            }
        }
    }

    fn absolute(&mut self, field: &str, text: String) -> Option<PathBuf> {
        let path = Path::new(&text);
        if !path.is_absolute() {
            self.problems.invalid(field, &text, "path is not absolute");
        } else if path.components().any(|part| part == PathComponent::ParentDir) || text.contains('\0') {
            self.problems.invalid(field, &text, "path contains `..` or a zero byte");
        } else {
            return Some(PathBuf::from(text));
        }
        None
    }

    /// `repository/name:tag` has to be an image reference.
    fn check_image(&mut self, field: &str, repository: &str, name: &str, tag: &str) {
        if format!("{repository}/{name}:{tag}").parse::<Reference>().is_err() {
            let value = if tag == "tag" { repository } else { tag };
            self.problems.invalid(field, value, "does not make a valid image reference");
        }
    }

    fn check_subdomain(&mut self, field: &str, text: &str) {
        if !name::is_subdomain(text) {
            self.problems.invalid(field, text, name::SUBDOMAIN);
        }
    }
}

fn or_default(text: String, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text }
}

#[cfg(test)]
mod tests;
