//! What API objects depend on besides the configuration: files of the node, and what the cluster has already.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::writer::Writer;
use crate::api::{ApiServer, Patience};
use crate::desired::Desired;
use crate::desired::object::live::{self, Live};
use crate::desired::object::{Late, NAMESPACE, dns, token, uploaded};
use crate::desired::pki::Authority;
use crate::desired::seal::{CertificateKey, NonceBytes};
use crate::error::{Context, Result};

/// What every step needs of it.
pub fn gather(desired: &Desired, writer: &Writer, now: Timestamp) -> Result<Late> {
    Ok(Late {
        ca_certificate_pem: authority(desired, writer)?,
        now,
        proxy_environment: desired.proxy_environment.clone(),
        patches: desired.patches.clone(),
        uploaded: BTreeMap::new(),
        live: Live::default(),
    })
}

/// The certificate that the cluster's clients trust.
pub fn authority(desired: &Desired, writer: &Writer) -> Result<String> {
    let base = desired.config.certificates_dir.join(Authority::Kubernetes.base());
    let pem = writer.read(&base.with_extension("crt"))?;
    Ok(String::from_utf8_lossy(&pem).into_owned())
}

/// The certificates and keys to upload, encrypted; nothing if none are.
pub fn uploaded(desired: &Desired, writer: &Writer) -> Result<BTreeMap<String, Vec<u8>>> {
    let config = &desired.config;
    let (Some(_), Some(key)) = (&config.upload_certs, &config.certificate_key) else { return Ok(BTreeMap::new()) };
    let key = CertificateKey::from_hex(key)?;
    let mut sealed = BTreeMap::new();
    for (name, path) in uploaded::files(config) {
        let content = path.as_deref().map(|path| writer.read_if_exists(path)).transpose()?.flatten();
        let value = content.map(|content| key.seal(nonce()?, &content)).transpose()?;
        sealed.insert(name.to_owned(), value.unwrap_or_default());
    }
    Ok(sealed)
}

fn nonce() -> Result<NonceBytes> {
    let mut nonce = NonceBytes::default();
    getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(nonce)
}

/// What the cluster has of what the objects of a step depend on.
pub async fn look(server: &ApiServer, step: &str, patience: Patience) -> Result<Live> {
    let mut live = Live::default();
    match step {
        "bootstrap-token" => {
            let of_type = format!("type={}", token::SECRET_TYPE);
            let secrets: Vec<Secret> =
                server.list(NAMESPACE, "", &of_type, patience).await.context("cannot list the tokens")?;
            live.tokens = live::tokens(&secrets);
        }
        "addon/coredns" => {
            let looked = || "cannot look at the cluster's DNS";
            let deployments: Vec<Deployment> =
                server.list(NAMESPACE, dns::LABEL, "", patience).await.with_context(looked)?;
            let map: Option<ConfigMap> = server.get(NAMESPACE, dns::CONFIG_MAP, patience).await.with_context(looked)?;
            live.dns = live::Dns::new(&deployments, map.as_ref());
        }
        _ => {}
    }
    Ok(live)
}
