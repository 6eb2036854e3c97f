//! TLS settings of a channel: rustls, certificates always verified.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Client settings that trust the given PEM roots, or the operating system's if there are none.
///
/// There is no way to turn verification off. The error is a sentence for whoever configured it.
pub fn client_config(root_pems: &[String]) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if root_pems.is_empty() {
        return Ok(builder.with_root_certificates(system_roots()).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    for pem in root_pems {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
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
