//! The keys of the simulated Canyon Pay, with which the platform verifies, signs, decrypts and
//! encrypts. They are made up and protect nothing; `Debug` shows none (I-11).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::codec::crypto::cipher::{BlockCipher, BlockKey, Mode, OaepDecryptor, OaepDigest};
use crate::codec::sign::{RsaSigner, RsaVerifier, sha256_hex};
use crate::domain::time::Timestamp;
use crate::simulator::message::HttpRequest;

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
    /// Both sides' private keys as PEM, the shared key of notices (32 characters), and the id of
    /// the platform's key. `None` if one of them is no key.
    pub fn new(merchant: &str, platform: &str, notices: &str, serial: &str) -> Option<Self> {
        let merchant = RsaSigner::from_pem(merchant).ok()?;
        Some(Self {
            merchant: RsaVerifier::from_der(&merchant.public_key_der()).ok()?,
            platform: RsaSigner::from_pem(platform).ok()?,
            opener: OaepDecryptor::from_pem(platform, OaepDigest::Sha1).ok()?,
            notices: BlockKey::new(BlockCipher::Aes, Mode::Gcm, notices.as_bytes()).ok()?,
            serial: HeaderValue::try_from(serial).ok()?,
        })
    }

    /// Whether the merchant signed this request.
    pub(in crate::simulator) fn proves(&self, merchant_id: &str, received: &HttpRequest) -> bool {
        self.signed(merchant_id, received).is_some()
    }

    fn signed(&self, merchant_id: &str, received: &HttpRequest) -> Option<()> {
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

    /// The headers of a message from the platform.
    pub(in crate::simulator) fn sign(
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

    /// Decrypts card data that the merchant encrypted.
    pub(in crate::simulator) fn open(&self, sealed: &str) -> Option<Zeroizing<String>> {
        let plain = self.opener.decrypt(&BASE64.decode(sealed).ok()?).ok()?;
        std::str::from_utf8(&plain).ok().map(|text| Zeroizing::new(text.to_owned()))
    }

    /// `nonce` has 12 characters.
    pub(in crate::simulator) fn seal_notice(
        &self,
        nonce: &str,
        context: &str,
        content: &str,
    ) -> String {
        let sealed = self.notices.encrypt(nonce.as_bytes(), context.as_bytes(), content.as_bytes());
        BASE64.encode(sealed.expect("the nonce has the length of GCM's vector"))
    }
}
