//! The ledger for tests and operators: entries in order, sums, and contradictions.
//!
//! A plain value that shares nothing with the running simulator. Holds no whole card number (I-11).

use std::collections::BTreeMap;

use crate::domain::ids::ORDER_ID_DIGITS;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Charge,
    /// Takes back a whole charge or capture of the same clearing day, or an authorisation.
    Undo,
    /// Gives back a part or the rest of a charge or capture.
    Refund,
    /// Holds an amount, and moves nothing.
    Preauth,
    /// Takes what an authorisation holds.
    Capture,
    /// Pays money out to a card.
    Payout,
}

/// The state of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    Working,
    Approved,
    Declined,
    /// Taken back under its own number.
    Reversed,
    /// Approved, and then taken back by an undo with its own number.
    Undone,
}

/// One operation, as the channel has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LedgerEntry {
    pub order_no: String,
    pub kind: EntryKind,
    pub state: EntryState,
    pub amount_minor: i64,
    /// Three letters.
    pub currency: &'static str,
    /// The dialect's code of the result; while working, of the result to come.
    pub code: &'static str,
    /// The product that it is of, in the channel's words; empty where it has none.
    pub product: &'static str,
    /// First six and last four digits.
    pub card: Option<String>,
    /// For an undo, a refund or a capture, the number of its original.
    pub original: Option<String>,
    /// The number of the undo that took this entry back.
    pub undone_by: Option<String>,
    /// The channel's running number, from 1, in the order of processing.
    pub trace: u64,
    /// How often this number was requested.
    pub requests: u32,
    pub received_at_ms: i64,
    pub changed_at_ms: i64,
    /// `YYYY-MM-DD`, by the channel's cut, in Beijing.
    pub settle_date: String,
    /// The same date of the reversal that took a success back; an attempt that was still being
    /// worked on never became a success.
    pub reversed_on: Option<String>,
    pub fee_minor: i64,
    /// The refunded part of a charge or capture; the captured part of an authorisation.
    pub used_minor: i64,
    /// Whether a well-signed notice said the opposite of this entry.
    pub contradicted: bool,
}

impl LedgerEntry {
    /// The key of all attempts of one order: the first 19 digits of a number that has 21 of
    /// them, else the whole number.
    pub fn order_prefix(&self) -> &str {
        let digits_only = self.order_no.bytes().all(|byte| byte.is_ascii_digit());
        if digits_only && self.order_no.len() == ORDER_ID_DIGITS + 2 {
            &self.order_no[..ORDER_ID_DIGITS]
        } else {
            &self.order_no
        }
    }

    /// Whether this kind of entry takes money from the cardholder.
    fn takes(&self) -> bool {
        match self.kind {
            EntryKind::Charge | EntryKind::Capture => true,
            EntryKind::Undo | EntryKind::Refund | EntryKind::Preauth | EntryKind::Payout => false,
        }
    }

    /// Whether this entry has taken money at some time, even if nothing of it is left now.
    pub(in crate::simulator) fn took_money(&self) -> bool {
        let succeeded = match self.state {
            EntryState::Approved | EntryState::Undone => true,
            EntryState::Reversed => self.reversed_on.is_some(),
            EntryState::Working | EntryState::Declined => false,
        };
        self.takes() && succeeded
    }

    /// Whether the cardholder is charged by this entry and will stay so.
    fn charges(&self) -> bool {
        self.takes() && self.state == EntryState::Approved
    }
}

/// All entries, sorted by order number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSnapshot {
    entries: Vec<LedgerEntry>,
}

impl LedgerSnapshot {
    pub(super) fn of(mut entries: Vec<LedgerEntry>) -> Self {
        entries.sort_by(|left, right| left.order_no.cmp(&right.order_no));
        Self { entries }
    }

    /// The same entries under other numbers, for a dialect with numbers of its own.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> Self {
        let entries = self.entries.iter().map(|entry| LedgerEntry {
            order_no: name(&entry.order_no),
            original: entry.original.as_deref().map(&name),
            undone_by: entry.undone_by.as_deref().map(&name),
            ..entry.clone()
        });
        Self::of(entries.collect())
    }

    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    pub fn get(&self, order_no: &str) -> Option<&LedgerEntry> {
        let place = self.entries.binary_search_by(|entry| entry.order_no.as_str().cmp(order_no));
        place.ok().map(|place| &self.entries[place])
    }

    /// The amount that each order took from its cardholder in the end, by order prefix: the
    /// approved charges and captures that were neither reversed nor undone, less their refunds. An
    /// order that took nothing has 0; work that is not finished counts nothing.
    pub fn net_minor(&self) -> BTreeMap<&str, i64> {
        let mut net = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.takes()) {
            let stays = entry.amount_minor - entry.used_minor;
            let charged = if entry.charges() { stays } else { 0 };
            *net.entry(entry.order_prefix()).or_insert(0) += charged;
        }
        net
    }

    /// The charges of each order, by order prefix: more than one is an order that was tried again
    /// under another number, which is right only where the others took nothing.
    pub fn charges_by_order(&self) -> BTreeMap<&str, Vec<&LedgerEntry>> {
        let mut charges: BTreeMap<&str, Vec<&LedgerEntry>> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.kind == EntryKind::Charge) {
            charges.entry(entry.order_prefix()).or_default().push(entry);
        }
        charges
    }

    /// Order prefixes under which more than one charge stands. There must never be one.
    pub fn charged_twice(&self) -> Vec<&str> {
        let mut standing: BTreeMap<&str, u32> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.charges()) {
            *standing.entry(entry.order_prefix()).or_insert(0) += 1;
        }
        standing.into_iter().filter(|(_, times)| *times > 1).map(|(prefix, _)| prefix).collect()
    }

    /// How many entries are in this state.
    pub fn count(&self, state: EntryState) -> usize {
        self.entries.iter().filter(|entry| entry.state == state).count()
    }

    /// One JSON object a line.
    pub fn json_lines(&self) -> String {
        let mut lines = String::new();
        for entry in &self.entries {
            let line = serde_json::to_string(entry).expect("plain fields always encode");
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }

    /// Counts and sums as one JSON object.
    pub fn summary(&self) -> serde_json::Value {
        let charges = || self.entries.iter().filter(|entry| entry.charges());
        let repeated = self.entries.iter().filter(|entry| entry.requests > 1).count();
        let contradicted = self.entries.iter().filter(|entry| entry.contradicted).count();
        serde_json::json!({
            "entries": self.entries.len(),
            "working": self.count(EntryState::Working),
            "approved": self.count(EntryState::Approved),
            "declined": self.count(EntryState::Declined),
            "reversed": self.count(EntryState::Reversed),
            "undone": self.count(EntryState::Undone),
            "charged_minor": charges().map(|entry| entry.amount_minor).sum::<i64>(),
            "refunded_minor": charges().map(|entry| entry.used_minor).sum::<i64>(),
            "fees_minor": charges().map(|entry| entry.fee_minor).sum::<i64>(),
            "requested_more_than_once": repeated,
            "contradicted": contradicted,
            "charged_twice": self.charged_twice(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(order_no: &str, state: EntryState) -> LedgerEntry {
        LedgerEntry {
            order_no: order_no.to_owned(),
            kind: EntryKind::Charge,
            state,
            amount_minor: 100,
            currency: "CNY",
            code: "00",
            product: "",
            card: None,
            original: None,
            undone_by: None,
            trace: 1,
            requests: 1,
            received_at_ms: 0,
            changed_at_ms: 0,
            settle_date: "2026-11-22".to_owned(),
            reversed_on: None,
            fee_minor: 1,
            used_minor: 0,
            contradicted: false,
        }
    }

    #[test]
    fn two_numbers_of_one_order_that_both_stand_are_a_double_charge() {
        let first = "261122001000000000901";
        let second = "261122001000000000902";
        let other = "261122001000000001001";
        let both = LedgerSnapshot::of(vec![
            entry(second, EntryState::Approved),
            entry(first, EntryState::Approved),
            entry(other, EntryState::Approved),
        ]);
        assert_eq!(both.charged_twice(), ["2611220010000000009"]);
        assert_eq!(both.net_minor()["2611220010000000009"], 200);
        assert_eq!(both.charges_by_order()["2611220010000000009"].len(), 2);
        assert_eq!(both.entries()[0].order_no, first);
        let one = LedgerSnapshot::of(vec![
            entry(first, EntryState::Reversed),
            entry(second, EntryState::Approved),
            entry(other, EntryState::Undone),
        ]);
        assert!(one.charged_twice().is_empty());
        assert_eq!(one.net_minor()["2611220010000000009"], 100);
        assert_eq!(one.net_minor()["2611220010000000010"], 0);
    }

    #[test]
    fn a_foreign_number_stands_for_itself() {
        assert_eq!(entry("A-1", EntryState::Approved).order_prefix(), "A-1");
    }

    #[test]
    fn the_report_is_json() {
        let snapshot = LedgerSnapshot::of(vec![entry("1", EntryState::Approved)]);
        let line = snapshot.json_lines();
        let read: serde_json::Value = serde_json::from_str(line.trim()).expect("one object");
        assert_eq!(read["state"], "approved");
        assert_eq!(snapshot.summary()["charged_minor"], 100);
        assert!(snapshot.get("1").is_some() && snapshot.get("2").is_none());
    }
}
