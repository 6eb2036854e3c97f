//! Both sides of one date with differences planted in them: records for a store, and a statement.
//!
//! A row follows from its place alone, so that no side is held in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use switchyard::domain::attempt::Operation;
use switchyard::domain::books::clearing::{ClearingRecord, ClearingState};
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::ids::{ChannelOrderNo, OrderId};
use switchyard::domain::money::Currency;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::Store;
use switchyard::store::embedded::EmbeddedStore;

use crate::office::{Line, channel, date};
use crate::support::books;

pub const DAY: u32 = 20;
const SEED: u64 = 20_261_120;
/// Records that one commit writes.
const COMMITTED_AT_ONCE: u64 = 400;
/// One row in a thousand for each class.
const PLANTED_EVERY: usize = 1_000;
/// What books and a statement of one date can differ in. Books never have a record twice.
const CLASSES: [Class; 9] = [
    Class::MatchedWeak,
    Class::AmountOver,
    Class::AmountShort,
    Class::FeeDiffers,
    Class::StatusDiffers,
    Class::CurrencyDiffers,
    Class::OnlyTheirs,
    Class::OnlyOurs,
    Class::DuplicateTheirs,
];

/// One movement of the day, as both sides should have it.
pub struct Row {
    pub number: ChannelOrderNo,
    pub class: Class,
    movement: Operation,
    amount: i64,
    fee: i64,
}

impl Row {
    pub fn of(place: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED.wrapping_add(place));
        let class = CLASSES.get(random.usize(..PLANTED_EVERY)).copied();
        let movement = if random.u8(..37) == 0 { Operation::Refund } else { Operation::Payment };
        let amount = random.i64(2_000..5_000_000);
        let order = OrderId::compose(261_120, 1, place + 1);
        let sign = movement.sign();
        Self {
            number: ChannelOrderNo { order, attempt: 1 },
            class: class.unwrap_or(Class::Matched),
            movement,
            amount: sign * amount,
            fee: sign * (amount * 6_000 + 500_000) / 1_000_000,
        }
    }

    fn record(&self) -> ClearingRecord {
        ClearingRecord {
            channel: channel(),
            date: date(DAY),
            order: self.number.order,
            channel_order_no: self.number,
            channel_reference: Some(format!("R{}", self.number)),
            movement: self.movement,
            currency: Currency::Cny,
            principal_minor: self.amount,
            fee_minor: self.fee,
            net_minor: self.amount - self.fee,
            fee_rule: "standard".to_owned(),
            state: ClearingState::Due,
            at: books::moment(-52 * 3_600_000),
        }
    }

    /// The statement's lines of it: one, unless its class says otherwise.
    fn lines(&self) -> Vec<Line> {
        let mut line = Line {
            order_no: self.number.to_string(),
            reference: format!("R{}", self.number),
            operation: self.movement.name(),
            amount: self.amount,
            fee: self.fee,
            currency: "CNY",
            status: "succeeded",
            date: date(DAY),
        };
        match self.class {
            Class::MatchedWeak => line.order_no.clear(),
            Class::AmountOver => line.amount += 1,
            Class::AmountShort => line.amount -= 1,
            Class::FeeDiffers => line.fee += 1,
            Class::StatusDiffers => line.status = "failed",
            Class::CurrencyDiffers => line.currency = "HKD",
            Class::OnlyOurs => return Vec::new(),
            Class::DuplicateTheirs => return vec![line.clone(), line],
            _ => {}
        }
        vec![line]
    }
}

pub async fn fill(store: &EmbeddedStore, rows: u64) {
    let mut place = 0;
    while place < rows {
        let end = rows.min(place + COMMITTED_AT_ONCE);
        let ours = (place..end).map(Row::of).filter(|row| row.class != Class::OnlyTheirs);
        let clearing = ours.map(|row| row.record()).collect();
        store
            .commit(&WriteSet { clearing, ..WriteSet::default() })
            .await
            .expect("a commit of records");
        place = end;
    }
}

/// The statement, in an order of its own; the row at `changed` is said to have brought more.
pub fn write_statement(path: &Path, rows: u64, changed: Option<u64>) -> io::Result<()> {
    let mut order: Vec<u64> = (0..rows).collect();
    fastrand::Rng::with_seed(SEED).shuffle(&mut order);
    let mut out = BufWriter::with_capacity(1 << 18, File::create(path)?);
    writeln!(out, "order_no,reference,operation,amount,fee,currency,status,settle_date")?;
    let (mut count, mut amounts, mut fees) = (0, 0, 0);
    for place in order {
        let mut row = Row::of(place);
        if changed == Some(place) {
            row.class = Class::AmountOver;
        }
        for line in row.lines() {
            let Line { order_no, reference, operation, amount, fee, currency, status, date } = line;
            writeln!(
                out,
                "{order_no},{reference},{operation},{amount},{fee},{currency},{status},{date}"
            )?;
            (count, amounts, fees) = (count + 1, amounts + amount, fees + fee);
        }
    }
    writeln!(out, "TOTAL,{count},{amounts},{fees}")?;
    out.flush()
}

/// What the books must come to say: each planted row's class by its number.
pub fn planted(rows: u64) -> BTreeMap<String, Class> {
    let rows = (0..rows).map(Row::of).filter(|row| row.class != Class::Matched);
    rows.map(|row| (row.number.to_string(), row.class)).collect()
}
