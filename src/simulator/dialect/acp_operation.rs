//! What an ACP request asks for, by its types, and the fields that it must have for that.

use crate::codec::form::Fields;
use crate::domain::closed_set;

use super::super::ledger::EntryKind;
use super::acp_card::FORMAT;

pub const BACK_PATH: &str = "/gateway/api/backTransReq.do";
pub const QUERY_PATH: &str = "/gateway/api/queryTrans.do";
/// The path of the file host.
pub const FILE_PATH: &str = "/";
pub const MISSING: &str = "13";
pub const NO_PERMISSION: &str = "32";

/// Fields that every message has; one about an order has its `orderId` too.
pub const MANDATORY: [&str; 9] = [
    "version",
    "encoding",
    "signMethod",
    "txnType",
    "txnSubType",
    "bizType",
    "accessType",
    "merId",
    "txnTime",
];

closed_set! {
    /// The products of UnionPay (`bizType`), as far as its documents list them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum AcpProduct {
        /// None in particular.
        Any => "000000",
        /// Payment on a page of UnionPay's, by browser or in an app.
        Gateway => "000201",
        /// The same between companies.
        BusinessGateway => "000202",
        /// Payment without redirect (认证支付 2.0).
        NoRedirect => "000301",
        Payout => "000401",
        Collection => "000501",
        CrossBank => "000801",
        Binding => "000901",
        /// Payment by token, without redirect.
        Token => "000902",
        Subscription => "001001",
    }
}

impl AcpProduct {
    /// Whether an operation is spoken in it by a merchant's server. What a page of UnionPay's
    /// begins does not come this way, and what follows an order up has that order's product.
    const fn speaks(self, operation: AcpOperation, by_token: bool) -> bool {
        match operation {
            AcpOperation::Consume | AcpOperation::Preauth | AcpOperation::PaymentCode(_) => {
                matches!((self, by_token), (Self::NoRedirect, false) | (Self::Token, true))
            }
            AcpOperation::Payout => matches!(self, Self::Payout),
            AcpOperation::Capture | AcpOperation::Undo(_) | AcpOperation::Refund => {
                matches!(self, Self::NoRedirect | Self::Token)
            }
            AcpOperation::Reverse | AcpOperation::File => matches!(self, Self::Any),
            AcpOperation::Query => {
                matches!(self, Self::Any | Self::NoRedirect | Self::Token | Self::Payout)
            }
            // Merchants have it under the product that their acquirer names.
            AcpOperation::Verify => {
                matches!(
                    self,
                    Self::NoRedirect
                        | Self::Payout
                        | Self::Collection
                        | Self::CrossBank
                        | Self::Binding
                )
            }
            AcpOperation::OpeningCode
            | AcpOperation::Open
            | AcpOperation::OpeningQuery
            | AcpOperation::EndToken => matches!(self, Self::Token),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcpOperation {
    Consume,
    Preauth,
    Payout,
    Capture,
    /// Takes back a consume, an authorisation or a capture: each has a type of its own.
    Undo(EntryKind),
    Refund,
    Reverse,
    Query,
    /// The statement file of a date.
    File,
    /// Whether the card is the named person's.
    Verify,
    /// Sends the code that opens a card.
    OpeningCode,
    /// Opens it, and gives its token.
    Open,
    OpeningQuery,
    /// Sends the code of a consume, or of an authorisation, by card or token.
    PaymentCode(EntryKind),
    EndToken,
}

impl AcpOperation {
    /// The operation of a type and sub-type, if the path takes it. Sources differ on the path of a
    /// reversal, so both paths take it.
    pub fn of(fields: &Fields, path: &str) -> Option<Self> {
        let pair = (fields.get("txnType")?, fields.get("txnSubType")?);
        let (operation, fits) = match pair {
            ("01", "01") => (Self::Consume, path == BACK_PATH),
            ("02", "01") => (Self::Preauth, path == BACK_PATH),
            ("12", "00") => (Self::Payout, path == BACK_PATH),
            ("03", "00") => (Self::Capture, path == BACK_PATH),
            ("04", "00") => (Self::Refund, path == BACK_PATH),
            ("31", "00") => (Self::Undo(EntryKind::Charge), path == BACK_PATH),
            ("32", "00") => (Self::Undo(EntryKind::Preauth), path == BACK_PATH),
            ("33", "00") => (Self::Undo(EntryKind::Capture), path == BACK_PATH),
            ("72", "01") => (Self::Verify, path == BACK_PATH),
            ("77", "00") => (Self::OpeningCode, path == BACK_PATH),
            ("79", "00") => (Self::Open, path == BACK_PATH),
            ("78", "02") => (Self::OpeningQuery, path == BACK_PATH),
            ("77", "02") => (Self::PaymentCode(EntryKind::Charge), path == BACK_PATH),
            ("77", "04") => (Self::PaymentCode(EntryKind::Preauth), path == BACK_PATH),
            ("74", "01") => (Self::EndToken, path == BACK_PATH),
            ("99", "01") => (Self::Reverse, path == BACK_PATH || path == QUERY_PATH),
            ("00", "00") => (Self::Query, path == QUERY_PATH),
            ("76", "01") => (Self::File, path == FILE_PATH),
            _ => return None,
        };
        fits.then_some(operation)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Consume => "charge",
            Self::Preauth => "preauth",
            Self::Payout => "payout",
            Self::Capture => "capture",
            Self::Undo(_) => "undo",
            Self::Refund => "refund",
            Self::Reverse => "reverse",
            Self::Query => "query",
            Self::File => "file",
            Self::Verify => "verify",
            Self::OpeningCode => "opening_code",
            Self::Open => "open",
            Self::OpeningQuery => "opening_query",
            Self::PaymentCode(_) => "payment_code",
            Self::EndToken => "end_token",
        }
    }

    /// Whether the request brings a card to pay with, to pay to, or to verify.
    pub const fn takes_card(self) -> bool {
        match self {
            Self::Consume
            | Self::Preauth
            | Self::Payout
            | Self::Verify
            | Self::OpeningCode
            | Self::Open
            | Self::PaymentCode(_) => true,
            Self::Capture
            | Self::Undo(_)
            | Self::Refund
            | Self::Reverse
            | Self::Query
            | Self::File
            | Self::OpeningQuery
            | Self::EndToken => false,
        }
    }

    pub const fn names_money(self) -> bool {
        match self {
            Self::Consume
            | Self::Preauth
            | Self::Payout
            | Self::Capture
            | Self::Undo(_)
            | Self::Refund
            | Self::PaymentCode(_) => true,
            Self::Reverse
            | Self::Query
            | Self::File
            | Self::Verify
            | Self::OpeningCode
            | Self::Open
            | Self::OpeningQuery
            | Self::EndToken => false,
        }
    }
}

/// The name of a call: its order number, or the date of a file.
pub fn order_no(operation: AcpOperation, fields: &Fields) -> &str {
    let key = if operation == AcpOperation::File { "settleDate" } else { "orderId" };
    fields.get(key).unwrap_or_default()
}

/// The forms of the fields that every message has.
pub fn check_common(fields: &Fields) -> Result<(), &'static str> {
    let is = |key, expected| fields.get(key) == Some(expected);
    let digits = |key: &str, length: usize| {
        let text = fields.get(key).unwrap_or_default();
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_file = is("txnType", "76");
    let order_id = fields.get("orderId").unwrap_or_default();
    let names_order = (8..=40).contains(&order_id.len())
        && order_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if order_id.is_empty() && !is_file {
        return Err(MISSING);
    }
    let fits = is("version", "5.1.0")
        && is("encoding", "UTF-8")
        && digits("txnTime", 14)
        && digits("bizType", 6)
        && digits("accessType", 1)
        && (names_order || is_file);
    if fits { Ok(()) } else { Err(FORMAT) }
}

/// The fields that an operation needs beyond the common ones, and the product that it is spoken in.
pub fn check_own(
    operation: AcpOperation,
    by_token: bool,
    fields: &Fields,
) -> Result<AcpProduct, &'static str> {
    let needed: &[&str] = match operation {
        AcpOperation::Consume | AcpOperation::Preauth | AcpOperation::Payout => {
            &["channelType", "currencyCode", "txnAmt", "accType", "backUrl"]
        }
        AcpOperation::Capture | AcpOperation::Undo(_) | AcpOperation::Refund => {
            &["channelType", "currencyCode", "txnAmt", "backUrl"]
        }
        AcpOperation::Reverse => &["channelType"],
        AcpOperation::Query => &[],
        AcpOperation::File => &["fileType", "settleDate"],
        AcpOperation::Verify | AcpOperation::OpeningCode => {
            &["channelType", "accType", "accNo", "customerInfo"]
        }
        AcpOperation::Open => &["channelType", "accType", "accNo", "customerInfo", "tokenPayData"],
        AcpOperation::OpeningQuery => &["channelType"],
        AcpOperation::PaymentCode(_) => {
            let payer = if by_token { "tokenPayData" } else { "accNo" };
            &["channelType", "currencyCode", "txnAmt", "accType", "customerInfo", payer]
        }
        AcpOperation::EndToken => &["channelType", "tokenPayData"],
    };
    let missing = |key: &&str| fields.get(key).is_none_or(str::is_empty);
    if needed.iter().any(missing) {
        return Err(MISSING);
    }
    let product = AcpProduct::parse(fields.get("bizType").unwrap_or_default());
    product.filter(|product| product.speaks(operation, by_token)).ok_or(NO_PERMISSION)
}
