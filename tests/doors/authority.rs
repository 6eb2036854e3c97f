//! An authority, what it issues, and clients that believe it.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData as _, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use switchyard::codec::sign::sha256_hex;

use crate::support::wire::PATIENCE;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub root_pem: String,
}

/// A certificate with its key.
pub struct Issued {
    pub pem: String,
    pub key_pem: String,
    /// SHA-256 of the public key, as settings name it.
    pub key_sha256: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = params.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(params, key), root_pem }
    }

    /// A certificate for loopback that holds until the end of this year.
    pub fn issue_until(&self, year: i32) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        params.not_after = date_time_ymd(year, 12, 31);
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let key_sha256 = sha256_hex(&key.subject_public_key_info());
        Issued { pem, key_pem: key.serialize_pem(), key_sha256 }
    }

    pub fn issue(&self) -> Issued {
        self.issue_until(2999)
    }

    /// A client that believes this authority alone, and shows a certificate if it has one.
    pub fn client(&self, own: Option<&Issued>) -> reqwest::Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&self.root_pem)).expect("a root");
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots);
        let tls = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).expect("a key");
                let chain = vec![certificate(&own.pem)];
                builder.with_client_auth_cert(chain, key).expect("its key")
            }
        };
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("a client")
    }
}

impl Issued {
    /// Puts certificate and key where the settings of these tests name them.
    pub fn put(&self, folder: &Path) {
        std::fs::write(folder.join("server.pem"), &self.pem).expect("a file");
        std::fs::write(folder.join("server.key"), &self.key_pem).expect("a file");
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}
