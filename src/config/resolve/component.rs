//! What users add to components: flags, volumes, environment, names in certificates [4.6].

use std::path::Path;

use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Resolver;
use crate::config::file::v1beta4;
use crate::config::{ApiServer, Arg, Component, HostPathMount, name, quantity};

const PATH_TYPES: [&str; 8] =
    ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

impl Resolver<'_> {
    pub(super) fn api_server(&mut self, written: v1beta4::ApiServer) -> ApiServer {
        let v1beta4::ApiServer { extra_args, extra_volumes, extra_envs, cert_sans } = written;
        let component = v1beta4::Component { extra_args, extra_volumes, extra_envs };
        let component = self.component("apiServer", component);
        let cert_sans = cert_sans.iter().map(|san| san.to_lowercase()).collect();
        let cert_sans = self.sans("apiServer.certSANs", cert_sans);
        ApiServer { component, cert_sans }
    }

    pub(super) fn component(&mut self, field: &str, written: v1beta4::Component) -> Component {
        let v1beta4::Component { extra_args, extra_volumes, extra_envs } = written;
        Component {
            extra_args: self.args(&format!("{field}.extraArgs"), extra_args),
            extra_volumes: self.volumes(&format!("{field}.extraVolumes"), extra_volumes),
            extra_envs: self.envs(&format!("{field}.extraEnvs"), extra_envs),
        }
    }

    pub(super) fn args(&mut self, field: &str, written: Vec<v1beta4::Arg>) -> Vec<Arg> {
        let mut args = Vec::new();
        for (index, v1beta4::Arg { name, value }) in written.into_iter().enumerate() {
            let name_field = format!("{field}[{index}].name");
            if name.is_empty() {
                self.problems.add(name_field, "Required value: the flag's name");
            } else if name.starts_with('-') {
                self.problems.invalid(name_field, &name, "the flag's name goes without its dashes");
            } else if name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control()) {
                self.problems.invalid(name_field, &name, "not the name of a flag");
            }
            if value.contains('\0') {
                self.problems.invalid(format!("{field}[{index}].value"), &value, "contains a zero byte");
            }
            args.push(Arg { name, value });
        }
        args
    }

    fn volumes(&mut self, field: &str, written: Vec<v1beta4::HostPathMount>) -> Vec<HostPathMount> {
        let mut volumes: Vec<HostPathMount> = Vec::new();
        for (index, volume) in written.into_iter().enumerate() {
            let v1beta4::HostPathMount { name, host_path, mount_path, read_only, path_type } = volume;
            let field = format!("{field}[{index}]");
            if !name::is_label(&name) {
                let reason = "must be a lower-case RFC 1123 label of at most 63 characters";
                self.problems.invalid(format!("{field}.name"), &name, reason);
            } else if volumes.iter().any(|other| other.name == name) {
                self.problems.add(format!("{field}.name"), format!("Duplicate value: {name:?}"));
            }
            if host_path.is_empty() {
                self.problems.add(format!("{field}.hostPath"), "Required value: the path on the node");
            } else {
                self.absolute(&format!("{field}.hostPath"), host_path.clone());
            }
            if !Path::new(&mount_path).is_absolute() || mount_path.contains([':', '\0']) {
                let reason = "must be an absolute path in the container, without `:`";
                self.problems.invalid(format!("{field}.mountPath"), &mount_path, reason);
            }
            if !PATH_TYPES.contains(&path_type.as_str()) {
                let reason = format!("must be one of {}", PATH_TYPES[1..].join(", "));
                self.problems.invalid(format!("{field}.pathType"), &path_type, reason);
            }
            volumes.push(HostPathMount { name, host_path, mount_path, read_only, path_type });
        }
        volumes
    }

    pub(super) fn envs(&mut self, field: &str, mut envs: Vec<EnvVar>) -> Vec<EnvVar> {
        for (index, env) in envs.iter_mut().enumerate() {
            let field = format!("{field}[{index}]");
            if !name::is_environment_variable(&env.name) {
                self.problems.invalid(format!("{field}.name"), &env.name, "not the name of an environment variable");
            }
            if env.value.as_ref().is_some_and(|value| value.contains('\0')) {
                self.problems.invalid(format!("{field}.value"), "…", "contains a zero byte");
            }
            // an empty value and none are the same to the API
            env.value = env.value.take().filter(|value| !value.is_empty());
            let Some(source) = &mut env.value_from else { continue };
            if env.value.is_some() {
                self.problems.add(format!("{field}.valueFrom"), "Invalid value: may not stand beside `value`");
            }
            if source.config_map_key_ref.is_some() || source.secret_key_ref.is_some() {
                let message = "Forbidden: a static pod cannot refer to objects of the API";
                self.problems.add(format!("{field}.valueFrom"), message);
            }
            if let Some(reference) = &mut source.field_ref {
                reference.api_version.get_or_insert_with(|| "v1".to_owned());
            }
            if let Some(reference) = &mut source.resource_field_ref {
                // Go holds it by value and writes its zero
                let divisor = reference.divisor.get_or_insert_with(|| Quantity("0".to_owned()));
                if let Some(written) = quantity::canonical(&divisor.0) {
                    divisor.0 = written;
                }
            }
        }
        envs
    }

    pub(super) fn sans(&mut self, field: &str, sans: Vec<String>) -> Vec<String> {
        for (index, san) in sans.iter().enumerate() {
            if !name::is_subject_alternative_name(san) {
                let reason = "must be an IP address, a lower-case RFC 1123 subdomain or a wildcard `*.subdomain`";
                self.problems.invalid(format!("{field}[{index}]"), san, reason);
            }
        }
        sans.iter().map(|san| name::usual_ip(san)).collect()
    }
}
