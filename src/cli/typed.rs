//! Amounts as people type them: in major units, with their currency.

use anyhow::Context as _;

use crate::domain::money::{Currency, parse_major};

/// The currency that `--currency` names.
pub fn currency(code: &str) -> anyhow::Result<Currency> {
    let known = || {
        let known = Currency::ALL.map(Currency::name).join(", ");
        format!("--currency is none of {known}")
    };
    Currency::parse(code).with_context(known)
}

/// The amount of a flag, in minor units.
pub fn amount(flag: &str, text: &str, currency: Currency) -> anyhow::Result<i64> {
    parse_major(text, currency).with_context(|| format!("--{flag} is no amount"))
}
