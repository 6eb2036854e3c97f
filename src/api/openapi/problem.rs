//! The form of a problem in the document, and an example of each.

use serde_json::{Value, json};

use crate::api::error::ProblemCode as P;
use crate::api::language::Language;

fn text(what: &str) -> Value {
    json!({ "type": "string", "description": what })
}

fn faults_form() -> Value {
    json!({
        "type": "object",
        "description": "Of what is refused by its lines: a table, a statement, files.",
        "properties": {
            "first": {
                "type": "array",
                "description": "The first hundred, in the order of the lines.",
                "items": {
                    "type": "object",
                    "properties": {
                        "file": text("The file, where there are several."),
                        "line": {
                            "type": "integer",
                            "description": "From 1; 0 for the whole file.",
                        },
                        "key": text("The key of a file."),
                        "code": text("A stable word, of a BIN table's."),
                        "problem": text("What is wrong there, for people."),
                        "advice": text("What to do."),
                    },
                    "required": ["line", "problem"],
                },
            },
            "count": { "type": "integer", "description": "All of them." },
        },
        "required": ["first", "count"],
    })
}

pub(super) fn problem_form() -> Value {
    json!({
        "type": "object",
        "description": "Why a call was not carried out (RFC 9457). No value that was sent is \
         repeated.",
        "properties": {
            "type": text("Leads to its cause and its remedy: `/errors/{code}`."),
            "title": text(
                "The problem, in words that are the same for every occurrence, in the language of \
                 `Content-Language`.",
            ),
            "status": { "type": "integer", "description": "The status of the answer." },
            "code": {
                "type": "string", "enum": P::ALL.map(P::name).to_vec(),
                "description": "The stable code, which programs go by.",
            },
            "detail": text("This occurrence, for people, in English."),
            "field": text("The field that it is about, by its path (`card.pan`)."),
            "request_id": text("The id of the call, as in `X-Request-Id`."),
            "reason": text("A stable word of the code's own, which says more than it."),
            "rule": {
                "type": ["string", "null"],
                "description": "Of `no_route`: the rule that decides, or null.",
            },
            "candidates": {
                "type": "array",
                "description": "Of `no_route`: the channels, and why each is struck.",
                "items": {
                    "type": "object",
                    "properties": {
                        "channel": { "type": "string", "description": "The channel." },
                        "reason": { "type": "string", "description": "A stable word." },
                        "detail": { "type": "string", "description": "The same for people." },
                    },
                    "required": ["channel", "reason", "detail"],
                },
            },
            "left": {
                "type": "integer", "format": "int64",
                "description": "Of `exceeds_left`: what is left, in minor units.",
            },
            "days": {
                "type": "integer",
                "description": "Of `refund_window_closed` and `preauth_expired`: how many there \
                 were.",
            },
            "instead": text("Of `not_same_day`: what to do instead."),
            "state": text("Of `agreement_not_active` and `approval_decided`: how it stands."),
            "changed": text("Of `approval_overtaken`: what has changed, for people."),
            "approval": text("Of `approval_waits`: the request that waits."),
            "batch": text("Of `statement_refused`: the batch that was abandoned."),
            "stands_under": text("Of `statement_refused`: the date that has this content."),
            "faults": faults_form(),
            "held": {
                "type": "object",
                "description": "Of `reload_held`: as `getRoutes` has it.",
            },
        },
        "required": ["type", "title", "status", "code", "detail"],
    })
}

/// An example of each problem of a route; of the one that is told before a route is known, none.
pub(super) fn problem_examples() -> Value {
    let told = P::ALL.into_iter().filter(|code| *code != P::MethodNotAllowed);
    told.map(|code| (code.name().to_owned(), problem_example(code))).collect()
}

fn problem_example(code: P) -> Value {
    json!({
        "summary": code.title(Language::English),
        "value": {
            "type": format!("/errors/{}", code.name()),
            "title": code.title(Language::English),
            "status": code.status().as_u16(), "code": code.name(), "detail": code.cause(),
            "request_id": "9f2c41d07be8a6530c1d9e77ab40f218",
        },
    })
}
