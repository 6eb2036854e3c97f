//! The filters of templates: `time`, `encrypted`, `tojson`, `urlencode`, `base64`, `number`.
//!
//! Errors never quote a value, which could be card data (I-11). What is absent stays absent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use minijinja::value::{Object, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};

use super::escape::encode_percent;
use super::words::{ENCRYPTER, Encrypter};
use crate::domain::time::Timestamp;

pub const UNKNOWN_ZONE: &str = "the time zone is not known";

/// The filters of every template.
pub fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("time", write_time);
    environment.add_filter("encrypted", encrypt);
    environment.add_filter("tojson", write_json);
    environment.add_filter("urlencode", |value: Value| of_text(value, encode_percent));
    environment.add_filter("base64", |value: Value| of_text(value, |text| BASE64.encode(text)));
    environment.add_filter("number", read_number);
}

fn failed(words: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

fn is_absent(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Undefined | ValueKind::None)
}

/// `{{ sent_at | time("%Y%m%d%H%M%S", "Asia/Shanghai") }}`: a moment in a zone, as `strftime` does.
fn write_time(millis: i64, format: &str, zone: &str) -> Result<String, Error> {
    let zone = TimeZone::get(zone).map_err(|_| failed(UNKNOWN_ZONE))?;
    moment_in(millis, format, zone).map_err(failed)
}

/// A moment, in milliseconds since 1970, as `strftime` writes it.
pub fn moment_in(millis: i64, format: &str, zone: TimeZone) -> Result<String, &'static str> {
    let moment = jiff::Timestamp::from_millisecond(Timestamp::from_millis(millis).as_millis())
        .map_err(|_| "the moment is outside the calendar")?
        .to_zoned(zone);
    strtime::format(format, &moment).map_err(|_| "the format is not one of strftime")
}

/// The format and the zone of `time("…", "…")` with two plain texts; `None` for another text. The
/// error is a zone that is not known.
pub fn parse_time_filter(filter: &str) -> Option<Result<(String, TimeZone), &'static str>> {
    let arguments = filter.trim().strip_prefix("time")?.trim_start();
    let arguments = arguments.strip_prefix('(')?.strip_suffix(')')?;
    let plain = |text: &str| {
        let text = text.trim();
        let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\', ','])).then(|| inner.to_owned())
    };
    let (format, zone) = arguments.split_once(',')?;
    let (format, name) = (plain(format)?, plain(zone)?);
    Some(TimeZone::get(&name).map(|zone| (format, zone)).map_err(|_| UNKNOWN_ZONE))
}

/// `{{ card.number | encrypted }}`: as `[http.encrypt]` says.
fn encrypt(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        let absent = is_absent(&value).then_some(Value::UNDEFINED);
        return absent.ok_or_else(|| failed("only texts are encrypted"));
    };
    let key = state.lookup(ENCRYPTER);
    let key = key.as_ref().and_then(|key| key.downcast_object_ref::<Encrypter>());
    let made = key.and_then(|key| key.apply(text)).map(Value::from);
    made.ok_or_else(|| failed("there is no key to encrypt with"))
}

fn of_text(value: Value, write: impl Fn(&str) -> String) -> Result<Value, Error> {
    if is_absent(&value) {
        return Ok(Value::UNDEFINED);
    }
    match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => {
            Ok(Value::from(write(&value.to_string())))
        }
        // The kinds are another crate's and may grow.
        _ => Err(failed("only a text is written so")),
    }
}

/// `{{ {'no': order_no, 'memo': description} | tojson }}`: a JSON text, without what is absent.
fn write_json(value: Value) -> Result<Value, Error> {
    let whole = to_json(&value).ok_or_else(|| failed("the value has no JSON form"))?;
    serde_json::to_string(&whole.unwrap_or(Json::Null))
        .map(Value::from)
        .map_err(|_| failed("the value has no JSON form"))
}

/// `Some(None)` for what is absent, `None` for what JSON does not have or money may not be.
fn to_json(value: &Value) -> Option<Option<Json>> {
    if let Some(number) = value.downcast_object_ref::<DecimalNumber>() {
        return Some(Some(number.to_json()?));
    }
    Some(Some(match value.kind() {
        ValueKind::Undefined | ValueKind::None => return Some(None),
        ValueKind::Bool => Json::from(value.is_true()),
        ValueKind::String => Json::from(value.as_str()?),
        ValueKind::Number => Json::from(value.as_i64().filter(|_| value.is_integer())?),
        ValueKind::Seq => {
            let items = value.try_iter().ok()?.map(|item| to_json(&item));
            Json::Array(items.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
        }
        ValueKind::Map => {
            let mut members = Map::new();
            for key in value.try_iter().ok()? {
                let inner = to_json(&value.get_item(&key).ok()?)?;
                if let Some(inner) = inner {
                    members.insert(key.as_str()?.to_owned(), inner);
                }
            }
            Json::Object(members)
        }
        // The kinds are another crate's and may grow.
        _ => return None,
    }))
}

/// An amount in major units that is to be sent as a JSON number.
#[derive(Debug)]
pub struct DecimalNumber(String);

impl Object for DecimalNumber {}

impl DecimalNumber {
    /// The number with exactly these digits, zeros at its end apart; `None` where there is none.
    pub fn to_json(&self) -> Option<Json> {
        let plain = self.0.as_str();
        let (major, minor) = plain.split_once('.').unwrap_or((plain, ""));
        let minor = minor.trim_end_matches('0');
        if minor.is_empty() {
            return major.parse::<i64>().ok().map(Json::from);
        }
        let written = format!("{major}.{minor}");
        // A decimal of at most 15 digits is written by its own shortest form again; where it were
        // not, nothing is sent.
        let number = serde_json::from_str::<Json>(&written).ok()?;
        let shown = number.to_string();
        (shown == written).then_some(number)
    }
}

/// `{{ amount_decimal | number }}`: digits with a point become a JSON number.
fn read_number(value: Value) -> Result<Value, Error> {
    if is_absent(&value) || value.is_integer() {
        return Ok(value);
    }
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |text: &&str| match text.split_once('.') {
        Some((major, minor)) => digits(major) && digits(minor),
        None => digits(text),
    };
    let text = value.as_str().filter(is_number);
    let text = text.ok_or_else(|| failed("only digits with a point are a number"))?;
    Ok(Value::from_object(DecimalNumber(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_of_the_same_digits() {
        let rows = [
            ("12.30", "12.3"),
            ("12.00", "12"),
            ("0.01", "0.01"),
            ("1230", "1230"),
            ("1.005", "1.005"),
            ("9999999999.99", "9999999999.99"),
            ("999999999.999", "999999999.999"),
        ];
        for (text, expected) in rows {
            let number = DecimalNumber(text.to_owned()).to_json().expect("a number");
            assert_eq!(number.to_string(), expected);
        }
        for wrong in ["", "x", "1.", ".5", "1e3", "-1", "1.2.3"] {
            assert!(read_number(Value::from(wrong)).is_err(), "{wrong}");
        }
    }
}
