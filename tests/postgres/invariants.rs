//! What breaks an invariant the database itself refuses, whoever writes it.

use switchyard::domain::write_set::{EntryChange, WriteSet};
use tokio_postgres::Client;

use crate::books::open;
use crate::support::books::{CHANNEL, accepted, entry, id, order, paid};
use crate::support::postgres::database;

/// Carries out what must be refused, and gives the name of the constraint that refuses it.
async fn refusal(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.err();
    let error = error.unwrap_or_else(|| panic!("it was carried out: {statement}"));
    let error = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}"));
    assert!(error.code().code().starts_with("23"), "{statement}: {error:?}");
    error.constraint().expect("constraints have names").to_owned()
}

/// A copy of a row, with other values in some columns.
fn copy(table: &str, other: &str) -> String {
    format!(
        "INSERT INTO {table} SELECT (jsonb_populate_record(first.t, '{{{other}}}')).* FROM \
         (SELECT t FROM {table} t LIMIT 1) first"
    )
}

#[tokio::test]
async fn i_5_to_i_9_hold_in_the_database_too() {
    let Some(database) = database().await else { return };
    let store = open(&database.url).await;
    let entries = vec![EntryChange::Put(entry(&order(2), CHANNEL, Some(0)))];
    for writes in
        [accepted(&order(1)), paid(&order(1)), WriteSet { entries, ..accepted(&order(2)) }]
    {
        store.commit(&writes).await.expect("rows as the engine writes them");
    }
    let client = database.client().await;
    let (ended, open) = (id(1).as_u64(), id(2).as_u64());
    let rows = [
        // I-9: a caller's order id names one order.
        ("orders_caller", copy("orders", "\"id\": 7")),
        ("orders_pkey", copy("orders", "\"caller_order_id\": \"B-1\"")),
        ("orders_amount_minor_check", "UPDATE orders SET amount_minor = 0".to_owned()),
        // I-5: an order has an end, or it has none.
        ("orders_end", format!("UPDATE orders SET finished_at = NULL WHERE id = {ended}")),
        ("orders_end", format!("UPDATE orders SET status = 'failed' WHERE id = {open}")),
        ("orders_status_check", format!("UPDATE orders SET status = 'paid' WHERE id = {open}")),
        // I-8: no more comes back than was taken.
        ("orders_claims", "UPDATE orders SET refunded_minor = amount_minor + 1".to_owned()),
        (
            "orders_claims",
            "UPDATE orders SET refunded_minor = amount_minor, captured_minor = 1".to_owned(),
        ),
        ("attempts_state_check", "UPDATE attempts SET state = 'perhaps'".to_owned()),
        ("attempts_pkey", copy("attempts", "\"channel\": \"another\"")),
        // I-4: an order has one attempt in flight.
        ("in_flight_pkey", copy("in_flight", "\"attempt\": 2")),
        // I-6: an order has one entry.
        ("reversal_entries_pkey", copy("reversal_entries", "\"attempt\": 2")),
        ("reversal_entries_phase_check", "UPDATE reversal_entries SET phase = 'x'".to_owned()),
        // I-7: one transaction, one record and one balanced request for a success.
        ("transactions_pkey", copy("transactions", "\"movement\": \"refund\"")),
        ("clearing_records_pkey", copy("clearing_records", "\"fee_rule\": \"x\"")),
        (
            "clearing_records_net",
            "UPDATE clearing_records SET net_minor = net_minor + 1".to_owned(),
        ),
        (
            "accounting_requests_balance",
            "UPDATE accounting_requests SET debit_minor = debit_minor + 1".to_owned(),
        ),
        ("accounting_requests_source", "UPDATE accounting_requests SET order_id = NULL".to_owned()),
        ("accounting_requests_pkey", copy("accounting_requests", "\"event\": \"x\"")),
    ];
    for (constraint, statement) in rows {
        assert_eq!(refusal(&client, &statement).await, constraint, "{statement}");
    }
}
