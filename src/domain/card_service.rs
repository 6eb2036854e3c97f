//! What a channel does with a card beside orders: nothing is charged, held or given back, so none
//! of it is an attempt, and the books have no part in it.

use crate::domain::closed_set;

closed_set! {
    /// A request about a card that moves and holds no money.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum CardService {
        /// Whether name, identity number and phone belong to the card (鉴权).
        Verification => "verification",
    }
}
