//! `store check` holds the books' invariants beside a node that works on them, and names what
//! breaks one.

use switchyard::app::check::{CheckReport, check_books};
use switchyard::simulator::{DurationRange, Faults};
use switchyard::store::postgres::{DatabaseBooks, PostgresSettings};
use tokio_postgres::Client;

use crate::daemon::{start, told, town};
use crate::support::core::Payment;
use crate::support::postgres::{Database, database};
use crate::support::wire::until;

async fn check(database: &Database) -> CheckReport {
    let settings = PostgresSettings::at(&*database.url);
    let books = DatabaseBooks::snapshot(&settings).await.expect("a database with books");
    check_books(&books, &|_, _| {}).await.unwrap_or_else(|error| CheckReport {
        told: vec![error.to_string()],
        violations: 1,
        ..CheckReport::default()
    })
}

/// Breaks the books in one way: the table, the statement, and what has to be told. `$P` stands for
/// the payment, `$R` for its refund, `$U` for an unknown payment.
const BREAKS: [(&str, &str, &str); 24] = [
    (
        "orders",
        "UPDATE orders SET refunded_minor = refunded_minor + 1 WHERE id = $P",
        "I-8: $P says",
    ),
    (
        "orders",
        "UPDATE orders SET status = 'failed', reason = NULL WHERE id = $P",
        "I-3: order $P is Failed",
    ),
    (
        "orders",
        "UPDATE orders SET accounting_sequence = 9 WHERE id = $P",
        "I-7: the chain of $P has a gap",
    ),
    ("orders", "DELETE FROM orders WHERE id = $P", "I-8: $R draws on $P, which is not there"),
    (
        "attempts",
        "UPDATE attempts SET state = 'declined' WHERE order_id = $P",
        "I-3: order $P is Succeeded with Some(Declined) last",
    ),
    (
        "attempts",
        "UPDATE attempts SET ended_by = NULL WHERE order_id = $P",
        "I-3: attempt 1 of $P ended by nothing",
    ),
    (
        "attempts",
        "INSERT INTO attempts (order_id, number, channel, operation, sent_at, state) VALUES (7, \
         1, 'a', 'payment', now(), 'declined')",
        "an attempt is of no order: order 7",
    ),
    (
        "reversal_entries",
        "DELETE FROM reversal_entries WHERE order_id = $U",
        "I-6: entry of $U: true wanted",
    ),
    (
        "reversal_entries",
        "UPDATE reversal_entries SET amount_minor = 1 WHERE order_id = $U",
        "I-6: entry $U is about another amount",
    ),
    (
        "reversal_entries",
        "UPDATE reversal_entries SET order_id = 7 WHERE order_id = $U",
        "I-6: a reversal entry is of order 0000000000000000007, which",
    ),
    ("transactions", "DELETE FROM transactions WHERE order_id = $P", "I-7: transactions of $P"),
    (
        "clearing_records",
        "DELETE FROM clearing_records WHERE order_id = $P",
        "I-7: 0 clearing records of $P",
    ),
    (
        "clearing_records",
        "UPDATE clearing_records SET principal_minor = principal_minor + 1, net_minor = \
         net_minor + 1 WHERE order_id = $P",
        "I-7: the clearing record of $P does not add up",
    ),
    (
        "clearing_records",
        "UPDATE clearing_records SET order_id = 7 WHERE order_id = $P",
        "I-7: a clearing record of 0000000000000000007 at",
    ),
    (
        "accounting_requests",
        "DELETE FROM accounting_requests WHERE order_id = $P",
        "I-7: the chain of $P has a gap",
    ),
    (
        "accounting_requests",
        "UPDATE accounting_requests SET entries = json_build_array(entries->0) WHERE order_id = \
         $P",
        "I-7: request $P-1 does not balance",
    ),
    (
        "accounting_requests",
        "UPDATE accounting_requests SET debit_minor = 1, credit_minor = 1 WHERE order_id = $P",
        "I-7: the sums of an accounting request are not those of its entries: request $P-1",
    ),
    (
        "notices",
        "INSERT INTO notices SELECT $U, url, created_at, version, status, tries, due_at, \
         acknowledged_at, last_error, unanswered FROM notices WHERE order_id = $P",
        "I-7: order $U owes 1 notices",
    ),
    (
        "contradictions",
        "INSERT INTO contradictions (order_id, attempt, reported, ordinal, source, at, \
         transcript) VALUES ($P, 1, 'success', 0, 'notice', '2026-11-22', '')",
        "I-5: a claim of $P contradicts nothing",
    ),
    (
        "day_closes",
        "INSERT INTO day_closes SELECT channel, date, '[]', sha256('a'), 'ann', '2026-11-22' \
         FROM clearing_records WHERE order_id = $P",
        "is closed with other sums",
    ),
    (
        "clearing_days",
        "INSERT INTO clearing_days (channel, closed_through, shut_through) VALUES ('a-bank', \
         '2026-11-22', '2026-11-22')",
        "I-7: a-bank is closed through another day than its last close",
    ),
    (
        "in_flight",
        "INSERT INTO in_flight (order_id, attempt) VALUES ($P, 1)",
        "`in_flight` has too much",
    ),
    (
        "found_differences",
        "INSERT INTO found_differences (batch, ordinal, class, difference) VALUES (7, 0, \
         'only_theirs', 8)",
        "I-10: what batch 0000000000000000007 found is there without it",
    ),
    (
        "audit",
        "INSERT INTO audit (place, at, actor, action, subject, reason) VALUES (1000, \
         '2026-11-22', '', '', '', '')",
        "the audit trail has a gap before 1000",
    ),
];

/// Breaks the books, looks, and mends them.
async fn broken(database: &Database, client: &Client, table: &str, sql: &str) -> CheckReport {
    let keep = format!("CREATE TABLE kept AS TABLE {table}");
    client.batch_execute(&keep).await.expect("a copy");
    let changed = client.execute(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(changed > 0, "{sql}");
    let report = check(database).await;
    let mend = format!("TRUNCATE {table}; INSERT INTO {table} TABLE kept; DROP TABLE kept");
    client.batch_execute(&mend).await.expect("as it was");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_an_invariant_is_named_with_its_order() {
    let Some(database) = database().await else { return };
    let town = town(&database.url).await;
    let (mut daemon, core) = start(&town).await;
    let paid = core.pay(&Payment::escrow("F-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"));
    let refunded = core.refund(paid.id(), "F-2", 345).await;
    assert_eq!(refunded.outcome(), (200, "succeeded"));
    let deaf =
        Faults { drop_before: 10_000, hang_for: DurationRange::millis(90, 95), ..Faults::calm() };
    town.channels.bank.set_faults(deaf).expect("possible faults");
    let unknown = core.pay(&Payment::instant("F-3", 500)).await;
    assert_eq!(unknown.status, 202, "{unknown:?}");
    let (code, words) =
        told(&town, &["store", "check", "--config", "switchyard.toml", "--data", "data"]).await;
    assert_eq!(code, Some(0), "beside the node: {words}");
    assert!(words.contains("3 orders, 2 clearing records"), "{words}");
    let unknown = unknown.id().to_owned();
    let is_unknown = async || (core.payment(&unknown).await.outcome().1 == "unknown").then_some(());
    until("the bank does not answer", is_unknown).await;
    daemon.signal("TERM");
    assert!(daemon.ended().await.success());

    let whole = check(&database).await;
    assert_eq!((whole.violations, whole.orders), (0, 3), "{whole:?}");
    let client = database.client().await;
    let mut unnamed = Vec::new();
    for (table, sql, words) in BREAKS {
        let filled = |text: &str| {
            let text = text.replace("$P", paid.id()).replace("$R", refunded.id());
            text.replace("$U", &unknown)
        };
        let report = broken(&database, &client, table, &filled(sql)).await;
        let is_named = report.told.iter().any(|one| one.contains(&filled(words)));
        if !is_named || report.violations == 0 {
            unnamed.push(format!("{sql}: {:?}", report.told));
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    let mended = check(&database).await;
    assert_eq!(mended, whole);
    client.execute("DELETE FROM transactions", &[]).await.expect("a table");
    let (code, words) =
        told(&town, &["store", "check", "--config", "switchyard.toml", "--data", "data"]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains(&format!("I-7: transactions of {}", paid.id())), "{words}");
}
