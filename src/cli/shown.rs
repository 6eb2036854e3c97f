//! Amounts and moments as people read them. JSON keeps minor units and milliseconds.

use serde_json::Value;

use crate::domain::money::{Currency, major};

/// A member as people read it, a moment to the minute; `-` if it is absent.
pub fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => to_the_minute(text),
        Some(other) => other.to_string(),
    }
}

/// A member that is a state, with the reason that stands beside it: `failed (insufficient_funds)`.
pub fn state_with_reason(row: &Value, name: &str) -> String {
    match cell(row, "reason") {
        none if none == "-" => cell(row, name),
        reason => format!("{} ({reason})", cell(row, name)),
    }
}

/// A member that is an amount of this currency; `-` if it is absent.
pub fn amount(row: &Value, name: &str, currency: &str) -> String {
    let text = cell(row, name);
    text.parse().map_or(text, |minor| major(minor, Currency::parse(currency)))
}

/// The same with its currency behind it: `123.45 CNY`.
pub fn money(row: &Value, name: &str, currency: &str) -> String {
    match amount(row, name, currency) {
        absent if absent == "-" => absent,
        amount => format!("{amount} {currency}"),
    }
}

/// A member that counts millionths, in percent: `99.12 %`; `-` if it is absent.
pub fn share(row: &Value, name: &str) -> String {
    let ppm = row.get(name).and_then(Value::as_u64);
    ppm.map_or_else(
        || "-".to_owned(),
        |ppm| format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
    )
}

/// A moment of JSON (`2026-11-22T15:00:07.123Z`), its date and its time of day; `None` for any
/// other text.
fn date_and_time(text: &str) -> Option<(&str, &str)> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    (date.len() == 10 && time.len() >= 8 && time.is_char_boundary(8)).then(|| (date, &time[..8]))
}

/// A text, or the moment that it is, to the minute and in UTC: `2026-11-22 15:00`.
pub fn to_the_minute(text: &str) -> String {
    match date_and_time(text) {
        Some((date, time)) => format!("{date} {}", &time[..5]),
        None => text.to_owned(),
    }
}

/// A member that is a moment of these days, to the second: `11-22 15:00:07`.
pub fn second(row: &Value, name: &str) -> String {
    let text = row.get(name).and_then(Value::as_str).unwrap_or("-");
    match date_and_time(text) {
        Some((date, time)) => format!("{} {time}", &date[5..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_in_major_units_with_their_currency() {
        let row = json!({ "cny": 12_345, "less": -7, "yen": 500, "none": null });
        assert_eq!(money(&row, "cny", "CNY"), "123.45 CNY");
        assert_eq!(money(&row, "less", "CNY"), "-0.07 CNY");
        assert_eq!(money(&row, "yen", "JPY"), "500 JPY");
        assert_eq!(money(&row, "none", "CNY"), "-");
        assert_eq!(amount(&row, "cny", "XXX"), "12345", "no currency of ours");
        assert_eq!(major(0, Some(Currency::Cny)), "0.00");
        assert_eq!(major(i128::MIN, None), i128::MIN.to_string());
    }

    #[test]
    fn shares_are_in_percent() {
        let row = json!({ "all": 1_000_000, "most": 991_299, "few": 90, "none": null });
        let told = ["all", "most", "few", "none"].map(|name| share(&row, name));
        assert_eq!(told, ["100.00 %", "99.12 %", "0.00 %", "-"]);
    }

    #[test]
    fn moments_are_as_near_as_their_column_needs() {
        let row = json!({ "at": "2026-11-22T15:00:59.123Z", "date": "2026-11-22", "none": null });
        assert_eq!(cell(&row, "at"), "2026-11-22 15:00");
        assert_eq!(second(&row, "at"), "11-22 15:00:59");
        assert_eq!((cell(&row, "date"), cell(&row, "none")), ("2026-11-22".into(), "-".into()));
        assert_eq!(second(&row, "none"), "-");
        assert_eq!(to_the_minute("TZ"), "TZ");
    }
}
