//! Where images are fetched from: mirrors, plain HTTP, certificate authorities.
//!
//! The file `/etc/bootstrap/registries.yaml` and the flags of the same names say it:
//!
//! ```yaml
//! mirrors:
//!   registry.k8s.io: [mirror.example.com:5000, harbor.example.com/k8s]   # tried in order, then the registry itself
//!   "*": [mirror.example.com:5000]                                       # registries without mirrors of their own
//! plainHTTP: [mirror.example.com:5000]                                   # hosts without TLS
//! caFiles: [/etc/ssl/example-ca.crt]                                     # trusted besides the machine's own
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Fault, Result};
use crate::files;
use crate::image::reference::{self, Reference};
use crate::layout::Layout;

/// Settings of all registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registries {
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    #[serde(rename = "plainHTTP")]
    pub plain_http: BTreeSet<String>,
    pub ca_files: Vec<PathBuf>,
}

/// A host that has copies, perhaps below a path: `host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mirror {
    host: String,
    path: Option<String>,
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text, None),
        };
        let path_is_valid = path.is_none_or(|path| path.split('/').all(reference::is_path_component));
        if host.is_empty() || !reference::is_registry(host) || !path_is_valid {
            return Err(format!("`{text}` is not a mirror of the form `host[:port][/path]`, without `https://`"));
        }
        Ok(Mirror { host: host.to_owned(), path: path.map(str::to_owned) })
    }
}

impl TryFrom<String> for Mirror {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

/// One place to ask for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port.
    pub host: String,
    pub repository: String,
    /// The registry that a mirror stands for, told to it as containerd does.
    pub mirror_of: Option<String>,
    pub scheme: Scheme,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
    /// A loopback host: HTTPS, or HTTP where nothing speaks TLS.
    Either,
}

impl Registries {
    /// Reads `/etc/bootstrap/registries.yaml` of the instance; without it there are no settings.
    pub fn load(layout: &Layout) -> Result<Registries> {
        let path = layout.under("/etc/bootstrap/registries.yaml");
        let Some(content) = files::read_if_exists(&path)? else { return Ok(Registries::default()) };
        let unusable = |cause: anyhow::Error| Fault::usage(format!("cannot use `{}`", path.display())).because(cause);
        let text = std::str::from_utf8(&content).map_err(|error| unusable(error.into()))?;
        if text.trim().is_empty() {
            return Ok(Registries::default());
        }
        let mut settings: Registries = serde_yaml::from_str(text).map_err(|error| unusable(error.into()))?;
        for file in &mut settings.ca_files {
            *file = layout.under(&*file);
        }
        Ok(settings)
    }

    /// Adds what the command line says; its mirrors come first.
    pub fn extend(&mut self, other: Registries) {
        for (registry, mut mirrors) in other.mirrors {
            let all = self.mirrors.entry(registry).or_default();
            mirrors.append(all);
            *all = mirrors;
        }
        self.plain_http.extend(other.plain_http);
        self.ca_files.extend(other.ca_files);
    }

    /// The places to ask for an image, in order.
    pub fn endpoints(&self, reference: &Reference) -> Vec<Endpoint> {
        let registry = reference.registry();
        let mirrors = self.mirrors.get(registry).or_else(|| self.mirrors.get("*")).into_iter().flatten();
        let mut endpoints: Vec<_> = mirrors
            .map(|mirror| Endpoint {
                repository: match &mirror.path {
                    Some(path) => format!("{path}/{}", reference.repository()),
                    None => reference.repository().to_owned(),
                },
                mirror_of: mirror.path.is_none().then(|| registry.to_owned()),
                scheme: self.scheme(&mirror.host),
                host: mirror.host.clone(),
            })
            .collect();
        endpoints.push(Endpoint {
            host: if registry == "docker.io" { "registry-1.docker.io" } else { registry }.to_owned(),
            repository: reference.repository().to_owned(),
            mirror_of: None,
            scheme: self.scheme(registry),
        });
        endpoints
    }

    fn scheme(&self, host: &str) -> Scheme {
        if self.plain_http.contains(host) {
            Scheme::Http
        } else if is_loopback(host) {
            Scheme::Either
        } else {
            Scheme::Https
        }
    }
}

/// Of a host with or without a port.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Registries> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etc/bootstrap/registries.yaml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        Registries::load(&Layout::new(directory.path()))
    }

    fn asked(settings: &Registries, reference: &str) -> Vec<String> {
        let show = |endpoint: Endpoint| {
            let scheme = match endpoint.scheme {
                Scheme::Https => "https",
                Scheme::Http => "http",
                Scheme::Either => "either",
            };
            let of = endpoint.mirror_of.map(|registry| format!("?ns={registry}")).unwrap_or_default();
            format!("{scheme}://{}/{}{of}", endpoint.host, endpoint.repository)
        };
        settings.endpoints(&reference.parse().unwrap()).into_iter().map(show).collect()
    }

    #[test]
    fn mirrors_come_before_the_registry() {
        let mut settings = settings(
            "mirrors:\n  registry.k8s.io: [m.example:5000, h.example/k8s]\n  '*': [any.example]\nplainHTTP: ['m.example:5000']\n",
        )
        .unwrap();
        assert_eq!(
            asked(&settings, "registry.k8s.io/etcd:1"),
            [
                "http://m.example:5000/etcd?ns=registry.k8s.io",
                "https://h.example/k8s/etcd",
                "https://registry.k8s.io/etcd"
            ]
        );
        assert_eq!(
            asked(&settings, "nginx"),
            ["https://any.example/library/nginx?ns=docker.io", "https://registry-1.docker.io/library/nginx"]
        );
        let mirrors = BTreeMap::from([("registry.k8s.io".to_owned(), vec!["first.example".parse().unwrap()])]);
        settings.extend(Registries { mirrors, ..Registries::default() });
        assert_eq!(asked(&settings, "registry.k8s.io/etcd:1")[0], "https://first.example/etcd?ns=registry.k8s.io");
        assert_eq!(asked(&settings, "registry.k8s.io/etcd:1").len(), 4);
    }

    #[test]
    fn only_loopback_hosts_may_do_without_tls_unasked() {
        let none = Registries::default();
        for (host, scheme) in [
            ("localhost:5000", Scheme::Either),
            ("127.0.0.9:5000", Scheme::Either),
            ("[::1]:5000", Scheme::Either),
            ("10.0.0.1:5000", Scheme::Https),
            ("localhost.example", Scheme::Https),
        ] {
            assert_eq!(none.scheme(host), scheme, "{host}");
        }
    }

    #[test]
    fn a_wrong_file_is_named() {
        for text in
            ["mirror: {}", "mirrors: {docker.io: ['https://m.example']}", "mirrors: {docker.io: ['m.example/']}"]
        {
            let error = settings(text).unwrap_err();
            assert!(error.to_string().contains("registries.yaml"), "{error}");
            assert_eq!(crate::error::exit_of(&error), crate::error::Exit::Usage);
        }
        assert_eq!(settings("\n").unwrap(), Registries::default());
        assert_eq!(Registries::load(&Layout::new("/nonexistent")).unwrap(), Registries::default());
    }
}
