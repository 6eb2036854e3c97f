//! The JSON form of a voucher, as accounting gets it.

use serde::Serialize;

use crate::domain::books::accounting::{AccountingRequest, SourceDocument};
use crate::domain::ids::MerchantId;

/// A voucher as it travels: complete in itself, so that accounting need know nothing of us (S6,
/// S9).
#[derive(Serialize)]
struct Voucher<'a> {
    request_id: String,
    event: &'static str,
    voucher_type: &'static str,
    source_document: DocumentForm<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_id: Option<&'a str>,
    currency: &'static str,
    business_date: String,
    entries: Vec<PostingForm<'a>>,
    created_at: String,
}

#[derive(Serialize)]
struct DocumentForm<'a> {
    channel: &'a str,
    #[serde(flatten)]
    document: DocumentBody<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DocumentBody<'a> {
    Order { channel_order_no: String, channel_reference: Option<&'a str> },
    Difference { difference: String },
    Settlement { settlement: String, bank_reference: &'a str },
}

impl<'a> DocumentBody<'a> {
    fn of(source: &'a SourceDocument) -> Self {
        match source {
            SourceDocument::Order { channel_order_no, channel_reference, .. } => Self::Order {
                channel_order_no: channel_order_no.to_string(),
                channel_reference: channel_reference.as_deref(),
            },
            SourceDocument::Difference { difference, .. } => {
                Self::Difference { difference: difference.to_string() }
            }
            SourceDocument::Settlement { settlement, bank_reference } => {
                Self::Settlement { settlement: settlement.to_string(), bank_reference }
            }
        }
    }
}

#[derive(Serialize)]
struct PostingForm<'a> {
    side: &'static str,
    account: &'a str,
    amount: i64,
}

/// Several vouchers in one body.
#[derive(Serialize)]
struct Vouchers<'a> {
    requests: Vec<Voucher<'a>>,
}

/// The JSON body of a request.
pub fn body(request: &AccountingRequest) -> Vec<u8> {
    write(&Voucher::from(request))
}

/// The JSON body of several requests.
pub fn post_body(requests: &[AccountingRequest]) -> Vec<u8> {
    write(&Vouchers { requests: requests.iter().map(Voucher::from).collect() })
}

fn write(form: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(form).expect("plain texts and integers always serialise")
}

impl<'a> From<&'a AccountingRequest> for Voucher<'a> {
    fn from(request: &'a AccountingRequest) -> Self {
        let entries = request.postings.iter().map(|entry| PostingForm {
            side: entry.side.name(),
            account: &entry.account,
            amount: entry.amount_minor,
        });
        Self {
            request_id: request.id.to_string(),
            event: request.event.name(),
            voucher_type: request.voucher.name(),
            source_document: DocumentForm {
                channel: request.channel.as_str(),
                document: DocumentBody::of(&request.source),
            },
            order_id: request.order().map(|order| order.to_string()),
            merchant_id: request.merchant_id().map(MerchantId::as_str),
            currency: request.currency.name(),
            business_date: request.business_date.to_string(),
            entries: entries.collect(),
            created_at: request.created_at.rfc3339(),
        }
    }
}
