//! PURE: volumes, what stands in them, and where containers mount them [1.67].

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, FileKeySelector, PodSpec, Volume};

use super::super::HostPathType;
use super::super::quantity::Quantity;
use super::{Found, has_parent_step, is_label};
use crate::runner::env;

/// Bytes.
const LONGEST_KEY: usize = 128;

/// The path of a file in a volume.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && !has_parent_step(path) && !path.starts_with("..")
}

impl Found {
    /// The names of the pod's volumes.
    pub(super) fn volumes<'a>(&mut self, spec: &'a PodSpec) -> BTreeSet<&'a str> {
        let mut volumes = BTreeSet::new();
        for (index, volume) in spec.volumes.iter().flatten().enumerate() {
            let path = format!("spec.volumes[{index}]");
            self.unless(is_label(&volume.name), &format!("{path}.name"), || {
                format!("Invalid value: `{}`: not a DNS label", volume.name)
            });
            self.unless(volumes.insert(volume.name.as_str()), &format!("{path}.name"), || {
                format!("Duplicate value: `{}`", volume.name)
            });
            if let Some(host_path) = &volume.host_path {
                let directory = &host_path.path;
                self.unless(directory.starts_with('/'), &format!("{path}.hostPath.path"), || {
                    format!("Invalid value: `{directory}`: must be absolute")
                });
                self.unless(!has_parent_step(directory), &format!("{path}.hostPath.path"), || {
                    format!("Invalid value: `{directory}`: must not contain `..`")
                });
                let kinds = HostPathType::NAMES;
                self.one_of(&host_path.type_, &format!("{path}.hostPath.type"), &kinds);
            }
            if let Some(image) = &volume.image {
                let reference = image.reference.as_deref().unwrap_or_default();
                self.unless(!reference.is_empty(), &format!("{path}.image.reference"), || "Required value".to_owned());
                let policies = ["Always", "IfNotPresent", "Never"];
                self.one_of(&image.pull_policy, &format!("{path}.image.pullPolicy"), &policies);
            }
            self.sources(volume, &path);
            self.own_volume(volume, &path, spec);
        }
        volumes
    }

    /// An emptyDir, or one of files about the pod [1.67].
    fn own_volume(&mut self, volume: &Volume, path: &str, spec: &PodSpec) {
        if let Some(limit) = volume.empty_dir.as_ref().and_then(|empty_dir| empty_dir.size_limit.as_ref()) {
            let is_valid = Quantity::parse(&limit.0).is_some_and(|limit| limit.value() >= 0);
            self.unless(is_valid, &format!("{path}.emptyDir.sizeLimit"), || {
                format!("Invalid value: `{}`: not a quantity of bytes", limit.0)
            });
        }
        let mut paths = BTreeSet::new();
        if let Some(downward) = &volume.downward_api {
            let path = format!("{path}.downwardAPI");
            self.mode(downward.default_mode, &format!("{path}.defaultMode"));
            for (index, file) in downward.items.iter().flatten().enumerate() {
                self.file(file, &format!("{path}.items[{index}]"), spec, &mut paths);
            }
        }
        if let Some(projected) = &volume.projected {
            self.mode(projected.default_mode, &format!("{path}.projected.defaultMode"));
            for (index, source) in projected.sources.iter().flatten().enumerate() {
                let path = format!("{path}.projected.sources[{index}].downwardAPI");
                let files = source.downward_api.iter().flat_map(|downward| downward.items.iter().flatten());
                for (index, file) in files.enumerate() {
                    self.file(file, &format!("{path}.items[{index}]"), spec, &mut paths);
                }
            }
        }
    }

    fn mode(&mut self, mode: Option<i32>, path: &str) {
        let is_mode = mode.is_none_or(|mode| (0..=0o777).contains(&mode));
        self.unless(is_mode, path, || "Invalid value: must be a number between 0 and 0777 (octal)".to_owned());
    }

    fn file<'a>(&mut self, file: &'a DownwardAPIVolumeFile, path: &str, spec: &PodSpec, paths: &mut BTreeSet<&'a str>) {
        let name = file.path.as_str();
        self.unless(is_inside(name), &format!("{path}.path"), || {
            format!("Invalid value: `{name}`: must be relative, without `..`, and not begin with `..`")
        });
        self.unless(paths.insert(name), &format!("{path}.path"), || format!("Duplicate value: `{name}`"));
        self.mode(file.mode, &format!("{path}.mode"));
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), None) => {
                let field = field.field_path.as_str();
                self.unless(env::is_volume_field(field), &format!("{path}.fieldRef.fieldPath"), || {
                    format!("Unsupported value: `{field}`")
                });
            }
            (None, Some(resource)) => {
                let names = spec.init_containers.iter().flatten().chain(&spec.containers);
                let names: Vec<_> = names.map(|container| container.name.as_str()).collect();
                let path = format!("{path}.resourceFieldRef");
                let is_named = resource.container_name.as_deref().is_some_and(|name| !name.is_empty());
                self.unless(is_named, &format!("{path}.containerName"), || "Required value".to_owned());
                self.resource_field(resource, &path, &names);
            }
            _ => self.add(path, "Required value: one of fieldRef and resourceFieldRef".to_owned()),
        }
    }

    /// Where a variable's value stands; the kind of its volume is told by [`Found::file_key_volumes`].
    pub(super) fn file_key(&mut self, file: &FileKeySelector, path: &str, volumes: &BTreeSet<&str>) {
        self.unless(volumes.contains(file.volume_name.as_str()), &format!("{path}.volumeName"), || {
            format!("Not found: `{}`", file.volume_name)
        });
        self.unless(is_inside(&file.path), &format!("{path}.path"), || {
            format!("Invalid value: `{}`: must be relative, without `..`, and not begin with `..`", file.path)
        });
        let is_key = env::file::is_name(&file.key) && file.key.len() <= LONGEST_KEY;
        self.unless(is_key, &format!("{path}.key"), || format!("Invalid value: `{}`", file.key));
    }

    /// Files of variables may only lie in what belongs to the pod alone.
    pub(super) fn file_key_volumes(&mut self, spec: &PodSpec) {
        let is_other =
            |name: &str| spec.volumes.iter().flatten().any(|volume| volume.name == name && volume.empty_dir.is_none());
        let init = spec.init_containers.iter().flatten().map(|container| ("initContainers", container));
        let regular = spec.containers.iter().map(|container| ("containers", container));
        for (list, index, container) in
            init.enumerate().chain(regular.enumerate()).map(|(at, (list, own))| (list, at, own))
        {
            for (variable, value) in container.env.iter().flatten().enumerate() {
                let file = value.value_from.as_ref().and_then(|from| from.file_key_ref.as_ref());
                let Some(file) = file.filter(|file| is_other(&file.volume_name)) else { continue };
                let path = format!("spec.{list}[{index}].env[{variable}].valueFrom.fileKeyRef.volumeName");
                self.add(&path, format!("Invalid value: `{}`: must be a volume of type emptyDir", file.volume_name));
            }
        }
    }

    pub(super) fn mounts(&mut self, container: &Container, path: &str, volumes: &BTreeSet<&str>) {
        let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
        let mut places = BTreeSet::new();
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let path = format!("{path}.volumeMounts[{index}]");
            self.unless(volumes.contains(mount.name.as_str()), &format!("{path}.name"), || {
                format!("Not found: `{}`", mount.name)
            });
            let place = mount.mount_path.as_str();
            self.unless(!place.is_empty(), &format!("{path}.mountPath"), || "Required value".to_owned());
            self.unless(!place.contains(':'), &format!("{path}.mountPath"), || {
                format!("Invalid value: `{place}`: must not contain `:`")
            });
            self.unless(places.insert(place), &format!("{path}.mountPath"), || {
                format!("Invalid value: `{place}`: must be unique")
            });
            let (plain, expression) = (&mount.sub_path, &mount.sub_path_expr);
            for (field, sub_path) in [("subPath", plain), ("subPathExpr", expression)] {
                let sub_path = sub_path.as_deref().unwrap_or_default();
                let is_inside = !sub_path.starts_with('/') && !has_parent_step(sub_path);
                self.unless(is_inside, &format!("{path}.{field}"), || {
                    format!("Invalid value: `{sub_path}`: must be relative and without `..`")
                });
            }
            let is_set = |path: &Option<String>| path.as_deref().is_some_and(|path| !path.is_empty());
            self.unless(!(is_set(plain) && is_set(expression)), &format!("{path}.subPathExpr"), || {
                "Invalid value: `subPathExpr` and `subPath` are mutually exclusive".to_owned()
            });
            let modes = ["None", "HostToContainer", "Bidirectional"];
            self.one_of(&mount.mount_propagation, &format!("{path}.mountPropagation"), &modes);
            let both_ways = mount.mount_propagation.as_deref() == Some("Bidirectional");
            self.unless(privileged || !both_ways, &format!("{path}.mountPropagation"), || {
                "Forbidden: `Bidirectional` is for privileged containers only".to_owned()
            });
        }
    }
}
