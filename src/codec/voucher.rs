//! An accounting request as it is posted and as it is listed: one form, so that a fact has one
//! name.

use schemars::JsonSchema;
use serde::Serialize;

use super::texts::{MomentText, Text};
use crate::codec::word;
use crate::domain::books::accounting::{AccountingRequest, Posting, RequestId, SourceDocument};
use crate::domain::ids::{ChannelOrderNo, DifferenceId, MerchantId, OrderId, SettlementId};
use crate::domain::time::BusinessDate;

/// What is to be booked: complete in itself, so that accounting need know nothing of us (S6, S9).
#[derive(Serialize, JsonSchema)]
pub struct Voucher<'row> {
    /// Its chain's digits, `-`, and its number there: the same id is always the same voucher.
    id: Text<RequestId>,
    /// What happened.
    #[schemars(with = "word::BookingEventWord")]
    event: &'static str,
    /// What kind of voucher it is.
    #[schemars(with = "word::VoucherTypeWord")]
    voucher: &'static str,
    /// The channel that it is about.
    channel: &'row str,
    #[serde(flatten)]
    source: SourceForm<'row>,
    /// The currency of all entries.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// What is to be booked; it balances.
    entries: Vec<PostingForm<'row>>,
    /// The day for which it is booked.
    business_date: Text<BusinessDate>,
    /// When it was owed.
    created_at: MomentText,
}

/// The document that the voucher rests on (S9): an order, a difference, or a settlement.
#[derive(Default, Serialize, JsonSchema)]
struct SourceForm<'row> {
    /// Our id of the order that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Text<OrderId>>,
    /// Our number of the order's success at the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_order_no: Option<Text<ChannelOrderNo>>,
    /// The channel's own number of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'row str>,
    /// Whose money it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_id: Option<&'row str>,
    /// The id of the difference that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Text<DifferenceId>>,
    /// The id of the settlement that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<Text<SettlementId>>,
    /// The bank's reference of the settlement's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_reference: Option<&'row str>,
}

/// A posting.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Posting")]
struct PostingForm<'row> {
    /// Debit or credit.
    #[schemars(with = "word::PostingSideWord")]
    side: &'static str,
    /// The account's name.
    account: &'row str,
    /// In minor units: never 0, negative in a red letter.
    amount: i64,
}

impl<'row> From<&'row SourceDocument> for SourceForm<'row> {
    fn from(source: &'row SourceDocument) -> Self {
        match source {
            SourceDocument::Order { order, channel_order_no, channel_reference, merchant_id } => {
                Self {
                    order: Some(Text(*order)),
                    channel_order_no: Some(Text(*channel_order_no)),
                    channel_reference: channel_reference.as_deref(),
                    merchant_id: Some(merchant_id.as_str()),
                    ..Self::default()
                }
            }
            SourceDocument::Difference { difference, merchant_id } => Self {
                difference: Some(Text(*difference)),
                merchant_id: merchant_id.as_ref().map(MerchantId::as_str),
                ..Self::default()
            },
            SourceDocument::Settlement { settlement, bank_reference } => Self {
                settlement: Some(Text(*settlement)),
                bank_reference: Some(bank_reference),
                ..Self::default()
            },
        }
    }
}

impl<'row> From<&'row AccountingRequest> for Voucher<'row> {
    fn from(request: &'row AccountingRequest) -> Self {
        let entry = |entry: &'row Posting| PostingForm {
            side: entry.side.name(),
            account: &entry.account,
            amount: entry.amount_minor,
        };
        Self {
            id: Text(request.id),
            event: request.event.name(),
            voucher: request.voucher.name(),
            channel: request.channel.as_str(),
            source: SourceForm::from(&request.source),
            currency: request.currency.name(),
            entries: request.postings.iter().map(entry).collect(),
            business_date: Text(request.business_date),
            created_at: MomentText(request.created_at),
        }
    }
}

/// Several vouchers in one body, where `accounting.batch_max` is above 1.
#[derive(Serialize, JsonSchema)]
pub struct Vouchers<'row> {
    /// At most one of each chain.
    requests: Vec<Voucher<'row>>,
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
