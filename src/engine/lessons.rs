//! What channels say of cards that the BIN table has otherwise, on its way to a proposal.
//!
//! It lies in memory alone: nothing rests on it, and what a process had heard when it died is said
//! again with the next payments by such cards. A word that agrees with the table costs a
//! comparison.

use std::sync::{Mutex, PoisonError};

use crate::domain::ids::OrderId;
use crate::domain::lessons::{CardWord, FactTally, Lesson, of_word};
use crate::domain::order::Order;
use crate::domain::time::Timestamp;

/// What this process has heard and not yet proposed.
#[derive(Debug, Default)]
pub struct CardLessons {
    tally: Mutex<FactTally>,
}

impl CardLessons {
    /// Takes what was said of an order's card.
    pub(super) fn hear(&self, id: OrderId, order: &Order, word: Option<CardWord>, now: Timestamp) {
        if let Some(word) = word.filter(|_| order.id == id) {
            self.learn(order, word, now);
        }
    }

    /// Keeps a word where it is not the table's.
    pub fn learn(&self, order: &Order, word: CardWord, now: Timestamp) {
        let Some((row, fact, evidence)) = of_word(order, word, now) else { return };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.learn(row, fact, evidence);
    }

    /// Takes out what enough orders bear out, and forgets what was heard before a moment.
    pub fn take(&self, since: Timestamp) -> Vec<Lesson> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let borne_out = tally.take_borne_out();
        tally.forget_before(since);
        borne_out
    }
}
