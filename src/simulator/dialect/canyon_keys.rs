//! The keys of [`super::canyon_pay`]: what the platform proves, signs, opens and seals, and the
//! other side of its channel file. They are made up and protect nothing; `Debug` shows none (I-11).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use zeroize::Zeroizing;

use crate::codec::crypto::cipher::{Block, BlockKey, Mode, OaepDecryptor, OaepDigest};
use crate::codec::sign::{RsaSigner, RsaVerifier, sha256_hex};
use crate::config::section::Section;
use crate::domain::time::Timestamp;

use super::super::counterpart::{Counterpart, Kept, TestCredential};
use super::super::ledger::unionpay_calendar;
use super::super::settings::{CanyonPaySettings, DialectSettings};
use super::Received;

const TIMESTAMP: HeaderName = HeaderName::from_static("canyon-timestamp");
const NONCE: HeaderName = HeaderName::from_static("canyon-nonce");
const SERIAL: HeaderName = HeaderName::from_static("canyon-serial");
const SIGNATURE: HeaderName = HeaderName::from_static("canyon-signature");

/// See the head of this file.
pub struct CanyonKeys {
    merchant: RsaVerifier,
    platform: RsaSigner,
    opener: OaepDecryptor,
    notices: BlockKey,
    /// The id under which the merchant knows the platform's key.
    serial: HeaderValue,
}

impl fmt::Debug for CanyonKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CanyonKeys(serial {:?})", self.serial)
    }
}

impl CanyonKeys {
    /// Whether the merchant signed this request.
    pub(super) fn proves(&self, merchant_id: &str, received: &Received) -> bool {
        self.signed(merchant_id, received).is_some()
    }

    fn signed(&self, merchant_id: &str, received: &Received) -> Option<()> {
        let text = received.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let pairs = text.strip_prefix("CANYON-SHA256 ")?;
        let part = |name: &str| {
            let mut parts = pairs.split(',').map(str::trim);
            let rest = parts.find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""))?;
            rest.strip_suffix('"')
        };
        if part("mchid")? != merchant_id {
            return None;
        }
        let question = if received.query.is_empty() { "" } else { "?" };
        let front = format!(
            "{}\n{}{question}{}\n{}\n{}\n",
            received.method,
            received.path,
            received.query,
            part("time")?,
            part("nonce")?
        );
        let signed = [front.as_bytes(), &received.body, b"\n"].concat();
        let signature = BASE64.decode(part("signature")?).ok()?;
        self.merchant.verify(&signed, &signature).ok()
    }

    /// The headers of what the platform says.
    pub(super) fn sign(
        &self,
        now: Timestamp,
        body: &[u8],
        spoils: bool,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let timestamp = (now.as_millis() / 1_000).to_string();
        let nonce = sha256_hex(body)[..32].to_owned();
        let front = format!("{timestamp}\n{nonce}\n");
        let mut signature = self.platform.sign(&[front.as_bytes(), body, b"\n"].concat());
        if spoils {
            signature[0] ^= 1;
        }
        let value =
            |text: String| HeaderValue::try_from(text).expect("digits and letters make a value");
        vec![
            (TIMESTAMP, value(timestamp)),
            (NONCE, value(nonce)),
            (SERIAL, self.serial.clone()),
            (SIGNATURE, value(BASE64.encode(signature))),
        ]
    }

    /// Card data that the merchant encrypted.
    pub(super) fn open(&self, sealed: &str) -> Option<Zeroizing<String>> {
        let plain = self.opener.decrypt(&BASE64.decode(sealed).ok()?).ok()?;
        std::str::from_utf8(&plain).ok().map(|text| Zeroizing::new(text.to_owned()))
    }

    /// `nonce` has 12 characters.
    pub(super) fn seal_notice(&self, nonce: &str, context: &str, content: &str) -> String {
        let sealed = self.notices.encrypt(nonce.as_bytes(), context.as_bytes(), content.as_bytes());
        BASE64.encode(sealed.expect("the nonce has the length of GCM's vector"))
    }
}

/// The other side of a channel file that is signed by RSA. Keys that were kept are used again.
pub(in crate::simulator) fn counterpart(
    section: &Section<'_>,
    id: &str,
    kept: &mut Kept,
) -> Option<Counterpart> {
    for whose in ["merchant", "platform"] {
        let (secret, public) = (format!("{whose}.key"), format!("{whose}.pem"));
        if !kept.contains_key(&secret) || !kept.contains_key(&public) {
            let Ok(key) = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048) else {
                section.mistake("sign", "an RSA key cannot be made", "look at the system");
                return None;
            };
            kept.insert(secret, Zeroizing::new(key.serialize_pem()));
            kept.insert(public, Zeroizing::new(key.public_key_pem()));
        }
    }
    let notice_key = sha256_hex(format!("simulated platform {id}").as_bytes())[..32].to_owned();
    let platform_keys = section.section("verify").map("keys");
    let serial = platform_keys.first().map(|entry| entry.key.clone()).unwrap_or_default();
    let read = || {
        let merchant = RsaSigner::from_pem(&kept["merchant.key"]).ok()?;
        Some(CanyonKeys {
            merchant: RsaVerifier::from_der(&merchant.public_key_der()).ok()?,
            platform: RsaSigner::from_pem(&kept["platform.key"]).ok()?,
            opener: OaepDecryptor::from_pem(&kept["platform.key"], OaepDigest::Sha1).ok()?,
            notices: BlockKey::new(Block::Aes, Mode::Gcm, notice_key.as_bytes()).ok()?,
            serial: HeaderValue::try_from(serial).ok()?,
        })
    };
    let Some(keys) = read() else {
        section.mistake("sign", "has a kept key that is none", "empty the folder of kept keys");
        return None;
    };
    let mut credentials = vec![
        TestCredential::new(&section.section("sign").text("key"), &kept["merchant.key"]),
        TestCredential::new(&section.section("encrypt").text("key"), &kept["platform.pem"]),
        TestCredential::new(&section.section("decrypt").text("key"), &notice_key),
    ];
    for entry in platform_keys {
        if credentials.iter().all(|known| known.reference != entry.text) {
            credentials.push(TestCredential::new(&entry.text, &kept["platform.pem"]));
        }
    }
    Some(Counterpart {
        credentials,
        dialect: DialectSettings::CanyonPay(CanyonPaySettings {
            merchant_id: section.section("values").text("mch_id"),
            keys: Arc::new(keys),
        }),
        addresses: vec![section.text("base_url")],
        notice_address: None,
        calendar: unionpay_calendar(),
        fee: None,
    })
}
