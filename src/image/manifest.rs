//! The documents of an image: index, manifest and configuration, of OCI and of Docker's second schema.
//!
//! PURE. Only what running an image needs is read; unknown fields are skipped, as both specifications ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use crate::error::{Context, Fault, Result};

/// No manifest, index or configuration is larger; registries refuse more than 4 MiB.
pub const LARGEST_DOCUMENT: u64 = 8 * 1024 * 1024;

/// The media types that a registry is asked for.
pub const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Names a piece of content and its size.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// This machine's, in Go's words.
    pub fn this() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Platform { os: "linux".into(), architecture: architecture.into(), variant: variant.map(str::to_owned) }
    }

    fn runs(&self, other: &Platform) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// What a registry or a layout answers for a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    Index(Vec<Descriptor>),
    Image(ImageManifest),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageManifest {
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    pub fn parse(content: &[u8]) -> Result<Manifest> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Document {
            schema_version: u32,
            manifests: Option<Vec<Descriptor>>,
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
        }
        let document: Document =
            serde_json::from_slice(content).map_err(|error| Fault::usage("it is not a manifest").because(error))?;
        if document.schema_version != 2 {
            return Err(Fault::usage(format!("manifests of schema {} are not supported", document.schema_version))
                .hint("push the image again with a current tool")
                .into());
        }
        match (document.manifests, document.config, document.layers) {
            (Some(manifests), None, None) => Ok(Manifest::Index(manifests)),
            (None, Some(config), Some(layers)) => Ok(Manifest::Image(ImageManifest { config, layers })),
            _ => Err(Fault::usage("it is neither an index nor the manifest of an image").into()),
        }
    }
}

/// The entry of an index that fits `platform`: the same variant if there is one, otherwise the first of its
/// architecture.
pub fn choose<'a>(index: &'a [Descriptor], platform: &Platform) -> Result<&'a Descriptor> {
    let fitting = || {
        index.iter().filter(|entry| entry.platform.as_ref().is_none_or(|its| its.os.is_empty() || its.runs(platform)))
    };
    let same_variant = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|its| its.variant == platform.variant);
    fitting().find(same_variant).or_else(|| fitting().next()).ok_or_else(|| {
        let offered: Vec<_> = index
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            // buildkit's attestations
            .filter(|its| its.os != "unknown")
            .map(ToString::to_string)
            .collect();
        Fault::usage(format!("it has nothing for {platform}, only for {}", offered.join(", "))).into()
    })
}

/// What an image says about the process to run, with absent and empty made the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageConfig {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group`, …; `None` is root.
    pub user: Option<String>,
    pub working_dir: Option<String>,
    /// `SIGTERM`, `15`, …
    pub stop_signal: Option<String>,
    pub volumes: Vec<String>,
    /// `8080/tcp`
    pub exposed_ports: Vec<String>,
}

/// An image's configuration document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub config: ImageConfig,
    pub platform: Platform,
    /// Digests of the layers' uncompressed tars, lowest first.
    pub diff_ids: Vec<Digest>,
}

impl Configuration {
    pub fn parse(content: &[u8]) -> Result<Configuration> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            architecture: String,
            #[serde(default)]
            os: String,
            config: Option<Process>,
            rootfs: RootFs,
        }
        #[derive(Deserialize)]
        struct RootFs {
            // Docker writes null for an image without layers
            diff_ids: Option<Vec<Digest>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Process {
            entrypoint: Option<Vec<String>>,
            cmd: Option<Vec<String>>,
            env: Option<Vec<String>>,
            user: Option<String>,
            working_dir: Option<String>,
            stop_signal: Option<String>,
            volumes: Option<BTreeMap<String, serde_json::Value>>,
            exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
        }
        let document: Document = serde_json::from_slice(content)
            .map_err(|error| Fault::usage("its configuration is not that of an image").because(error))?;
        let process = document.config.unwrap_or_default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Configuration {
            config: ImageConfig {
                entrypoint: process.entrypoint.unwrap_or_default(),
                cmd: process.cmd.unwrap_or_default(),
                env: process.env.unwrap_or_default(),
                user: filled(process.user),
                working_dir: filled(process.working_dir),
                stop_signal: filled(process.stop_signal),
                volumes: process.volumes.unwrap_or_default().into_keys().collect(),
                exposed_ports: process.exposed_ports.unwrap_or_default().into_keys().collect(),
            },
            platform: Platform { os: document.os, architecture: document.architecture, variant: None },
            diff_ids: document.rootfs.diff_ids.unwrap_or_default(),
        })
    }

    /// Refuses an image that this machine cannot run.
    pub fn check_platform(&self) -> Result<()> {
        let this = Platform::this();
        if self.platform.os.is_empty() || self.platform.runs(&this) {
            return Ok(());
        }
        Err(Fault::usage(format!("it is for {}, this machine is {this}", self.platform)).into())
    }

    /// The layers of a manifest with their diff ids.
    pub fn layers<'a>(&self, manifest: &'a ImageManifest) -> Result<Vec<(&'a Descriptor, Digest)>> {
        if manifest.layers.len() != self.diff_ids.len() {
            return Err(Fault::usage(format!(
                "its manifest has {} layers, its configuration {}",
                manifest.layers.len(),
                self.diff_ids.len()
            )))
            .context("manifest and configuration do not belong together");
        }
        Ok(manifest.layers.iter().zip(self.diff_ids.iter().copied()).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(os: &str, architecture: &str, variant: Option<&str>, content: &[u8]) -> Descriptor {
        Descriptor {
            media_type: String::new(),
            digest: Digest::of(content),
            size: 1,
            platform: Some(Platform {
                os: os.into(),
                architecture: architecture.into(),
                variant: variant.map(str::to_owned),
            }),
            annotations: None,
        }
    }

    #[test]
    fn the_fitting_platform_is_chosen() {
        let index = [
            entry("unknown", "unknown", None, b"attestation"),
            entry("windows", "amd64", None, b"w"),
            entry("linux", "arm", Some("v6"), b"6"),
            entry("linux", "arm", Some("v7"), b"7"),
            entry("linux", "amd64", None, b"a"),
        ];
        let platform = |architecture: &str, variant: Option<&str>| Platform {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: variant.map(str::to_owned),
        };
        assert_eq!(choose(&index, &platform("amd64", None)).unwrap().digest, Digest::of(b"a"));
        assert_eq!(choose(&index, &platform("arm", Some("v7"))).unwrap().digest, Digest::of(b"7"));
        assert_eq!(choose(&index, &platform("arm", Some("v8"))).unwrap().digest, Digest::of(b"6"));
        let error = choose(&index, &platform("s390x", None)).unwrap_err().to_string();
        assert_eq!(error, "it has nothing for linux/s390x, only for windows/amd64, linux/arm, linux/arm, linux/amd64");
    }

    #[test]
    fn absent_null_and_empty_are_the_same() {
        for config in ["", r#""config":null,"#, r#""config":{"Env":null,"User":"","Cmd":null},"#] {
            let text = format!(r#"{{{config}"os":"linux","rootfs":{{"type":"layers","diff_ids":null}}}}"#);
            let parsed = Configuration::parse(text.as_bytes()).unwrap();
            assert_eq!((parsed.config, parsed.diff_ids), (ImageConfig::default(), vec![]), "{text}");
        }
    }

    #[test]
    fn documents_that_are_something_else_are_refused() {
        for text in
            ["", "[]", "{}", r#"{"schemaVersion":1}"#, r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"layers":[]}"#]
        {
            let error = Manifest::parse(text.as_bytes()).unwrap_err();
            assert_eq!(crate::error::exit_of(&error), crate::error::Exit::Usage, "{text}");
        }
        assert!(Configuration::parse(b"{}").is_err());
    }

    #[test]
    fn another_machines_image_is_refused() {
        let parsed =
            Configuration::parse(br#"{"os":"linux","architecture":"pdp11","rootfs":{"diff_ids":[]}}"#).unwrap();
        assert!(parsed.check_platform().unwrap_err().to_string().starts_with("it is for linux/pdp11, this machine is"));
    }
}
