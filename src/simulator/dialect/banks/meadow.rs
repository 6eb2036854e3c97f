//! Meadow Bank: forms, signed by MD5 with a shared key; statements as zlib in Base64.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hyper::StatusCode;
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use crate::codec::FieldLimits;
use crate::codec::form::Fields;
use crate::codec::sign::hex_lower;
use crate::domain::time::BusinessDate;
use crate::simulator::dialect::bank::{
    BankApi, BankCodes, BankOperation, BankRequest, BankResult, RequestCard,
};
use crate::simulator::dialect::{AnswerCodes, DeclineCode, ReplyForm};
use crate::simulator::message::{HttpReply, HttpRequest};
use crate::simulator::notices::NoticeWriter;
use crate::simulator::state::SimulatorState;

use super::yuan::{decimal, read_decimal};

const CODES: BankCodes = BankCodes {
    pending: "P1",
    unclear_charge: None,
    busy: "91",
    not_found: "25",
    refused: "12",
    no_original: "12",
    undone_before: "12",
    other_amount: "12",
    is_reversed: "12",
    reversed_before: None,
    reverses_undone: None,
    format: "05",
    bad_signature: "91",
    invalid_card: "14",
    expired: "54",
    // Its requests have no CVV.
    wrong_cvv: "14",
    limit: "61",
    dead: "05",
    empty: "N0",
    later: "N1",
    answers: AnswerCodes {
        approved: "00",
        declines: &[
            (DeclineCode::later("51"), 60),
            (DeclineCode::later("05"), 30),
            (DeclineCode::at_once("96"), 10),
        ],
    },
};

/// See the head of this file.
pub(super) struct Meadow {
    merchant_id: String,
    key: Zeroizing<String>,
}

impl Meadow {
    pub fn new(merchant_id: String, key: &Zeroizing<String>) -> Self {
        Self { merchant_id, key: key.clone() }
    }
}

impl BankApi for Meadow {
    fn codes(&self) -> &'static BankCodes {
        &CODES
    }

    fn read(
        &self,
        _running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<BankRequest, &'static str> {
        let fields = Fields::decode_form(&received.body, FieldLimits::MESSAGE).ok();
        let fits =
            |fields: &Fields| fields.get("sign") == Some(signature(fields, &self.key).as_str());
        let fields = fields.filter(fits).ok_or(CODES.bad_signature)?;
        read(&fields, &self.merchant_id).ok_or(CODES.format)
    }

    fn write(
        &self,
        _running: &SimulatorState,
        request: Option<&BankRequest>,
        result: &BankResult,
        form: ReplyForm,
    ) -> HttpReply {
        let mut fields = Fields::new();
        fields.set("resp_code", result.code);
        if let Some(request) = request {
            let is_date = request.operation == BankOperation::Statement;
            let number = request.order_no.replace('-', "");
            fields.set(if is_date { "settle_date" } else { "order_id" }, &number);
        }
        if let Some(file) = &result.file {
            fields.set("file_content", &BASE64.encode(deflate(file)));
        }
        if let Some(facts) = &result.facts {
            fields.set("amt", &decimal(facts.amount));
            fields.set("trace_no", &format!("T{:012}", facts.trace));
        }
        if let Some(code) = result.original_code {
            fields.set("orig_resp_code", code);
        }
        let signature = signature(&fields, &self.key);
        let spoils = matches!(form, ReplyForm::BadSignature(_));
        fields.set("sign", if spoils { "00" } else { &signature });
        HttpReply::new(StatusCode::OK, "application/x-www-form-urlencoded", fields.encode_form())
    }

    fn notice(&self, _order_no: &str) -> Option<NoticeWriter> {
        None
    }
}

/// Upper-case MD5 of the sorted fields that are not empty, `sign` and `sign_type` apart, and the
/// key.
fn signature(fields: &Fields, key: &str) -> String {
    let mut state = Md5::new();
    for (name, value) in fields.iter() {
        if !value.is_empty() && name != "sign" && name != "sign_type" {
            state.update(format!("{name}={value}&"));
        }
    }
    state.update(format!("key={key}"));
    hex_lower(&state.finalize()).to_uppercase()
}

fn read(fields: &Fields, merchant_id: &str) -> Option<BankRequest> {
    let operation = match fields.get("service")? {
        "pay" => BankOperation::Payment,
        "cancel" => BankOperation::Undo,
        "refund" => BankOperation::Refund,
        "query" => BankOperation::Inquiry,
        "reverse" => BankOperation::Reversal,
        "statement" => BankOperation::Statement,
        _ => return None,
    };
    let text = |name| fields.get(name).unwrap_or_default().to_owned();
    if fields.get("mer_id")? != merchant_id {
        return None;
    }
    // The card shows month and year.
    let turned = |text: &str| Some(format!("{}{}", text.get(2..4)?, text.get(..2)?));
    let expiry = fields.get("valid_thru").map(|text| turned(text).unwrap_or_default());
    let order_no = if operation == BankOperation::Statement {
        let date = text("settle_date").parse().ok().and_then(BusinessDate::from_yyyymmdd);
        date?.to_string()
    } else {
        Some(text("order_id")).filter(|text| !text.is_empty())?
    };
    Some(BankRequest {
        original_no: text("orig_order_id"),
        sent_at: text("txn_time"),
        amount: fields.get("amt").and_then(read_decimal),
        card: fields.get("card_no").map(|number| RequestCard::new(number, expiry, None)),
        ..BankRequest::new(operation, order_no)
    })
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::default());
    stream.write_all(bytes).expect("memory takes all");
    stream.finish().expect("memory takes all")
}
