//! `docs/SQL.md`: every query of it runs, and shows what the books have.

use std::collections::BTreeMap;

use switchyard::domain::attempt::AttemptState;
use switchyard::domain::books::difference::{Difference, DifferenceState};
use switchyard::domain::cluster::{SettingHistory, SettingKind, SettingVersion};
use switchyard::domain::order::{Order, OrderStatus};
use switchyard::domain::outcome::UnknownCause;
use switchyard::domain::write_set::{EntryChange, WriteSet};
use switchyard::store::Store;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::books::open;
use crate::rows;
use crate::support::books::{CHANNEL, accepted, entry, id, moment, notice, order, paid};
use crate::support::postgres::database;

/// The queries by the headings that they stand under.
fn queries() -> BTreeMap<&'static str, &'static str> {
    let text = include_str!("../../docs/SQL.md");
    let sections = text.split("\n## ").skip(1);
    sections
        .map(|section| {
            let (heading, body) = section.split_once('\n').expect("a section has a body");
            let query = body.split("```sql\n").nth(1).and_then(|code| code.split("```").next());
            (heading, query.unwrap_or_else(|| panic!("no query under {heading}")))
        })
        .collect()
}

/// The rows of a query, a text for each.
async fn rows_of(client: &Client, query: &str) -> Vec<String> {
    let query = query
        // Every hour is the same to a test.
        .replace("now()", "timestamptz '2026-11-22 10:00:00+00'")
        .replace(":'channel'", "'unionpay'")
        .replace(":'date'", "'2026-11-22'")
        .replace(":id", &id(1).as_u64().to_string());
    let messages = client.simple_query(&query).await;
    let messages = messages.unwrap_or_else(|error| panic!("{query}\n{error:?}"));
    let text = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let field = |place| row.get(place).unwrap_or("-").to_owned();
            Some((0..row.len()).map(field).collect::<Vec<_>>().join(" | "))
        }
        _ => None,
    };
    messages.into_iter().filter_map(text).collect()
}

/// A paid order, an unknown one, two differences, and a day that is shut.
async fn fill(store: &dyn Store) {
    let mut unknown: Order = order(2);
    unknown.status = OrderStatus::Unknown;
    unknown.attempts[0].state = AttemptState::Unknown;
    unknown.attempts[0].unknown_cause = Some(UnknownCause::TimedOut);
    unknown.attempts[0].unresolved_at = Some(moment(100));
    let entries = vec![EntryChange::Put(entry(&unknown, CHANNEL, Some(400)))];
    let mut suspended = rows::difference(3);
    suspended.state = DifferenceState::Suspended;
    let cleared = Difference { state: DifferenceState::Cleared, ..rows::difference(4) };
    for writes in [
        accepted(&order(1)),
        WriteSet { notices: vec![notice(&order(1), 500)], ..paid(&order(1)) },
        WriteSet { entries, ..accepted(&unknown) },
        WriteSet { differences: vec![suspended, cleared], ..WriteSet::default() },
        WriteSet { shut: vec![(rows::neighbour(), rows::day(21))], ..WriteSet::default() },
    ] {
        store.commit(&writes).await.expect("rows as the engine writes them");
    }
    let routes = SettingVersion {
        kind: SettingKind::Routes,
        name: String::new(),
        version: 1,
        active_at: moment(300),
        sha256: "0123456789abcdef01".to_owned(),
        body: b"rules".to_vec(),
        note: String::new(),
        made_by: "a person".to_owned(),
        reason: "a test".to_owned(),
    };
    let mut settings = SettingHistory::default();
    settings.extend(vec![routes]);
    let state = store.cluster_state().expect("nodes share files");
    state.seed(&settings).await.expect("it has none");
}

/// What each query shows of that.
fn expected() -> [(&'static str, Vec<String>); 8] {
    let (second, fee) = (id(2).as_u64(), paid(&order(1)).clearing[0].fee_minor);
    let net = 12_345 - fee;
    let class = rows::difference(3).class.name();
    let opened = "2026-11-22 08:00:00+00";
    [
        (
            "Unknown payments by channel and age",
            vec![format!("unionpay | CNY | 1 | 12345 | 1 | 0 | 0 | {opened}")],
        ),
        (
            "The oldest unknown payments of a channel",
            vec![format!(
                "{second} | merchant-7 | 12345 | CNY | timed_out | inquiring | 0 | 0 | {opened} | \
                 2026-11-22 08:00:00.4+00"
            )],
        ),
        ("A day's clearing", vec![format!("payment | CNY | 1 | 12345 | {fee} | {net}")]),
        ("How far each channel's days are closed", vec!["unionpay2 | - | 2026-11-21".to_owned()]),
        (
            "Open differences",
            vec![format!(
                "unionpay | {class} | suspended | 1 | {opened} | \
                 2026-11-22 08:00:00.1+00"
            )],
        ),
        (
            "One order's whole life",
            [
                format!("{opened} | order accepted | payment 12345 CNY of merchant-7"),
                format!("{opened} | attempt 1 sent | payment to unionpay"),
                "2026-11-22 08:00:00.3+00 | attempt 1 approved | by reply 00 \
                 202611220800001234567"
                    .to_owned(),
                "2026-11-22 08:00:00.3+00 | order succeeded | -".to_owned(),
                "2026-11-22 08:00:00.3+00 | transaction booked | payment 12345 CNY".to_owned(),
                format!("2026-11-22 08:00:00.3+00 | clearing record of 2026-11-22 | net {net} CNY"),
                "2026-11-22 08:00:00.3+00 | accounting request 1 | instant_payment receipt"
                    .to_owned(),
                "2026-11-22 08:00:00.3+00 | notice to the core | owed".to_owned(),
            ]
            .to_vec(),
        ),
        (
            "Owed and parked deliveries",
            ["accounting", "core"]
                .map(|receiver| {
                    let due = if receiver == "core" { "0.5" } else { "0.3" };
                    format!(
                        "{receiver} | owed | 1 | 0 | 2026-11-22 08:00:0{due}+00 | \
                         2026-11-22 08:00:00.3+00"
                    )
                })
                .to_vec(),
        ),
        (
            "The entries of an order's vouchers",
            [("1 | debit", "channel:unionpay"), ("2 | credit", "merchant:merchant-7")]
                .map(|(side, account)| {
                    format!("instant_payment | {side} | {account}:pending_clearing | 12345")
                })
                .to_vec(),
        ),
    ]
}

/// The same of the files that all nodes share.
fn expected_of_files() -> [(&'static str, Vec<String>); 3] {
    [
        ("Statements that are refused", vec![]),
        ("Who has loaded which settings", vec!["0 |  | 0 | 1 | ".to_owned()]),
        (
            "What was published last",
            vec![
                "1 | routes |  | 2026-11-22 08:00:00.3+00 | a person | a test | \
                 0123456789abcdef | 5"
                    .to_owned(),
            ],
        ),
    ]
}

#[tokio::test]
async fn each_query_of_the_manual_shows_what_is_there() {
    let Some(database) = database().await else { return };
    fill(&*open(&database.url).await).await;
    let client = database.client().await;
    client.batch_execute("SET TimeZone = 'UTC'").await.expect("everyone may");
    let queries = queries();
    let expected = [&expected()[..], &expected_of_files()[..]].concat();
    assert_eq!(expected.len(), queries.len(), "a query that is not looked at");
    for (heading, rows) in &expected {
        let query = queries.get(heading).unwrap_or_else(|| panic!("no section {heading}"));
        assert_eq!(rows_of(&client, query).await, *rows, "{heading}");
    }
}
