//! The tongues of [`super::bank`]: how Meadow Bank and Quarry Bank write, sign and encrypt.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use crate::codec::FieldLimits;
use crate::codec::crypto::cipher::{Block, BlockKey, Mode};
use crate::codec::crypto::sm2::{Sm2Form, Sm2Signer, Sm2Verifier, USUAL_USER_ID};
use crate::codec::form::Fields;
use crate::codec::sign::{hex_lower, read_hex, sha256_hex};
use crate::codec::xml::Element;
use crate::config::section::Section;
use crate::domain::money::AmountMinor;
use crate::domain::time::BusinessDate;

use super::super::counterpart::{Counterpart, TestCredential};
use super::super::ledger::unionpay_calendar;
use super::super::settings::{BankSettings, BankTongue, DialectSettings};
use super::bank::{Ask, AskedCard, Codes, Draft, What};
use super::{AnswerCodes, Decline, Dress, Received};

const MEADOW_CODES: Codes = Codes {
    approved: "00",
    pending: "P1",
    busy: "91",
    not_found: "25",
    refused: "12",
    format: "05",
    bad_signature: "91",
    invalid_card: "14",
    expired: "54",
    limit: "61",
    dead: "05",
    empty: "N0",
    later: "N1",
    answers: AnswerCodes {
        approved: "00",
        declines: &[
            (Decline::later("51"), 60),
            (Decline::later("05"), 30),
            (Decline::at_once("96"), 10),
        ],
    },
};

const QUARRY_CODES: Codes = Codes {
    approved: "000000",
    pending: "P00001",
    busy: "E90091",
    not_found: "E20025",
    refused: "E20001",
    format: "E90001",
    bad_signature: "E90003",
    invalid_card: "E10014",
    expired: "E10054",
    limit: "E10061",
    dead: "E10001",
    empty: "E20040",
    later: "P00001",
    answers: AnswerCodes {
        approved: "000000",
        declines: &[
            (Decline::later("E10051"), 60),
            (Decline::later("E10001"), 30),
            (Decline::at_once("E90096"), 10),
        ],
    },
};

/// One bank's way to speak, with its keys.
pub(super) enum Tongue {
    Meadow {
        merchant_id: String,
        key: Zeroizing<String>,
    },
    Quarry {
        merchant_id: String,
        merchant: Box<Sm2Verifier>,
        bank: Box<Sm2Signer>,
        cards: BlockKey,
    },
}

/// A request's contents after its signature was checked.
pub(super) enum Proven {
    Form(Fields),
    Xml(Element),
}

impl Tongue {
    pub fn new(settings: &BankSettings) -> Self {
        let merchant_id = settings.merchant_id.clone();
        match &settings.tongue {
            BankTongue::Meadow { key } => Self::Meadow { merchant_id, key: key.clone() },
            BankTongue::Quarry { secret } => {
                let signer = |name| {
                    Sm2Signer::parse(&made(secret, name), USUAL_USER_ID)
                        .expect("a digest is below the order of the curve, all but surely")
                };
                let public = hex_lower(&signer("merchant").public_key());
                let cards = read_hex(&made(secret, "cards")[..32]).expect("a digest in digits");
                Self::Quarry {
                    merchant_id,
                    merchant: Box::new(
                        Sm2Verifier::parse(&public, USUAL_USER_ID).expect("it was just made"),
                    ),
                    bank: Box::new(signer("bank")),
                    cards: BlockKey::new(Block::Sm4, Mode::Cbc, &cards).expect("16 bytes"),
                }
            }
        }
    }

    pub const fn codes(&self) -> &'static Codes {
        match self {
            Self::Meadow { .. } => &MEADOW_CODES,
            Self::Quarry { .. } => &QUARRY_CODES,
        }
    }

    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Meadow { .. } => "application/x-www-form-urlencoded",
            Self::Quarry { .. } => "application/xml; charset=utf-8",
        }
    }

    pub fn prove(&self, received: &Received) -> Option<Proven> {
        match self {
            Self::Meadow { key, .. } => {
                let fields = Fields::decode_form(&received.body, FieldLimits::MESSAGE).ok()?;
                let fits = fields.get("sign")? == meadow_signature(&fields, key);
                fits.then_some(Proven::Form(fields))
            }
            Self::Quarry { merchant, .. } => {
                let root = Element::parse(&received.body).ok()?;
                let sign = BASE64.decode(root.text_at("/trade/sign").ok()??).ok()?;
                let body = root.child("body", None).ok()??;
                let signed = received.body.get(body.span.clone())?;
                merchant.verify(signed, &sign, Sm2Form::Der).ok()?;
                Some(Proven::Xml(root))
            }
        }
    }

    pub fn read(&self, proven: &Proven) -> Option<Ask> {
        match (self, proven) {
            (Self::Meadow { merchant_id, .. }, Proven::Form(fields)) => {
                read_meadow(fields, merchant_id)
            }
            (Self::Quarry { merchant_id, cards, .. }, Proven::Xml(root)) => {
                read_quarry(root, merchant_id, cards)
            }
            (Self::Meadow { .. }, Proven::Xml(_)) | (Self::Quarry { .. }, Proven::Form(_)) => None,
        }
    }

    pub fn write(&self, ask: Option<&Ask>, draft: &Draft, dress: Dress) -> Vec<u8> {
        let spoils = matches!(dress, Dress::BadSignature(_));
        match self {
            Self::Meadow { key, .. } => {
                let mut fields = Fields::new();
                fields.set("resp_code", draft.code);
                if let Some(ask) = ask {
                    let is_date = ask.what == What::Statement;
                    let number = ask.order_no.replace('-', "");
                    fields.set(if is_date { "settle_date" } else { "order_id" }, &number);
                }
                if let Some(file) = &draft.file {
                    fields.set("file_content", &BASE64.encode(deflate(file)));
                }
                if let Some(facts) = &draft.facts {
                    fields.set("amt", &decimal(facts.amount));
                    fields.set("trace_no", &format!("T{:012}", facts.trace));
                }
                if let Some(result) = draft.result {
                    fields.set("orig_resp_code", result);
                }
                let signature = meadow_signature(&fields, key);
                fields.set("sign", if spoils { "00" } else { &signature });
                fields.encode_form().into_bytes()
            }
            Self::Quarry { bank, .. } => {
                let body = quarry_body(ask, draft);
                let signed: &[u8] = if spoils { b"another" } else { body.as_bytes() };
                let sign = BASE64.encode(bank.sign(signed, Sm2Form::Der));
                format!("<?xml version=\"1.0\"?><trade>{body}<sign>{sign}</sign></trade>")
                    .into_bytes()
            }
        }
    }
}

/// Upper-case MD5 of the sorted fields that are not empty, `sign` and `sign_type` apart, and the
/// key.
fn meadow_signature(fields: &Fields, key: &str) -> String {
    let mut state = Md5::new();
    for (name, value) in fields.iter() {
        if !value.is_empty() && name != "sign" && name != "sign_type" {
            state.update(format!("{name}={value}&"));
        }
    }
    state.update(format!("key={key}"));
    hex_lower(&state.finalize()).to_uppercase()
}

fn read_meadow(fields: &Fields, merchant_id: &str) -> Option<Ask> {
    let what = match fields.get("service")? {
        "pay" => What::Payment,
        "cancel" => What::Cancel,
        "refund" => What::Refund,
        "query" => What::Inquiry,
        "reverse" => What::Reversal,
        "statement" => What::Statement,
        _ => return None,
    };
    let text = |name| fields.get(name).unwrap_or_default().to_owned();
    if fields.get("mer_id")? != merchant_id {
        return None;
    }
    // The card shows month and year.
    let turned = |text: &str| Some(format!("{}{}", text.get(2..4)?, text.get(..2)?));
    let expiry = fields.get("valid_thru").map(|text| turned(text).unwrap_or_default());
    Some(Ask {
        what,
        order_no: if what == What::Statement {
            let date = text("settle_date").parse().ok().and_then(BusinessDate::from_yyyymmdd);
            date?.to_string()
        } else {
            Some(text("order_id")).filter(|text| !text.is_empty())?
        },
        original_no: text("orig_order_id"),
        sent_at: text("txn_time"),
        amount: fields.get("amt").map(read_decimal).unwrap_or_default(),
        card: fields.get("card_no").map(|number| AskedCard::new(number, expiry)),
    })
}

fn read_quarry(root: &Element, merchant_id: &str, cards: &BlockKey) -> Option<Ask> {
    let text = |path: &str| Some(root.text_at(path).ok()?.unwrap_or_default().to_owned());
    let what = match text("/trade/body/txn")?.as_str() {
        "payment" => What::Payment,
        "preauth" => What::Preauth,
        "capture" => What::Capture,
        "void" | "undo" => What::Cancel,
        "refund" => What::Refund,
        "inquiry" => What::Inquiry,
        "reversal" => What::Reversal,
        "statement" => What::Statement,
        _ => return None,
    };
    if text("/trade/body/txn/@merId")? != merchant_id {
        return None;
    }
    let sealed = text("/trade/body/card/number").filter(|text| !text.is_empty());
    let card = match sealed {
        Some(sealed) => {
            let bytes = BASE64.decode(sealed).ok()?;
            let number = cards.decrypt(bytes.get(..16)?, &[], bytes.get(16..)?).ok()?;
            let expiry = text("/trade/body/card/expiry").filter(|text| !text.is_empty());
            Some(AskedCard::new(std::str::from_utf8(&number).ok()?, expiry))
        }
        None => None,
    };
    Some(Ask {
        what,
        order_no: if what == What::Statement {
            BusinessDate::parse(&text("/trade/body/date")?)?.to_string()
        } else {
            text("/trade/body/orderNo").filter(|text| !text.is_empty())?
        },
        original_no: text("/trade/body/origOrderNo")?,
        sent_at: text("/trade/body/time")?,
        amount: read_decimal(&text("/trade/body/amount")?),
        card,
    })
}

fn quarry_body(ask: Option<&Ask>, draft: &Draft) -> String {
    let mut body = format!("<body><code>{}</code>", draft.code);
    if let Some(ask) = ask {
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let order_no: String = ask.order_no.chars().filter(plain).collect();
        let name = if ask.what == What::Statement { "date" } else { "orderNo" };
        body.push_str(&format!("<{name}>{order_no}</{name}>"));
    }
    if let Some(file) = &draft.file {
        body.push_str(&format!("<file>{}</file>", BASE64.encode(file)));
    }
    if let Some(facts) = &draft.facts {
        let date = facts.settle_date.civil();
        body.push_str(&format!(
            "<amount currency=\"CNY\">{}</amount><trace>Q{:012}</trace>\
             <settleDate>{date}</settleDate>",
            decimal(facts.amount),
            facts.trace
        ));
    }
    if let Some(result) = draft.result {
        body.push_str(&format!("<origCode>{result}</origCode>"));
    }
    body + "</body>"
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::default());
    stream.write_all(bytes).expect("memory takes all");
    stream.finish().expect("memory takes all")
}

fn decimal(amount: AmountMinor) -> String {
    format!("{}.{:02}", amount.get() / 100, amount.get() % 100)
}

fn read_decimal(text: &str) -> Option<AmountMinor> {
    let (yuan, fen) = text.split_once('.')?;
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if fen.len() != 2 || !plain(yuan) || !plain(fen) {
        return None;
    }
    AmountMinor::new(format!("{yuan}{fen}").parse().ok()?).ok()
}

fn made(secret: &str, name: &str) -> String {
    sha256_hex(format!("{secret} {name}").as_bytes())
}

/// The other side of a channel file that signs by MD5 or SM2; its keys are made from the channel's
/// name and protect nothing.
pub(in crate::simulator) fn counterpart(
    section: &Section<'_>,
    algorithm: &str,
    id: &str,
) -> Counterpart {
    let secret = Zeroizing::new(sha256_hex(format!("simulated bank {id}").as_bytes()));
    let (sign, values) = (section.section("sign"), section.section("values"));
    let mut credentials = Vec::new();
    let mut add = |reference: &str, text: &str| {
        credentials.push(TestCredential::new(reference, text));
    };
    let (merchant_id, tongue) = if algorithm == "md5" {
        add(&sign.text("key"), &secret);
        (values.text("mer_id"), BankTongue::Meadow { key: secret })
    } else {
        let bank = Sm2Signer::parse(&made(&secret, "bank"), USUAL_USER_ID);
        let public = bank.map(|bank| hex_lower(&bank.public_key())).unwrap_or_default();
        add(&sign.text("key"), &made(&secret, "merchant"));
        add(&section.section("verify").text("key"), &public);
        add(&section.section("encrypt").text("key"), &made(&secret, "cards")[..32]);
        (values.text("mer"), BankTongue::Quarry { secret })
    };
    Counterpart {
        credentials,
        dialect: DialectSettings::Bank(BankSettings { merchant_id, tongue }),
        addresses: vec![section.text("base_url")],
        notice_address: None,
        calendar: unionpay_calendar(),
        fee: None,
    }
}
