//! X.509 certificates as a gateway needs them: whose, which serial, how long, and the public key.
//!
//! Reads PEM only, asks no clock and no network. Believing a certificate is another matter: see
//! `chain`. A parsed certificate owns its bytes and may be kept for as long as it is of use.

use std::fmt;

use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::pem::{PemError, parse_pem};
use super::sign::{KeyError, RsaEncryptor, RsaSigner, RsaVerifier};

/// Bytes of a serial number. RFC 5280 §4.1.2.2 allows 20; some authorities took more.
const SERIAL_BYTES_MAX: usize = 32;
/// The label of a certificate's PEM block.
const LABEL: &str = "CERTIFICATE";

/// Why a text is not a certificate. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error(
        "the PEM text holds no certificate; from a PKCS#12 file it is taken with \
         `openssl pkcs12 -in FILE -legacy -nodes -out FILE.pem`"
    )]
    NoCertificate,
    #[error("the certificate in PEM block {place} is not valid DER of RFC 5280")]
    Malformed { place: usize },
    #[error("the serial number of the certificate in PEM block {place} is too long")]
    SerialLength { place: usize },
}

/// One certificate, read but not yet believed.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial_decimal: String,
    common_name: Option<String>,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    valid_from_s: i64,
    valid_until_s: i64,
    public_key_der: Vec<u8>,
    grants: Grants,
}

/// What the extensions of a certificate allow it to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grants {
    /// To issue certificates: the CA flag of basicConstraints, and keyUsage if there is one.
    pub issue: bool,
    /// To sign messages: keyUsage, if there is one.
    pub sign: bool,
    /// Authorities that may stand between this one and the end (pathLenConstraint).
    pub authorities_below_max: Option<u32>,
    /// It has a critical extension that is not understood here, so it must be refused.
    pub unknown_critical: bool,
}

impl Certificate {
    /// Takes the first certificate of a PEM text. Keys and other blocks beside it are skipped.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        Ok(Self::all_from_pem(text)?.swap_remove(0))
    }

    /// Takes every certificate of a PEM text, at least one, in order.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        let mut certificates = Vec::new();
        for (index, block) in parse_pem(text)?.iter().enumerate() {
            if block.label() == LABEL {
                certificates.push(Self::from_der(&block.contents, index + 1)?);
            }
        }
        if certificates.is_empty() {
            Err(CertificateError::NoCertificate)
        } else {
            Ok(certificates)
        }
    }

    fn from_der(der: &[u8], place: usize) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed { place };
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| malformed)?;
        // The algorithm is named inside and outside the signed part; both must agree (§4.1.1.2).
        if !rest.is_empty() || parsed.signature_algorithm != parsed.signature {
            return Err(malformed);
        }
        if parsed.raw_serial().len() > SERIAL_BYTES_MAX {
            return Err(CertificateError::SerialLength { place });
        }
        Ok(Self {
            der: der.to_vec(),
            serial_decimal: parsed.serial.to_string(),
            common_name: read_common_name(parsed.subject()),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            valid_from_s: parsed.validity().not_before.timestamp(),
            valid_until_s: parsed.validity().not_after.timestamp(),
            public_key_der: parsed.public_key().raw.to_vec(),
            grants: read_grants(&parsed).ok_or(malformed)?,
        })
    }

    /// The serial number in decimal digits, as UnionPay's `certId` has it. It can have 25 and more,
    /// so it is a text.
    pub fn serial_decimal(&self) -> &str {
        &self.serial_decimal
    }

    /// The subject's common name; `None` if it has none, or several.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The first second of validity, in seconds since 1970 (UTC).
    pub fn valid_from_s(&self) -> i64 {
        self.valid_from_s
    }

    /// The last second of validity, in seconds since 1970 (UTC).
    pub fn valid_until_s(&self) -> i64 {
        self.valid_until_s
    }

    /// The public key as DER SubjectPublicKeyInfo.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    /// The certificate as DER, for a fingerprint or to send it.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether this certificate is that of the signer's key: of a PEM file with a whole chain, this
    /// finds the one whose serial number goes into a message.
    pub fn belongs_to(&self, signer: &RsaSigner) -> bool {
        self.public_key_der == signer.public_key_der()
    }

    /// The key to verify signatures with. Proves nothing unless the certificate is believed.
    pub fn verifier(&self) -> Result<RsaVerifier, KeyError> {
        RsaVerifier::from_der(&self.public_key_der)
    }

    /// The key to encrypt for the certificate's owner with.
    pub fn encryptor(&self) -> Result<RsaEncryptor, KeyError> {
        RsaEncryptor::from_der(&self.public_key_der)
    }

    pub(super) fn grants(&self) -> Grants {
        self.grants
    }

    /// Whether `authority` has the name of this certificate's issuer.
    pub(super) fn names_as_issuer(&self, authority: &Self) -> bool {
        self.issuer_der == authority.subject_der
    }

    /// Whether `authority`'s key made the signature of this certificate.
    pub(super) fn is_signed_by(&self, authority: &Self) -> bool {
        let parsed = X509Certificate::from_der(&self.der);
        let issuer = X509Certificate::from_der(&authority.der);
        match (parsed, issuer) {
            (Ok((_, parsed)), Ok((_, issuer))) => {
                parsed.verify_signature(Some(issuer.public_key())).is_ok()
            }
            (Err(_), _) | (_, Err(_)) => false,
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificate(serial {})", self.serial_decimal)
    }
}

/// The only common name of a subject. With two, which of them is the owner would be a guess.
fn read_common_name(subject: &X509Name<'_>) -> Option<String> {
    let mut names = subject.iter_common_name();
    let name = names.next()?;
    if names.next().is_some() {
        return None;
    }
    read_text(name)
}

/// The text of an attribute. Older Chinese authorities wrote names as BMPString (UTF-16BE), and as
/// T61String, whose own alphabet has no Chinese character and that nobody wrote: its bytes are what
/// the authority's machine had, UTF-8 or GBK. The authority signed them either way, so a name that
/// reads as an owner's was given to that owner.
fn read_text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    if let Ok(text) = attribute.as_str() {
        return Some(text.to_owned());
    }
    let value = attribute.attr_value();
    match value.tag() {
        Tag::BmpString => read_utf_16(value.data),
        Tag::T61String => read_t61(value.data),
        _ => None,
    }
}

fn read_utf_16(bytes: &[u8]) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).collect::<Result<String, _>>().ok()
}

fn read_t61(bytes: &[u8]) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.to_owned());
    }
    let text = encoding_rs::GBK.decode_without_bom_handling_and_without_replacement(bytes);
    text.map(std::borrow::Cow::into_owned)
}

/// `None` if an extension that matters is there twice or cannot be read.
fn read_grants(parsed: &X509Certificate<'_>) -> Option<Grants> {
    let constraints = parsed.basic_constraints().ok()?;
    let usage = parsed.key_usage().ok()?;
    let may = |flag: fn(&x509_parser::extensions::KeyUsage) -> bool| {
        usage.as_ref().is_none_or(|usage| flag(usage.value))
    };
    let unknown_critical = parsed.extensions().iter().any(|extension| {
        let understood = matches!(
            extension.parsed_extension(),
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
        );
        extension.critical && !understood
    });
    Some(Grants {
        issue: constraints.as_ref().is_some_and(|found| found.value.ca)
            && may(|usage| usage.key_cert_sign()),
        sign: may(|usage| usage.digital_signature() || usage.non_repudiation()),
        authorities_below_max: constraints.and_then(|found| found.value.path_len_constraint),
        unknown_critical,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::string::BmpString;
    use rcgen::{DistinguishedName, DnType, DnValue, SerialNumber};

    use super::*;
    use crate::codec::sample_keys::{
        SIGNER_NAME, end_params, issue, merchant_key, other_key, sample_authority,
    };

    fn sample(params: &rcgen::CertificateParams) -> String {
        issue(params, merchant_key(), &sample_authority(), other_key())
    }

    #[test]
    fn a_certificate_tells_serial_name_validity_and_key() {
        let certificate = Certificate::from_pem(&sample(&end_params(SIGNER_NAME))).expect("one");
        assert_eq!(certificate.serial_decimal(), "68758028149");
        assert_eq!(certificate.common_name(), Some(SIGNER_NAME));
        assert_eq!(certificate.valid_from_s(), 1_577_836_800);
        assert_eq!(certificate.valid_until_s(), 1_893_456_000);
        let signer = RsaSigner::from_pem(&merchant_key().serialize_pem()).expect("a key");
        let stranger = RsaSigner::from_pem(&other_key().serialize_pem()).expect("a key");
        assert!(certificate.belongs_to(&signer));
        assert!(!certificate.belongs_to(&stranger));
        let verifier = certificate.verifier().expect("an RSA key");
        assert_eq!(verifier.verify(b"message", &signer.sign(b"message")), Ok(()));
        assert!(certificate.encryptor().is_ok());
        assert_eq!(format!("{certificate:?}"), "Certificate(serial 68758028149)");
    }

    #[test]
    fn a_long_serial_is_decimal_to_the_last_digit() {
        let rows: [(&[u8], &str); 4] = [
            (&[0x01, 0, 0, 0, 0, 0, 0, 0, 0], "18446744073709551616"),
            (&[0x7f; 20], "727885129180488904360266563744972327436484050815"),
            (&[0x05], "5"),
            (&[0xff; 20], "1461501637330902918203684832716283019655932542975"),
        ];
        for (bytes, expected) in rows {
            let mut params = end_params("a");
            params.serial_number = Some(SerialNumber::from_slice(bytes));
            let certificate = Certificate::from_pem(&sample(&params)).expect("a certificate");
            assert_eq!(certificate.serial_decimal(), expected);
        }
        let mut params = end_params("a");
        params.serial_number = Some(SerialNumber::from_slice(&[1; SERIAL_BYTES_MAX + 1]));
        assert_eq!(
            Certificate::from_pem(&sample(&params)),
            Err(CertificateError::SerialLength { place: 1 })
        );
    }

    #[test]
    fn a_name_in_utf_16_is_read_and_two_names_are_none() {
        let mut params = end_params("x");
        params.distinguished_name = DistinguishedName::new();
        let utf_16: Vec<u8> = SIGNER_NAME.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let name = BmpString::from_utf16be(utf_16).expect("a BMP text");
        params.distinguished_name.push(DnType::CommonName, DnValue::BmpString(name));
        let certificate = Certificate::from_pem(&sample(&params)).expect("a certificate");
        assert_eq!(certificate.common_name(), Some(SIGNER_NAME));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "b");
        let several = Certificate::from_pem(&sample(&params)).expect("a certificate");
        assert_eq!(several.common_name(), None);
    }

    #[test]
    fn a_t61_name_is_read_as_utf_8_or_gbk_or_not_at_all() {
        let rows: [(&[u8], Option<&str>); 4] = [
            ("中国银联".as_bytes(), Some("中国银联")),
            (b"\xd6\xd0\xb9\xfa\xd2\xf8\xc1\xaa", Some("中国银联")),
            (b"plain", Some("plain")),
            (b"\xff\xff\x80", None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(read_t61(bytes).as_deref(), expected);
        }
    }

    #[test]
    fn a_chain_and_a_key_may_share_a_file() {
        let text = format!(
            "{}{}{}",
            merchant_key().serialize_pem(),
            sample(&end_params("one")),
            sample(&end_params("two"))
        );
        let names: Vec<_> = Certificate::all_from_pem(&text)
            .expect("two certificates")
            .iter()
            .map(|certificate| certificate.common_name().map(str::to_owned))
            .collect();
        assert_eq!(names, [Some("one".to_owned()), Some("two".to_owned())]);
        let first = Certificate::from_pem(&text).expect("the first");
        assert_eq!(first.common_name(), Some("one"));
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_advice() {
        let key_only = merchant_key().serialize_pem();
        let rows = [
            ("binary", CertificateError::Pem(PemError::NoBlock)),
            (key_only.as_str(), CertificateError::NoCertificate),
            (
                "-----BEGIN CERTIFICATE-----MAA=-----END CERTIFICATE-----",
                CertificateError::Malformed { place: 1 },
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(Certificate::from_pem(text), Err(expected));
        }
        assert!(CertificateError::NoCertificate.to_string().contains("-legacy -nodes"));
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_is_an_error_or_another_one(
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            length in any::<prop::sample::Index>(),
        ) {
            let whole = Certificate::from_pem(&sample(&end_params("a"))).expect("one").der;
            let mut damaged = whole.clone();
            damaged[place.index(whole.len())] = byte;
            if let Ok(other) = Certificate::from_der(&damaged, 1) {
                let _ = other.verifier();
            }
            let cut = length.index(whole.len());
            prop_assert!(Certificate::from_der(&whole[..cut], 1).is_err());
        }
    }
}
