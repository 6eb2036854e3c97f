//! Reads a channel file from its other side: the merchant, and a key for each of its references.

use std::sync::Arc;

use jiff::civil;
use jiff::tz::TimeZone;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use zeroize::Zeroizing;

use crate::codec::iso8583::mac::MacMethod;
use crate::codec::sign::sha256_hex;
use crate::config::links::{read_link_form, read_mac_rule};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::config::section::Section;
use crate::domain::time::ClearingCalendar;
use crate::simulator::keys::SimulatorKeys;
use crate::simulator::keys::canyon::CanyonKeys;
use crate::simulator::keys::quarry::QuarryKeys;
use crate::simulator::ledger::unionpay_calendar;
use crate::simulator::settings::{
    BankSettings, BankStyle, DialectSettings, HarbourSettings, Iso8583Settings, Iso8583Style,
    UnionPayAcpSettings,
};

use super::{Counterpart, KeyTexts, TestCredential};

impl Counterpart {
    /// Reads the file of the channel `id`. `kept` holds the keys of earlier starts, and afterwards
    /// all keys to keep.
    pub fn read(document: &Document, id: &str, kept: &mut KeyTexts) -> Result<Self, Vec<Mistake>> {
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let found = match root.text_such_as("protocol", "unionpay-acp").as_str() {
            "unionpay-acp" => unionpay(&root.section("unionpay_acp"), kept),
            "http" => bank(&root.section("http"), id, kept),
            "iso8583" => links(&root.section("iso8583"), id, kept),
            "" => None,
            _ => {
                let advice = "choose unionpay-acp, iso8583 or http";
                root.mistake("protocol", "has no simulator", advice);
                None
            }
        };
        if found.is_none() && mistakes.is_empty() {
            root.mistake("protocol", "has no other side that can be played", "check its section");
        }
        let clearing = root.section("clearing");
        let cut_off = clearing.optional_parsed("cut_off", "23:00", |text| {
            text.parse::<civil::Time>().map_err(|_| "is not a time of day like 23:00")
        });
        let zone = clearing.optional_parsed("time_zone", "Asia/Shanghai", |name| {
            TimeZone::get(name).map_err(|_| "is not a time zone of the IANA database")
        });
        drop(clearing);
        let fee = root.sections("fees").first().map(|fee| {
            let kept = fee.choice_or("refund", true, &[("keep", true), ("return", false)]);
            (fee.integer_or("rate_ppm", 0, 0..=1_000_000), kept)
        });
        drop(root);
        mistakes.into_result()?;
        let found = found.expect("without a mistake there is one");
        let calendar = ClearingCalendar {
            zone: zone.unwrap_or(found.calendar.zone),
            cut_off: cut_off.unwrap_or(found.calendar.cut_off),
        };
        Ok(Self { calendar, fee, ..found })
    }

    fn new(
        dialect: DialectSettings,
        credentials: Vec<TestCredential>,
        addresses: Vec<String>,
    ) -> Self {
        let calendar = unionpay_calendar();
        Self { dialect, credentials, addresses, notice_address: None, calendar, fee: None }
    }
}

/// A set of keys that was kept is used again.
fn unionpay(section: &Section<'_>, kept: &mut KeyTexts) -> Option<Counterpart> {
    let keys = match SimulatorKeys::from_texts(|name| kept.get(name).map(|text| text.to_string())) {
        Some(keys) => keys,
        None => SimulatorKeys::generate(),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => {
            let advice = "remove the kept keys; new ones are made then";
            section.mistake("signing", &error.to_string(), advice);
            return None;
        }
    };
    kept.extend(keys.texts().map(|(name, text)| (name.to_owned(), text.to_owned().into())));
    let text = |key| section.optional_text(key);
    let mut credentials = Vec::new();
    let mut add = |reference: &str, text: &str| {
        credentials.push(TestCredential::new(reference, text));
    };
    for signing in section.sections("signing") {
        add(&signing.text("certificate"), &keys.merchant_certificate_pem);
        add(&signing.text("key"), &keys.merchant_key_pem);
    }
    for reference in section.optional_texts("encryption_certificates").unwrap_or_default() {
        add(&reference, &keys.encryption_certificate_pem);
    }
    let root = section.text("root_certificates");
    match text("intermediate_certificates") {
        Some(reference) => {
            add(&root, &keys.root_pem);
            add(&reference, &keys.intermediate_pem);
        }
        None => add(&root, &format!("{}{}", keys.root_pem, keys.intermediate_pem)),
    }
    let merchant_id = section.text("merchant_id");
    let addresses = ["transaction_url", "query_url", "reversal_url", "statement_url"];
    let dialect = UnionPayAcpSettings { keys: Arc::new(keys), merchant_id, wants_codes: false };
    let side = Counterpart::new(
        DialectSettings::UnionPayAcp(dialect),
        credentials,
        addresses.into_iter().filter_map(text).collect(),
    );
    Some(Counterpart { notice_address: text("notice_url"), ..side })
}

/// The keys of links are made from the channel's name.
fn links(section: &Section<'_>, id: &str, kept: &mut KeyTexts) -> Option<Counterpart> {
    let styles = [("posp", Iso8583Style::Posp), ("cups", Iso8583Style::Cups)];
    let style = section.choice("style", &styles);
    let form = read_link_form(section, style.shipped())?;
    let mac = section.section("mac");
    let rule = match mac.boolean_or("none", false) {
        true => None,
        false => Some(read_mac_rule(&mac, style.shipped(), &form.format)?),
    };
    let mut made = |name: &str, digits: usize| {
        let text = || sha256_hex(format!("simulated {name} {id}").as_bytes())[..digits].to_owned();
        kept.entry(format!("iso8583.{name}")).or_insert_with(|| Zeroizing::new(text())).clone()
    };
    let needs_halves = rule.is_some_and(|rule| rule.method == MacMethod::X919);
    let mac_key = made("mac", if needs_halves { 32 } else { 16 });
    let master_key = made("master", 32);
    let mut credentials = Vec::new();
    let mut give = |key: &str, text: &Zeroizing<String>| {
        let reference = mac.optional_text(key);
        credentials.extend(reference.iter().map(|one| TestCredential::new(one, text)));
        reference.is_some()
    };
    give("key", &mac_key);
    let signs_in = give("master_key", &master_key);
    let master_key = signs_in.then_some(master_key);
    let dialect = DialectSettings::Iso8583(Iso8583Settings {
        style,
        form: Arc::new(form),
        mac: rule,
        mac_key,
        master_key,
        gives_fresh_keys: false,
    });
    Some(Counterpart::new(dialect, credentials, section.texts("addresses")))
}

/// The file's signature algorithm tells which of the simulated banks it describes. A file that
/// signs nothing is served without signatures.
fn bank(section: &Section<'_>, id: &str, kept: &mut KeyTexts) -> Option<Counterpart> {
    let sign = section.optional_section("sign");
    let mut credentials = Vec::new();
    let mut add = |reference: &str, text: &str| {
        credentials.push(TestCredential::new(reference, text));
    };
    let made = || Zeroizing::new(sha256_hex(format!("simulated bank {id}").as_bytes()));
    let algorithm = sign.as_ref().map(|sign| sign.text("algorithm"));
    let key = sign.as_ref().map(|sign| sign.text("key")).unwrap_or_default();
    let (merchant, style) = match algorithm.as_deref() {
        Some("md5") => {
            add(&key, &made());
            ("mer_id", BankStyle::Meadow { key: made() })
        }
        Some("sm2-sm3") => {
            let keys = QuarryKeys::of(&made());
            add(&key, &keys.merchant_private);
            add(&section.section("verify").text("key"), &keys.bank_public);
            add(&section.section("encrypt").text("key"), &keys.cards_shared);
            ("mer", BankStyle::Quarry { keys: Arc::new(keys) })
        }
        Some("rsa-sha256") => {
            let keys = canyon_keys(section, id, kept, &mut add)?;
            ("mch_id", BankStyle::Canyon { keys: Arc::new(keys) })
        }
        Some("hmac-sha256") | None => {
            let secret = kept.entry("hmac.key".to_owned()).or_insert_with(made).clone();
            if sign.is_some() {
                add(&key, &secret);
            }
            let verify_signatures = sign.is_some();
            let bank = HarbourSettings { key: secret, verify_signatures, pending_percent: 0 };
            ("merchant_id", BankStyle::Harbour(bank))
        }
        Some(_) => {
            let problem = "a bank that signs otherwise has no simulator";
            let advice = "hmac-sha256, md5, sm2-sm3 and rsa-sha256 are simulated";
            section.section("sign").mistake("algorithm", problem, advice);
            return None;
        }
    };
    let merchant_id = section.section("values").text(merchant);
    let dialect = DialectSettings::Bank(BankSettings { merchant_id, style });
    let side = Counterpart::new(dialect, credentials, vec![section.text("base_url")]);
    Some(Counterpart { notice_address: section.optional_text("notice_url"), ..side })
}

/// Private keys that were kept are used again.
fn canyon_keys(
    section: &Section<'_>,
    id: &str,
    kept: &mut KeyTexts,
    add: &mut impl FnMut(&str, &str),
) -> Option<CanyonKeys> {
    for whose in ["merchant", "platform"] {
        let (secret, public) = (format!("{whose}.key"), format!("{whose}.pem"));
        if !kept.contains_key(&secret) || !kept.contains_key(&public) {
            let Ok(key) = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048) else {
                section.mistake(
                    "sign",
                    "an RSA key cannot be made",
                    "check the system's cryptography",
                );
                return None;
            };
            kept.insert(secret, Zeroizing::new(key.serialize_pem()));
            kept.insert(public, Zeroizing::new(key.public_key_pem()));
        }
    }
    let notices = sha256_hex(format!("simulated platform {id}").as_bytes())[..32].to_owned();
    let platform_keys = section.section("verify").map("keys");
    let serial = platform_keys.first().map(|entry| entry.key.as_str()).unwrap_or_default();
    let keys = CanyonKeys::new(&kept["merchant.key"], &kept["platform.key"], &notices, serial);
    if keys.is_none() {
        section.mistake(
            "sign",
            "has a kept key that cannot be read",
            "empty the folder of kept keys",
        );
    }
    add(&section.section("sign").text("key"), &kept["merchant.key"]);
    let encrypt = section.section("encrypt").text("key");
    add(&encrypt, &kept["platform.pem"]);
    add(&section.section("decrypt").text("key"), &notices);
    for entry in platform_keys.iter().filter(|entry| entry.text != encrypt) {
        add(&entry.text, &kept["platform.pem"]);
    }
    keys
}
