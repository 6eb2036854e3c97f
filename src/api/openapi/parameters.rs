//! What stands in paths, queries and headers.

use serde_json::{Value, json};

use crate::api::call::REQUEST_ID_LENGTH_MAX;
use crate::api::input::forms;
use crate::api::input::query::Query;
use crate::api::language::Language;
use crate::domain::bin::{PAN_LENGTH_MAX, PAN_LENGTH_MIN};
use crate::domain::closed_set::ClosedSet;
use crate::store::PAGE_MAX;

/// One of them.
pub(super) struct CallParameter {
    pub(super) name: &'static str,
    /// `path`, `query` or `header`.
    pub(super) place: &'static str,
    pub(super) is_required: bool,
    pub(super) form: Value,
    pub(super) what: &'static str,
}

impl CallParameter {
    fn new(name: &'static str, place: &'static str, form: Value, what: &'static str) -> Self {
        Self { name, place, is_required: place == "path", form, what }
    }

    pub(super) fn query(name: &'static str, form: Value, what: &'static str) -> Self {
        Self::new(name, "query", form, what)
    }

    pub(super) fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    pub(super) fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }

    /// Those of a path, in its order.
    pub(super) fn of_path(path: &'static str) -> Vec<Self> {
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        names.map(|name| Self::in_path(path, name)).collect()
    }

    fn in_path(path: &str, name: &'static str) -> Self {
        let (form, what) = match name {
            "channel" => (forms::channel_id(), "The channel: its file's name without `.toml`."),
            "id" if path.starts_with("/v1/channels/") => {
                (forms::channel_id(), "The channel: its file's name without `.toml`.")
            }
            "id" if path.starts_with("/v1/bin-proposals/") => {
                (forms::bin_proposal_id(), "The proposal: BIN, card length and fact.")
            }
            "id" if path.starts_with("/v1/accounting-requests/") => {
                (forms::request_id(), "The request: its chain's digits, `-`, and its number there.")
            }
            "prefix" => (forms::bin_prefix(), "The first digits of a card number: 6 to 12."),
            "code" => {
                (json!({ "type": "string", "example": "no_route" }), "The code of a problem.")
            }
            _ => (forms::number_id(), "Our number: 19 digits."),
        };
        Self::new(name, "path", form, what)
    }
}

/// `date`.
pub(super) fn date() -> CallParameter {
    CallParameter::query("date", forms::date(), "The date: `YYYY-MM-DD`.")
}

/// `channel`.
pub(super) fn channel() -> CallParameter {
    CallParameter::query("channel", forms::channel_id(), "Only those of this channel.")
}

/// `language`.
pub(super) fn language() -> CallParameter {
    let what = "Of the sentences; else the one that `Accept-Language` names, or English.";
    words("language", &Language::ALL.map(Language::name), what)
}

/// One of a closed set.
pub(super) fn word<S: ClosedSet>(name: &'static str, what: &'static str) -> CallParameter {
    CallParameter::query(name, json!({ "type": "string", "enum": S::NAMES }), what)
}

/// One of these words.
pub(super) fn words(name: &'static str, words: &[&str], what: &'static str) -> CallParameter {
    CallParameter::query(name, json!({ "type": "string", "enum": words }), what)
}

pub(super) fn flag(name: &'static str, what: &'static str) -> CallParameter {
    CallParameter::query(name, json!({ "type": "boolean" }), what)
}

pub(super) fn card_length(name: &'static str) -> CallParameter {
    let form = json!({
        "type": "integer", "minimum": PAN_LENGTH_MIN, "maximum": PAN_LENGTH_MAX, "example": 19,
    });
    CallParameter::query(name, form, "The length of the card number, in digits.")
}

/// The last two of a listing: `after`, of this form, and `limit`.
pub(super) fn page(after: Value) -> [CallParameter; 2] {
    [
        CallParameter::query("after", after, "Behind this row: the `next` of the page before."),
        limit("The most rows of the page."),
    ]
}

pub(super) fn limit(what: &'static str) -> CallParameter {
    let form = json!({
        "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": Query::LIMIT_DEFAULT,
    });
    CallParameter::query("limit", form, what)
}

/// The two by which a caller finds what it has asked for.
pub(super) fn callers_id() -> [CallParameter; 2] {
    [
        CallParameter::query("order_id", forms::caller_order_id(), "The id that the caller gave.")
            .required(),
        CallParameter::query(
            "caller",
            forms::caller_id(),
            "Whose, where it is not the caller's own: for operators and auditors.",
        ),
    ]
}

/// `Prefer: wait=N`.
pub(super) fn prefer() -> CallParameter {
    let form = json!({ "type": "string", "example": "wait=10" });
    let what = "`wait=N`: wait up to N seconds for the end (RFC 7240), within `payments.wait_max`. \
                Anything else is ignored.";
    CallParameter::new("Prefer", "header", form, what)
}

/// What every call may say, as components.
pub(super) fn of_every_call() -> Vec<(&'static str, CallParameter)> {
    let id = json!({ "type": "string" });
    let id_what = "An id of the caller's own for this call, which its answer, its problem and its \
                   lines in the log then have: letters, digits and `. _ -`. Another one is not \
                   taken.";
    let trace = json!({
        "type": "string",
        "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    });
    let trace_what = "The trace that the call is a part of (W3C Trace Context). It goes on to \
                      accounting and core. One that does not read is ignored.";
    let language = json!({ "type": "string", "example": Language::Chinese.name() });
    let language_what = "The language of what is said to people, `en` or `zh`: of a problem's \
                         title, and of a story's sentences.";
    let mut id = CallParameter::new("X-Request-Id", "header", id, id_what);
    id.form["maxLength"] = REQUEST_ID_LENGTH_MAX.into();
    vec![
        ("RequestId", id),
        ("Traceparent", CallParameter::new("traceparent", "header", trace, trace_what)),
        (
            "AcceptLanguage",
            CallParameter::new("Accept-Language", "header", language, language_what),
        ),
    ]
}
