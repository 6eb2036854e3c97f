//! Made-up credentials for every reference of a channel file, so that a file can be rehearsed on a
//! desk that has none of the real ones. They protect nothing (I-11).

use std::collections::BTreeMap;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};

use crate::codec::crypto::sm2::{Sm2Signer, USUAL_USER_ID};
use crate::codec::sign::{hex_lower, sha256_hex};
use crate::config::section::Section;

/// The texts behind a file's references.
#[derive(Default)]
pub struct RehearsalKeys {
    /// What our side reads.
    ours: BTreeMap<String, String>,
    /// What the channel signs with, under the references by which we verify.
    channel: BTreeMap<String, String>,
    stranger: BTreeMap<String, String>,
    pairs: BTreeMap<(&'static str, &'static str), MadePair>,
}

#[derive(Clone)]
struct MadePair {
    private: String,
    public: String,
}

/// The kinds of key pairs, by the beginning of an algorithm's name.
const FAMILIES: [&str; 4] = ["rsa", "ecdsa", "ed25519", "sm2"];

impl RehearsalKeys {
    /// Keys for a file's `[http]`. The error says which kind of key cannot be made.
    pub fn of_http(http: &Section<'_>) -> Result<Self, String> {
        let mut keys = Self::default();
        if let Some(sign) = http.optional_section("sign") {
            keys.signer(&sign)?;
        }
        for name in ["verify", "notice_verify"] {
            if let Some(verify) = http.optional_section(name) {
                keys.prover(&verify)?;
            }
        }
        for name in ["encrypt", "decrypt"] {
            if let Some(cipher) = http.optional_section(name) {
                keys.cipher(&cipher)?;
            }
        }
        if let Some(secrets) = http.optional_section("secrets") {
            for (name, _) in secrets.keys() {
                let reference = secrets.text(name);
                keys.shared(&reference, "text", 32);
            }
        }
        Ok(keys)
    }

    /// Every reference that the file has.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.ours.keys().map(String::as_str)
    }

    /// Our side's credential.
    pub fn ours(&self, reference: &str) -> Result<String, String> {
        get(&self.ours, reference)
    }

    /// The channel's private half of a pair, or the shared key.
    pub fn channel(&self, reference: &str) -> Result<String, String> {
        get(&self.channel, reference).or_else(|_| self.ours(reference))
    }

    /// A key of the same kind that nobody knows.
    pub fn stranger(&self, reference: &str) -> Result<String, String> {
        get(&self.stranger, reference)
    }

    fn signer(&mut self, sign: &Section<'_>) -> Result<(), String> {
        let Some(reference) = sign.optional_text("key") else { return Ok(()) };
        match family_of(sign) {
            Some(family) => {
                let pair = self.pair(family, "merchant")?;
                self.ours.insert(reference, pair.private);
            }
            None => self.shared(&reference, &key_form(sign, "text"), 16),
        }
        Ok(())
    }

    fn prover(&mut self, verify: &Section<'_>) -> Result<(), String> {
        let several = verify.map("keys").into_iter().map(|entry| entry.text);
        let own = verify.optional_text("key");
        for reference in own.into_iter().chain(several) {
            match family_of(verify) {
                Some(family) => {
                    let (channel, other) =
                        (self.pair(family, "channel")?, self.pair(family, "merchant")?);
                    self.ours.insert(reference.clone(), channel.public);
                    self.channel.insert(reference.clone(), channel.private);
                    self.stranger.insert(reference, other.private);
                }
                None => self.shared(&reference, &key_form(verify, "text"), 16),
            }
        }
        Ok(())
    }

    fn cipher(&mut self, cipher: &Section<'_>) -> Result<(), String> {
        let Some(reference) = cipher.optional_text("key") else { return Ok(()) };
        let public = cipher.optional_text("key_under").or(cipher.optional_text("algorithm"));
        let public = public.unwrap_or_default();
        let family = FAMILIES.into_iter().find(|family| public.starts_with(family));
        if let Some(family) = family.filter(|_| !self.ours.contains_key(&reference)) {
            let pair = self.pair(family, "channel")?;
            self.ours.insert(reference, pair.public);
        } else if family.is_none() {
            self.shared(&reference, &key_form(cipher, "hex"), 16);
        }
        Ok(())
    }

    /// A key that both sides have; `bytes` of it as hexadecimal or base64, as characters of a text.
    fn shared(&mut self, reference: &str, form: &str, bytes: usize) {
        let make = |whose: &str| {
            let digits = sha256_hex(format!("{whose} {reference}").as_bytes());
            match form {
                "hex" => digits[..2 * bytes].to_owned(),
                "base64" => {
                    use base64::Engine as _;
                    base64::engine::general_purpose::STANDARD.encode(&digits.as_bytes()[..bytes])
                }
                _ => digits[..bytes].to_owned(),
            }
        };
        self.ours.entry(reference.to_owned()).or_insert_with(|| make("rehearsal"));
        self.stranger.entry(reference.to_owned()).or_insert_with(|| make("stranger"));
    }

    fn pair(&mut self, family: &'static str, whose: &'static str) -> Result<MadePair, String> {
        if let Some(made) = self.pairs.get(&(family, whose)) {
            return Ok(made.clone());
        }
        let unmade = |error: rcgen::Error| format!("no {family} key can be made: {error}");
        let made = match family {
            "sm2" => {
                let private = sha256_hex(format!("rehearsal {whose}").as_bytes());
                let signer = Sm2Signer::parse(&private, USUAL_USER_ID);
                let signer = signer.map_err(|error| error.to_string())?;
                MadePair { private, public: hex_lower(&signer.public_key()) }
            }
            _ => {
                let pair = match family {
                    "rsa" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
                    "ecdsa" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
                    _ => KeyPair::generate_for(&PKCS_ED25519),
                };
                let pair = pair.map_err(unmade)?;
                MadePair { private: pair.serialize_pem(), public: pair.public_key_pem() }
            }
        };
        self.pairs.insert((family, whose), made.clone());
        Ok(made)
    }
}

fn get(texts: &BTreeMap<String, String>, reference: &str) -> Result<String, String> {
    let absent = || format!("no credential was made up for `{reference}`");
    texts.get(reference).cloned().ok_or_else(absent)
}

fn family_of(section: &Section<'_>) -> Option<&'static str> {
    let algorithm = section.optional_text("algorithm")?;
    FAMILIES.into_iter().find(|family| algorithm.starts_with(family))
}

fn key_form(section: &Section<'_>, usual: &str) -> String {
    section.optional_text("key_form").unwrap_or_else(|| usual.to_owned())
}
