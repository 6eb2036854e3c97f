//! The templates, and how they show money, times, states and texts.
//!
//! Everything that stands in a template's braces is escaped, but what the functions here have made
//! of escaped parts.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, HtmlEscape, State, UndefinedBehavior, Value};

use super::chart;
use crate::api::error::ProblemCode;
use crate::api::language::Language;
use crate::domain::money::{Currency, major};

/// Each template by its name.
const TEMPLATES: &[(&str, &str)] = &[
    ("act.html", include_str!("pages/act.html")),
    ("accounting.html", include_str!("pages/accounting.html")),
    ("accounting_request.html", include_str!("pages/accounting_request.html")),
    ("approvals.html", include_str!("pages/approvals.html")),
    ("attempts.html", include_str!("pages/attempts.html")),
    ("audit.html", include_str!("pages/audit.html")),
    ("batch.html", include_str!("pages/batch.html")),
    ("bin_changes.html", include_str!("pages/bin_changes.html")),
    ("bin_proposals.html", include_str!("pages/bin_proposals.html")),
    ("bins.html", include_str!("pages/bins.html")),
    ("channel.html", include_str!("pages/channel.html")),
    ("channels.html", include_str!("pages/channels.html")),
    ("days.html", include_str!("pages/days.html")),
    ("difference.html", include_str!("pages/difference.html")),
    ("differences.html", include_str!("pages/differences.html")),
    ("frame.html", include_str!("pages/frame.html")),
    ("login.html", include_str!("pages/login.html")),
    ("next.html", include_str!("pages/next.html")),
    ("notices.html", include_str!("pages/notices.html")),
    ("problem.html", include_str!("pages/problem.html")),
    ("reconciliation.html", include_str!("pages/reconciliation.html")),
    ("reconciliation_channel.html", include_str!("pages/reconciliation_channel.html")),
    ("reconciliation_date.html", include_str!("pages/reconciliation_date.html")),
    ("refused.html", include_str!("pages/refused.html")),
    ("refusal.html", include_str!("pages/refusal.html")),
    ("remedy.html", include_str!("pages/remedy.html")),
    ("routes.html", include_str!("pages/routes.html")),
    ("settings.html", include_str!("pages/settings.html")),
    ("settlement.html", include_str!("pages/settlement.html")),
    ("settlement_one.html", include_str!("pages/settlement_one.html")),
    ("today.html", include_str!("pages/today.html")),
    ("order.html", include_str!("pages/order.html")),
    ("orders.html", include_str!("pages/orders.html")),
    ("unknowns.html", include_str!("pages/unknowns.html")),
    ("what_if.html", include_str!("pages/what_if.html")),
];
const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/console.js");

/// The states that are as they should be, those that want patience, and those that want a person.
const GOOD: &[&str] = &[
    "succeeded",
    "approved",
    "acknowledged",
    "agreed",
    "settled",
    "balanced",
    "live",
    "holds",
    "current",
    "kept",
    "closed",
    "enabled",
    "decides",
    "yes",
    "matched",
    "done",
    "ready",
];
const WARNED: &[&str] = &[
    "unknown",
    "processing",
    "pending",
    "accepted",
    "sending",
    "owed",
    "carried",
    "inquiring",
    "reversing",
    "undo_owed",
    "draining",
    "testing",
    "contracted",
    "ends_soon",
    "open",
    "partly",
    "running",
    "no_statement",
    "ended_open",
    "breaker_open",
    "channel_off",
    "certificate_ends",
    "clock_doubted",
    "reload_held",
];
const BAD: &[&str] = &[
    "operator",
    "parked",
    "suspended",
    "differs",
    "ended",
    "not_yet",
    "off",
    "damaged",
    "abandoned",
    "overdue",
    "not_ready",
    "operator_needed",
    "accounting_parked",
    "notices_parked",
    "day_overdue",
    "worker_failed",
    "contradicted",
];

/// The templates, ready to be shown.
pub struct Views {
    environment: Environment<'static>,
}

impl Views {
    pub fn new(zone: TimeZone) -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        for (name, text) in TEMPLATES {
            environment.add_template(name, text).expect("a test renders each of them");
        }
        let of_times = zone.clone();
        environment.add_filter("time", move |value: &Value| time(value, &of_times));
        environment.add_filter("age", age);
        environment.add_filter("rate", rate);
        environment.add_filter("count", count);
        environment.add_function("t", text);
        environment.add_function("word", word);
        environment.add_function("advice", advice);
        environment.add_function("state", state);
        environment.add_function("money", money);
        environment.add_function("counted", counted);
        let of_charts = zone.clone();
        environment.add_function("request_chart", move |state: &State<'_, '_>, day: Value| {
            Value::from_safe_string(chart::requests(&day, &of_charts, language(state)))
        });
        environment.add_function("latency_chart", move |state: &State<'_, '_>, day: Value| {
            Value::from_safe_string(chart::latency(&day, &zone, language(state)))
        });
        Self { environment }
    }

    /// A template with these values, as an answer. A mistake in one is ours: it is said in the log,
    /// and to the visitor as a failure.
    pub fn page(
        &self,
        name: &str,
        values: &BTreeMap<&'static str, Value>,
        language: Language,
    ) -> Response {
        let shown = self.environment.get_template(name).and_then(|found| found.render(values));
        let (status, html) = match shown {
            Ok(html) => (StatusCode::OK, html),
            Err(error) => {
                tracing::error!(page = name, %error, "a page of the console cannot be shown");
                let told = escaped(language.text("problem.page_failed"));
                (StatusCode::INTERNAL_SERVER_ERROR, format!("<!doctype html>\n<p>{told}</p>\n"))
            }
        };
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn escaped(text: impl Display) -> String {
    HtmlEscape(&text.to_string()).to_string()
}

fn language(state: &State<'_, '_>) -> Language {
    let tag = state.lookup("lang");
    let tag = tag.as_ref().and_then(Value::as_str).and_then(Language::parse);
    tag.unwrap_or(Language::English)
}

/// What to do about a problem of the API; empty where it has no such code.
fn advice(state: &State<'_, '_>, code: &str) -> Value {
    let advice = ProblemCode::parse(code).map(|code| code.advice(language(state)));
    let advice = advice.unwrap_or_default();
    let parts = advice.split('`').enumerate().map(|(place, part)| match place % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    });
    Value::from_safe_string(parts.collect())
}

/// The text of a key, with its `{names}` filled in.
fn text(state: &State<'_, '_>, key: &str, names: Kwargs) -> Result<String, minijinja::Error> {
    let mut text = language(state).text(key).to_owned();
    for name in names.args() {
        let value: Value = names.get(name)?;
        text = text.replace(&format!("{{{name}}}"), &value.to_string());
    }
    Ok(text)
}

/// A stable word of the API, as people say it.
fn word(state: &State<'_, '_>, set: &str, word: &Value) -> String {
    word.as_str().map_or_else(String::new, |word| language(state).word(set, word))
}

/// The same as a mark: its word, its colour, and a sign for those who see no colours.
fn state(state: &State<'_, '_>, set: &str, word: &Value) -> Value {
    let Some(word) = word.as_str() else { return Value::from("") };
    let kind = match word {
        _ if GOOD.contains(&word) => "good",
        _ if WARNED.contains(&word) => "warned",
        _ if BAD.contains(&word) => "bad",
        _ => "plain",
    };
    let shown = escaped(language(state).word(set, word));
    let raw = escaped(word);
    Value::from_safe_string(format!("<span class=\"state {kind}\" title=\"{raw}\">{shown}</span>"))
}

/// A number with its thousands apart.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count(value: &Value) -> String {
    match value.to_string() {
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => grouped(&text),
        text => text,
    }
}

/// A number of what was counted; where there may be more, it says so.
fn counted(state: &State<'_, '_>, number: &Value, more: &Value) -> String {
    let shown = count(number);
    match more.is_true() {
        true => language(state).text("today.at_least").replace("{count}", &shown),
        false => shown,
    }
}

/// An amount in major units with its currency; without one it stays in minor units.
fn money(amount: &Value, currency: &Value) -> Value {
    if amount.is_undefined() || amount.is_none() {
        return Value::from("");
    }
    let text = amount.to_string();
    let (sign, digits) =
        text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("\u{2212}", rest));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Value::from(text);
    }
    let known = currency.as_str().and_then(Currency::parse);
    let Ok(amount) = digits.parse() else { return Value::from(text) };
    let shown = major(amount, known);
    let (major, part) = shown.split_at(shown.find('.').unwrap_or(shown.len()));
    let unit = known.map_or("", Currency::name);
    Value::from_safe_string(format!(
        "<span class=\"money\">{sign}{}{part} <small>{unit}</small></span>",
        grouped(major)
    ))
}

/// A moment in the operator's zone, with UTC behind it.
fn time(value: &Value, zone: &TimeZone) -> Value {
    let Some(text) = value.as_str() else { return Value::from("") };
    let Ok(moment) = text.parse::<Timestamp>() else { return Value::from(text) };
    let shown = moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let utc = escaped(text);
    Value::from_safe_string(format!("<time datetime=\"{utc}\" title=\"{utc}\">{shown}</time>"))
}

/// Milliseconds as people say a span: the two largest units.
fn age(value: &Value) -> String {
    let Ok(millis) = u64::try_from(value.clone()) else { return String::new() };
    let seconds = millis / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Millionths as per cent.
fn rate(value: &Value) -> String {
    match u64::try_from(value.clone()) {
        Ok(ppm) => format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
        Err(_) => "\u{2013}".to_owned(),
    }
}

/// `GET /console/style.css`
pub async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /console/console.js`
pub async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Another version of the daemon has other pages.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_in_major_units() {
        let shown = |amount: i64, currency: &str| {
            money(&Value::from(amount), &Value::from(currency)).to_string()
        };
        let span = |text: &str, unit: &str| {
            format!("<span class=\"money\">{text} <small>{unit}</small></span>")
        };
        assert_eq!(shown(123_456_789, "CNY"), span("1,234,567.89", "CNY"));
        assert_eq!(shown(-5, "CNY"), span("\u{2212}0.05", "CNY"));
        assert_eq!(shown(1_500, "JPY"), span("1,500", "JPY"));
        assert_eq!(shown(1_500, "KWD"), span("1.500", "KWD"));
    }

    #[test]
    fn a_page_that_cannot_be_shown_is_a_failure_by_its_status() {
        let mut views = Views::new(TimeZone::UTC);
        views.environment.add_template("broken.html", "{{ none() }}").expect("a template");
        for (name, status) in [("login.html", 200), ("broken.html", 500), ("gone.html", 500)] {
            let shown = views.page(name, &BTreeMap::new(), Language::Chinese);
            assert_eq!(shown.status().as_u16(), status, "{name}");
            assert_eq!(shown.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        }
    }

    #[test]
    fn spans_and_rates_are_for_people() {
        let spans = [(59_000, "59 s"), (61_000, "1 min 1 s"), (3_660_000, "1 h 1 min")];
        for (millis, shown) in spans {
            assert_eq!(age(&Value::from(millis)), shown);
        }
        assert_eq!(age(&Value::from(90_000_000)), "1 d 1 h");
        assert_eq!(rate(&Value::from(995_300)), "99.53 %");
        assert_eq!(count(&Value::from(1_234_567)), "1,234,567");
    }
}
