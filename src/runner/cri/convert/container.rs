//! PURE: the container that a client asks for.

use std::path::{Component, PathBuf};

use super::{Problems, image_user, resources};
use crate::runner::cri::v1::{self, MountPropagation, NamespaceMode};
use crate::runner::runtime::{
    ContainerConfig, Image, ImageMount, Mount, NamespaceOptions, Propagation, SeccompProfile, SecurityContext,
};

/// `image`: the one that is meant, which runs under the name `reference`; `namespaces`: the sandbox's. `Err` tells every
/// field that cannot be met.
pub fn config(
    asked: &v1::ContainerConfig,
    image: &Image,
    reference: &str,
    namespaces: NamespaceOptions,
) -> Result<ContainerConfig, String> {
    let mut problems = Problems::default();
    let metadata = asked.metadata.clone().unwrap_or_default();
    if metadata.name.is_empty() || metadata.name.contains(['/', '\0']) {
        problems.add("metadata.name", format!("{:?} cannot name a container", metadata.name));
    }
    problems.refuse(!asked.devices.is_empty(), "devices");
    problems.refuse(!asked.cdi_devices.is_empty(), "CDI_devices");
    problems.refuse(asked.windows.is_some(), "windows");
    problems.refuse(asked.stop_signal() != v1::Signal::RuntimeDefault, "stop_signal");
    let linux = asked.linux.clone().unwrap_or_default();
    let log_path = match asked.log_path.as_str() {
        "" => PathBuf::from(&metadata.name).join(format!("{}.log", metadata.attempt)),
        path => path.into(),
    };
    if !log_path.components().all(|part| matches!(part, Component::Normal(_))) {
        problems.add("log_path", format!("{:?} does not stay below the log directory", asked.log_path));
    }
    let config = ContainerConfig {
        attempt: metadata.attempt,
        image: reference.to_owned(),
        command: asked.command.clone(),
        args: asked.args.clone(),
        working_dir: Some(asked.working_dir.clone()).filter(|directory| !directory.is_empty()),
        env: environment(&asked.envs, &mut problems),
        mounts: asked.mounts.iter().map(|mount| self::mount(mount, &mut problems)).collect(),
        log_path,
        resources: resources(&linux.resources.unwrap_or_default(), "linux.resources", &mut problems),
        security: security(&linux.security_context.unwrap_or_default(), image, namespaces, &mut problems),
        stdin: asked.stdin,
        stdin_once: asked.stdin_once,
        tty: asked.tty,
        labels: asked.labels.clone().into_iter().collect(),
        annotations: asked.annotations.clone().into_iter().collect(),
        name: metadata.name,
    };
    problems.or(config)
}

fn environment(asked: &[v1::KeyValue], problems: &mut Problems) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for variable in asked {
        let name = &variable.key;
        match std::str::from_utf8(&variable.value) {
            _ if name.is_empty() || name.contains(['=', '\0']) => {
                problems.add("envs", format!("{name:?} cannot name a variable"));
            }
            Ok(value) => variables.push((name.clone(), value.to_owned())),
            Err(_) => problems.add("envs", format!("the value of `{name}` is not UTF-8")),
        }
    }
    variables
}

fn mount(asked: &v1::Mount, problems: &mut Problems) -> Mount {
    let field = |name: &str| format!("mounts[{}].{name}", asked.container_path);
    problems.refuse(!asked.uid_mappings.is_empty(), &field("uidMappings"));
    problems.refuse(!asked.gid_mappings.is_empty(), &field("gidMappings"));
    problems.refuse(asked.recursive_read_only, &field("recursive_read_only"));
    let image = asked.image.as_ref().filter(|image| !image.image.is_empty());
    let image =
        image.map(|image| ImageMount { image: image.image.clone(), sub_path: PathBuf::from(&asked.image_sub_path) });
    let climbs = |mount: &ImageMount| !mount.sub_path.components().all(|part| matches!(part, Component::Normal(_)));
    if image.as_ref().is_some_and(climbs) {
        problems.add(&field("image_sub_path"), format!("{:?} does not stay in the image", asked.image_sub_path));
    }
    match &image {
        Some(_) if !asked.host_path.is_empty() => problems.add(&field("host_path"), "an image is mounted already"),
        None if !asked.host_path.starts_with('/') => {
            problems.add(&field("host_path"), format!("{:?} is not absolute", asked.host_path));
        }
        _ => {}
    }
    if !asked.container_path.starts_with('/') {
        problems.add(&field("container_path"), format!("{:?} is not absolute", asked.container_path));
    }
    Mount {
        host_path: PathBuf::from(&asked.host_path),
        container_path: PathBuf::from(&asked.container_path),
        // an image cannot be written to
        read_only: asked.readonly || image.is_some(),
        propagation: match asked.propagation() {
            MountPropagation::PropagationPrivate => Propagation::Private,
            MountPropagation::PropagationHostToContainer => Propagation::HostToContainer,
            MountPropagation::PropagationBidirectional => Propagation::Bidirectional,
        },
        image,
    }
}

/// `/proc` stays masked: in a message, no list of masked paths and an empty one are the same. What says nothing of
/// seccomp gets the default list.
fn security(
    asked: &v1::LinuxContainerSecurityContext,
    image: &Image,
    sandbox: NamespaceOptions,
    problems: &mut Problems,
) -> SecurityContext {
    use v1::security_profile::ProfileType;
    let field = |name: &str| format!("linux.security_context.{name}");
    let selinux = asked.selinux_options.as_ref().is_some_and(|options| *options != Default::default());
    problems.refuse(selinux, &field("selinux_options"));
    let apparmor = asked.apparmor.as_ref().is_some_and(|profile| profile.profile_type() != ProfileType::Unconfined);
    problems.refuse(apparmor, &field("apparmor"));
    let image_user = image.user.as_deref().map_or("", |user| image_user(user).1);
    problems.refuse(!["", image_user].contains(&asked.run_as_username.as_str()), &field("run_as_username"));
    if let Some(options) = &asked.namespace_options {
        let differs = (options.pid() == NamespaceMode::Node) != sandbox.host_pid
            || (options.ipc() == NamespaceMode::Node) != sandbox.host_ipc
            || (options.pid() == NamespaceMode::Pod) != sandbox.share_process
            || (options.network() == NamespaceMode::Node) != sandbox.host_network;
        if differs || options.pid() == NamespaceMode::Target {
            problems.add(&field("namespace_options"), "a container has the namespaces of its sandbox");
        }
    }
    let capabilities = asked.capabilities.clone().unwrap_or_default();
    let bare = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_owned()).collect()
    };
    problems.refuse(!capabilities.add_ambient_capabilities.is_empty(), &field("capabilities.add_ambient_capabilities"));
    SecurityContext {
        privileged: asked.privileged,
        add_capabilities: bare(&capabilities.add_capabilities),
        drop_capabilities: bare(&capabilities.drop_capabilities),
        run_as_user: asked.run_as_user.as_ref().map(|user| user.value),
        run_as_group: asked.run_as_group.as_ref().map(|group| group.value),
        supplemental_groups: asked.supplemental_groups.clone(),
        strict_groups: asked.supplemental_groups_policy() == v1::SupplementalGroupsPolicy::Strict,
        run_as_non_root: false,
        read_only_root_filesystem: asked.readonly_rootfs,
        no_new_privileges: asked.no_new_privs,
        unmasked_proc: false,
        seccomp: match asked.seccomp.as_ref().map(v1::SecurityProfile::profile_type) {
            Some(ProfileType::Unconfined) => SeccompProfile::Unconfined,
            None | Some(ProfileType::RuntimeDefault) => SeccompProfile::RuntimeDefault,
            Some(ProfileType::Localhost) => {
                problems.add(&field("seccomp"), "Localhost is not supported");
                SeccompProfile::RuntimeDefault
            }
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    const NODES: NamespaceOptions =
        NamespaceOptions { host_network: true, host_pid: false, host_ipc: false, share_process: false };

    pub(crate) fn image() -> Image {
        Image {
            id: format!("sha256:{}", "a".repeat(64)),
            references: vec!["registry.k8s.io/etcd:3".into()],
            repo_digests: vec![],
            size: 7,
            user: Some("etcd:disk".into()),
        }
    }

    pub(crate) fn asked() -> v1::ContainerConfig {
        v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: "etcd".into(), attempt: 3 }),
            command: vec!["etcd".into()],
            envs: vec![v1::KeyValue { key: "A".into(), value: b"b".to_vec() }],
            mounts: vec![v1::Mount {
                container_path: "/data".into(),
                host_path: "/var/lib/etcd".into(),
                readonly: true,
                propagation: MountPropagation::PropagationHostToContainer.into(),
                ..Default::default()
            }],
            linux: Some(v1::LinuxContainerConfig {
                security_context: Some(v1::LinuxContainerSecurityContext {
                    capabilities: Some(v1::Capability {
                        add_capabilities: vec!["CAP_NET_ADMIN".into(), "SYS_TIME".into()],
                        drop_capabilities: vec!["ALL".into()],
                        ..Default::default()
                    }),
                    run_as_username: "etcd".into(),
                    run_as_group: Some(v1::Int64Value { value: 7 }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn converted(asked: &v1::ContainerConfig) -> Result<ContainerConfig, String> {
        config(asked, &image(), "registry.k8s.io/etcd:3", NODES)
    }

    #[test]
    fn a_container_is_what_is_asked_for() {
        let config = converted(&asked()).unwrap();
        assert_eq!(
            (config.name.as_str(), config.attempt, config.image.as_str()),
            ("etcd", 3, "registry.k8s.io/etcd:3")
        );
        assert_eq!(config.env, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(config.log_path, Path::new("etcd/3.log"));
        let mount = &config.mounts[0];
        assert!(mount.read_only && mount.propagation == Propagation::HostToContainer);
        let security = &config.security;
        assert_eq!(security.add_capabilities, ["NET_ADMIN", "SYS_TIME"]);
        assert_eq!((security.run_as_user, security.run_as_group), (None, Some(7)));
        assert_eq!(security.seccomp, SeccompProfile::RuntimeDefault);
        assert!(!security.unmasked_proc);
    }

    #[test]
    fn an_image_is_mounted_like_a_path() {
        let of = |host_path: &str, sub_path: &str| {
            let image = Some(v1::ImageSpec { image: "files:1".into(), ..Default::default() });
            let (container_path, host_path) = ("/files".to_owned(), host_path.to_owned());
            let image_sub_path = sub_path.to_owned();
            let mount = v1::Mount { container_path, host_path, image, image_sub_path, ..Default::default() };
            converted(&v1::ContainerConfig { mounts: vec![mount], ..asked() }).map(|config| config.mounts)
        };
        let mounts = of("", "etc/x").unwrap();
        let image = ImageMount { image: "files:1".into(), sub_path: "etc/x".into() };
        assert!(mounts[0].read_only && mounts[0].image == Some(image));
        assert!(of("/etc", "").unwrap_err().contains("host_path"));
        assert!(of("", "../x").unwrap_err().contains("image_sub_path"));
    }

    #[test]
    fn streams_and_groups_are_as_asked() {
        let mut asked = asked();
        (asked.stdin, asked.stdin_once, asked.tty) = (true, true, true);
        let security = asked.linux.as_mut().unwrap().security_context.as_mut().unwrap();
        security.set_supplemental_groups_policy(v1::SupplementalGroupsPolicy::Strict);
        let config = converted(&asked).unwrap();
        assert!(config.stdin && config.stdin_once && config.tty && config.security.strict_groups);
    }

    #[test]
    fn what_cannot_be_met_is_refused_all_at_once() {
        let mut wrong = asked();
        (wrong.log_path, wrong.devices) = ("../x".into(), vec![v1::Device::default()]);
        wrong.envs =
            vec![v1::KeyValue { key: "A=B".into(), value: vec![] }, v1::KeyValue { key: "C".into(), value: vec![255] }];
        wrong.mounts[0].host_path = "etc".into();
        let security = wrong.linux.as_mut().unwrap().security_context.as_mut().unwrap();
        security.run_as_username = "root".into();
        security.namespace_options = Some(v1::NamespaceOption { network: 2, pid: 2, ..Default::default() });
        security.seccomp = Some(v1::SecurityProfile { profile_type: 2, localhost_ref: "x".into() });
        let problems = converted(&wrong).unwrap_err();
        for expected in [
            "`log_path`: \"../x\" does not stay below the log directory",
            "`devices`: not supported",
            "\"A=B\" cannot name a variable",
            "the value of `C` is not UTF-8",
            "`mounts[/data].host_path`: \"etc\" is not absolute",
            "run_as_username`: not supported",
            "namespace_options`: a container has the namespaces of its sandbox",
            "seccomp`: Localhost is not supported",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
        assert!(converted(&Default::default()).unwrap_err().contains("metadata.name"));
    }
}
