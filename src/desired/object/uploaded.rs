//! The certificates and keys that further control planes need, encrypted in the Secret `kubeadm-certs` [8.4].
//!
//! The Secret belongs to that of a bootstrap token which nobody uses: when the token has expired, the cluster removes
//! it, and with it what it owns.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Late, Object, render, token};
use crate::config::{Config, Etcd, defaults};
use crate::desired::pki::{self, Authority};
use crate::error::Result;

/// What is uploaded: the Secret's key and the file. A file may be missing, as one of an external etcd that nobody named.
pub fn files(config: &Config) -> Vec<(&'static str, Option<PathBuf>)> {
    let in_pki = |file: &str| Some(config.certificates_dir.join(file));
    let authority = |authority: Authority, names: [&'static str; 2]| {
        let [certificate, key] = names;
        let base = authority.base();
        [(certificate, in_pki(&format!("{base}.crt"))), (key, in_pki(&format!("{base}.key")))]
    };
    let mut files = Vec::new();
    files.extend(authority(Authority::Kubernetes, ["ca.crt", "ca.key"]));
    files.extend(authority(Authority::FrontProxy, ["front-proxy-ca.crt", "front-proxy-ca.key"]));
    let (key, public) = pki::service_account_paths(config);
    files.extend([("sa.pub", Some(public)), ("sa.key", Some(key))]);
    match &config.etcd {
        Etcd::Local(_) => files.extend(authority(Authority::Etcd, ["etcd-ca.crt", "etcd-ca.key"])),
        Etcd::External(etcd) => {
            let client = etcd.client.as_ref();
            files.extend([
                ("external-etcd-ca.crt", etcd.ca_file.clone()),
                ("external-etcd.crt", client.map(|client| client.cert_file.clone())),
                ("external-etcd.key", client.map(|client| client.key_file.clone())),
            ]);
        }
    }
    files
}

/// Nothing unless the certificates are uploaded.
pub(super) fn objects(config: &Config, late: &Late) -> Result<Vec<Object>> {
    let Some(owner) = &config.upload_certs else { return Ok(Vec::new()) };
    let owner = token::object(owner, late.now)?;
    let data: Vec<Value> =
        late.uploaded.iter().map(|(key, value)| json!({ "key": key, "value": STANDARD.encode(value) })).collect();
    let values = json!({ "owner": owner.name, "data": data, "token_group": defaults::TOKEN_GROUP });
    let mut objects = vec![owner];
    objects.extend(render("objects/kubeadm-certs.yaml", &values)?);
    Ok(objects)
}
