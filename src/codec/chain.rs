//! Whether a certificate that came in a message is to be believed: the chain to a configured root.
//!
//! Rules are those of RFC 5280 §6 that a closed set of authorities needs: names, signatures,
//! validity, the CA flag, key usage, path length, no unknown critical extension. No revocation: the
//! channels publish none. The time is given. Remembering what was believed, and until when, is the
//! caller's.
//!
//! A certificate may be signed with SHA-1: every signer that UnionPay has published is. What is
//! known against SHA-1 are collisions, two texts of one digest that one party prepares together;
//! nobody can find a text to the digest of a certificate that is there already. So a forger would
//! need the configured authority to sign a text that he prepared, and the authority chooses serial
//! number and dates of what it signs. Authorities are never taken from a message: they are the
//! operator's, whatever they are signed with, and a certificate from outside is only ever an end.
//! The digest of a *message* is another matter, since there the other side chooses the text: SHA-1
//! is refused there (`sign` verifies with SHA-256 alone). docs/ARCHITECTURE.md has the limits.

use super::certificate::{Certificate, CertificateError};

/// Authorities between an end certificate and its root. UnionPay has one.
const AUTHORITIES_BETWEEN_MAX: u32 = 4;
/// Signatures that are checked for one end certificate, whatever was configured.
const SIGNATURE_CHECKS_MAX: u32 = 32;

/// Whose certificate in a chain an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainLink {
    /// The one that came in the message.
    Signer,
    /// One of the configured authorities above it.
    Authority,
}

impl std::fmt::Display for ChainLink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Signer => "signer's",
            Self::Authority => "authority's",
        })
    }
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("the {link} certificate is not valid yet")]
    NotYetValid { link: ChainLink },
    #[error("the {link} certificate has expired")]
    Expired { link: ChainLink },
    #[error("the {link} certificate has a critical extension that is not understood")]
    UnknownCritical { link: ChainLink },
    #[error("the signer's certificate is not for signing (key usage)")]
    NotForSigning,
    #[error("no configured authority has the name of the {link} certificate's issuer")]
    NoIssuer { link: ChainLink },
    #[error("an authority's certificate may not issue certificates (CA flag or key usage)")]
    NotAuthority,
    #[error(
        "the {link} certificate was not signed by the authority it names, or not with a method \
         that is accepted"
    )]
    BadSignature { link: ChainLink },
    #[error("the chain of authorities is longer than allowed")]
    TooLong,
}

/// The authorities that an operator configured for one channel.
#[derive(Debug, Clone)]
pub struct TrustedAuthorities {
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
}

impl TrustedAuthorities {
    pub fn new(roots: Vec<Certificate>, intermediates: Vec<Certificate>) -> Self {
        Self { roots, intermediates }
    }

    /// Takes the roots from one PEM text and the intermediates from another, which may be absent.
    pub fn from_pem(roots: &str, intermediates: Option<&str>) -> Result<Self, CertificateError> {
        let intermediates = intermediates.map_or(Ok(Vec::new()), Certificate::all_from_pem)?;
        Ok(Self::new(Certificate::all_from_pem(roots)?, intermediates))
    }

    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Checks that `end` was issued under one of the roots and that every certificate on the way
    /// is valid at `at_s`, in seconds since 1970 (UTC).
    ///
    /// Answers until when this holds: the earliest end of validity in the chain, so that a caller
    /// may remember the answer.
    pub fn verify(&self, end: &Certificate, at_s: i64) -> Result<i64, ChainError> {
        check_itself(end, ChainLink::Signer, at_s)?;
        if !end.grants().sign {
            return Err(ChainError::NotForSigning);
        }
        let mut checks_left = SIGNATURE_CHECKS_MAX;
        let until_s = self.climb(end, 0, at_s, &mut checks_left)?;
        Ok(until_s.min(end.valid_until_s()))
    }

    /// Finds an authority above `child` that leads to a root, with `below` authorities under it.
    ///
    /// Ends because `below` grows with each step and has a limit. Two authorities may share a name
    /// while keys change, so a failure is only final when every one of that name failed.
    fn climb(
        &self,
        child: &Certificate,
        below: u32,
        at_s: i64,
        checks_left: &mut u32,
    ) -> Result<i64, ChainError> {
        let link = if below == 0 { ChainLink::Signer } else { ChainLink::Authority };
        let mut failure = ChainError::NoIssuer { link };
        let roots = self.roots.iter().map(|authority| (authority, true));
        let others = self.intermediates.iter().map(|authority| (authority, false));
        for (authority, is_root) in roots.chain(others) {
            if !child.names_as_issuer(authority) {
                continue;
            }
            let found = check_authority(authority, below, at_s).and_then(|()| {
                *checks_left = checks_left.checked_sub(1).ok_or(ChainError::TooLong)?;
                if !child.is_signed_by(authority) {
                    return Err(ChainError::BadSignature { link });
                }
                if is_root {
                    return Ok(authority.valid_until_s());
                }
                if below == AUTHORITIES_BETWEEN_MAX {
                    return Err(ChainError::TooLong);
                }
                let until_s = self.climb(authority, below + 1, at_s, checks_left)?;
                Ok(until_s.min(authority.valid_until_s()))
            });
            match found {
                Ok(until_s) => return Ok(until_s),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// What must hold for every certificate of a chain, whatever its place.
fn check_itself(certificate: &Certificate, link: ChainLink, at_s: i64) -> Result<(), ChainError> {
    if at_s < certificate.valid_from_s() {
        return Err(ChainError::NotYetValid { link });
    }
    if at_s > certificate.valid_until_s() {
        return Err(ChainError::Expired { link });
    }
    if certificate.grants().unknown_critical {
        return Err(ChainError::UnknownCritical { link });
    }
    Ok(())
}

fn check_authority(authority: &Certificate, below: u32, at_s: i64) -> Result<(), ChainError> {
    check_itself(authority, ChainLink::Authority, at_s)?;
    if !authority.grants().issue {
        return Err(ChainError::NotAuthority);
    }
    if authority.grants().authorities_below_max.is_some_and(|limit| below > limit) {
        return Err(ChainError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, date_time_ymd,
    };

    use super::*;
    use crate::codec::sample_keys::{
        GOLDEN_MIDDLE, GOLDEN_ROOT, GOLDEN_SIGNER_FORGED, GOLDEN_SIGNER_NAME, GOLDEN_SIGNER_SHA1,
        GOLDEN_SIGNER_SHA256, GOLDEN_SIGNER_T61_GBK, GOLDEN_SIGNER_T61_UTF_8, SIGNER_NAME,
        authority_params, end_params, issue, merchant_key, middle_key, other_key,
    };

    /// 2025-06-01 00:00:00 UTC.
    const NOW_S: i64 = 1_748_736_000;

    /// A root, a middle and an end, each of which a test may spoil before it is issued.
    struct Chain {
        root: CertificateParams,
        middle: CertificateParams,
        end: CertificateParams,
    }

    impl Chain {
        fn good() -> Self {
            Self {
                root: authority_params("Root"),
                middle: authority_params("Middle"),
                end: end_params(SIGNER_NAME),
            }
        }

        fn root_pem(&self) -> String {
            issue(&self.root, other_key(), &self.root, other_key())
        }

        fn middle_pem(&self) -> String {
            issue(&self.middle, middle_key(), &self.root, other_key())
        }

        fn end_certificate(&self) -> Certificate {
            let pem = issue(&self.end, merchant_key(), &self.middle, middle_key());
            Certificate::from_pem(&pem).expect("the end")
        }

        fn authorities(&self) -> TrustedAuthorities {
            TrustedAuthorities::from_pem(&self.root_pem(), Some(&self.middle_pem()))
                .expect("authorities")
        }

        fn verify(&self) -> Result<i64, ChainError> {
            self.authorities().verify(&self.end_certificate(), NOW_S)
        }
    }

    #[test]
    fn a_good_chain_is_believed_until_its_first_end() {
        let mut chain = Chain::good();
        chain.middle.not_after = date_time_ymd(2027, 1, 1);
        chain.middle.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        chain.end.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        assert_eq!(chain.verify(), Ok(date_time_ymd(2027, 1, 1).unix_timestamp()));
    }

    #[test]
    fn validity_is_checked_at_the_given_second_for_every_link() {
        let chain = Chain::good();
        let authorities = chain.authorities();
        let end = chain.end_certificate();
        let (from_s, until_s) = (end.valid_from_s(), end.valid_until_s());
        assert_eq!(authorities.verify(&end, from_s), Ok(until_s));
        assert_eq!(authorities.verify(&end, until_s), Ok(until_s));
        let link = ChainLink::Signer;
        assert_eq!(authorities.verify(&end, from_s - 1), Err(ChainError::NotYetValid { link }));
        assert_eq!(authorities.verify(&end, until_s + 1), Err(ChainError::Expired { link }));
        let link = ChainLink::Authority;
        let mut old_root = Chain::good();
        old_root.root.not_after = date_time_ymd(2024, 1, 1);
        assert_eq!(old_root.verify(), Err(ChainError::Expired { link }));
        let mut new_middle = Chain::good();
        new_middle.middle.not_before = date_time_ymd(2026, 1, 1);
        assert_eq!(new_middle.verify(), Err(ChainError::NotYetValid { link }));
    }

    #[test]
    fn only_an_authority_may_issue() {
        let mut no_flag = Chain::good();
        no_flag.middle.is_ca = IsCa::ExplicitNoCa;
        assert_eq!(no_flag.verify(), Err(ChainError::NotAuthority));
        let mut no_constraints = Chain::good();
        no_constraints.root.is_ca = IsCa::NoCa;
        assert_eq!(no_constraints.verify(), Err(ChainError::NotAuthority));
        let mut other_usage = Chain::good();
        other_usage.middle.key_usages = vec![KeyUsagePurpose::CrlSign];
        assert_eq!(other_usage.verify(), Err(ChainError::NotAuthority));
        let mut short = Chain::good();
        short.root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        assert_eq!(short.verify(), Err(ChainError::TooLong));
        short.root.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        assert!(short.verify().is_ok());
    }

    #[test]
    fn a_signer_needs_the_right_usage_and_no_unknown_duty() {
        let mut encryption_only = Chain::good();
        encryption_only.end.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        assert_eq!(encryption_only.verify(), Err(ChainError::NotForSigning));
        let mut unknown = Chain::good();
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        unknown.end.custom_extensions = vec![extension.clone()];
        assert!(unknown.verify().is_ok());
        extension.set_criticality(true);
        unknown.end.custom_extensions = vec![extension];
        let link = ChainLink::Signer;
        assert_eq!(unknown.verify(), Err(ChainError::UnknownCritical { link }));
    }

    /// Made by OpenSSL: root, middle and signers under them, signed with SHA-1.
    fn golden_authorities() -> TrustedAuthorities {
        TrustedAuthorities::from_pem(GOLDEN_ROOT, Some(GOLDEN_MIDDLE)).expect("authorities")
    }

    #[test]
    fn a_signer_whose_authority_signed_with_sha_1_is_believed_whatever_form_its_name_has() {
        let chain_until_s = Ok(2_366_409_600);
        let signers = [GOLDEN_SIGNER_SHA1, GOLDEN_SIGNER_T61_UTF_8, GOLDEN_SIGNER_T61_GBK];
        for (place, pem) in signers.into_iter().enumerate() {
            let signer = Certificate::from_pem(pem).expect("a certificate");
            assert_eq!(signer.common_name(), Some(GOLDEN_SIGNER_NAME), "{place}");
            assert_eq!(golden_authorities().verify(&signer, NOW_S), chain_until_s, "{place}");
        }
        let signer = Certificate::from_pem(GOLDEN_SIGNER_SHA256).expect("a certificate");
        assert_eq!(golden_authorities().verify(&signer, NOW_S), chain_until_s);
    }

    #[test]
    fn i_2_sha_1_opens_no_door_to_a_forger() {
        // A middle of the same name, and a signer of the right name under it, both his.
        let forged = Certificate::from_pem(GOLDEN_SIGNER_FORGED).expect("a certificate");
        let link = ChainLink::Signer;
        let verdict = golden_authorities().verify(&forged, NOW_S);
        assert_eq!(verdict, Err(ChainError::BadSignature { link }));
        // Every byte of the right one matters to its signature, or it is no certificate any more.
        let signer = Certificate::from_pem(GOLDEN_SIGNER_SHA1).expect("a certificate");
        for place in (0..signer.der().len()).step_by(7) {
            let mut der = signer.der().to_vec();
            der[place] ^= 1;
            let base64 = STANDARD.encode(der);
            let pem = format!("-----BEGIN CERTIFICATE-----{base64}-----END CERTIFICATE-----");
            let Ok(changed) = Certificate::from_pem(&pem) else { continue };
            assert!(golden_authorities().verify(&changed, NOW_S).is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_chain_that_does_not_close_is_refused() {
        let chain = Chain::good();
        let end = chain.end_certificate();
        let no_middle = TrustedAuthorities::from_pem(&chain.root_pem(), None).expect("a root");
        let link = ChainLink::Signer;
        assert_eq!(no_middle.verify(&end, NOW_S), Err(ChainError::NoIssuer { link }));
        // The same names, other keys: what a forger who knows the names can make.
        let forged = issue(&chain.end, merchant_key(), &chain.middle, merchant_key());
        let forged = Certificate::from_pem(&forged).expect("a forged end");
        let verdict = chain.authorities().verify(&forged, NOW_S);
        assert_eq!(verdict, Err(ChainError::BadSignature { link }));
        let own_root = issue(&chain.end, merchant_key(), &chain.end, merchant_key());
        let own_root = Certificate::from_pem(&own_root).expect("a self-signed end");
        let verdict = chain.authorities().verify(&own_root, NOW_S);
        assert_eq!(verdict, Err(ChainError::NoIssuer { link }));
        // A middle that some other root issued.
        let foreign = issue(&chain.middle, middle_key(), &chain.root, merchant_key());
        let foreign = TrustedAuthorities::from_pem(&chain.root_pem(), Some(&foreign));
        let link = ChainLink::Authority;
        let verdict = foreign.expect("authorities").verify(&end, NOW_S);
        assert_eq!(verdict, Err(ChainError::BadSignature { link }));
    }

    #[test]
    fn of_two_authorities_of_one_name_either_may_do() {
        let chain = Chain::good();
        let stranger = issue(&chain.middle, merchant_key(), &chain.root, other_key());
        for middles in [
            format!("{stranger}{}", chain.middle_pem()),
            format!("{}{stranger}", chain.middle_pem()),
        ] {
            let authorities = TrustedAuthorities::from_pem(&chain.root_pem(), Some(&middles));
            let verdict = authorities.expect("authorities").verify(&chain.end_certificate(), NOW_S);
            assert!(verdict.is_ok(), "{verdict:?}");
        }
    }

    #[test]
    fn authorities_that_issue_each_other_do_not_hold_the_check_up() {
        let chain = Chain::good();
        let ring = issue(&chain.middle, middle_key(), &chain.middle, middle_key()).repeat(8);
        let authorities = TrustedAuthorities::from_pem(&chain.root_pem(), Some(&ring));
        let verdict = authorities.expect("authorities").verify(&chain.end_certificate(), NOW_S);
        assert_eq!(verdict, Err(ChainError::TooLong));
    }
}
