//! How the database carries a group of commits out, by its own counters.

use std::time::Duration;

use tokio_postgres::Client;

use crate::books::{open, pay};
use crate::support::postgres::{connect, database};

const PAYMENTS: u64 = 300;
/// Looks at counters that the server writes down within a second, 50 ms apart.
const LOOKS_MAX: u32 = 400;

/// Looks for rows by an index, and rows read without one.
async fn reads(client: &Client, table: &str) -> (i64, i64) {
    let counters = "SELECT coalesce(idx_scan, 0), seq_tup_read FROM pg_stat_user_tables \
                    WHERE relname = $1";
    let row = client.query_one(counters, &[&table]).await.expect("a table of the books");
    (row.get(0), row.get(1))
}

/// A statement is planned once, while its table is empty: a plan that reads the whole table would
/// stay, and each group would cost more than the one before.
#[tokio::test(flavor = "multi_thread")]
async fn groups_find_their_rows_by_keys_from_the_first_payment_on() {
    let Some(database) = database().await else { return };
    let (store, client) = (open(&database.url).await, connect(&database.url).await);
    let answers = pay(&*store, 1..=PAYMENTS).await;
    assert!(answers.refused.is_empty());
    drop(store);
    for table in ["orders", "attempts", "in_flight"] {
        let mut looks = 0;
        loop {
            let (by_index, whole) = reads(&client, table).await;
            assert_eq!(whole, 0, "rows of {table} that were read without its key");
            if by_index >= i64::try_from(PAYMENTS).expect("a small number") {
                break;
            }
            looks += 1;
            assert!(looks < LOOKS_MAX, "{table}: {by_index} looks by its key");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
