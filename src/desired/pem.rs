//! PEM files as kubeadm reads them: a file may hold several blocks, and text between them is skipped [1.5].

use crate::error::Result;

const CERTIFICATE: &str = "CERTIFICATE";
const PUBLIC_KEY: &str = "PUBLIC KEY";
/// The forms of a private key: PKCS #8, PKCS #1, SEC 1. An `EC PARAMETERS` block before one is not asked for.
const PRIVATE_KEYS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The certificates of a file in DER, in their order. A block that carries headers is not counted.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>> {
    let blocks = blocks(text)?.into_iter();
    let plain = blocks.filter(|block| block.tag() == CERTIFICATE && block.headers().iter().next().is_none());
    let certificates: Vec<_> = plain.map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        anyhow::bail!("it holds no PEM certificate");
    }
    Ok(certificates)
}

/// The first private key of a file in DER.
///
/// # Errors
/// When there is none, or when it is protected with a passphrase.
pub(super) fn private_key(text: &[u8]) -> Result<Vec<u8>> {
    for block in blocks(text)? {
        let is_encrypted = block.headers().get("Proc-Type").is_some_and(|kind| kind.contains("ENCRYPTED"));
        if block.tag() == ENCRYPTED || is_encrypted {
            anyhow::bail!("its private key is protected with a passphrase");
        }
        if PRIVATE_KEYS.contains(&block.tag()) {
            return Ok(block.into_contents());
        }
    }
    anyhow::bail!("it holds no PEM private key")
}

/// The public keys of a file, as SubjectPublicKeyInfo in DER.
pub(super) fn public_keys(text: &[u8]) -> Result<Vec<Vec<u8>>> {
    let blocks = blocks(text)?.into_iter();
    Ok(blocks.filter(|block| block.tag() == PUBLIC_KEY).map(pem::Pem::into_contents).collect())
}

/// One certificate as a file of its own.
pub(super) fn of_certificate(der: &[u8]) -> String {
    encode(CERTIFICATE, der)
}

/// One certificate signing request as a file of its own.
pub(super) fn of_request(der: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", der)
}

fn encode(tag: &str, der: &[u8]) -> String {
    let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), unix)
}

fn blocks(text: &[u8]) -> Result<Vec<pem::Pem>> {
    // the reason may show a line of the block
    pem::parse_many(text).map_err(|_| anyhow::anyhow!("its PEM blocks cannot be read"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FIRST: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    const SECOND: &str = "-----BEGIN CERTIFICATE-----\nBAUG\n-----END CERTIFICATE-----\n";
    const WITH_HEADER: &str = "-----BEGIN CERTIFICATE-----\nFrom: here\n\nBwgJ\n-----END CERTIFICATE-----\n";

    #[test]
    fn a_bundle_is_read_in_its_order_without_text_and_blocks_with_headers() {
        let bundle = format!("subject=CN = a\n{WITH_HEADER}{FIRST}\nissuer=CN = b\n{SECOND}");
        assert_eq!(certificates(bundle.as_bytes()).unwrap(), [[1, 2, 3], [4, 5, 6]]);
        let wrapped = bundle.replace('\n', "\r\n");
        assert_eq!(certificates(wrapped.as_bytes()).unwrap().len(), 2);
        assert_eq!(of_certificate(&[1, 2, 3]), FIRST);
    }

    #[test]
    fn what_holds_no_certificate_says_so() {
        let reason = |text: &str| certificates(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(reason(""), "it holds no PEM certificate");
        assert_eq!(reason("garbage"), "it holds no PEM certificate");
        assert_eq!(reason(WITH_HEADER), "it holds no PEM certificate");
        assert_eq!(
            reason("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"),
            "its PEM blocks cannot be read"
        );
    }

    #[test]
    fn a_private_key_is_found_behind_other_blocks() {
        let key = |tag: &str| format!("-----BEGIN {tag}-----\nAQID\n-----END {tag}-----\n");
        for tag in PRIVATE_KEYS {
            let text = format!("{}{}", key("EC PARAMETERS"), key(tag));
            assert_eq!(private_key(text.as_bytes()).unwrap(), [1, 2, 3], "{tag}");
        }
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,1\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
        for encrypted in [old.to_owned(), key(ENCRYPTED)] {
            assert!(private_key(encrypted.as_bytes()).unwrap_err().to_string().contains("passphrase"));
        }
        assert!(private_key(FIRST.as_bytes()).is_err());
    }
}
