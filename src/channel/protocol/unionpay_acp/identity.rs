//! Our signing certificates and UnionPay's encryption certificates, with their keys parsed once.
//!
//! Several are valid at once while one replaces another; the newest that is valid is used.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::channel::certificates::{CertificateTerm, CertificateUse};
use crate::codec::certificate::{Certificate, CertificateError};
use crate::codec::sign::{CipherError, KeyError, RsaEncryptor, RsaSigner};

/// Why a certificate or key cannot be used. Never quotes either (I-11).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    #[error("key: {0}")]
    Key(#[from] KeyError),
    #[error("the certificate does not belong to the key")]
    NotAPair,
}

/// When a certificate may be used, both seconds included, since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from_s: i64,
    until_s: i64,
}

impl Validity {
    fn of(certificate: &Certificate) -> Self {
        Self { from_s: certificate.valid_from_s(), until_s: certificate.valid_until_s() }
    }

    fn term(self, usage: CertificateUse, serial: &str) -> CertificateTerm {
        let (valid_from_s, valid_until_s) = (self.from_s, self.until_s);
        CertificateTerm { usage, serial: serial.to_owned(), valid_from_s, valid_until_s }
    }

    fn holds_at(self, at_s: i64) -> bool {
        (self.from_s..=self.until_s).contains(&at_s)
    }
}

/// The merchant as UnionPay knows it.
pub(super) struct SigningIdentity {
    /// The certificate's serial number in decimal: field `certId`.
    pub cert_id: String,
    pub signer: RsaSigner,
    validity: Validity,
}

impl SigningIdentity {
    pub(super) fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let signer = RsaSigner::from_pem(key)?;
        let certificates = Certificate::all_from_pem(certificate)?;
        let own = certificates.iter().find(|certificate| certificate.belongs_to(&signer));
        let own = own.ok_or(IdentityError::NotAPair)?;
        let cert_id = own.serial_decimal().to_owned();
        Ok(Self { cert_id, validity: Validity::of(own), signer })
    }

    pub(super) fn newest_at(all: &[Self], at_s: i64) -> Option<&Self> {
        newest(all, at_s, |identity| identity.validity)
    }

    pub(super) fn term(&self) -> CertificateTerm {
        self.validity.term(CertificateUse::Signing, &self.cert_id)
    }
}

/// UnionPay as the reader of card data.
pub(super) struct EncryptionIdentity {
    /// The certificate's serial number in decimal: field `encryptCertId`.
    pub cert_id: String,
    encryptor: RsaEncryptor,
    validity: Validity,
}

impl EncryptionIdentity {
    pub(super) fn from_pem(certificate: &str) -> Result<Self, IdentityError> {
        let certificate = Certificate::from_pem(certificate)?;
        Ok(Self {
            cert_id: certificate.serial_decimal().to_owned(),
            encryptor: certificate.encryptor()?,
            validity: Validity::of(&certificate),
        })
    }

    pub(super) fn newest_at(all: &[Self], at_s: i64) -> Option<&Self> {
        newest(all, at_s, |identity| identity.validity)
    }

    pub(super) fn term(&self) -> CertificateTerm {
        self.validity.term(CertificateUse::Encryption, &self.cert_id)
    }

    /// RSA PKCS#1 v1.5 and base64, as every encrypted field is written.
    pub(super) fn encrypt(&self, plain: &str) -> Result<String, CipherError> {
        Ok(STANDARD.encode(self.encryptor.encrypt(plain.as_bytes())?))
    }
}

fn newest<T>(all: &[T], at_s: i64, validity: impl Fn(&T) -> Validity) -> Option<&T> {
    all.iter()
        .filter(|identity| validity(identity).holds_at(at_s))
        .max_by_key(|identity| validity(identity).from_s)
}
