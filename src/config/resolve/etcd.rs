//! `etcd`: a stacked member, or an external cluster [4.6].

use super::{Resolver, or_default};
use crate::config::file::v1beta4;
use crate::config::{Etcd, EtcdClient, ExternalEtcd, LocalEtcd, defaults};

impl Resolver<'_> {
    pub(super) fn etcd(&mut self, written: v1beta4::Etcd, image_repository: &str) -> Option<Etcd> {
        let v1beta4::Etcd { local, external } = written;
        match (local, external) {
            (Some(_), Some(_)) => {
                self.problems.add("etcd", "Invalid value: `local` and `external` are mutually exclusive");
                None
            }
            (None, Some(external)) => self.external_etcd(external).map(Etcd::External),
            (local, None) => self.local_etcd(local.unwrap_or_default(), image_repository).map(Etcd::Local),
        }
    }

    fn external_etcd(&mut self, written: v1beta4::ExternalEtcd) -> Option<ExternalEtcd> {
        let v1beta4::ExternalEtcd { endpoints, http_endpoints, ca_file, cert_file, key_file } = written;
        if endpoints.is_empty() {
            self.problems.add("etcd.external.endpoints", "Required value: at least one endpoint");
        }
        let secured = [&ca_file, &cert_file, &key_file].iter().any(|file| !file.is_empty());
        self.etcd_urls("etcd.external.endpoints", &endpoints, secured);
        self.etcd_urls("etcd.external.httpEndpoints", &http_endpoints, false);
        let mut file = |field: &str, text: String| match text.is_empty() {
            true => None,
            false => self.absolute(&format!("etcd.external.{field}"), text),
        };
        let has_client = !cert_file.is_empty() || !key_file.is_empty();
        let (ca_missing, pair_broken) = (ca_file.is_empty(), cert_file.is_empty() != key_file.is_empty());
        let (ca_file, cert_file, key_file) =
            (file("caFile", ca_file), file("certFile", cert_file), file("keyFile", key_file));
        if pair_broken {
            let message = "Invalid value: `certFile` and `keyFile` stand together or not at all";
            self.problems.add("etcd.external", message);
        } else if has_client && ca_missing {
            self.problems.add("etcd.external.caFile", "Required value: `certFile` and `keyFile` need it");
        }
        let client = cert_file.zip(key_file).map(|(cert_file, key_file)| EtcdClient { cert_file, key_file });
        let http_endpoints = if http_endpoints.is_empty() { endpoints.clone() } else { http_endpoints };
        Some(ExternalEtcd { endpoints, http_endpoints, ca_file, client })
    }

    /// `secured` URLs have to be HTTPS.
    fn etcd_urls(&mut self, field: &str, urls: &[String], secured: bool) {
        for (index, url) in urls.iter().enumerate() {
            let reason = match scheme(url).as_deref() {
                Some("https") => continue,
                Some("http") if !secured => continue,
                Some("http") => "must be HTTPS where certificates are given",
                _ => "must be a URL such as `https://10.0.0.9:2379`",
            };
            self.problems.invalid(format!("{field}[{index}]"), url, reason);
        }
    }

    fn local_etcd(&mut self, written: v1beta4::LocalEtcd, image_repository: &str) -> Option<LocalEtcd> {
        let v1beta4::LocalEtcd {
            image_repository: own_repository,
            image_tag,
            data_dir,
            extra_args,
            extra_envs,
            server_cert_sans,
            peer_cert_sans,
        } = written;
        let own_repository = Some(own_repository).filter(|repository| !repository.is_empty());
        let image_tag = Some(image_tag).filter(|tag| !tag.is_empty());
        if let Some(repository) = &own_repository {
            self.check_image("etcd.local.imageRepository", repository, "etcd", "tag");
        }
        if let Some(tag) = &image_tag {
            let repository = own_repository.as_deref().unwrap_or(image_repository);
            self.check_image("etcd.local.imageTag", repository, "etcd", tag);
        }
        let extra_args = self.args("etcd.local.extraArgs", extra_args);
        let extra_envs = self.envs("etcd.local.extraEnvs", extra_envs);
        let server_cert_sans = self.sans("etcd.local.serverCertSANs", server_cert_sans);
        let peer_cert_sans = self.sans("etcd.local.peerCertSANs", peer_cert_sans);
        let data_dir = self.absolute("etcd.local.dataDir", or_default(data_dir, defaults::ETCD_DATA));
        Some(LocalEtcd {
            data_dir: data_dir?,
            image_repository: own_repository,
            image_tag,
            extra_args,
            extra_envs,
            server_cert_sans,
            peer_cert_sans,
        })
    }
}

/// The scheme of a URL that has a host and is fit for the API server's list, which commas part.
fn scheme(text: &str) -> Option<String> {
    let odd = |c: char| c == ',' || c == '\\' || c.is_whitespace() || c.is_control();
    if !text.contains("://") || text.contains(odd) {
        return None;
    }
    let url = url::Url::parse(text).ok()?;
    url.has_host().then(|| url.scheme().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected) in [
            ("https://10.0.0.9:2379", Some("https")),
            ("HTTP://etcd.example.com", Some("http")),
            ("https://[fd00::9]:2379/", Some("https")),
            ("unix:///run/etcd", None),
            ("https://", None),
            ("https:a", None),
            ("a:2379", None),
            ("10.0.0.9:2379", None),
            ("https://a:b", None),
            ("https://a:65536", None),
            ("https://a,https://b", None),
            ("https://a b", None),
            ("", None),
        ] {
            assert_eq!(scheme(text).as_deref(), expected, "{text}");
        }
    }
}
