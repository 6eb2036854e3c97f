//! The simulated banks: the words and keys of each, for [`super::bank`].

mod canyon;
mod harbour;
mod meadow;
mod quarry;
mod yuan;

use super::super::settings::{BankSettings, BankStyle};
use super::bank::BankApi;

/// The bank that the settings describe.
pub(in crate::simulator) fn api_of(settings: &BankSettings) -> Box<dyn BankApi> {
    let merchant_id = settings.merchant_id.clone();
    match &settings.style {
        BankStyle::Harbour(bank) => Box::new(harbour::Harbour::new(merchant_id, bank)),
        BankStyle::Meadow { key } => Box::new(meadow::Meadow::new(merchant_id, key)),
        BankStyle::Quarry { keys } => Box::new(quarry::Quarry::new(merchant_id, keys)),
        BankStyle::Canyon { keys } => Box::new(canyon::Canyon::new(merchant_id, keys)),
    }
}
