//! Rows that the books keep beside orders, numbered by the test.

use switchyard::domain::attempt::Operation;
use switchyard::domain::books::clearing::ClearingTotals;
use switchyard::domain::books::day_close::DayClose;
use switchyard::domain::books::difference::{
    Difference, DifferenceEvent, DifferenceState, LineSide, RecordSide,
};
use switchyard::domain::books::reconcile::{Class, Item, MatchKey, Status};
use switchyard::domain::books::reconciliation::{BatchReport, BatchState, Reconciliation};
use switchyard::domain::books::settlement::{
    BankReceipt, ChannelSettlement, SettledAmounts, SettledDate, SettlementState,
};
use switchyard::domain::books::statement::{StatementOrigin, StatementRevision};
use switchyard::domain::ids::{
    BatchId, ChannelId, ChannelOrderNo, DifferenceId, OrderId, SettlementId,
};
use switchyard::domain::money::Currency;
use switchyard::domain::time::BusinessDate;
use switchyard::domain::write_set::{FoundDifference, WriteSet};

use crate::support::books::{channel, id, moment};

/// A day of November 2026.
pub fn day(day: u32) -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_100 + day).expect("a date")
}

/// A channel whose name begins with that of the others.
pub fn neighbour() -> ChannelId {
    ChannelId::from_stored("unionpay2")
}

/// What the test calls a number of ours.
pub fn sequence(number: OrderId) -> u64 {
    number.as_u64() - id(0).as_u64()
}

pub fn batch_id(sequence: u64) -> BatchId {
    BatchId::of(id(sequence))
}

pub fn difference_id(sequence: u64) -> DifferenceId {
    DifferenceId::of(id(sequence))
}

pub fn settlement_id(sequence: u64) -> SettlementId {
    SettlementId::of(id(sequence))
}

pub fn close(channel: ChannelId, date: BusinessDate) -> DayClose {
    let totals = ClearingTotals { records: 1, principal_minor: 9, fee_minor: 2, net_minor: 7 };
    DayClose {
        channel,
        date,
        totals: vec![(Currency::Cny, totals)],
        sha256: [7; 32],
        by: "ann".to_owned(),
        at: moment(0),
    }
}

pub fn statement(date: BusinessDate, revision: u16) -> StatementRevision {
    StatementRevision {
        channel: channel(),
        date,
        revision,
        sha256: [u8::try_from(revision % 256).expect("a byte"); 32],
        name: "lines.txt".to_owned(),
        bytes: 1_000,
        origin: StatementOrigin::Upload,
        by: "ann".to_owned(),
        at: moment(0),
    }
}

/// The first version of a batch that has begun.
pub fn reconciliation(sequence: u64, channel: ChannelId, date: BusinessDate) -> Reconciliation {
    Reconciliation {
        id: batch_id(sequence),
        version: 1,
        channel,
        date,
        revision: 1,
        state: BatchState::Running,
        by: "ann".to_owned(),
        started_at: moment(0),
        finished_at: None,
        reason: None,
        report: BatchReport::default(),
    }
}

/// The batch's next version.
pub fn ended(batch: &Reconciliation, state: BatchState) -> Reconciliation {
    Reconciliation { version: batch.version + 1, state, ..batch.clone() }
}

pub fn item() -> Item {
    Item {
        movement: Operation::Payment,
        amount_minor: 12_345,
        fee_minor: None,
        currency: Currency::Cny,
        status: Status::Succeeded,
        date: None,
    }
}

pub fn digest(number: u8) -> [u8; 16] {
    [number; 16]
}

pub fn line(date: BusinessDate, number: u8) -> LineSide {
    LineSide {
        date,
        digest: digest(number),
        line: u32::from(number),
        order_no: String::new(),
        reference: "Q7".to_owned(),
        item: Some(item()),
        unreadable: None,
    }
}

pub fn number(sequence: u64) -> ChannelOrderNo {
    ChannelOrderNo { order: id(sequence), attempt: 1 }
}

pub fn record(date: BusinessDate, sequence: u64) -> RecordSide {
    RecordSide { date, channel_order_no: number(sequence), reference: None, item: item() }
}

/// The first version of a difference that waits, with neither side.
pub fn difference(sequence: u64) -> Difference {
    Difference {
        id: difference_id(sequence),
        version: 1,
        channel: channel(),
        class: Class::OnlyTheirs,
        key: MatchKey::OrderNo,
        line: None,
        record: None,
        state: DifferenceState::Carried,
        found_by: batch_id(1),
        changed_by: batch_id(1),
        opened_at: moment(0),
        due_at: Some(moment(100)),
        held: Vec::new(),
        accounting_sequence: 0,
        remedy: None,
        history: vec![DifferenceEvent { at: moment(0), what: "found".to_owned() }],
    }
}

/// The difference's next version.
pub fn changed(difference: &Difference) -> Difference {
    Difference { version: difference.version + 1, ..difference.clone() }
}

pub fn differences(differences: &[Difference]) -> WriteSet {
    WriteSet { differences: differences.to_vec(), ..WriteSet::default() }
}

pub fn found(batch: u64, ordinal: u32, class: Class, difference: u64) -> FoundDifference {
    let (batch, difference) = (batch_id(batch), difference_id(difference));
    FoundDifference { batch, ordinal, class, difference }
}

pub fn receipt(bank_reference: &str) -> BankReceipt {
    BankReceipt {
        bank_reference: bank_reference.to_owned(),
        received_minor: 7,
        received_on: day(24),
        at: moment(0),
        by: "ann".to_owned(),
    }
}

/// The first version of a settlement.
pub fn settlement(sequence: u64, channel: ChannelId, references: &[&str]) -> ChannelSettlement {
    ChannelSettlement {
        id: settlement_id(sequence),
        version: 1,
        channel,
        from: day(22),
        to: day(23),
        currency: Currency::Cny,
        receipts: references.iter().map(|reference| receipt(reference)).collect(),
        expected: SettledAmounts { principal_minor: 9, fee_minor: 2, net_minor: 7 },
        state: SettlementState::Differs,
        reasons: vec!["too little".to_owned()],
        opened_at: moment(0),
        agreed_at: None,
        accounting_sequence: 0,
    }
}

pub fn settled(date: BusinessDate, currency: Currency, version: u32) -> SettledDate {
    SettledDate {
        version,
        channel: channel(),
        date,
        currency,
        settled: SettledAmounts { principal_minor: i64::from(version), fee_minor: 0, net_minor: 1 },
        by: settlement_id(1),
    }
}
