//! The events of a story as sentences, made of their kind, source and data alone.
//!
//! A sentence is a text of the table of texts (`story.<kind>`): `{name}` stands for a fact as
//! people read it, and a part in brackets is left out where one of its facts is not there.

use serde_json::{Map, Value};

use crate::api::language::Language;
use crate::domain::money::{Currency, major};

use super::StoryKind;

/// What an event says, and in which language it is told.
struct EventFacts<'event> {
    language: Language,
    source: Option<&'event str>,
    data: &'event Map<String, Value>,
}

/// One sentence.
pub(super) fn of(
    language: Language,
    kind: StoryKind,
    source: Option<&str>,
    data: &Map<String, Value>,
) -> String {
    let facts = EventFacts { language, source, data };
    let text = language.text(&format!("story.{}", kind.name()));
    let told = facts.filled(text);
    // A name that a sentence begins with stays as it is.
    let begins_with_word = ["{teller}", "{movement}"].iter().any(|word| text.starts_with(word));
    if begins_with_word { capital(&told) } else { told }
}

impl EventFacts<'_> {
    /// A text with its facts in it. What must be there and is not shows as `-`.
    fn filled(&self, text: &str) -> String {
        let mut told = String::with_capacity(text.len() * 2);
        let mut rest = text;
        while let Some(at) = rest.find(['{', '[']) {
            told.push_str(&rest[..at]);
            let close = if rest[at..].starts_with('{') { '}' } else { ']' };
            let inner = &rest[at + 1..];
            let Some(end) = inner.find(close) else { break };
            let part = &inner[..end];
            match close {
                '}' => told.push_str(&self.fact(part).unwrap_or_else(|| "-".to_owned())),
                _ if self.has_all(part) => told.push_str(&self.filled(part)),
                _ => {}
            }
            rest = &inner[end + 1..];
        }
        told.push_str(rest);
        told
    }

    fn has_all(&self, part: &str) -> bool {
        let names = part.split('{').skip(1).filter_map(|name| name.split('}').next());
        names.into_iter().all(|name| self.fact(name).is_some())
    }

    /// A fact as people read it.
    fn fact(&self, name: &str) -> Option<String> {
        match name {
            "money" => self.money("amount"),
            "principal" | "fee" | "net" => self.money(name),
            "teller" => self.phrase(name, self.source?),
            "remark" => self.phrase(name, self.data.get(name)?.as_str()?),
            "verdict" => {
                let agrees = self.data.get("agreed")?.as_bool()?;
                self.phrase(name, if agrees { "agreed" } else { "differs" })
            }
            "kept" => {
                let all = self.data.get(name)?.as_array()?;
                Some(self.list(all.iter().map(|one| one.as_str().unwrap_or("-").to_owned())))
            }
            "struck" => self.struck(),
            "line" if self.data.get(name)?.is_object() => self.line(),
            "held" => {
                let held = self.data.get(name)?.as_array()?;
                let held = held.iter().filter_map(Value::as_object);
                Some(self.list(held.filter_map(|gap| self.of(gap).money("principal"))))
            }
            // Words of the API, each by the set of its own.
            "kind" | "operation" | "movement" | "state" | "status" | "reason" | "unknown_cause"
            | "outcome" | "phase" | "claim" | "event" | "voucher" | "class" | "remedy" => {
                self.word(name)
            }
            _ => match self.data.get(name)? {
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            },
        }
    }

    /// A stable word as people say it; what a person or a channel has written stays as it is.
    fn word(&self, name: &str) -> Option<String> {
        let word = self.data.get(name)?.as_str()?;
        let is_plain = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        Some(if is_plain { self.language.word(name, word) } else { word.to_owned() })
    }

    fn phrase(&self, set: &str, word: &str) -> Option<String> {
        let text = self.language.text(&format!("story.{set}.{word}"));
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    /// An amount in major units, with its currency.
    fn money(&self, name: &str) -> Option<String> {
        let minor = self.data.get(name)?.as_i64()?;
        let currency = self.data.get("currency")?.as_str()?;
        Some(format!("{} {currency}", major(minor.into(), Currency::parse(currency))))
    }

    /// The same for the facts of an object within.
    fn of<'inner>(&self, data: &'inner Map<String, Value>) -> EventFacts<'inner> {
        EventFacts { language: self.language, source: None, data }
    }

    fn list(&self, all: impl Iterator<Item = String>) -> String {
        all.collect::<Vec<_>>().join(self.language.text("story.comma"))
    }

    /// The channels that were left out; `None` where there is none.
    fn struck(&self) -> Option<String> {
        let all = self.data.get("struck")?.as_array()?.iter().filter_map(Value::as_object);
        let told: Vec<String> = all
            .map(|one| {
                let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("-");
                let reason = self.language.word("strike", text("reason"));
                let form = self.language.text("story.struck");
                form.replace("{channel}", text("channel")).replace("{reason}", &reason)
            })
            .collect();
        (!told.is_empty()).then(|| self.list(told.into_iter()))
    }

    /// The statement's line of a difference.
    fn line(&self) -> Option<String> {
        let line = self.of(self.data.get("line")?.as_object()?);
        let key = match line.money("amount") {
            Some(_) => "story.line",
            None => "story.line_unread",
        };
        Some(line.filled(self.language.text(key)))
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::language::has_text;
    use crate::domain::attempt::{AttemptState, Operation, Source};
    use crate::domain::books::accounting::{BookingEvent, DeliveryStatus, VoucherType};
    use crate::domain::books::clearing::ClearingState;
    use crate::domain::books::difference::{DifferenceState, Remedy};
    use crate::domain::books::reconcile::Class;
    use crate::domain::books::settlement::SettlementState;
    use crate::domain::closed_set::ClosedSet;
    use crate::domain::event::EventRemark;
    use crate::domain::order::{OrderKind, OrderStatus};
    use crate::domain::outcome::{NotSentCause, Reason, UnknownCause};
    use crate::domain::reversal::{Phase, Resolution};
    use crate::domain::write_set::ReportedEnd;

    /// The facts that an event of any kind may have.
    const FACTS: &str = r#"{
        "actor": "ann", "agreed": true, "amount": 12345, "approver": "bo", "attempt": 1,
        "batch": "B-1",
        "bin_table": 7, "caller": "core", "card": "621626*********0018",
        "unknown_cause": "timed_out",
        "channel": "bank", "channel_order_no": "261122000000000001701",
        "channel_reference": "Q7", "claim": "success", "class": "amount_over",
        "clearing_date": "2026-11-22", "code": "05", "currency": "CNY", "date": "2026-11-22",
        "objection": "[a {reason}]", "due_at": "2026-11-22T08:00:00.000Z",
        "event": "suspense_opened", "fee": 74, "from": "2026-11-20", "id": "N-1",
        "inquiries": 3, "kept": ["bank", "shut"], "kind": "payment", "last_error": "HTTP 500",
        "line": { "date": "2026-11-23", "line": 7, "amount": 100, "currency": "CNY",
        "channel_order_no": "4711" },
        "merchant_id": "m-1", "movement": "payment", "net": 12271, "of": "O-1",
        "operation": "payment", "order_id": "A-1", "outcome": "unknown",
        "payee": "138****8000", "phase": "operator",
        "place": 2, "principal": 12345, "reason": "do_not_honour", "remark": "held",
        "remedy": "merchant", "reversals": 1, "rule": "big", "state": "carried",
        "status": "succeeded", "struck": [{ "channel": "shut", "reason": "outside_hours" }],
        "held": [{ "principal": 100, "fee": 1, "currency": "CNY" }], "to": "2026-11-21",
        "tries": 2, "undo": "U-1", "url": "https://core/n", "voucher": "receipt"
    }"#;

    fn all_facts(kind: StoryKind) -> Map<String, Value> {
        let mut facts: Value = serde_json::from_str(FACTS).expect("JSON");
        // What a person has written of a difference is no word of ours.
        if kind == StoryKind::Differs {
            facts["reason"] = json!("The bank said so");
        }
        facts.as_object().cloned().expect("an object")
    }

    #[test]
    fn every_kind_of_line_is_told_in_both_languages() {
        for kind in StoryKind::ALL {
            for language in Language::ALL {
                let told = of(language, kind, Some("notice"), &all_facts(kind));
                assert!(told.len() > 9, "{kind:?} {language:?}: {told}");
                let gaps = ["{actor", "{objection", "-,", "- ", " -", "[;", "[,", "_"];
                let gap = gaps.iter().find(|gap| told.contains(**gap));
                assert_eq!(gap, None, "{kind:?} {language:?}: {told}");
                // What is optional is left out, and what is not shows as a dash.
                let bare = of(language, kind, None, &Map::new());
                assert!(!bare.contains(['[', ']', '{', '}']), "{kind:?} {language:?}: {bare}");
            }
            let [english, chinese] =
                Language::ALL.map(|one| of(one, kind, Some("notice"), &all_facts(kind)));
            assert!(!chinese.is_ascii(), "{kind:?}: {chinese}");
            assert!(english.is_ascii(), "{kind:?}: {english}");
        }
    }

    #[test]
    fn facts_stand_as_people_read_them() {
        let told = |language, kind, source: Option<&str>, data: Value| {
            of(language, kind, source, data.as_object().expect("an object"))
        };
        let learned = json!({ "attempt": 1, "outcome": "declined", "reason": "insufficient_funds",
            "code": "51", "objection": "a {code} [of theirs]" });
        assert_eq!(
            told(Language::English, StoryKind::Learned, Some("inquiry"), learned.clone()),
            "The inquiry of attempt 1 says: declined, insufficient funds, code 51: \
             a {code} [of theirs]"
        );
        assert_eq!(
            told(Language::Chinese, StoryKind::Learned, Some("inquiry"), learned),
            "查询应答（第 1 次请求）：被拒绝，余额不足，应答码 51：a {code} [of theirs]"
        );
        let yen = json!({ "kind": "refund", "amount": 500, "currency": "JPY", "order_id": "R-1",
            "status": "accepted" });
        assert_eq!(
            told(Language::English, StoryKind::FollowedUp, None, yen),
            "An order follows it up: refund of 500 JPY, as R-1: accepted"
        );
        let unread = json!({ "channel": "bank", "class": "bad_line", "state": "carried",
            "line": { "date": "2026-11-23", "line": 7, "amount": null, "currency": null } });
        assert_eq!(
            told(Language::English, StoryKind::Differs, None, unread),
            "A difference with bank's statement: unreadable line, carried; the statement has \
             line 7 of 2026-11-23, which cannot be read"
        );
    }

    /// The names of a closed set.
    fn names<S: ClosedSet>() -> Vec<&'static str> {
        S::NAMES.to_vec()
    }

    #[test]
    fn every_word_of_a_fact_is_in_the_table() {
        for (set, words) in [
            ("status", names::<OrderStatus>()),
            ("state", names::<DeliveryStatus>()),
            ("kind", OrderKind::NAMES.to_vec()),
            ("operation", names::<Operation>()),
            ("state", names::<AttemptState>()),
            ("state", names::<ClearingState>()),
            ("state", names::<DifferenceState>()),
            ("state", names::<SettlementState>()),
            (
                "outcome",
                vec!["approved", "declined", "pending", "unknown", "not_sent", "not_found"],
            ),
            ("outcome", names::<Resolution>()),
            ("reason", names::<Reason>()),
            ("unknown_cause", names::<UnknownCause>()),
            ("reason", names::<NotSentCause>()),
            ("phase", names::<Phase>()),
            ("claim", names::<ReportedEnd>()),
            ("event", names::<BookingEvent>()),
            ("voucher", names::<VoucherType>()),
            ("class", names::<Class>()),
            ("remedy", names::<Remedy>()),
        ] {
            for word in words {
                let is_there = [format!("word.{set}.{word}"), format!("word.{word}")];
                assert!(is_there.iter().any(|key| has_text(key)), "word.{set}.{word}");
            }
        }
        for (set, words) in [("teller", names::<Source>()), ("remark", names::<EventRemark>())] {
            for word in words {
                assert!(has_text(&format!("story.{set}.{word}")), "story.{set}.{word}");
            }
        }
    }
}
