//! What a statement's lines say of cards, held against the rows of the BIN table that their orders
//! had.

use crate::domain::attempt::Source;
use crate::domain::lessons::CardWord;
use crate::reconciliation::ReconciliationError;
use crate::reconciliation::matching::CardSample;

use super::BatchRun;

impl BatchRun<'_> {
    /// Tells the engine of the lines whose order had another type of card. Nothing of the batch
    /// hangs on it.
    pub(super) async fn look_at_cards(
        &self,
        cards: &CardSample,
    ) -> Result<(), ReconciliationError> {
        let engine = self.books.engine();
        for (number, card_type) in cards.lines() {
            let Some(order) = self.books.store().order(number.order).await? else { continue };
            let attempt = order.attempt(number.attempt);
            if attempt.is_some_and(|attempt| attempt.channel == self.context.channel) {
                let (attempt, card_type) = (number.attempt, *card_type);
                let word = CardWord { attempt, source: Source::Statement, card_type };
                engine.lessons().learn(&order, word, engine.clock().now());
            }
        }
        Ok(())
    }
}
