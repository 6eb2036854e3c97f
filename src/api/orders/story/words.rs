//! The events of a story in English, made of their kind, source and data alone.

use serde_json::{Map, Value};

use super::StoryKind;

/// The facts of an event, as texts.
struct EventFacts<'data>(&'data Map<String, Value>);

impl EventFacts<'_> {
    /// A fact as text; `-` where there is none.
    fn of(&self, name: &str) -> String {
        self.known(name).unwrap_or_else(|| "-".to_owned())
    }

    fn known(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// A fact behind some words, or nothing.
    fn after(&self, words: &str, name: &str) -> String {
        self.known(name).map_or_else(String::new, |text| format!("{words}{text}"))
    }

    /// A list of texts.
    fn list(&self, name: &str) -> Vec<&Value> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten().collect()
    }

    fn attempt(&self) -> String {
        self.after(" of attempt ", "attempt")
    }

    fn money(&self) -> String {
        format!("{} {} (minor units)", self.of("amount"), self.of("currency"))
    }
}

/// One sentence.
pub(super) fn of(kind: StoryKind, source: Option<&str>, data: &Map<String, Value>) -> String {
    let facts = &EventFacts(data);
    match kind {
        StoryKind::Asked => asked(facts),
        StoryKind::Routed => routed(facts),
        StoryKind::AttemptSent => sent(facts),
        StoryKind::AttemptEnded => ended(facts),
        StoryKind::Finished => {
            format!("The order ended: {}{}", facts.of("status"), facts.after(", ", "reason"))
        }
        StoryKind::Learned => {
            let (teller, told) = (capital(teller(source)), what_was_told(facts));
            format!("{teller}{} says: {told}", facts.attempt())
        }
        StoryKind::ReversalSent => format!("A reversal{} was sent", facts.attempt()),
        StoryKind::ReversalAnswered => {
            format!("The reversal{} was answered: {}", facts.attempt(), what_was_told(facts))
        }
        StoryKind::HandedOver => {
            format!("The unknown{} was handed to an operator", facts.attempt())
        }
        StoryKind::Retried => {
            format!("{} had the unknown worked again: {}", facts.of("actor"), facts.of("detail"))
        }
        StoryKind::Resolved => {
            let [actor, outcome, reason] = ["actor", "outcome", "detail"].map(|one| facts.of(one));
            format!("{actor} decided: {outcome}. Reason: {reason}")
        }
        StoryKind::Withdrawn => {
            let [actor, reason] = ["actor", "detail"].map(|one| facts.of(one));
            format!("{actor} withdrew the request that it waited for: {reason}")
        }
        StoryKind::Unresolved => unresolved(facts),
        StoryKind::Contradicted => contradicted(facts, source),
        StoryKind::Transaction => succeeded(facts),
        StoryKind::Cleared => cleared(facts),
        StoryKind::VoucherOwed => {
            let [id, event, kind] = ["id", "event", "voucher"].map(|one| facts.of(one));
            format!("Voucher {id} ({event}, {kind}) for accounting: {}", delivery(facts))
        }
        StoryKind::VoucherAcknowledged => {
            format!("Accounting acknowledged voucher {} ({})", facts.of("id"), facts.of("event"))
        }
        StoryKind::NoticeOwed => format!("A notice to {}: {}", facts.of("url"), delivery(facts)),
        StoryKind::NoticeAcknowledged => format!("{} acknowledged the notice", facts.of("url")),
        StoryKind::FollowedUp => {
            let [kind, id, status] = ["kind", "order_id", "status"].map(|one| facts.of(one));
            format!("A {kind} of {} follows it up as {id}: {status}", facts.money())
        }
        StoryKind::Reconciled => reconciled(facts),
        StoryKind::Differs => {
            let [channel, class, state] = ["channel", "class", "state"].map(|one| facts.of(one));
            let reason = facts.after("; ", "reason");
            format!("A difference with {channel}'s statement: {class}, {state}{reason}")
        }
        StoryKind::Settled => {
            let [channel, from, to] = ["channel", "from", "to"].map(|one| facts.of(one));
            format!("{channel}'s money for {from} to {to} has come: {}", facts.of("state"))
        }
    }
}

fn asked(facts: &EventFacts<'_>) -> String {
    let [caller, kind, merchant] = ["caller", "kind", "merchant_id"].map(|one| facts.of(one));
    let (money, id) = (facts.money(), facts.of("order_id"));
    let (card, of) = (facts.after(", with card ", "card"), facts.after(", on ", "of"));
    format!("{caller} asked for a {kind} of {money} for merchant {merchant}, as {id}{card}{of}")
}

fn sent(facts: &EventFacts<'_>) -> String {
    let [attempt, operation] = ["attempt", "operation"].map(|one| facts.of(one));
    let [channel, number] = ["channel", "channel_order_no"].map(|one| facts.of(one));
    let money = facts.money();
    format!("Attempt {attempt}: a {operation} of {money} was sent to {channel} as {number}")
}

fn ended(facts: &EventFacts<'_>) -> String {
    let [attempt, channel, state] = ["attempt", "channel", "state"].map(|one| facts.of(one));
    let (code, reason) = (facts.after(", code ", "code"), facts.after(", ", "reason"));
    format!("Attempt {attempt} on {channel} ended: {state}{code}{reason}")
}

fn unresolved(facts: &EventFacts<'_>) -> String {
    let [channel, phase] = ["channel", "phase"].map(|one| facts.of(one));
    let [inquiries, reversals] = ["inquiries", "reversals"].map(|one| facts.of(one));
    let (attempt, due) = (facts.attempt(), facts.after(", next at ", "due_at"));
    format!(
        "The end{attempt} on {channel} is open since: {phase}{due}, after {inquiries} \
         inquiries and {reversals} reversals"
    )
}

fn contradicted(facts: &EventFacts<'_>, source: Option<&str>) -> String {
    let (teller, attempt, claim) = (capital(teller(source)), facts.attempt(), facts.of("claim"));
    let number = facts.after(", under the channel's number ", "channel_reference");
    let undo = facts.after("; it is undone by ", "undo");
    format!("{teller}{attempt} claims a {claim} against the end of the order{number}{undo}")
}

fn succeeded(facts: &EventFacts<'_>) -> String {
    let (movement, channel) = (capital(&facts.of("movement")), facts.of("channel"));
    let number = facts.after(" under the channel's number ", "channel_reference");
    let date = facts.of("clearing_date");
    format!("{movement} at {channel}{number}, to be cleared on {date}")
}

fn cleared(facts: &EventFacts<'_>) -> String {
    let [channel, date, state] = ["channel", "date", "state"].map(|one| facts.of(one));
    let [principal, fee, net] = ["principal", "fee", "net"].map(|one| facts.of(one));
    let currency = facts.of("currency");
    format!(
        "{channel} clears it on {date}: principal {principal}, fee {fee}, net {net} {currency} \
         ({state})"
    )
}

fn delivery(facts: &EventFacts<'_>) -> String {
    let [status, tries] = ["status", "tries"].map(|one| facts.of(one));
    format!("{status} after {tries} tries{}", facts.after("; ", "last_error"))
}

fn reconciled(facts: &EventFacts<'_>) -> String {
    let [channel, date, batch] = ["channel", "date", "batch"].map(|one| facts.of(one));
    let agrees = facts.0.get("agreed") == Some(&Value::Bool(true));
    let verdict = if agrees { "it agrees" } else { "it differs" };
    format!("{channel}'s statement of {date} was reconciled (batch {batch}): {verdict}")
}

fn routed(facts: &EventFacts<'_>) -> String {
    let names = |name: &str| {
        let all = facts.list(name).into_iter().filter_map(Value::as_str);
        all.collect::<Vec<_>>().join(", ")
    };
    let struck: Vec<String> = facts
        .list("struck")
        .into_iter()
        .filter_map(Value::as_object)
        .map(|one| format!("{} ({})", EventFacts(one).of("channel"), EventFacts(one).of("reason")))
        .collect();
    let struck = match struck.is_empty() {
        true => String::new(),
        false => format!("; not {}", struck.join(", ")),
    };
    format!(
        "Rule {} (number {}) decided, with version {} of the BIN table: {}{struck}",
        facts.of("rule"),
        facts.of("place"),
        facts.of("bin_table"),
        names("kept"),
    )
}

fn what_was_told(facts: &EventFacts<'_>) -> String {
    let remark = match facts.known("remark").as_deref() {
        Some("held") => ", held: a reversal may still undo it",
        Some("disowned") => ", although the channel has said that it has it",
        Some("late") => ", late",
        Some(_) | None => "",
    };
    format!(
        "{}{}{}{remark}{}",
        facts.of("outcome"),
        facts.after(" ", "cause"),
        facts.after(", code ", "code"),
        facts.after(": ", "detail"),
    )
}

fn teller(source: Option<&str>) -> &'static str {
    match source {
        Some("reply") => "the reply",
        Some("inquiry") => "the inquiry",
        Some("reversal") => "the reversal",
        Some("notice") => "the channel's notice",
        Some("statement") => "the statement",
        Some("operator") => "an operator",
        Some("recovery") => "the recovery after a lost call",
        Some(_) | None => "somebody",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
