//! A layout bound to one file: every word's column as a place among the few that are cut out.

use crate::codec::layout::{COLUMNS_MAX, Column, Layout, StatementProblem};
use crate::domain::attempt::Operation;

/// A place among the columns that are cut out of each line.
pub type Slot = Option<u8>;

/// The words whose column may depend on the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots {
    pub order_no: Slot,
    pub reference: Slot,
    pub amount: Slot,
    pub fee: Slot,
    pub status: Slot,
    pub settlement: Slot,
}

/// What a decoder needs of each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Column numbers from 0, ascending.
    pub wanted: Vec<u16>,
    /// How many columns a line has, where the header says it.
    pub columns: Option<usize>,
    /// By movement.
    pub slots: [Slots; Operation::ALL.len()],
    pub operation: Slot,
    pub currency: Slot,
    pub date: Slot,
    pub sign: Slot,
    pub card_type: Slot,
    pub time: Slot,
    /// The columns that the footer sums.
    pub sums: Vec<Slot>,
    /// The columns that must hold nothing.
    pub empty: Vec<Slot>,
}

impl Plan {
    /// `names` are the header's, in their order.
    pub fn of(layout: &Layout, names: Option<&[String]>) -> Result<Self, StatementProblem> {
        let number = |column: &Column| resolve(column, names);
        let sums = layout.footer.iter().flat_map(|footer| &footer.sums);
        let sums: Vec<u16> = sums.map(|(_, row)| number(row)).collect::<Result<_, _>>()?;
        let empty: Vec<u16> = layout.empty.iter().map(number).collect::<Result<_, _>>()?;
        let time = layout.times.as_ref().map(|times| number(&times.column)).transpose()?;
        let mut wanted: Vec<u16> = layout.columns().map(number).collect::<Result<_, _>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        assert!(wanted.len() <= COLUMNS_MAX, "the reader of layouts bounds their columns");
        let place = |number: u16| {
            wanted.binary_search(&number).ok().and_then(|place| u8::try_from(place).ok())
        };
        let slot = |column: &Option<Column>| match column {
            Some(column) => number(column).map(place),
            None => Ok(None),
        };
        let words = &layout.words;
        let base = Slots {
            order_no: slot(&words.order_no)?,
            reference: slot(&words.reference)?,
            amount: slot(&words.amount)?,
            fee: slot(&words.fee)?,
            status: slot(&words.status)?,
            settlement: slot(&words.settlement)?,
        };
        let mut slots = [base; Operation::ALL.len()];
        for (movement, words) in &layout.variants {
            let own = &mut slots[*movement as usize];
            // A number of their own takes the place of both: the other one is the original's.
            if words.order_no.is_some() || words.reference.is_some() {
                own.order_no = slot(&words.order_no)?;
                own.reference = slot(&words.reference)?;
            }
            own.amount = slot(&words.amount)?.or(own.amount);
            own.fee = slot(&words.fee)?.or(own.fee);
            own.status = slot(&words.status)?.or(own.status);
            own.settlement = slot(&words.settlement)?.or(own.settlement);
        }
        Ok(Self {
            columns: names.map(<[String]>::len),
            slots,
            operation: slot(&words.operation)?,
            currency: slot(&words.currency)?,
            date: slot(&words.date)?,
            sign: slot(&words.sign)?,
            card_type: slot(&words.card_type)?,
            time: time.and_then(place),
            sums: sums.into_iter().map(place).collect(),
            empty: empty.into_iter().map(place).collect(),
            wanted,
        })
    }
}

/// A column's number by its place or its name.
pub fn resolve(column: &Column, names: Option<&[String]>) -> Result<u16, StatementProblem> {
    match column {
        Column::At(number) => Ok(*number),
        Column::Named(name) => {
            let place = names.into_iter().flatten().position(|known| known == name);
            let place = place.and_then(|place| u16::try_from(place).ok());
            place.ok_or_else(|| StatementProblem::NoColumn { name: name.clone() })
        }
    }
}
