//! The settings of one UnionPay channel, as plain texts, and every mistake in them.
//!
//! Credentials come as their contents: who read them from where is not known here. A problem names
//! the setting by its key in the channel file and never quotes a credential (I-11).

use zeroize::Zeroizing;

use crate::domain::attempt::Operation;

use super::codes::{CodeOverrides, ReversalReply};
use super::identity::{EncryptionIdentity, SigningIdentity};
use super::request::RESERVED_FIELDS;
use super::trust::{TEST_SIGNER, Trust};

/// The bizType of a reversal, whatever the product (facts §6).
pub const REVERSAL_BIZ_TYPE: &str = "000000";

/// The bizType of payouts where the file does not say it.
pub const PAYOUT_BIZ_TYPE: &str = "000401";

/// The product under which most merchants verify cards: collecting (代收), of which nothing else
/// is spoken. Its sub-type is `01`.
pub const VERIFICATION_BIZ_TYPE: &str = "000501";
pub const VERIFICATION_SUB_TYPE: &str = "01";

/// Bytes of a notice address (`backUrl`, ANS1..256).
const NOTICE_URL_BYTES_MAX: usize = 256;
/// Digits of a `trId`.
const TOKEN_REQUESTOR_DIGITS_MAX: usize = 20;
/// Fixed fields that a channel file may add to a request.
const FIELDS_MAX: usize = 32;

/// Products of UnionPay that need messages which are not spoken here, and what they would need.
const UNSPOKEN_PRODUCTS: [(&str, &str); 6] = [
    ("000201", "needs the cardholder's browser sent to UnionPay"),
    ("000202", "needs the cardholder's browser sent to UnionPay"),
    ("000401", "pays out, and is named by payout_biz_type"),
    ("000501", "collects under an agreement"),
    ("000901", "binds cards"),
    ("001001", "needs a subscription"),
];

/// The product of payments by tokens (无跳转 token), which agreements are opened for.
pub const TOKEN_PRODUCT: &str = "000902";

/// The one place where an otherwise unspoken product is right.
const PAYOUTS: (&str, &str) = ("payout_biz_type", PAYOUT_BIZ_TYPE);

/// Who stands between UnionPay and the merchant: field `accessType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessType {
    /// The merchant is connected itself.
    Direct,
    /// An acquirer; its requests need `acqInsCode`.
    Acquirer,
    /// A platform with merchants below it; its payments need `subMerId`.
    Platform,
}

impl AccessType {
    pub(super) const fn digit(self) -> &'static str {
        match self {
            Self::Direct => "0",
            Self::Acquirer => "1",
            Self::Platform => "2",
        }
    }
}

/// A certificate and its private key, both PEM. Several may be given while they are changed.
#[derive(Clone)]
pub struct SigningPem {
    /// May hold a whole chain; the one that belongs to the key is found.
    pub certificate: String,
    pub key: Zeroizing<String>,
}

/// Everything about one channel, unchecked.
#[derive(Clone)]
pub struct MerchantSettings {
    /// Fifteen letters and digits (`merId`).
    pub merchant_id: String,
    pub access_type: AccessType,
    /// Six digits of the product; follow-ups and inquiries carry it too.
    pub biz_type: String,
    /// Who asks for tokens (`trId`), where the product is [`TOKEN_PRODUCT`]: digits that UnionPay
    /// assigns.
    pub token_requestor: Option<String>,
    /// Six digits: the product of payouts, and of what asks about them.
    pub payout_biz_type: String,
    /// Six digits; see [`REVERSAL_BIZ_TYPE`].
    pub reversal_biz_type: String,
    /// Six digits of the product under which cards are verified; see [`VERIFICATION_BIZ_TYPE`].
    pub verification_biz_type: String,
    /// Two digits: the product's sub-type of a verification.
    pub verification_sub_type: String,
    /// Two digits.
    pub channel_type: String,
    /// For all that moves or holds money.
    pub transaction_url: String,
    pub query_url: String,
    /// `None`: that of payments, which most clients in the field use; one uses the query address.
    pub reversal_url: Option<String>,
    /// Where statement files are downloaded; `None`: they are not.
    pub statement_url: Option<String>,
    /// Where the channel posts its notices: field `backUrl`.
    pub notice_url: String,
    /// At least one.
    pub signing: Vec<SigningPem>,
    /// UnionPay's encryption certificates, PEM. None: card data is sent as plain fields, which only
    /// merchants without the encryption permission do.
    pub encryption: Vec<String>,
    /// The certificates at the top of the chain, PEM.
    pub root_certificates: String,
    /// Those between them and the signer, PEM.
    pub intermediate_certificates: Option<String>,
    /// Owners or whole common names of signers that are believed beside UnionPay itself.
    pub accepted_signers: Vec<String>,
    /// In production the test system's signer is not believed and addresses must be https.
    pub production: bool,
    pub reversal_reply: ReversalReply,
    pub codes: CodeOverrides,
    /// Fixed fields of every request, such as `acqInsCode`.
    pub fields: Vec<(String, String)>,
    /// Fixed fields of payments, pre-authorisations and payouts only, such as `merCatCode` or
    /// `subMerId`.
    pub payment_fields: Vec<(String, String)>,
}

impl MerchantSettings {
    /// The product that an operation belongs to.
    pub(super) fn product(&self, operation: Operation) -> &str {
        match operation {
            Operation::Payout => &self.payout_biz_type,
            Operation::Payment
            | Operation::Preauth
            | Operation::Undo
            | Operation::Refund
            | Operation::Void
            | Operation::Capture => &self.biz_type,
        }
    }
}

/// A mistake in one setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}; {advice}")]
pub struct SettingProblem {
    /// The key in the channel file's section.
    pub key: &'static str,
    /// Which element of a list, from 0.
    pub index: Option<usize>,
    pub problem: String,
    pub advice: &'static str,
}

/// The settings, checked, with their keys parsed.
pub(super) struct KeyMaterial {
    pub signing: Vec<SigningIdentity>,
    pub encryption: Vec<EncryptionIdentity>,
    pub trust: Trust,
}

/// Reports every problem, not the first.
pub(super) fn check(settings: &MerchantSettings) -> Result<KeyMaterial, Vec<SettingProblem>> {
    let mut problems = Problems::default();
    check_identifiers(settings, &mut problems);
    check_addresses(settings, &mut problems);
    check_fields(settings, &mut problems);
    check_codes(&settings.codes, &mut problems);
    let signing = read_signing(&settings.signing, &mut problems);
    let encryption = read_encryption(&settings.encryption, &mut problems);
    let trust = read_trust(settings, &mut problems);
    match trust {
        Some(trust) if problems.0.is_empty() => Ok(KeyMaterial { signing, encryption, trust }),
        Some(_) | None => Err(problems.0),
    }
}

#[derive(Default)]
struct Problems(Vec<SettingProblem>);

impl Problems {
    fn add(&mut self, key: &'static str, problem: impl ToString, advice: &'static str) {
        self.0.push(SettingProblem { key, index: None, problem: problem.to_string(), advice });
    }

    fn add_in(
        &mut self,
        key: &'static str,
        index: usize,
        problem: impl ToString,
        advice: &'static str,
    ) {
        let index = Some(index);
        self.0.push(SettingProblem { key, index, problem: problem.to_string(), advice });
    }
}

fn check_identifiers(settings: &MerchantSettings, problems: &mut Problems) {
    let merchant_id = &settings.merchant_id;
    if merchant_id.len() != 15 || !merchant_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let advice = "write the merId that the acquirer gave you";
        problems.add("merchant_id", "is not 15 letters and digits", advice);
    }
    let digits = [
        ("biz_type", &settings.biz_type, 6, "write for example \"000301\""),
        ("payout_biz_type", &settings.payout_biz_type, 6, "write for example \"000401\""),
        ("reversal_biz_type", &settings.reversal_biz_type, 6, "write for example \"000000\""),
        ("channel_type", &settings.channel_type, 2, "write for example \"07\""),
    ];
    for (key, text, length, advice) in digits {
        let is_unspoken = |product: &str| product == text && (key, product) != PAYOUTS;
        let unspoken = UNSPOKEN_PRODUCTS.iter().find(|(product, _)| is_unspoken(product));
        if let Some((product, needs)) = unspoken {
            let problem = format!("{product} cannot be spoken: it {needs}");
            problems.add(key, problem, "write \"000301\", payment without redirect");
        } else if !is_digits(text, length) {
            problems.add(key, format!("is not {length} digits"), advice);
        }
    }
    let takes_tokens = settings.biz_type == TOKEN_PRODUCT;
    match &settings.token_requestor {
        Some(id)
            if !(1..=TOKEN_REQUESTOR_DIGITS_MAX).contains(&id.len())
                || !is_digits(id, id.len()) =>
        {
            problems.add(
                "token_requestor",
                "is not of digits",
                "write the trId that you were given",
            );
        }
        Some(_) if !takes_tokens => {
            let advice = "write biz_type = \"000902\", or take it out";
            problems.add("token_requestor", "is for the token product", advice);
        }
        None if takes_tokens => {
            let advice = "write the trId that you were given; the test system's is \"62000000001\"";
            problems.add("token_requestor", "is missing: 000902 pays by tokens", advice);
        }
        Some(_) | None => {}
    }
    let of_verification = [
        ("verification_biz_type", &settings.verification_biz_type, 6, "write \"000501\""),
        ("verification_sub_type", &settings.verification_sub_type, 2, "write \"01\""),
    ];
    for (key, text, length, advice) in of_verification {
        if !is_digits(text, length) {
            problems.add(key, format!("is not {length} digits"), advice);
        }
    }
}

fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_addresses(settings: &MerchantSettings, problems: &mut Problems) {
    let addresses = [
        ("transaction_url", Some(&settings.transaction_url)),
        ("query_url", Some(&settings.query_url)),
        ("reversal_url", settings.reversal_url.as_ref()),
        ("statement_url", settings.statement_url.as_ref()),
        ("notice_url", Some(&settings.notice_url)),
    ];
    let given = addresses.into_iter().filter_map(|(key, text)| Some((key, text?)));
    for (key, text) in given {
        // The address is sent as it is written here, so nothing needs to be encoded or taken out.
        let is_plain = text.is_ascii() && !text.contains('@');
        let parsed = text.parse::<http::Uri>().ok().filter(|_| is_plain);
        let scheme =
            parsed.as_ref().filter(|uri| uri.host().is_some()).and_then(|u| u.scheme_str());
        match scheme {
            Some("https") => {}
            Some("http") if !settings.production => {}
            Some("http") => {
                problems.add(key, "is not encrypted", "write an https address in production");
            }
            Some(_) | None => {
                problems.add(key, "is not a whole web address", "write https://host/path");
            }
        }
    }
    if settings.notice_url.len() > NOTICE_URL_BYTES_MAX {
        problems.add("notice_url", "is longer than 256 characters", "shorten the path");
    }
}

fn check_fields(settings: &MerchantSettings, problems: &mut Problems) {
    let maps = [("fields", &settings.fields), ("payment_fields", &settings.payment_fields)];
    for (key, fields) in maps {
        if fields.len() > FIELDS_MAX {
            problems.add(key, "has too many fields", "keep at most 32");
        }
        for (name, value) in fields {
            if RESERVED_FIELDS.contains(&name.as_str()) {
                let advice = "remove it; the request sets it";
                problems.add(key, format!("{name} is not yours to set"), advice);
            } else if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                let advice = "write the field's name in letters and digits";
                problems.add(key, "has a name that is none of UnionPay's", advice);
            } else if value.trim().is_empty() {
                problems.add(key, format!("{name} is empty"), "give it a value or remove it");
            }
        }
    }
    let given = |name: &str| {
        let mut all = settings.fields.iter().chain(&settings.payment_fields);
        all.any(|(given, _)| given == name)
    };
    match settings.access_type {
        AccessType::Direct => {}
        AccessType::Acquirer if settings.fields.iter().any(|(name, _)| name == "acqInsCode") => {}
        AccessType::Acquirer => {
            problems.add("fields", "acqInsCode is missing", "an acquirer names itself in it");
        }
        AccessType::Platform if given("subMerId") => {}
        AccessType::Platform => {
            let advice = "a platform names the merchant below it in it";
            problems.add("payment_fields", "subMerId is missing", advice);
        }
    }
}

fn check_codes(codes: &CodeOverrides, problems: &mut Problems) {
    let maps = [
        ("codes", &codes.transaction),
        ("undo_codes", &codes.undo),
        ("follow_up_codes", &codes.follow_up),
        ("reversal_codes", &codes.reversal),
    ];
    for (key, overrides) in maps {
        for (code, _) in overrides {
            if !CodeOverrides::may_change(code) {
                let problem = format!("{code} has a fixed meaning in this protocol");
                problems.add(key, problem, "remove it; see reversal_reply for reversals");
            }
        }
    }
}

fn read_signing(pems: &[SigningPem], problems: &mut Problems) -> Vec<SigningIdentity> {
    if pems.is_empty() {
        let advice = "give a certificate and its key";
        problems.add("signing", "is empty", advice);
    }
    let mut identities = Vec::with_capacity(pems.len());
    for (index, pem) in pems.iter().enumerate() {
        match SigningIdentity::from_pem(&pem.certificate, &pem.key) {
            Ok(identity) => identities.push(identity),
            Err(error) => {
                let advice = "give the merchant's certificate and its private key as PEM";
                problems.add_in("signing", index, error, advice);
            }
        }
    }
    identities
}

fn read_encryption(pems: &[String], problems: &mut Problems) -> Vec<EncryptionIdentity> {
    let mut identities = Vec::with_capacity(pems.len());
    for (index, pem) in pems.iter().enumerate() {
        match EncryptionIdentity::from_pem(pem) {
            Ok(identity) => identities.push(identity),
            Err(error) => {
                let advice = "give UnionPay's encryption certificate as PEM";
                problems.add_in("encryption_certificates", index, error, advice);
            }
        }
    }
    identities
}

fn read_trust(settings: &MerchantSettings, problems: &mut Problems) -> Option<Trust> {
    let mut accepted = settings.accepted_signers.clone();
    if settings.production {
        for (index, name) in accepted.iter().enumerate() {
            if name == TEST_SIGNER {
                let problem = "is the test system's signer, which production must not believe";
                problems.add_in("accepted_signers", index, problem, "remove it");
            }
        }
    } else {
        accepted.push(TEST_SIGNER.to_owned());
    }
    for (index, name) in settings.accepted_signers.iter().enumerate() {
        if name.trim().is_empty() {
            problems.add_in("accepted_signers", index, "is empty", "remove it");
        }
    }
    let advice = "give UnionPay's CA certificates as PEM";
    let roots = Trust::read_certificates(&settings.root_certificates);
    let roots = roots.map_err(|error| problems.add("root_certificates", error, advice)).ok();
    let middles = settings.intermediate_certificates.as_deref();
    let middles = middles.map_or(Ok(Vec::new()), Trust::read_certificates);
    let middles =
        middles.map_err(|error| problems.add("intermediate_certificates", error, advice)).ok();
    Some(Trust::new(roots?, middles?, accepted))
}
