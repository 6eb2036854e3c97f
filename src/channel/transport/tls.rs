//! TLS settings of a channel: rustls, certificates always verified.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Client settings that trust the given PEM roots, or the operating system's if there are none.
///
/// There is no way to turn verification off. The error is a sentence for whoever configured it.
pub fn client_config(root_pems: &[String]) -> Result<ClientConfig, String> {
    client_config_as(None, root_pems)
}

/// The same with a certificate that we show to whoever asks for one: a PEM text with it, the chain
/// above it, and its private key.
pub fn client_config_as(
    identity_pem: Option<&str>,
    root_pems: &[String],
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut roots = if root_pems.is_empty() { system_roots() } else { RootCertStore::empty() };
    for pem in root_pems {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
    }
    let builder = builder.with_root_certificates(roots);
    let Some(identity) = identity_pem else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(identity.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("the identity has no PEM certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(identity.as_bytes())
        .map_err(|_| "the identity has no PEM private key".to_owned())?;
    builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
}

/// The bundle that Debian and most others keep; without it, only configured roots are trusted.
fn system_roots() -> RootCertStore {
    const BUNDLES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    ];
    let mut roots = RootCertStore::empty();
    let bundle = BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    for certificate in CertificateDer::pem_slice_iter(&bundle).flatten() {
        // A root that rustls does not take is a root that we do not trust.
        let _ = roots.add(certificate);
    }
    roots
}
