//! TLS towards a server of which nobody asks who it is.

use std::sync::{Arc, LazyLock, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::io::InspectReader;

/// What Go's client says of a server that speaks plain HTTP; it tells one by these bytes.
pub(super) const PLAIN_ANSWER: &str = "http: server gave HTTP response to HTTPS client";
const PLAIN_START: &[u8] = b"HTTP/";

/// Sessions belong to one server: another on the same address would not know them.
pub(super) fn connector() -> TlsConnector {
    let mut config = TLS.clone();
    config.resumption = Resumption::in_memory_sessions(2);
    TlsConnector::from(Arc::new(config))
}

pub(super) async fn connect(
    connector: &TlsConnector,
    host: String,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let is_plain = Arc::new(OnceLock::new());
    let seen = Arc::clone(&is_plain);
    let stream = InspectReader::new(stream, move |data: &[u8]| {
        seen.get_or_init(|| data.starts_with(PLAIN_START));
    });
    connector.connect(name, stream).await.map_err(|error| match is_plain.get() {
        Some(true) => PLAIN_ANSWER.to_owned(),
        Some(false) | None => format!("tls: {error}"),
    })
}

/// One key exchange, the cheapest that every Go server takes: nothing secret goes over these connections.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer { schemes }))
        .with_no_client_auth()
});

/// A probe asks whether a server is up, not who it is.
#[derive(Debug)]
struct AnyServer {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
