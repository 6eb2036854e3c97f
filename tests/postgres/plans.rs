//! How the database carries a group of commits out, by its own counters.

use std::time::Duration;

use switchyard::domain::ids::MerchantId;
use switchyard::domain::order_filter::OrderFilter;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::Store;
use tokio_postgres::Client;

use crate::books::{open, pay};
use crate::support::books::order;
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

/// However rare it is what is looked for, a page goes along the orders' numbers, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_reads_orders_by_their_numbers() {
    const ORDERS: u64 = 24_000;
    let Some(database) = database().await else { return };
    let (store, client) = (open(&database.url).await, connect(&database.url).await);
    let store: &dyn Store = &*store;
    for first in (1..=ORDERS).step_by(2_000) {
        let orders = (first..first + 2_000).map(order).collect();
        let writes = WriteSet { orders, ..WriteSet::default() };
        store.commit(&writes).await.expect("it is written");
    }
    client.batch_execute("ANALYZE").await.expect("the owner may");
    let (before, _) = reads(&client, "orders").await;
    let nobody = Some(MerchantId::from_stored("nobody"));
    let rare = OrderFilter { merchant_id: nobody, ..OrderFilter::default() };
    // The first pages are planned for what is asked, later ones for anything.
    for _ in 0..10 {
        let page = store.search_orders(rare.clone(), None, 10).await.expect("a read");
        assert!(page.orders.is_empty());
        assert_eq!(page.next.map(|id| id.sequence()), Some(ORDERS - 20_000 + 1));
    }
    let mut looks = 0;
    loop {
        let (by_index, whole) = reads(&client, "orders").await;
        assert_eq!(whole, 0, "rows that were read without the number");
        if by_index >= before + 20 {
            return;
        }
        looks += 1;
        assert!(looks < LOOKS_MAX, "{by_index} looks by number, {before} before");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
