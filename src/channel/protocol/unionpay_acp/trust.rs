//! Whether a message is UnionPay's: the signature, and the certificate that it brings along.
//!
//! The certificate is checked up to a configured root, its owner by name, then its key proves the
//! message. What was once believed is remembered by its PEM text until it expires, so that the
//! common reply costs one verification. Upholds I-2: who is not believed says nothing, and is named
//! with the reason.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::tz::TimeZone;

use crate::channel::certificates::{CertificateTerm, CertificateUse};
use crate::codec::acp;
use crate::codec::certificate::{Certificate, CertificateError};
use crate::codec::chain::{ChainError, TrustedAuthorities};
use crate::codec::form::Fields;
use crate::codec::sign::{KeyError, RsaVerifier, SignatureError};
use crate::domain::card::words::mask_cards;
use crate::domain::time::Timestamp;

/// The signer's certificate, as PEM text inside the message; it is part of what is signed.
pub(super) const SIGNER_CERTIFICATE: &str = "signPubKeyCert";
/// The common name of the test system's signer.
pub(super) const TEST_SIGNER: &str = "00040000:SIGN";

/// Signers remembered. UnionPay uses one, and two while it changes; only believed ones get in, so
/// a stranger cannot push them out.
const SIGNERS_MAX: usize = 8;
/// Bytes of a signer's PEM text; one has about 1,600.
const SIGNER_PEM_BYTES_MAX: usize = 16 * 1024;

/// Why a message is not believed. Quotes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    #[error("the message is not signed with method 01")]
    Method,
    #[error("the message brings no signer's certificate")]
    NoCertificate,
    #[error("the signer's certificate has more than {SIGNER_PEM_BYTES_MAX} bytes")]
    LongCertificate,
    #[error("the signer's certificate cannot be read: {0}")]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the signer's certificate is not UnionPay's (common name)")]
    Owner,
    #[error("the signer's key cannot be used: {0}")]
    Key(#[from] KeyError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Characters of a common name that are told; UnionPay's have about 50.
const OWNER_CHARACTERS_MAX: usize = 64;

/// Why a message is not believed, and whose certificate it brought, as far as that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disbelief {
    pub why: Distrust,
    /// Serial number, owner and end of validity.
    pub certificate: Option<String>,
}

impl fmt::Display for Disbelief {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.why)?;
        match &self.certificate {
            Some(certificate) => write!(formatter, " ({certificate})"),
            None => Ok(()),
        }
    }
}

impl From<Distrust> for Disbelief {
    fn from(why: Distrust) -> Self {
        Self { why, certificate: None }
    }
}

/// Names a certificate for people. It came from outside: its name is cut, and digits in it that
/// could be a card number are masked (I-11).
fn describe(certificate: &Certificate) -> String {
    let name = certificate.common_name().unwrap_or("no readable common name");
    let name: String = name.chars().take(OWNER_CHARACTERS_MAX).collect();
    let until = Timestamp::from_millis(certificate.valid_until_s().saturating_mul(1_000));
    format!(
        "serial number {}, owner {}, valid until {}",
        certificate.serial_decimal(),
        mask_cards(&name),
        until.civil(&TimeZone::UTC).date()
    )
}

/// A believed signer.
pub(super) struct Signer {
    /// The certificate's serial number in decimal.
    pub serial: String,
    verifier: RsaVerifier,
    valid_from_s: i64,
    /// The earliest end of validity in the chain.
    valid_until_s: i64,
}

/// The authorities and owners of one channel, and the signers believed so far.
pub(super) struct Trust {
    authorities: TrustedAuthorities,
    accepted_signers: Vec<String>,
    /// Newest last.
    believed: RwLock<Vec<(String, Arc<Signer>)>>,
}

impl Trust {
    pub(super) fn read_certificates(pem: &str) -> Result<Vec<Certificate>, CertificateError> {
        Certificate::all_from_pem(pem)
    }

    pub(super) fn new(
        roots: Vec<Certificate>,
        intermediates: Vec<Certificate>,
        accepted_signers: Vec<String>,
    ) -> Self {
        let authorities = TrustedAuthorities::new(roots, intermediates);
        Self { authorities, accepted_signers, believed: RwLock::default() }
    }

    /// Proves a message at `at_s`, in seconds since 1970 (UTC), and answers who signed it.
    pub(super) fn verify(&self, fields: &Fields, at_s: i64) -> Result<Arc<Signer>, Disbelief> {
        if fields.get(acp::SIGN_METHOD) != Some(acp::METHOD_RSA) {
            return Err(Distrust::Method.into());
        }
        let pem = fields.get(SIGNER_CERTIFICATE).filter(|pem| !pem.is_empty());
        let signer = self.signer(pem.ok_or(Distrust::NoCertificate)?, at_s)?;
        acp::verify_rsa(fields, &signer.verifier).map_err(|error| Disbelief {
            why: error.into(),
            certificate: Some(format!("serial number {}", signer.serial)),
        })?;
        Ok(signer)
    }

    fn signer(&self, pem: &str, at_s: i64) -> Result<Arc<Signer>, Disbelief> {
        if let Some(signer) = self.cached(pem, at_s) {
            return Ok(signer);
        }
        if pem.len() > SIGNER_PEM_BYTES_MAX {
            return Err(Distrust::LongCertificate.into());
        }
        let certificate = Certificate::from_pem(pem).map_err(Distrust::from)?;
        let signer = self
            .believe(&certificate, at_s)
            .map_err(|why| Disbelief { why, certificate: Some(describe(&certificate)) })?;
        self.remember(pem, &signer);
        Ok(signer)
    }

    fn believe(&self, certificate: &Certificate, at_s: i64) -> Result<Arc<Signer>, Distrust> {
        let valid_until_s = self.authorities.verify(certificate, at_s)?;
        let name = certificate.common_name().ok_or(Distrust::Owner)?;
        if !acp::owner_is_accepted(name, &self.accepted_signers) {
            return Err(Distrust::Owner);
        }
        Ok(Arc::new(Signer {
            serial: certificate.serial_decimal().to_owned(),
            verifier: certificate.verifier()?,
            valid_from_s: certificate.valid_from_s(),
            valid_until_s,
        }))
    }

    /// The configured authorities, and the signers that were believed since the start.
    pub(super) fn certificates(&self) -> Vec<CertificateTerm> {
        let mut terms = Vec::new();
        for (usage, certificates) in [
            (CertificateUse::Root, self.authorities.roots()),
            (CertificateUse::Intermediate, self.authorities.intermediates()),
        ] {
            terms.extend(certificates.iter().map(|one| CertificateTerm::of(usage, one)));
        }
        let believed = self.believed.read().unwrap_or_else(PoisonError::into_inner);
        terms.extend(believed.iter().map(|(_, signer)| CertificateTerm {
            usage: CertificateUse::Signer,
            serial: signer.serial.clone(),
            valid_from_s: signer.valid_from_s,
            valid_until_s: signer.valid_until_s,
        }));
        terms
    }

    /// A lock is only poisoned by a panic while it is held, and nothing here panics; the list is
    /// whole at every moment, so it may be used all the same.
    fn cached(&self, pem: &str, at_s: i64) -> Option<Arc<Signer>> {
        let believed = self.believed.read().unwrap_or_else(PoisonError::into_inner);
        let (_, signer) = believed.iter().find(|(known, _)| known == pem)?;
        (signer.valid_from_s..=signer.valid_until_s).contains(&at_s).then(|| signer.clone())
    }

    fn remember(&self, pem: &str, signer: &Arc<Signer>) {
        let mut believed = self.believed.write().unwrap_or_else(PoisonError::into_inner);
        believed.retain(|(known, _)| known != pem);
        if believed.len() >= SIGNERS_MAX {
            believed.remove(0);
        }
        believed.push((pem.to_owned(), signer.clone()));
    }

    #[cfg(test)]
    pub(super) fn remembered_signers(&self) -> usize {
        self.believed.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
