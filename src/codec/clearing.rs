//! Clearing records as rows of text: the columns of exports, and of what the close of a day signs.
//!
//! The bytes are part of a promise: a closed day keeps the digest of its export, so a change of a
//! column would break every close before it.

use schemars::JsonSchema;
use serde::Serialize;

use super::texts::{MomentText, Text};
use crate::codec::word;
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::time::BusinessDate;

/// The columns of the CSV form: the fields of [`ClearingRow`], in their order.
pub const COLUMNS: [&str; 13] = [
    "channel",
    "date",
    "id",
    "channel_order_no",
    "channel_reference",
    "movement",
    "currency",
    "principal",
    "fee",
    "net",
    "fee_rule",
    "state",
    "at",
];

/// One clearing record. Field for field a column of the CSV form.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearingRecord")]
pub struct ClearingRow<'row> {
    /// The channel that clears it.
    channel: &'row str,
    /// The clearing date.
    date: Text<BusinessDate>,
    /// The order's number.
    id: Text<OrderId>,
    /// Our number of the attempt.
    channel_order_no: Text<ChannelOrderNo>,
    /// Empty where the channel gave none: a column cannot be left out.
    channel_reference: &'row str,
    /// What moved the money.
    #[schemars(with = "word::OperationWord")]
    movement: &'static str,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// In minor units, negative where money goes back.
    principal: i64,
    /// The channel's fee, in minor units, negative where it is given back.
    fee: i64,
    /// Principal less fee.
    net: i64,
    /// The name of the fee's rule.
    fee_rule: &'row str,
    /// How it stands.
    #[schemars(with = "word::ClearingStateWord")]
    state: &'static str,
    /// When it was written.
    at: MomentText,
}

impl<'row> From<&'row ClearingRecord> for ClearingRow<'row> {
    fn from(record: &'row ClearingRecord) -> Self {
        Self {
            channel: record.channel.as_str(),
            date: Text(record.date),
            id: Text(record.order),
            channel_order_no: Text(record.channel_order_no),
            channel_reference: record.channel_reference.as_deref().unwrap_or_default(),
            movement: record.movement.name(),
            currency: record.currency.name(),
            principal: record.principal_minor,
            fee: record.fee_minor,
            net: record.net_minor,
            fee_rule: &record.fee_rule,
            state: record.state.name(),
            at: MomentText(record.at),
        }
    }
}

/// The heading of the CSV form, which an empty day has too.
pub fn csv_heading() -> Vec<u8> {
    let mut heading = COLUMNS.join(",").into_bytes();
    heading.push(b'\n');
    heading
}

/// Records as lines of the CSV form, without heading.
pub fn csv_rows(records: &[ClearingRecord]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for record in records {
        writer.serialize(ClearingRow::from(record))?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::Operation;
    use crate::domain::books::clearing::ClearingState;
    use crate::domain::ids::ChannelId;
    use crate::domain::money::Currency;
    use crate::domain::time::Timestamp;

    #[test]
    fn the_bytes_of_an_export_are_fixed() {
        let order = OrderId::compose(261_122, 1, 7);
        let record = ClearingRecord {
            channel: ChannelId::from_stored("bank"),
            date: BusinessDate::from_yyyymmdd(20_261_122).expect("a date"),
            order,
            channel_order_no: ChannelOrderNo { order, attempt: 2 },
            channel_reference: Some("a,\"b\"".to_owned()),
            movement: Operation::Refund,
            currency: Currency::Cny,
            principal_minor: -100,
            fee_minor: -1,
            net_minor: -99,
            fee_rule: "debit".to_owned(),
            state: ClearingState::Due,
            at: Timestamp::from_millis(1_795_334_400_007),
        };
        assert_eq!(
            String::from_utf8(csv_heading()).expect("text"),
            "channel,date,id,channel_order_no,channel_reference,movement,currency,principal,fee,\
             net,fee_rule,state,at\n"
        );
        assert_eq!(
            String::from_utf8(csv_rows(&[record]).expect("rows")).expect("text"),
            "bank,2026-11-22,2611220010000000007,261122001000000000702,\"a,\"\"b\"\"\",refund,CNY,\
             -100,-1,-99,debit,due,2026-11-22T08:00:00.007Z\n"
        );
        assert_eq!(csv_rows(&[]).expect("no rows"), b"");
    }
}
