//! What the name of a file in the directory of patches says: `target[suffix][+type].json|yaml` [3.11].

use std::path::Path;

use crate::desired::manifest::Component;

/// What can be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The static pod of a component.
    Manifest(Component),
    /// This node's `config.yaml`, not the ConfigMap of the cluster.
    KubeletConfiguration,
    CoreDnsDeployment,
}

impl Target {
    /// None of the names begins with another, so that the first that fits is the only one.
    pub const ALL: [Target; 6] = [
        Target::Manifest(Component::Etcd),
        Target::Manifest(Component::ApiServer),
        Target::Manifest(Component::ControllerManager),
        Target::Manifest(Component::Scheduler),
        Target::KubeletConfiguration,
        Target::CoreDnsDeployment,
    ];

    /// As file names begin.
    pub fn name(self) -> &'static str {
        match self {
            Target::Manifest(component) => component.name(),
            Target::KubeletConfiguration => "kubeletconfiguration",
            Target::CoreDnsDeployment => "corednsdeployment",
        }
    }
}

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Strategic, Kind::Merge, Kind::Json];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Strategic => "strategic",
            Kind::Merge => "merge",
            Kind::Json => "json",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Patch(Target, Kind),
    /// No patch, because …
    Other(String),
    /// Meant as a patch, and it cannot be one, because …
    Refused(String),
}

/// Target and type are prefixes: `kube-apiserverFOO.json` and `etcd+jsonXYZ.yaml` are patches. What stands between the
/// target and the first `.` or `+` only makes an order.
pub(super) fn read(path: &Path) -> Reading {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_extension = |extension: &str| name.len() > extension.len() && name.ends_with(extension);
    if ![".json", ".yaml"].into_iter().any(is_extension) {
        return Reading::Other("its name ends in neither `.json` nor `.yaml`".to_owned());
    }
    let Some(target) = Target::ALL.into_iter().find(|target| name.starts_with(target.name())) else {
        return Reading::Other(format!("its name begins with none of {}", Target::ALL.map(Target::name).join(", ")));
    };
    let rest = name[target.name().len()..].trim_start_matches(|c| !['.', '+', '\n'].contains(&c));
    let Some(kind) = rest.strip_prefix('+') else { return Reading::Patch(target, Kind::Strategic) };
    match Kind::ALL.into_iter().find(|known| kind.starts_with(known.name())) {
        Some(kind) => Reading::Patch(target, kind),
        None => Reading::Refused(format!(
            "what follows the `+` in its name is none of {}",
            Kind::ALL.map(Kind::name).join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_patched_and_how() {
        use Reading::Patch;
        let (etcd, api_server) = (Target::Manifest(Component::Etcd), Target::Manifest(Component::ApiServer));
        for (name, expected) in [
            ("d/etcd.yaml", Patch(etcd, Kind::Strategic)),
            ("etcd0+merge.yaml", Patch(etcd, Kind::Merge)),
            ("etcd+strategic.json", Patch(etcd, Kind::Strategic)),
            ("etcd-with-more_words 1.yaml", Patch(etcd, Kind::Strategic)),
            ("etcd.old.yaml", Patch(etcd, Kind::Strategic)),
            ("etcd.+nothing.yaml", Patch(etcd, Kind::Strategic)),
            ("etcd+jsonXYZ.yaml", Patch(etcd, Kind::Json)),
            ("kube-apiserverFOO.json", Patch(api_server, Kind::Strategic)),
            ("kube-controller-manager+json.json", Patch(Target::Manifest(Component::ControllerManager), Kind::Json)),
            ("kube-scheduler+merge.json", Patch(Target::Manifest(Component::Scheduler), Kind::Merge)),
            ("kubeletconfiguration1.yaml", Patch(Target::KubeletConfiguration, Kind::Strategic)),
            ("corednsdeployment+json.yaml", Patch(Target::CoreDnsDeployment, Kind::Json)),
        ] {
            assert_eq!(read(Path::new(name)), expected, "{name}");
        }
        for name in
            ["README.md", "etcd", "etcd.foo", "etcd.yml", "etcd.yaml~", ".yaml", "foo.yaml", "Etcd.yaml", ".etcd.yaml"]
        {
            assert!(matches!(read(Path::new(name)), Reading::Other(_)), "{name}");
        }
        for name in ["etcd+.yaml", "etcd+foo.json", "etcd+Json.json", "etcd0++json.json"] {
            assert!(matches!(read(Path::new(name)), Reading::Refused(_)), "{name}");
        }
    }
}
