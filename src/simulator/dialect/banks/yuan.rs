//! Amounts as yuan with two decimals.

use crate::domain::money::AmountMinor;

pub fn decimal(amount: AmountMinor) -> String {
    format!("{}.{:02}", amount.get() / 100, amount.get() % 100)
}

pub fn read_decimal(text: &str) -> Option<AmountMinor> {
    let (yuan, fen) = text.split_once('.')?;
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if fen.len() != 2 || !plain(yuan) || !plain(fen) {
        return None;
    }
    AmountMinor::new(format!("{yuan}{fen}").parse().ok()?).ok()
}
