//! `--profile`: settings beyond kubeadm's own, as a user could have written them.
//!
//! A profile adds `extraArgs`, `extraVolumes` and fields of the kubelets' configuration, so manifests, `kubeadm-config`
//! and whoever reads that later agree. What the user set stays as it is, and a warning names the item that it decides.
//! The files behind the flags are in `desired::profile`.

use serde_json::Value as Json;

use super::{Arg, Component, Config, HostPathMount, last};

/// What the control plane gets beyond kubeadm's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    #[default]
    None,
    /// What the CIS Kubernetes Benchmark 1.12 asks of flags and files.
    Cis,
}

/// The files of a profile are in here, and its audit logs in there; root's alone.
pub const DIRECTORY: &str = "/etc/kubernetes/hardening";
pub const AUDIT_LOGS: &str = "/var/log/kubernetes/audit";
pub const ADMISSION: &str = "/etc/kubernetes/hardening/admission.yaml";
pub const AUDIT_POLICY: &str = "/etc/kubernetes/hardening/audit-policy.yaml";
pub const ENCRYPTION: &str = "/etc/kubernetes/hardening/encryption.yaml";
const AUDIT_LOG: &str = "/var/log/kubernetes/audit/audit.log";

pub const ENCRYPTION_FLAG: &str = "encryption-provider-config";
/// etcd's data directory is not root's. No flag says so, but a step.
const ETCD_OWNER_ITEM: &str = "1.1.12";

const ADMISSION_FLAG: &str = "admission-control-config-file";
const AUDIT_LOG_FLAG: &str = "audit-log-path";
const AUDIT_POLICY_FLAG: &str = "audit-policy-file";

/// Suites with forward secrecy and authenticated encryption, for TLS 1.2; those of TLS 1.3 cannot be chosen. HTTP/2
/// needs one of the first two.
const CIPHER_SUITES: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,\
                             TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,\
                             TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";

/// Whose `extraArgs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    ApiServer,
    ControllerManager,
    Scheduler,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Fixed(&'static str),
    /// Those that the version has and that can be configured.
    AdmissionPlugins,
    /// The cluster's `ca.crt`.
    Authority,
}

/// A flag of the profile and the items that ask for it.
#[derive(Debug)]
struct Setting {
    of: Of,
    flag: &'static str,
    value: Value,
    items: &'static [&'static str],
}

const fn setting(of: Of, flag: &'static str, value: Value, items: &'static [&'static str]) -> Setting {
    Setting { of, flag, value, items }
}

const CIS: &[Setting] = &[
    setting(Of::ApiServer, ADMISSION_FLAG, Value::Fixed(ADMISSION), &["1.2.9"]),
    setting(Of::ApiServer, "audit-log-maxage", Value::Fixed("30"), &["1.2.17"]),
    setting(Of::ApiServer, "audit-log-maxbackup", Value::Fixed("10"), &["1.2.18"]),
    setting(Of::ApiServer, "audit-log-maxsize", Value::Fixed("100"), &["1.2.19"]),
    setting(Of::ApiServer, AUDIT_LOG_FLAG, Value::Fixed(AUDIT_LOG), &["1.2.16"]),
    setting(Of::ApiServer, AUDIT_POLICY_FLAG, Value::Fixed(AUDIT_POLICY), &["3.2.1", "3.2.2"]),
    setting(Of::ApiServer, "enable-admission-plugins", Value::AdmissionPlugins, &["1.2.3", "1.2.9", "1.2.14"]),
    setting(Of::ApiServer, ENCRYPTION_FLAG, Value::Fixed(ENCRYPTION), &["1.2.27", "1.2.28"]),
    setting(Of::ApiServer, "kubelet-certificate-authority", Value::Authority, &["1.2.5"]),
    setting(Of::ApiServer, "profiling", Value::Fixed("false"), &["1.2.15"]),
    // the default, said aloud: longer than this only where clients are slow
    setting(Of::ApiServer, "request-timeout", Value::Fixed("1m0s"), &["1.2.20"]),
    setting(Of::ApiServer, "service-account-extend-token-expiration", Value::Fixed("false"), &["1.2.30"]),
    setting(Of::ApiServer, "tls-cipher-suites", Value::Fixed(CIPHER_SUITES), &["1.2.29"]),
    setting(Of::ControllerManager, "profiling", Value::Fixed("false"), &["1.3.2"]),
    setting(Of::ControllerManager, "terminated-pod-gc-threshold", Value::Fixed("1000"), &["1.3.1"]),
    setting(Of::Scheduler, "profiling", Value::Fixed("false"), &["1.4.1"]),
];

impl Profile {
    /// The profile sees to this item of the benchmark.
    pub fn covers(self, item: &str) -> bool {
        self.settings().iter().any(|setting| setting.items.contains(&item))
            || self == Profile::Cis && item == ETCD_OWNER_ITEM
    }

    fn settings(self) -> &'static [Setting] {
        match self {
            Profile::None => &[],
            Profile::Cis => CIS,
        }
    }

    /// The configuration with everything of the profile that the user did not set otherwise.
    pub(super) fn applied_to(self, mut config: Config) -> Config {
        config.profile = self;
        if self == Profile::None {
            return config;
        }
        for of in [Of::ApiServer, Of::ControllerManager, Of::Scheduler] {
            let (args, mut warnings) = added(&config, self.settings().iter().filter(|setting| setting.of == of));
            of.component(&mut config).extra_args.splice(0..0, args);
            config.warnings.append(&mut warnings);
        }
        for volume in volumes(&config) {
            let all = &mut config.api_server.component.extra_volumes;
            if all.iter().all(|other| other.name != volume.name) {
                all.push(volume);
            }
        }
        // or no certificate of a kubelet could stand the API server's look at it (item 1.2.5)
        let kubelet = config.component_configs.kubelet.get_or_insert_with(|| {
            let head = [("apiVersion", "kubelet.config.k8s.io/v1beta1"), ("kind", "KubeletConfiguration")];
            head.into_iter().map(|(field, value)| (field.to_owned(), Json::from(value))).collect()
        });
        kubelet.entry("serverTLSBootstrap").or_insert(Json::Bool(true));
        config
    }
}

impl Of {
    fn field(self) -> &'static str {
        match self {
            Of::ApiServer => "apiServer",
            Of::ControllerManager => "controllerManager",
            Of::Scheduler => "scheduler",
        }
    }

    fn component(self, config: &mut Config) -> &mut Component {
        match self {
            Of::ApiServer => &mut config.api_server.component,
            Of::ControllerManager => &mut config.controller_manager,
            Of::Scheduler => &mut config.scheduler,
        }
    }

    fn extra_args(self, config: &Config) -> &[Arg] {
        match self {
            Of::ApiServer => &config.api_server.component.extra_args,
            Of::ControllerManager => &config.controller_manager.extra_args,
            Of::Scheduler => &config.scheduler.extra_args,
        }
    }
}

/// The flags that the user did not set, and a warning for each that stays otherwise.
fn added<'a>(config: &Config, settings: impl Iterator<Item = &'a Setting>) -> (Vec<Arg>, Vec<String>) {
    let (mut args, mut warnings) = (Vec::new(), Vec::new());
    for Setting { of, flag, value, items } in settings {
        let value = match value {
            Value::Fixed(value) => (*value).to_owned(),
            Value::AdmissionPlugins => admission_plugins(config),
            Value::Authority => config.certificates_dir.join("ca.crt").to_string_lossy().into_owned(),
        };
        match last(of.extra_args(config), flag) {
            None => args.push(Arg { name: (*flag).to_owned(), value }),
            Some(own) if own == value => {}
            Some(_) => warnings.push(format!(
                "{}.extraArgs: `{flag}` stays as it is written, so the profile does not decide CIS {}",
                of.field(),
                items.join(", ")
            )),
        }
    }
    (args, warnings)
}

/// kubeadm's and those that the benchmark asks for. EventRateLimit does not start without its limits, which are in the
/// profile's file.
fn admission_plugins(config: &Config) -> String {
    let mut plugins = vec!["NodeRestriction"];
    if last(&config.api_server.component.extra_args, ADMISSION_FLAG).is_none_or(|file| file == ADMISSION) {
        plugins.push("EventRateLimit");
    }
    if config.kubernetes_version.has_deny_service_external_ips() {
        plugins.push("DenyServiceExternalIPs");
    }
    plugins.join(",")
}

/// Directories that the API server's flags name.
fn volumes(config: &Config) -> Vec<HostPathMount> {
    // they must exist: the profile's steps make them, with modes that nobody else knows
    let directory = |name: &str, path: &str, read_only| HostPathMount {
        name: name.to_owned(),
        host_path: path.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        path_type: "Directory".to_owned(),
    };
    let files = [ADMISSION, AUDIT_POLICY, ENCRYPTION].iter().any(|file| config.uses_profile_file(file));
    let files = files.then(|| directory("hardening-files", DIRECTORY, true));
    let logs = config.writes_profile_audit_log().then(|| directory("hardening-audit-logs", AUDIT_LOGS, false));
    files.into_iter().chain(logs).collect()
}

impl Config {
    /// The API server reads this file of a profile; so it does too with what `config print` has made of the profile.
    pub fn uses_profile_file(&self, path: &str) -> bool {
        let flags = [ADMISSION_FLAG, AUDIT_POLICY_FLAG, ENCRYPTION_FLAG];
        let args = &self.api_server.component.extra_args;
        flags.iter().any(|flag| last(args, flag) == Some(path))
    }

    /// etcd's data directory belongs to a user of its own.
    pub fn gives_etcd_its_data(&self) -> bool {
        self.profile == Profile::Cis && self.etcd.local().is_some()
    }

    /// The API server writes its audit log where the profile wants it.
    pub fn writes_profile_audit_log(&self) -> bool {
        last(&self.api_server.component.extra_args, AUDIT_LOG_FLAG) == Some(AUDIT_LOG)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::facts::{Facts, TokenSeed};
    use crate::config::file::FileInput;
    use crate::config::flags::Flags;
    use crate::config::resolve::resolve;

    fn resolved(profile: Profile, fields: &str) -> Config {
        let facts = Facts {
            hostname: "n1".to_owned(),
            default_address: Some("10.0.0.5".parse().unwrap()),
            loopback_address: None,
            ca_directories: Vec::new(),
            external_ca: false,
            systemd_resolved: false,
            accounts: None,
            identities: None,
            proxy_environment: Vec::new(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            token_seed: TokenSeed::new([0; 32]),
        };
        let text = format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{fields}");
        let file = FileInput { name: "config.yaml".to_owned(), text };
        resolve(&Flags { profile, ..Flags::default() }, Some(file), &facts).unwrap()
    }

    fn api_server<'a>(config: &'a Config, flag: &str) -> Option<&'a str> {
        last(&config.api_server.component.extra_args, flag)
    }

    #[test]
    fn without_a_profile_nothing_is_added() {
        let config = resolved(Profile::None, "");
        assert!(config.api_server.component.extra_args.is_empty() && config.component_configs.kubelet.is_none());
        assert!(!config.uses_profile_file(ENCRYPTION) && !config.writes_profile_audit_log());
    }

    #[test]
    fn a_version_gets_the_plugins_that_it_has() {
        for (version, plugins) in [
            ("v1.20.2", "NodeRestriction,EventRateLimit"),
            ("v1.21.0", "NodeRestriction,EventRateLimit,DenyServiceExternalIPs"),
            ("v1.36.2", "NodeRestriction,EventRateLimit,DenyServiceExternalIPs"),
        ] {
            let config = resolved(Profile::Cis, &format!("kubernetesVersion: {version}\n"));
            assert_eq!(api_server(&config, "enable-admission-plugins"), Some(plugins), "{version}");
            assert!(config.uses_profile_file(ENCRYPTION) && config.warnings.is_empty());
            let mounts = &config.api_server.component.extra_volumes;
            assert_eq!(mounts.iter().map(|mount| mount.read_only).collect::<Vec<_>>(), [true, false]);
            assert_eq!(config.component_configs.kubelet.unwrap()["serverTLSBootstrap"], Json::Bool(true));
        }
    }

    #[test]
    fn what_the_user_wrote_wins_and_is_told() {
        let fields = "\
apiServer:
  extraArgs:
  - {name: profiling, value: 'true'}
  - {name: audit-log-maxage, value: '30'}
  - {name: audit-log-path, value: '-'}
  - {name: admission-control-config-file, value: /etc/mine.yaml}
  - {name: encryption-provider-config, value: /etc/keys.yaml}
  - {name: audit-policy-file, value: /etc/policy.yaml}
";
        let config = resolved(Profile::Cis, fields);
        let args = &config.api_server.component.extra_args;
        assert_eq!(args.iter().filter(|arg| arg.name == "profiling").count(), 1);
        assert_eq!(api_server(&config, "profiling"), Some("true"));
        // its limits are in the profile's file, which this API server does not read
        let plugins = api_server(&config, "enable-admission-plugins").unwrap();
        assert!(!plugins.contains("EventRateLimit"), "{plugins}");
        assert!(config.api_server.component.extra_volumes.is_empty());
        let told = |text: &str| config.warnings.iter().filter(|warning| warning.contains(text)).count();
        assert_eq!((told("CIS 1.2.15"), told("1.2.17"), told("1.2.27"), config.warnings.len()), (1, 0, 1, 5));
    }
}
