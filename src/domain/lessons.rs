//! What orders and differences teach of the BIN table, one by one and counted.
//!
//! Evidence of one order proves little: a channel errs, and a card is mistyped. So it takes several
//! orders, of several cards where a channel has refused them, before a person is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::attempt::{Attempt, AttemptState, Evidence, Source};
use crate::domain::bin::proposal::{
    BinEvidence, BinEvidenceSource, BinFact, EVIDENCE_MAX, TOLD_CHARACTERS_MAX,
};
use crate::domain::bin::{Bin, BinRow, CardType};
use crate::domain::books::difference::Difference;
use crate::domain::books::reconcile::Class;
use crate::domain::fee::{FeeSchedule, FeeSubject};
use crate::domain::order::{Order, OrderKind};
use crate::domain::outcome::{Outcome, Reason};
use crate::domain::time::Timestamp;

/// Orders whose fees, or whose channels' words, must say the same of a row's cards.
pub const ORDERS_MIN: usize = 3;
/// Cards of a row that must have been refused as cards that there are not, with none taken.
pub const REFUSED_CARDS_MIN: usize = 10;
/// The refused cards that are kept of a row: more say no more.
const REFUSED_CARDS_MAX: usize = 16;
/// The rows that a tally keeps: some megabytes with their evidence.
const ROWS_MAX: usize = 2_048;

/// The row of the table that an order's card had.
pub fn row_of(order: &Order) -> Option<&Arc<BinRow>> {
    order.instruction.card()?.row.as_ref()
}

/// What the fee in a statement says of a card's type: the statement charges what was agreed for
/// another type than the table's, to the last minor unit. Where several types have that fee, it is
/// said of the first of credit, debit, prepaid and quasi-credit, and the evidence names them all.
///
/// `fees` are those that the order was accepted under.
pub fn of_fee(
    difference: &Difference,
    order: &Order,
    fees: &FeeSchedule,
    now: Timestamp,
) -> Option<(BinFact, BinEvidence)> {
    let (line, record) = (difference.line.as_ref()?.item?, difference.record.as_ref()?);
    let row = row_of(order)?;
    let is_charge = record.item.movement.fee_sign() > 0;
    if difference.class != Class::FeeDiffers || !is_charge {
        return None;
    }
    let (charged, booked) = (line.fee_minor?, record.item.fee_minor?);
    let agreed = |card_type: CardType| {
        let subject = FeeSubject {
            card_type: Some(card_type),
            category: order.instruction.merchant_category,
            amount_minor: order.instruction.amount.get(),
            date: record.date,
            is_payout: order.instruction.kind == OrderKind::Payout,
        };
        fees.fee(&subject).minor
    };
    // Where the books have another fee than today's reading of the terms, nothing is compared.
    if agreed(row.card_type) != booked {
        return None;
    }
    let types = [CardType::Credit, CardType::Debit, CardType::Prepaid, CardType::QuasiCredit];
    let fitting: Vec<CardType> = types.into_iter().filter(|one| agreed(*one) == charged).collect();
    let first = fitting.first().filter(|_| !fitting.contains(&row.card_type))?;
    let names: Vec<&str> = fitting.iter().map(|one| one.name()).collect();
    let told = format!(
        "the statement of {} charges {charged} minor units, which is the fee of {}; that of {} is \
         {booked}",
        record.date,
        names.join(", "),
        row.card_type.name()
    );
    let evidence = BinEvidence {
        source: BinEvidenceSource::Fee,
        order: order.id,
        channel: difference.channel.clone(),
        at: difference.opened_at.min(now),
        told: told.chars().take(TOLD_CHARACTERS_MAX).collect(),
    };
    Some((BinFact::of_card_type(*first), evidence))
}

/// What a channel's own word of a card teaches, where the order's row of the table has another
/// type. `now` is when it was said.
pub fn of_word(
    order: &Order,
    word: CardWord,
    now: Timestamp,
) -> Option<(&Arc<BinRow>, BinFact, BinEvidence)> {
    let row = row_of(order)?;
    let is_of_payer = matches!(order.instruction.kind, OrderKind::Payment | OrderKind::Preauth);
    let attempt = order.attempt(word.attempt)?;
    if row.card_type == word.card_type || !is_of_payer {
        return None;
    }
    let (said, table) = (word.card_type.name(), row.card_type.name());
    let (source, teller) = match word.source {
        Source::Statement => (BinEvidenceSource::Statement, "statement"),
        other => (BinEvidenceSource::Message, other.name()),
    };
    let evidence = BinEvidence {
        source,
        order: order.id,
        channel: attempt.channel.clone(),
        at: now,
        told: format!("the channel's {teller} names the card {said}; the table has {table}"),
    };
    Some((row, BinFact::of_card_type(word.card_type), evidence))
}

/// What a channel says of the card of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardWord {
    /// The number of the attempt.
    pub attempt: u8,
    pub source: Source,
    pub card_type: CardType,
}

impl CardWord {
    /// `None` where the evidence says nothing of the card, as nearly always.
    pub fn of(evidence: &Evidence) -> Option<Self> {
        let Outcome::Approved(approval) = &evidence.outcome else { return None };
        let (attempt, source) = (evidence.attempt, evidence.source);
        approval.card_type.map(|card_type| Self { attempt, source, card_type })
    }
}

/// What is to be proposed of a row: the fact, with its evidence.
pub type Lesson = (Arc<BinRow>, BinFact, Vec<BinEvidence>);

/// A row with the evidence about it.
type TaughtRow = (Arc<BinRow>, Vec<BinEvidence>);
/// A row with the cards of it that were refused.
type RefusedRow = (Arc<BinRow>, BTreeMap<u128, BinEvidence>);

/// Evidence for facts of rows, order by order.
#[derive(Debug, Default)]
pub struct FactTally {
    facts: BTreeMap<(Bin, u8, BinFact), TaughtRow>,
}

impl FactTally {
    /// Takes one order's evidence about its row.
    pub fn learn(&mut self, row: &Arc<BinRow>, fact: BinFact, evidence: BinEvidence) {
        let is_full = self.facts.len() >= ROWS_MAX;
        let (bin, pan_length) = row.key();
        let key = (bin, pan_length, fact);
        if is_full && !self.facts.contains_key(&key) {
            return;
        }
        let new = || (Arc::clone(row), Vec::new());
        let (_, kept) = self.facts.entry(key).or_insert_with(new);
        if kept.iter().all(|one| one.order != evidence.order) && kept.len() < EVIDENCE_COUNTED_MAX {
            kept.push(evidence);
        }
    }

    /// Takes out the facts that enough orders bear out.
    pub fn take_borne_out(&mut self) -> Vec<Lesson> {
        let facts = std::mem::take(&mut self.facts).into_iter();
        let (enough, few): (Vec<_>, Vec<_>) =
            facts.partition(|(_, (_, found))| found.len() >= ORDERS_MIN);
        self.facts = few.into_iter().collect();
        enough.into_iter().map(|((_, _, fact), (row, found))| (row, fact, found)).collect()
    }

    /// Drops what was said before a moment.
    pub fn forget_before(&mut self, since: Timestamp) {
        self.facts.retain(|_, (_, found)| {
            found.retain(|one| one.at >= since);
            !found.is_empty()
        });
    }
}

/// The orders that are counted for one fact between two looks: some more than a proposal keeps.
const EVIDENCE_COUNTED_MAX: usize = EVIDENCE_MAX * 16;

/// The cards of rows that channels have refused as cards that there are not.
#[derive(Debug, Default)]
pub struct RefusalTally {
    /// By the keyed digest of the card's number, with the card's row.
    rows: BTreeMap<(Bin, u8), RefusedRow>,
}

impl RefusalTally {
    /// Takes an order that has failed.
    pub fn learn(&mut self, order: &Order) {
        let refused = |attempt: &&Attempt| {
            attempt.state == AttemptState::Declined && attempt.reason == Some(Reason::InvalidCard)
        };
        let last = order.attempts.iter().rev().find(refused);
        let card = order.instruction.card().and_then(|card| Some((card, card.row.as_ref()?)));
        let (Some(attempt), Some((card, row))) = (last, card) else { return };
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&row.key()) {
            return;
        }
        let (_, cards) =
            self.rows.entry(row.key()).or_insert_with(|| (Arc::clone(row), BTreeMap::new()));
        if cards.len() >= REFUSED_CARDS_MAX {
            return;
        }
        let code = attempt.code.as_deref().unwrap_or_default();
        let told = format!("the channel knows no such card (its code: {code})");
        let evidence = BinEvidence {
            source: BinEvidenceSource::Refusal,
            order: order.id,
            channel: attempt.channel.clone(),
            at: attempt.ended_at.unwrap_or(attempt.sent_at),
            told: told.chars().take(TOLD_CHARACTERS_MAX).collect(),
        };
        cards.entry(card.digests.pan).or_insert(evidence);
    }

    /// The rows of which enough cards were refused, unless one of their cards was taken: whoever
    /// asks has to look.
    pub fn borne_out(self) -> impl Iterator<Item = (Arc<BinRow>, Vec<BinEvidence>)> {
        let rows = self.rows.into_values().filter(|(_, cards)| cards.len() >= REFUSED_CARDS_MIN);
        rows.map(|(row, cards)| (row, cards.into_values().collect()))
    }
}

#[cfg(test)]
mod tests;
