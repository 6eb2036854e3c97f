//! Keys and certificates of a made-up UnionPay: a root, a middle authority, the platform's signing
//! and encryption certificates, and one merchant's signing certificate.
//!
//! They protect nothing real. Making five RSA keys takes most of a second, so all simulators of a
//! process share one set, and a caller may keep its texts for the next start. `Debug` shows no key
//! (I-11).

pub mod canyon;
pub mod quarry;

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};

use crate::codec::certificate::{Certificate, CertificateError};
use crate::codec::sign::{KeyError, RsaDecryptor, RsaSigner, RsaVerifier};

/// The platform's common name in the form of UnionPay's CA: the third part is the owner.
const PLATFORM_NAME: &str = "041@2025-1@中国银联股份有限公司@00010000";
const MIDDLE_NAME: &str = "Simulated UnionPay Middle CA";
const MERCHANT_NAME: &str = "041@2025-1@Simulated Merchant@00010002";

/// Why a set of keys could not be made: only if the system's cryptography does not work.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorKeysError {
    #[error("the key or certificate of the {whose} cannot be made")]
    Make { whose: &'static str, source: rcgen::Error },
    #[error("the key of the {whose} cannot be read back")]
    Key { whose: &'static str, source: KeyError },
    #[error("the certificate of the {whose} cannot be read back")]
    Certificate { whose: &'static str, source: CertificateError },
}

/// The keys and certificates of the simulator and its merchant.
pub struct SimulatorKeys {
    /// The merchant's private key, PKCS#8 PEM.
    pub merchant_key_pem: String,
    /// The merchant's signing certificate.
    pub merchant_certificate_pem: String,
    /// The certificate that the merchant encrypts card numbers with.
    pub encryption_certificate_pem: String,
    /// The authorities that the merchant must trust.
    pub root_pem: String,
    pub intermediate_pem: String,
    pub(super) merchant_serial: String,
    pub(super) merchant: RsaVerifier,
    pub(super) platform: PlatformIdentity,
    pub(super) encryption_serial: String,
    pub(super) decryptor: RsaDecryptor,
    platform_key_pem: String,
    encryption_key_pem: String,
}

/// Who signs the platform's messages: they bring its certificate along.
pub(super) struct PlatformIdentity {
    pub signer: RsaSigner,
    /// Decimal, as messages name it.
    pub serial: String,
    pub certificate_pem: String,
}

impl PlatformIdentity {
    fn from_pem(key_pem: &str, certificate_pem: String) -> Result<Self, SimulatorKeysError> {
        let whose = "platform";
        let certificate = Certificate::from_pem(&certificate_pem)
            .map_err(|source| SimulatorKeysError::Certificate { whose, source })?;
        Ok(Self {
            signer: RsaSigner::from_pem(key_pem)
                .map_err(|source| SimulatorKeysError::Key { whose, source })?,
            serial: certificate.serial_decimal().to_owned(),
            certificate_pem,
        })
    }

    /// Somebody who says that he is the platform: the names are right, and the authority behind
    /// them is his own.
    pub fn impostor() -> Result<Self, SimulatorKeysError> {
        let key = make_key("impostor")?;
        let middle = authority(MIDDLE_NAME, 0x12);
        let params = end_of_chain(PLATFORM_NAME, 0x21, KeyUsagePurpose::DigitalSignature);
        let pem = certify("impostor", &params, &key, &Issuer::from_params(&middle, &key))?;
        Self::from_pem(&key.serialize_pem(), pem)
    }
}

/// The names under which a set is kept, in the order of [`SimulatorKeys::texts`].
const NAMES: [&str; 8] = [
    "merchant.key",
    "merchant.pem",
    "encryption.pem",
    "root.pem",
    "middle.pem",
    "platform.key",
    "platform.pem",
    "encryption.key",
];

impl SimulatorKeys {
    /// Makes a set: RSA of 2048 bits, certificates good from 2020 to 2049 whatever the clock says.
    pub fn generate() -> Result<Self, SimulatorKeysError> {
        let root_key = make_key("root authority")?;
        let middle_key = make_key("middle authority")?;
        let root = authority("Simulated UnionPay Root CA", 0x11);
        let middle = authority(MIDDLE_NAME, 0x12);
        let root_issuer = Issuer::from_params(&root, &root_key);
        let middle_issuer = Issuer::from_params(&middle, &middle_key);
        let root_pem = certify("root authority", &root, &root_key, &root_issuer)?;
        let intermediate_pem = certify("middle authority", &middle, &middle_key, &root_issuer)?;
        let end = |whose, name, serial, usage| -> Result<(KeyPair, String), SimulatorKeysError> {
            let key = make_key(whose)?;
            let params = end_of_chain(name, serial, usage);
            let pem = certify(whose, &params, &key, &middle_issuer)?;
            Ok((key, pem))
        };
        let signs = KeyUsagePurpose::DigitalSignature;
        let seals = KeyUsagePurpose::KeyEncipherment;
        let (platform_key, platform) = end("platform", PLATFORM_NAME, 0x21, signs)?;
        let (encryption_key, encryption) = end("encryption", PLATFORM_NAME, 0x22, seals)?;
        let (merchant_key, merchant) = end("merchant", MERCHANT_NAME, 0x31, signs)?;
        Self::assemble([
            merchant_key.serialize_pem(),
            merchant,
            encryption,
            root_pem,
            intermediate_pem,
            platform_key.serialize_pem(),
            platform,
            encryption_key.serialize_pem(),
        ])
    }

    /// The whole set as PEM texts, by name, from which [`Self::from_texts`] makes the set again.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = [
            &self.merchant_key_pem,
            &self.merchant_certificate_pem,
            &self.encryption_certificate_pem,
            &self.root_pem,
            &self.intermediate_pem,
            &self.platform_key_pem,
            &self.platform.certificate_pem,
            &self.encryption_key_pem,
        ];
        NAMES.into_iter().zip(texts.map(String::as_str))
    }

    /// The set with these texts, or `None` if a part of it is missing.
    pub fn from_texts(
        mut get: impl FnMut(&str) -> Option<String>,
    ) -> Option<Result<Self, SimulatorKeysError>> {
        let mut texts: [String; 8] = Default::default();
        for (text, name) in texts.iter_mut().zip(NAMES) {
            *text = get(name)?;
        }
        Some(Self::assemble(texts))
    }

    fn assemble(texts: [String; 8]) -> Result<Self, SimulatorKeysError> {
        let [
            merchant_key_pem,
            merchant_certificate_pem,
            encryption_certificate_pem,
            root_pem,
            intermediate_pem,
            platform_key_pem,
            platform_certificate_pem,
            encryption_key_pem,
        ] = texts;
        let read = |whose, pem: &str| {
            Certificate::from_pem(pem)
                .map_err(|source| SimulatorKeysError::Certificate { whose, source })
        };
        let key_error = |whose| move |source| SimulatorKeysError::Key { whose, source };
        let merchant = read("merchant", &merchant_certificate_pem)?;
        let encryption = read("encryption", &encryption_certificate_pem)?;
        Ok(Self {
            merchant: merchant.verifier().map_err(key_error("merchant"))?,
            merchant_serial: merchant.serial_decimal().to_owned(),
            platform: PlatformIdentity::from_pem(&platform_key_pem, platform_certificate_pem)?,
            decryptor: RsaDecryptor::from_pem(&encryption_key_pem)
                .map_err(key_error("encryption"))?,
            encryption_serial: encryption.serial_decimal().to_owned(),
            merchant_key_pem,
            merchant_certificate_pem,
            encryption_certificate_pem,
            root_pem,
            intermediate_pem,
            platform_key_pem,
            encryption_key_pem,
        })
    }
}

impl fmt::Debug for SimulatorKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SimulatorKeys(merchant certificate {})", self.merchant_serial)
    }
}

fn make_key(whose: &'static str) -> Result<KeyPair, SimulatorKeysError> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map_err(|source| SimulatorKeysError::Make { whose, source })
}

fn certify(
    whose: &'static str,
    params: &CertificateParams,
    key: &KeyPair,
    issuer: &Issuer<'_, &KeyPair>,
) -> Result<String, SimulatorKeysError> {
    let made = params.signed_by(key, issuer);
    Ok(made.map_err(|source| SimulatorKeysError::Make { whose, source })?.pem())
}

/// A certificate's parameters, with a serial number like the real ones: eleven decimal digits and
/// more.
fn named(name: &str, serial: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params.serial_number = Some(SerialNumber::from_slice(&[0x10, 0x02, 0x4c, 0x3f, serial]));
    params
}

fn authority(name: &str, serial: u8) -> CertificateParams {
    let mut params = named(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn end_of_chain(name: &str, serial: u8, usage: KeyUsagePurpose) -> CertificateParams {
    let mut params = named(name, serial);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![usage];
    params
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, OnceLock};

    use super::*;
    use crate::codec::chain::TrustedAuthorities;

    /// One set for all tests of the simulator.
    pub fn shared_keys() -> Arc<SimulatorKeys> {
        static KEYS: OnceLock<Arc<SimulatorKeys>> = OnceLock::new();
        let make = || Arc::new(SimulatorKeys::generate().expect("keys"));
        Arc::clone(KEYS.get_or_init(make))
    }

    #[test]
    fn the_platform_is_believed_under_its_root_at_any_time_of_its_life() {
        let keys = shared_keys();
        let trusted = TrustedAuthorities::from_pem(&keys.root_pem, Some(&keys.intermediate_pem))
            .expect("two authorities");
        let platform = Certificate::from_pem(&keys.platform.certificate_pem).expect("one");
        for at_s in [1_600_000_000, 1_795_000_000, 2_500_000_000] {
            assert!(trusted.verify(&platform, at_s).is_ok(), "{at_s}");
        }
        assert_eq!(platform.common_name(), Some(PLATFORM_NAME));
        assert!(keys.merchant_serial.len() >= 11, "{}", keys.merchant_serial);
        assert_eq!(format!("{keys:?}").lines().count(), 1);
    }
}
