//! The channel's clearing date beats our calendar's only where it can be meant.

use switchyard::domain::attempt::Source;
use switchyard::domain::effect::{Alert, Effect};
use switchyard::domain::outcome::{Approval, Outcome};

use crate::build::{Desk, declined, terms};

fn cleared_on(mmdd: &str) -> Outcome {
    Outcome::Approved(Approval {
        channel_reference: None,
        code: "00".to_owned(),
        settle_mmdd: Some(mmdd.to_owned()),
        card_type: None,
    })
}

/// The tests' day is 22 November 2026.
#[test]
fn a_clearing_date_far_from_the_attempts_is_not_taken() {
    let rows = [
        ("1112", "2026-11-12", true),
        ("1121", "2026-11-21", true),
        ("1122", "2026-11-22", true),
        ("1123", "2026-11-23", true),
        ("1202", "2026-12-02", true),
        ("1203", "2026-11-22", false),
        ("1111", "2026-11-22", false),
        ("0101", "2026-11-22", false),
        ("0601", "2026-11-22", false),
        ("0229", "2026-11-22", false),
        // None of these is a month and a day.
        ("1301", "2026-11-22", false),
        ("0000", "2026-11-22", false),
        ("20261123", "2026-11-22", false),
        ("", "2026-11-22", false),
    ];
    for (mmdd, date, taken) in rows {
        for source in [Source::Reply, Source::Notice, Source::Inquiry, Source::Statement] {
            let name = format!("{source:?} {mmdd}");
            let mut desk = match source {
                Source::Reply => Desk::sending(),
                _ => Desk::unknown(),
            };
            let decision = desk.learn(source, cleared_on(mmdd));
            let record = &desk.rows.clearing[&desk.id][0];
            assert_eq!(record.date.to_string(), date, "{name}");
            let alert = Effect::Alert { order: desk.id, what: Alert::ClearingDate };
            assert_eq!(!decision.effects.contains(&alert), taken, "{name}");
        }
        // A success that is claimed against our books is expected where it can be, too.
        let mut desk = Desk::after(terms(), &[(Source::Reply, declined())]);
        let decision = desk.learn(Source::Notice, cleared_on(mmdd));
        assert_eq!(desk.rows.clearing[&desk.id][0].date.to_string(), date, "a claim of {mmdd}");
        let alert = Effect::Alert { order: desk.id, what: Alert::ClearingDate };
        assert_eq!(!decision.effects.contains(&alert), taken, "a claim of {mmdd}");
    }
}

/// Around the end of a year the nearest year is meant.
#[test]
fn a_date_without_a_year_is_of_the_year_that_is_near() {
    let mut desk = Desk::unknown();
    desk.wait(std::time::Duration::from_secs(200 * 24 * 3_600));
    desk.learn(Source::Inquiry, cleared_on("1122"));
    let date = desk.rows.clearing[&desk.id][0].date.to_string();
    assert_eq!(date, "2026-11-22", "it is counted from the attempt, not from today");
}
