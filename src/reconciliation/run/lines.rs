//! Both sides of a verdict as the books know them, and the names that lines are known by.

use std::collections::HashMap;

use crate::codec::crypto::digest::Digest;
use crate::domain::books::difference::{LineSide, RecordSide};
use crate::domain::books::reconcile::Side;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::BusinessDate;

/// Characters that are kept of a line's numbers.
const NUMBER_LENGTH_MAX: usize = 128;

/// A side with no more of its numbers than the books keep.
pub fn shortened(mut side: Side) -> Side {
    for number in [&mut side.order_no, &mut side.reference] {
        if let Some((end, _)) = number.char_indices().nth(NUMBER_LENGTH_MAX) {
            number.truncate(end);
        }
    }
    side
}

/// Our side of a verdict as the books know it; `None` if its number is none of ours.
pub fn record_side(side: Side, statement: BusinessDate) -> Option<RecordSide> {
    let item = side.item?;
    Some(RecordSide {
        date: item.date.unwrap_or(statement),
        channel_order_no: ChannelOrderNo::parse(&side.order_no)?,
        reference: Some(side.reference).filter(|reference| !reference.is_empty()),
        item,
    })
}

/// Gives lines their digests: equal ones are told apart by their order.
#[derive(Debug, Default)]
pub struct Digests {
    seen: HashMap<[u8; 16], u32>,
}

impl Digests {
    /// The statement's side of a verdict as the books know it.
    pub fn line_side(&mut self, side: Side, statement: BusinessDate) -> LineSide {
        let Side { line, order_no, reference, item, unreadable } = side;
        let digest = match (&item, &unreadable) {
            (Some(item), _) => {
                let fee = item.fee_minor.map(|fee| fee.to_string()).unwrap_or_default();
                self.next(&[
                    order_no.as_bytes(),
                    reference.as_bytes(),
                    item.movement.name().as_bytes(),
                    item.status.name().as_bytes(),
                    item.currency.name().as_bytes(),
                    item.amount_minor.to_string().as_bytes(),
                    fee.as_bytes(),
                ])
            }
            (None, unreadable) => {
                let text = unreadable.as_ref().map_or("", |(_, text)| text);
                self.next(&[b"unreadable", text.as_bytes()])
            }
        };
        LineSide { date: statement, digest, line, order_no, reference, item, unreadable }
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
    use crate::domain::attempt::Operation;
    use crate::domain::books::reconcile::{Item, Status};
    use crate::domain::money::Currency;

    fn side(order_no: &str, line: u32, amount_minor: i64) -> Side {
        let item = Item {
            movement: Operation::Payment,
            amount_minor,
            fee_minor: None,
            currency: Currency::Cny,
            status: Status::Succeeded,
            date: None,
        };
        let (order_no, reference) = (order_no.to_owned(), String::new());
        Side { line, order_no, reference, item: Some(item), unreadable: None }
    }

    #[test]
    fn a_line_is_known_by_what_it_says_wherever_it_stands() {
        let date = BusinessDate::parse("2026-11-20").expect("a date");
        let of = |rows: &[Side]| -> Vec<[u8; 16]> {
            let mut digests = Digests::default();
            rows.iter().map(|row| digests.line_side(row.clone(), date).digest).collect()
        };
        let one = of(&[side("a", 1, 5), side("a", 2, 5), side("b", 3, 5), side("a", 4, 6)]);
        let other = of(&[side("b", 9, 5), side("a", 10, 5), side("a", 11, 5)]);
        assert_eq!(other, [one[2], one[0], one[1]]);
        let mut all = one.clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), one.len());
        assert_ne!(digest(&[b"ab", b"c"], 0), digest(&[b"a", b"bc"], 0));
    }
}
