//! PURE: what a container may and may not do [1.65].

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, SeccompProfile};

use super::{Found, has_parent_step};

impl Found {
    pub(super) fn pod_security(&mut self, context: &PodSecurityContext) {
        let path = "spec.securityContext";
        let ids = [context.run_as_user, context.run_as_group, context.fs_group];
        let groups = context.supplemental_groups.iter().flatten().copied();
        for id in ids.into_iter().flatten().chain(groups) {
            self.id(id, path);
        }
        self.seccomp(&context.seccomp_profile, &format!("{path}.seccompProfile"));
    }

    pub(super) fn security(&mut self, container: &Container, path: &str) {
        let Some(context) = &container.security_context else { return };
        let path = format!("{path}.securityContext");
        for id in [context.run_as_user, context.run_as_group].into_iter().flatten() {
            self.id(id, &path);
        }
        self.seccomp(&context.seccomp_profile, &format!("{path}.seccompProfile"));
        self.one_of(&context.proc_mount, &format!("{path}.procMount"), &["Default", "Unmasked"]);
        // without a user namespace it would lay the node's own /proc open [1.65]
        self.unless(context.proc_mount.as_deref() != Some("Unmasked"), &format!("{path}.procMount"), || {
            "Invalid value: `Unmasked`: `hostUsers` must be false".to_owned()
        });
        if context.allow_privilege_escalation == Some(false) {
            let adds = context.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
            let adds_admin = adds.is_some_and(|add| add.iter().any(|name| name == "CAP_SYS_ADMIN"));
            self.unless(context.privileged != Some(true) && !adds_admin, &path, || {
                "Invalid value: cannot set `allowPrivilegeEscalation` to false and be privileged or add CAP_SYS_ADMIN"
                    .to_owned()
            });
        }
    }

    /// The file of a local profile stays in its directory.
    fn seccomp(&mut self, profile: &Option<SeccompProfile>, path: &str) {
        let Some(SeccompProfile { type_, localhost_profile }) = profile else { return };
        self.one_of(&Some(type_.clone()), &format!("{path}.type"), &["Localhost", "RuntimeDefault", "Unconfined"]);
        let path = format!("{path}.localhostProfile");
        let is_local = type_ == "Localhost";
        match localhost_profile.as_deref() {
            None => self
                .unless(!is_local, &path, || "Required value: must be set when seccomp type is Localhost".to_owned()),
            Some(file) => {
                self.unless(is_local, &path, || {
                    format!("Invalid value: `{file}`: can only be set when seccomp type is Localhost")
                });
                self.unless(!file.starts_with('/'), &path, || {
                    format!("Invalid value: `{file}`: must be a relative path")
                });
                self.unless(!has_parent_step(file), &path, || {
                    format!("Invalid value: `{file}`: must not contain '..'")
                });
            }
        }
    }

    fn id(&mut self, id: i64, path: &str) {
        /// Largest id the API lets a user or group have.
        const MAX_ID: i64 = i32::MAX as i64;
        self.unless((0..=MAX_ID).contains(&id), path, || {
            format!("Invalid value: {id}: must be between 0 and {MAX_ID}")
        });
    }
}
