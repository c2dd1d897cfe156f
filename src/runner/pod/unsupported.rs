//! PURE: the fields of a pod that this runner does not act on, so that none is ever ignored in silence.
//!
//! Every structure is taken apart without `..`: a field that a later version of the API adds does not compile until
//! somebody decides here what it means. A field bound to `_` is honoured elsewhere, or has no effect on a node [1.56].

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Lifecycle, LifecycleHandler, Pod, PodSecurityContext, PodSpec, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};

use super::Medium;
use super::sysctls;

/// One sentence for each such field, in the order of the manifest's types.
pub(crate) fn fields(pod: &Pod) -> Vec<String> {
    let mut refused = Refused(Vec::new());
    let annotations = pod.metadata.annotations.iter().flatten();
    for (name, profile) in annotations {
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/") && profile != "unconfined" {
            refused.field(true, &format!("metadata.annotations[{name}]"));
        }
    }
    if let Some(spec) = &pod.spec {
        refused.spec(spec);
    }
    refused.0
}

struct Refused(Vec<String>);

fn any<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

impl Refused {
    fn field(&mut self, is_set: bool, path: &str) {
        if is_set {
            self.0.push(format!("`{path}` is not supported"));
        }
    }

    fn value(&mut self, is_refused: bool, path: &str, value: &str) {
        if is_refused {
            self.0.push(format!("`{path}: {value}` is not supported"));
        }
    }

    fn spec(&mut self, spec: &PodSpec) {
        let PodSpec {
            active_deadline_seconds: _,
            // what concerns the node is looked at when the pod is to be taken in [9.13]
            affinity: _,
            automount_service_account_token: _,
            containers,
            dns_config: _,
            dns_policy: _,
            enable_service_links: _,
            ephemeral_containers,
            host_aliases: _,
            host_ipc: _,
            host_network: _,
            host_pid: _,
            host_users,
            hostname: _,
            hostname_override: _,
            // a reference, refused in the kubelet's words
            image_pull_secrets: _,
            init_containers,
            node_name: _,
            node_selector: _,
            os: _,
            overhead,
            preemption_policy: _,
            priority: _,
            priority_class_name: _,
            // nobody could ever meet them: the pod is never ready [7.24]
            readiness_gates: _,
            resource_claims: _,
            resources,
            restart_policy: _,
            runtime_class_name,
            scheduler_name: _,
            scheduling_gates,
            scheduling_group,
            security_context,
            service_account: _,
            service_account_name: _,
            set_hostname_as_fqdn: _,
            share_process_namespace: _,
            subdomain: _,
            termination_grace_period_seconds: _,
            // what keeps a pod off a node never keeps a static pod off its own [9.12]
            tolerations: _,
            topology_spread_constraints: _,
            volumes,
        } = spec;
        self.0.extend(sysctls::problems(spec));
        self.field(any(ephemeral_containers), "spec.ephemeralContainers");
        self.value(*host_users == Some(false), "spec.hostUsers", "false");
        self.field(overhead.as_ref().is_some_and(|overhead| !overhead.is_empty()), "spec.overhead");
        self.field(resources.is_some(), "spec.resources");
        self.field(runtime_class_name.is_some(), "spec.runtimeClassName");
        self.field(any(scheduling_gates), "spec.schedulingGates");
        self.field(scheduling_group.is_some(), "spec.schedulingGroup");
        if let Some(context) = security_context {
            self.pod_security(context);
        }
        for (index, container) in init_containers.iter().flatten().enumerate() {
            self.container(container, &format!("spec.initContainers[{index}]"));
        }
        for (index, container) in containers.iter().enumerate() {
            self.container(container, &format!("spec.containers[{index}]"));
        }
        for (index, volume) in volumes.iter().flatten().enumerate() {
            self.volume(volume, &format!("spec.volumes[{index}]"));
        }
    }

    fn pod_security(&mut self, context: &PodSecurityContext) {
        let PodSecurityContext {
            app_armor_profile,
            fs_group: _,
            // a pod's own volumes are new when they are given to the group
            fs_group_change_policy: _,
            run_as_group: _,
            run_as_non_root: _,
            run_as_user: _,
            se_linux_change_policy: _,
            se_linux_options,
            seccomp_profile,
            supplemental_groups: _,
            supplemental_groups_policy,
            sysctls: _,
            windows_options,
        } = context;
        let path = "spec.securityContext";
        self.app_armor(app_armor_profile, path);
        self.seccomp(seccomp_profile, path);
        self.field(se_linux_options.is_some(), "spec.securityContext.seLinuxOptions");
        if let Some(policy) = supplemental_groups_policy {
            self.value(
                !["Merge", "Strict"].contains(&policy.as_str()),
                "spec.securityContext.supplementalGroupsPolicy",
                policy,
            );
        }
        self.field(windows_options.is_some(), "spec.securityContext.windowsOptions");
    }

    fn app_armor(&mut self, profile: &Option<AppArmorProfile>, path: &str) {
        if let Some(AppArmorProfile { localhost_profile: _, type_ }) = profile {
            self.value(type_ != "Unconfined", &format!("{path}.appArmorProfile.type"), type_);
        }
    }

    fn seccomp(&mut self, profile: &Option<SeccompProfile>, path: &str) {
        if let Some(SeccompProfile { localhost_profile: _, type_ }) = profile {
            let is_known = ["RuntimeDefault", "Localhost", "Unconfined"].contains(&type_.as_str());
            self.value(!is_known, &format!("{path}.seccompProfile.type"), type_);
        }
    }

    fn container(&mut self, container: &Container, path: &str) {
        let Container {
            args: _,
            command: _,
            env: _,
            // only references can stand here [1.73]
            env_from,
            image: _,
            image_pull_policy: _,
            lifecycle,
            liveness_probe: _,
            name: _,
            ports: _,
            readiness_probe: _,
            // a changed manifest is a new pod, never a resize [3.107]
            resize_policy: _,
            resources,
            restart_policy: _,
            restart_policy_rules: _,
            security_context,
            startup_probe: _,
            stdin: _,
            stdin_once: _,
            termination_message_path: _,
            termination_message_policy: _,
            tty: _,
            volume_devices,
            volume_mounts,
            working_dir: _,
        } = container;
        self.field(any(env_from), &format!("{path}.envFrom"));
        if let Some(lifecycle) = lifecycle {
            self.lifecycle(lifecycle, &format!("{path}.lifecycle"));
        }
        if let Some(resources) = resources {
            self.field(any(&resources.claims), &format!("{path}.resources.claims"));
            let named = resources.limits.iter().flatten().chain(resources.requests.iter().flatten());
            let mut unknown: Vec<_> = named
                .map(|(resource, _)| resource.as_str())
                .filter(|resource| !["cpu", "memory", "ephemeral-storage"].contains(resource))
                .collect();
            unknown.sort_unstable();
            unknown.dedup();
            for resource in unknown {
                self.field(true, &format!("{path}.resources[{resource}]"));
            }
        }
        self.field(any(volume_devices), &format!("{path}.volumeDevices"));
        if let Some(context) = security_context {
            self.security(context, &format!("{path}.securityContext"));
        }
        for (index, mount) in volume_mounts.iter().flatten().enumerate() {
            self.mount(mount, &format!("{path}.volumeMounts[{index}]"));
        }
    }

    fn lifecycle(&mut self, lifecycle: &Lifecycle, path: &str) {
        let Lifecycle { post_start, pre_stop, stop_signal } = lifecycle;
        for (name, hook) in [("postStart", post_start), ("preStop", pre_stop)] {
            if let Some(LifecycleHandler { exec: _, http_get: _, sleep: _, tcp_socket }) = hook {
                // the kubelet takes it, and every such hook fails [3.98]
                self.field(tcp_socket.is_some(), &format!("{path}.{name}.tcpSocket"));
            }
        }
        self.field(stop_signal.is_some(), &format!("{path}.stopSignal"));
    }

    fn security(&mut self, context: &SecurityContext, path: &str) {
        let SecurityContext {
            allow_privilege_escalation: _,
            app_armor_profile,
            capabilities: _,
            privileged: _,
            proc_mount: _,
            read_only_root_filesystem: _,
            run_as_group: _,
            run_as_non_root: _,
            run_as_user: _,
            se_linux_options,
            seccomp_profile,
            windows_options,
        } = context;
        self.app_armor(app_armor_profile, path);
        self.seccomp(seccomp_profile, path);
        self.field(se_linux_options.is_some(), &format!("{path}.seLinuxOptions"));
        self.field(windows_options.is_some(), &format!("{path}.windowsOptions"));
    }

    fn mount(&mut self, mount: &VolumeMount, path: &str) {
        let VolumeMount {
            mount_path: _,
            mount_propagation: _,
            name: _,
            read_only: _,
            recursive_read_only,
            sub_path: _,
            sub_path_expr: _,
        } = mount;
        if let Some(mode) = recursive_read_only {
            self.value(mode != "Disabled", &format!("{path}.recursiveReadOnly"), mode);
        }
    }

    fn volume(&mut self, volume: &Volume, path: &str) {
        if let Some(empty_dir) = &volume.empty_dir {
            let medium = empty_dir.medium.as_deref().unwrap_or_default();
            self.value(Medium::named(medium).is_none(), &format!("{path}.emptyDir.medium"), medium);
            return;
        }
        // other sources are references, refused in the kubelet's words; more than one is refused by validation
        let known = [
            volume.host_path.is_some(),
            volume.downward_api.is_some(),
            volume.projected.is_some(),
            volume.image.is_some(),
        ];
        if known.contains(&true) {
            return;
        }
        let serialised = serde_json::to_value(volume).unwrap_or_default();
        let kinds = serialised.as_object().into_iter().flatten().map(|(kind, _)| kind).filter(|kind| *kind != "name");
        if let Some(kind) = kinds.min() {
            self.field(true, &format!("{path}.{kind}"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(spec: serde_json::Value) -> Vec<String> {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec});
        fields(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn what_kubeadm_writes_is_supported() {
        let spec = json!({
            "hostNetwork": true, "priority": 2_000_001_000, "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "image": "i", "command": ["x"], "resources": {"requests": {"cpu": "250m"}},
                "livenessProbe": {"httpGet": {"path": "/livez", "port": 6443, "scheme": "HTTPS"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": true}]}],
            "volumes": [{"name": "v", "hostPath": {"path": "/v", "type": "DirectoryOrCreate"}}],
        });
        assert!(refused(spec.clone()).is_empty(), "{:?}", refused(spec));
    }

    #[test]
    fn each_refusal_names_its_field() {
        for (field, expected) in [
            (
                json!({"initContainers": [{"name": "i", "lifecycle": {"stopSignal": "SIGHUP"}}]}),
                "`spec.initContainers[0].lifecycle.stopSignal` is not supported",
            ),
            (json!({"hostUsers": false}), "`spec.hostUsers: false` is not supported"),
            (
                json!({"securityContext": {"sysctls": [{"name": "a", "value": "1"}]}}),
                "SysctlForbidden: forbidden sysctl: \"a\" not allowlisted",
            ),
            (
                json!({"volumes": [{"name": "v", "nfs": {"path": "/", "server": "s"}}]}),
                "`spec.volumes[0].nfs` is not supported",
            ),
            (
                json!({"volumes": [{"name": "v", "emptyDir": {"medium": "HugePages-x"}}]}),
                "`spec.volumes[0].emptyDir.medium: HugePages-x` is not supported",
            ),
            (
                json!({"containers": [{"name": "c", "lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}}]}),
                "`spec.containers[0].lifecycle.preStop.tcpSocket` is not supported",
            ),
            (
                json!({"containers": [{"name": "c", "securityContext": {"seccompProfile": {"type": "Other"}}}]}),
                "`spec.containers[0].securityContext.seccompProfile.type: Other` is not supported",
            ),
            (
                json!({"containers": [{"name": "c", "resources": {"limits": {"hugepages-2Mi": "1", "cpu": "1"}}}]}),
                "`spec.containers[0].resources[hugepages-2Mi]` is not supported",
            ),
        ] {
            let mut spec = json!({"hostNetwork": true, "containers": []});
            spec.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
            assert_eq!(refused(spec), [expected]);
        }
    }
}
