//! What a run tells, owned, and the names that lines are known by.

use std::collections::HashMap;

use crate::codec::crypto::digest::Digest;
use crate::domain::books::difference::{LineSide, RecordSide};
use crate::domain::books::reconcile::{Class, Item, Key};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::BusinessDate;
use crate::reconcile::{Difference, Text};

/// Characters that are kept of a line's numbers.
const NUMBER_LENGTH_MAX: usize = 128;

/// One verdict as the engine tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub class: Class,
    pub key: Key,
    pub line: Option<ToldSide>,
    /// A line that cannot be read: its place, why, and its text.
    pub bad: Option<(u32, String, String)>,
    pub record: Option<ToldSide>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldSide {
    pub line: u32,
    pub order_no: String,
    pub reference: String,
    pub item: Item,
    /// The amount that is written, which for a failure is not what moved.
    pub written_minor: i64,
}

impl ToldSide {
    /// What it says with the amount that is written on it.
    pub fn as_written(&self) -> Item {
        Item { amount_minor: self.written_minor, ..self.item }
    }
}

impl Told {
    pub fn of(difference: &Difference<'_>) -> Self {
        let side = |text: &Text<'_>| ToldSide {
            line: text.line,
            order_no: text.order_no.chars().take(NUMBER_LENGTH_MAX).collect(),
            reference: text.reference.chars().take(NUMBER_LENGTH_MAX).collect(),
            item: text.item,
            written_minor: text.written_minor,
        };
        let bad = difference.bad.as_ref();
        Self {
            class: difference.class,
            key: difference.key,
            line: difference.line.as_ref().map(side),
            bad: bad.map(|(line, problem, text)| (*line, problem.to_string(), text.clone())),
            record: difference.record.as_ref().map(side),
        }
    }

    /// Our side as the books know it; `None` if there is none.
    pub fn record_side(&self, statement: BusinessDate) -> Option<RecordSide> {
        let told = self.record.as_ref()?;
        let reference = Some(&told.reference).filter(|reference| !reference.is_empty());
        Some(RecordSide {
            date: told.item.date.unwrap_or(statement),
            channel_order_no: ChannelOrderNo::parse(&told.order_no)?,
            reference: reference.cloned(),
            item: told.item,
        })
    }
}

/// Gives lines their digests: equal ones are told apart by their order.
#[derive(Debug, Default)]
pub struct Digests {
    seen: HashMap<[u8; 16], u32>,
}

impl Digests {
    /// The statement's side as the books know it; `None` if there is none.
    pub fn line_side(&mut self, told: &Told, statement: BusinessDate) -> Option<LineSide> {
        if let Some((line, problem, text)) = &told.bad {
            return Some(LineSide {
                date: statement,
                digest: self.next(&[b"unreadable", text.as_bytes()]),
                line: *line,
                order_no: String::new(),
                reference: String::new(),
                item: None,
                unreadable: Some((problem.clone(), text.clone())),
            });
        }
        let side = told.line.as_ref()?;
        let item = &side.item;
        let fee = item.fee_minor.map(|fee| fee.to_string()).unwrap_or_default();
        let digest = self.next(&[
            side.order_no.as_bytes(),
            side.reference.as_bytes(),
            item.movement.name().as_bytes(),
            item.status.name().as_bytes(),
            item.currency.code().as_bytes(),
            item.amount_minor.to_string().as_bytes(),
            fee.as_bytes(),
        ]);
        Some(LineSide {
            date: statement,
            digest,
            line: side.line,
            order_no: side.order_no.clone(),
            reference: side.reference.clone(),
            item: Some(*item),
            unreadable: None,
        })
    }

    fn next(&mut self, words: &[&[u8]]) -> [u8; 16] {
        let said = digest(words, 0);
        let before = self.seen.entry(said).or_default();
        *before += 1;
        if *before == 1 { said } else { digest(words, *before) }
    }
}

/// The first half of the SHA-256 of the words, each with its length before it.
fn digest(words: &[&[u8]], number: u32) -> [u8; 16] {
    let lengths: Vec<[u8; 8]> =
        words.iter().map(|word| (word.len() as u64).to_le_bytes()).collect();
    let number = number.to_le_bytes();
    let mut pieces: Vec<&[u8]> = vec![&number];
    for (word, length) in words.iter().zip(&lengths) {
        pieces.extend([&length[..], word]);
    }
    let whole = Digest::Sha256.of(&pieces);
    *whole.first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::books::Movement;
    use crate::domain::books::reconcile::Status;
    use crate::domain::money::Currency;

    fn told(order_no: &str, line: u32, amount_minor: i64) -> Told {
        let item = Item {
            movement: Movement::Payment,
            amount_minor,
            fee_minor: None,
            currency: Currency::Cny,
            status: Status::Succeeded,
            date: None,
        };
        let (order_no, reference) = (order_no.to_owned(), String::new());
        let side = ToldSide { line, order_no, reference, item, written_minor: amount_minor };
        let (class, key) = (Class::OnlyTheirs, Key::OrderNo);
        Told { class, key, line: Some(side), bad: None, record: None }
    }

    #[test]
    fn a_line_is_known_by_what_it_says_wherever_it_stands() {
        let date = BusinessDate::parse("2026-11-20").expect("a date");
        let of = |rows: &[Told]| -> Vec<[u8; 16]> {
            let mut digests = Digests::default();
            rows.iter().map(|row| digests.line_side(row, date).expect("a line").digest).collect()
        };
        let one = of(&[told("a", 1, 5), told("a", 2, 5), told("b", 3, 5), told("a", 4, 6)]);
        let other = of(&[told("b", 9, 5), told("a", 10, 5), told("a", 11, 5)]);
        assert_eq!(other, [one[2], one[0], one[1]]);
        let mut all = one.clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), one.len());
        assert_ne!(digest(&[b"ab", b"c"], 0), digest(&[b"a", b"bc"], 0));
    }
}
