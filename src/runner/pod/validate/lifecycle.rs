//! PURE: hooks, and what becomes of a container when it ends.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::Found;

impl Found {
    /// An init container that runs to its end has nothing that could be probed or stopped [1.64].
    pub(super) fn only_of_sidecars(&mut self, container: &Container, path: &str) {
        for (field, is_set) in [
            ("lifecycle", container.lifecycle.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
        ] {
            self.unless(!is_set, &format!("{path}.{field}"), || {
                "Forbidden: may not be set for init containers without `restartPolicy: Always`".to_owned()
            });
        }
    }

    /// Hooks, and what becomes of the container when it ends [3.16, 3.98].
    pub(super) fn lifecycle(&mut self, container: &Container, path: &str, spec: &PodSpec) {
        self.one_of(&container.restart_policy, &format!("{path}.restartPolicy"), &["Always", "OnFailure", "Never"]);
        let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
        self.unless(
            rules.is_empty() || container.restart_policy.is_some(),
            &format!("{path}.restartPolicyRules"),
            || "Required value: `restartPolicy` must be set where there are rules".to_owned(),
        );
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("{path}.restartPolicyRules[{index}]");
            self.one_of(&Some(rule.action.clone()), &format!("{path}.action"), &["Restart", "RestartAllContainers"]);
            match &rule.exit_codes {
                None => self.add(&format!("{path}.exitCodes"), "Required value".to_owned()),
                Some(codes) => {
                    let path = format!("{path}.exitCodes");
                    self.one_of(&Some(codes.operator.clone()), &format!("{path}.operator"), &["In", "NotIn"]);
                    let count = codes.values.as_ref().map_or(0, Vec::len);
                    self.unless((1..=255).contains(&count), &format!("{path}.values"), || {
                        format!("Invalid value: {count} codes: must be between 1 and 255")
                    });
                }
            }
        }
        let Some(lifecycle) = &container.lifecycle else { return };
        for (name, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            let Some(hook) = hook else { continue };
            let path = format!("{path}.lifecycle.{name}");
            let handlers =
                [hook.exec.is_some(), hook.http_get.is_some(), hook.sleep.is_some(), hook.tcp_socket.is_some()];
            let count = handlers.into_iter().filter(|is_set| *is_set).count();
            self.unless(count == 1, &path, || "Required value: must specify exactly one handler".to_owned());
            if let Some(exec) = &hook.exec {
                let is_empty = exec.command.as_ref().is_none_or(Vec::is_empty);
                self.unless(!is_empty, &format!("{path}.exec.command"), || "Required value".to_owned());
            }
            if let Some(http) = &hook.http_get {
                self.one_of(&http.scheme, &format!("{path}.httpGet.scheme"), &["HTTP", "HTTPS"]);
                self.port(&http.port, &format!("{path}.httpGet.port"), container);
            }
            if let Some(sleep) = &hook.sleep {
                let grace = spec.termination_grace_period_seconds.unwrap_or(30);
                self.unless((0..=grace).contains(&sleep.seconds), &format!("{path}.sleep.seconds"), || {
                    format!("Invalid value: {}: must be between 0 and the pod's grace, {grace}", sleep.seconds)
                });
            }
        }
    }
}
