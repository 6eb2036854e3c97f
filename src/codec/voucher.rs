//! An accounting request as it is posted and as it is listed: one form, so that a fact has one
//! name.

use serde::Serialize;

use super::texts::{MomentText, Text};
use crate::domain::books::accounting::{AccountingRequest, Posting, RequestId, SourceDocument};
use crate::domain::ids::{ChannelOrderNo, DifferenceId, MerchantId, OrderId, SettlementId};
use crate::domain::time::BusinessDate;

/// What is to be booked: complete in itself, so that accounting need know nothing of us (S6, S9).
#[derive(Serialize)]
pub struct Voucher<'row> {
    id: Text<RequestId>,
    event: &'static str,
    voucher: &'static str,
    channel: &'row str,
    #[serde(flatten)]
    source: SourceForm<'row>,
    currency: &'static str,
    entries: Vec<PostingForm<'row>>,
    business_date: Text<BusinessDate>,
    created_at: MomentText,
}

/// The document that a request's voucher names.
#[derive(Serialize)]
#[serde(untagged)]
enum SourceForm<'row> {
    Order {
        order: Text<OrderId>,
        channel_order_no: Text<ChannelOrderNo>,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel_reference: Option<&'row str>,
        merchant_id: &'row str,
    },
    Difference {
        difference: Text<DifferenceId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        merchant_id: Option<&'row str>,
    },
    Settlement {
        settlement: Text<SettlementId>,
        bank_reference: &'row str,
    },
}

#[derive(Serialize)]
struct PostingForm<'row> {
    side: &'static str,
    account: &'row str,
    amount: i64,
}

impl<'row> From<&'row SourceDocument> for SourceForm<'row> {
    fn from(source: &'row SourceDocument) -> Self {
        match source {
            SourceDocument::Order { order, channel_order_no, channel_reference, merchant_id } => {
                Self::Order {
                    order: Text(*order),
                    channel_order_no: Text(*channel_order_no),
                    channel_reference: channel_reference.as_deref(),
                    merchant_id: merchant_id.as_str(),
                }
            }
            SourceDocument::Difference { difference, merchant_id } => {
                let merchant_id = merchant_id.as_ref().map(MerchantId::as_str);
                Self::Difference { difference: Text(*difference), merchant_id }
            }
            SourceDocument::Settlement { settlement, bank_reference } => {
                Self::Settlement { settlement: Text(*settlement), bank_reference }
            }
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

/// Several vouchers in one body.
#[derive(Serialize)]
struct Vouchers<'row> {
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
