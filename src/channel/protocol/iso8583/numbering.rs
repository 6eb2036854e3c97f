//! Trace numbers and terminals: a function of our own number of the attempt, so that it is durable
//! with the attempt (I-1) and needs no row and no counter of its own.
//!
//! Our order numbers are made of the day in UTC, the node, and a sequence that no other order of
//! that day and node has; a restart leaves a gap in it at most. Trace numbers have six digits and
//! come back, so the sequence is cut in pieces of them, one for each terminal.
//!
//! - **POS-P**: a trace number is unique for its terminal in any two days one after the other: days
//!   take turns with the lower and the upper half of the numbers. When a day's sequence has used
//!   up the terminals of its node, further orders are not sent; nothing comes round. A terminal is
//!   good for 499,999 orders a day.
//! - **CUPS**: the centre tells transactions apart by trace number *and* second (field 7), so the
//!   sequence may come round: it takes more orders in one second than a node has trace numbers.
//!   Reversals have the upper half of the numbers to themselves.

use jiff::civil;

use crate::domain::ids::ChannelOrderNo;

use super::Style;

/// Trace numbers in each half of 1 to 999,999.
const HALF: u64 = 499_999;
/// The most nodes that share one institution's numbers: each keeps 24,999, more than its orders in
/// a second.
pub const NODES_MAX: usize = 20;

/// The names of one attempt at the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptNumbers<'n> {
    /// Eight characters at most.
    pub terminal: &'n str,
    /// 1 to 999,999.
    pub trace: u32,
    /// The trace number of its reversal.
    pub reversal_trace: u32,
}

/// Why an attempt has no trace number. It is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberingError {
    #[error("its order was numbered by a node that the channel's file does not list")]
    ForeignNode,
    #[error("the terminals' trace numbers of this day are used up: list more terminals")]
    UsedUp,
    #[error("its order number has no date")]
    NoDate,
}

/// How a channel's attempts get their trace numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    style: Style,
    terminals: Vec<String>,
    nodes: Vec<u16>,
}

impl Numbering {
    /// `nodes` are those of ours that use this channel; POS-P terminals are dealt out to them in
    /// turn. The error is a sentence for whoever wrote the file.
    pub fn new(
        style: Style,
        terminals: Vec<String>,
        nodes: Vec<u16>,
    ) -> Result<Self, &'static str> {
        let repeats = |list: &[String]| list.iter().enumerate().any(|(i, t)| list[..i].contains(t));
        if terminals.is_empty() || nodes.is_empty() {
            return Err("at least one terminal and one node are needed");
        }
        if terminals.iter().any(|terminal| terminal.len() != 8) || repeats(&terminals) {
            return Err("terminals are eight characters, and each is listed once");
        }
        if nodes.iter().enumerate().any(|(i, node)| nodes[..i].contains(node)) {
            return Err("a node is listed twice");
        }
        match style {
            Style::Posp if terminals.len() < nodes.len() => Err("each node needs a terminal"),
            Style::Cups if nodes.len() > NODES_MAX => Err("at most 20 nodes share an institution"),
            Style::Posp | Style::Cups => Ok(Self { style, terminals, nodes }),
        }
    }

    pub fn nodes(&self) -> &[u16] {
        &self.nodes
    }

    pub fn terminals(&self) -> &[String] {
        &self.terminals
    }

    /// The same answer for the same number, always.
    pub fn of(&self, number: ChannelOrderNo) -> Result<AttemptNumbers<'_>, NumberingError> {
        let whole = number.order.as_u64();
        let sequence = whole % 10_000_000_000;
        let node = whole / 10_000_000_000 % 1_000;
        let date = whole / 10_000_000_000_000;
        let place = self.nodes.iter().position(|known| u64::from(*known) == node);
        let place = place.ok_or(NumberingError::ForeignNode)?;
        match self.style {
            Style::Posp => {
                let lower = (day_number(date)? % 2) as u64 * HALF;
                let round = usize::try_from(sequence / HALF).map_err(|_| NumberingError::UsedUp)?;
                let mut own = self.terminals.iter().skip(place).step_by(self.nodes.len());
                let terminal = own.nth(round).ok_or(NumberingError::UsedUp)?;
                let trace = (lower + 1 + sequence % HALF) as u32;
                Ok(AttemptNumbers { terminal, trace, reversal_trace: trace })
            }
            Style::Cups => {
                let share = HALF / self.nodes.len() as u64;
                let trace = (1 + place as u64 * share + sequence % share) as u32;
                let terminal = &self.terminals[sequence as usize % self.terminals.len()];
                Ok(AttemptNumbers { terminal, trace, reversal_trace: trace + HALF as u32 })
            }
        }
    }
}

/// Days since the first of the year 2000.
fn day_number(yymmdd: u64) -> Result<i32, NumberingError> {
    let part = |place: u64| i16::try_from(yymmdd / place % 100).unwrap_or(0);
    let (year, month, day) = (2_000 + part(10_000), part(100) as i8, part(1) as i8);
    let date = civil::Date::new(year, month, day).map_err(|_| NumberingError::NoDate)?;
    let since = date.since(civil::date(2000, 1, 1)).map_err(|_| NumberingError::NoDate)?;
    Ok(since.get_days())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::ids::OrderId;

    fn number(date: u32, node: u16, sequence: u64) -> ChannelOrderNo {
        ChannelOrderNo { order: OrderId::compose(date, node, sequence), attempt: 1 }
    }

    fn numbering(style: Style, terminals: usize, nodes: &[u16]) -> Numbering {
        let terminals = (0..terminals).map(|one| format!("T{one:07}")).collect();
        Numbering::new(style, terminals, nodes.to_vec()).expect("sound")
    }

    #[test]
    fn i_1_no_terminal_has_a_trace_number_twice_in_two_days() {
        let numbering = numbering(Style::Posp, 4, &[1, 7]);
        let mut seen = BTreeSet::new();
        // Around the ends of each piece, on two days over a year's end and for both nodes.
        let around = |edge: u64| edge.saturating_sub(50)..edge + 50;
        let sequences: BTreeSet<u64> = (0..=2).flat_map(|round| around(round * HALF)).collect();
        for (date, node) in [(261_231, 1), (261_231, 7), (270_101, 1), (270_101, 7)] {
            for sequence in &sequences {
                match numbering.of(number(date, node, *sequence)) {
                    Ok(found) => {
                        assert!((1..=999_999).contains(&found.trace));
                        assert_eq!(found.trace, found.reversal_trace);
                        let name = (found.terminal.to_owned(), found.trace);
                        assert!(seen.insert(name), "{date} {node} {sequence}");
                    }
                    Err(error) => {
                        assert_eq!(error, NumberingError::UsedUp);
                        assert!(*sequence >= 2 * HALF);
                    }
                }
            }
        }
        assert!(numbering.of(number(261_231, 2, 1)) == Err(NumberingError::ForeignNode));
    }

    #[test]
    fn a_centre_tells_orders_of_one_second_apart() {
        let numbering = numbering(Style::Cups, 1, &[1, 2, 3]);
        let mut seen = BTreeSet::new();
        for node in [1, 2, 3] {
            for sequence in 4_000_000_000..4_000_020_000 {
                let found = numbering.of(number(261_122, node, sequence)).expect("a number");
                assert!(seen.insert(found.trace) && seen.insert(found.reversal_trace));
                assert!((1..=999_999).contains(&found.reversal_trace));
            }
        }
    }

    #[test]
    fn what_cannot_be_dealt_out_is_refused() {
        let terminals = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        for (list, nodes) in [
            (&[][..], &[1][..]),
            (&["12345678"][..], &[][..]),
            (&["1234567"][..], &[1][..]),
            (&["12345678", "12345678"][..], &[1][..]),
            (&["12345678"][..], &[1, 2][..]),
            (&["12345678", "87654321"][..], &[1, 1][..]),
        ] {
            assert!(Numbering::new(Style::Posp, terminals(list), nodes.to_vec()).is_err());
        }
        let many: Vec<u16> = (0..21).collect();
        assert!(Numbering::new(Style::Cups, terminals(&["12345678"]), many).is_err());
    }
}
