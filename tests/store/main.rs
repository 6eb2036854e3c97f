//! One suite that every store passes, and what only a store on a disk can show.

mod check;
mod damage;
mod differences;
mod disk;
mod histories;
mod moving;
mod orders;
mod queues;
mod reconciliations;
mod rows;
mod search;
mod services;
#[path = "../support/mod.rs"]
mod support;

use std::future::Future;
use std::path::Path;

use check::*;
use differences::*;
use histories::*;
use orders::*;
use queues::*;
use reconciliations::*;
use search::*;
use services::*;
use support::Scratch;
use support::books::id;
use support::postgres::{self as servers, Database};
use switchyard::domain::order::Order;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore};
use switchyard::store::memory::MemoryStore;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use switchyard::store::{CommitError, Store, StoreError};

macro_rules! suite {
    ($($test:ident,)*) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&super::MemoryStore::new()).await;
                }
            )*
        }

        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let scratch = super::Scratch::new();
                    super::$test(&super::open(&scratch)).await;
                }
            )*
        }

        /// Left out where PostgreSQL's server is missing, as the last test program says.
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let Some(database) = super::servers::database().await else { return };
                    super::$test(&super::open_database(&database).await).await;
                }
            )*
        }

        /// Every commit is written as a segment at once, and the next ones wait for it.
        mod flushing {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let scratch = super::Scratch::new();
                    super::$test(&super::open_flushing(&scratch, 1)).await;
                }
            )*
        }
    };
}

suite! {
    an_order_is_found_by_both_of_its_ids,
    orders_are_listed_by_id_in_pages,
    open_orders_are_those_that_are_not_final,
    follow_ups_are_listed_by_what_they_refer_to,
    a_search_finds_what_a_look_over_all_orders_does,
    a_search_bears_any_cursor_time_and_limit,
    a_search_finds_an_order_whose_number_was_drawn_for_its_code,
    orders_that_end_between_two_pages_are_shown_once,
    a_search_of_many_orders_says_how_far_it_looked,
    what_happened_is_listed_by_order,
    a_view_has_all_of_an_order,
    a_view_is_of_one_moment,
    a_success_is_read_back_whole,
    i_9_a_caller_uses_an_order_id_once,
    a_version_follows_the_stored_one,
    a_final_order_stays_final,
    what_is_new_must_not_exist,
    a_batch_with_one_bad_guard_writes_nothing,
    a_batch_sees_its_own_rows,
    entries_are_worked_by_time_and_channel,
    an_entry_goes_only_at_its_version,
    clearing_is_listed_by_channel_and_date,
    accounting_requests_are_worked_by_time,
    accounting_requests_are_listed_by_status,
    notices_are_worked_by_time,
    contradictions_belong_to_their_order,
    transactions_are_listed_by_order_and_by_day,
    the_audit_trail_keeps_its_order,
    leases_never_overlap,
    racing_commits_of_one_version_have_one_winner,
    an_empty_batch_is_written,
    a_close_is_read_back_and_later_ones_follow,
    a_shut_day_takes_no_records_and_can_be_closed,
    a_closed_day_takes_no_more_clearing_records,
    statements_are_listed_by_revision,
    reconciliations_are_listed_by_channel_and_date,
    one_reconciliation_is_current,
    running_reconciliations_are_found_again,
    agreed_lines_come_back_as_they_were_written,
    a_batch_lists_what_it_found,
    a_difference_is_found_by_both_of_its_sides,
    two_differences_never_have_one_record_or_line,
    one_difference_takes_what_another_gives_up,
    open_and_due_differences_follow_their_state,
    differences_are_listed_by_date,
    a_bank_receipt_belongs_to_one_settlement,
    settled_dates_count_their_versions,
    i_9_a_caller_uses_an_id_of_a_verification_once,
    i_9_a_caller_uses_an_id_of_an_agreement_once,
    i_9_a_caller_has_one_code_for_an_id_and_spends_it_once,
    agreements_are_found_by_caller_and_card,
    agreements_are_listed_by_merchant,
    i_14_of_requests_that_wait_one_is_about_each_thing,
    a_row_of_the_bin_table_has_one_proposal_of_each_fact,
    what_was_read_must_be_as_it_was,
    a_batch_of_the_books_with_one_bad_guard_writes_nothing,
    random_histories_of_differences_equal_a_plain_model,
    random_histories_equal_a_plain_model,
    what_breaks_an_invariant_is_told,
}

fn open(scratch: &Scratch) -> EmbeddedStore {
    open_at(scratch.path())
}

fn open_at(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, &settings()).expect("a store in a scratch folder")
}

fn open_flushing(scratch: &Scratch, layer_keys: usize) -> EmbeddedStore {
    let settings = EmbeddedSettings { layer_keys, compacted_at_once: 3, ..settings() };
    EmbeddedStore::open(scratch.path(), &settings).expect("a store in a scratch folder")
}

async fn open_database(database: &Database) -> PostgresStore {
    let settings = PostgresSettings::at(database.url.as_str());
    PostgresStore::open(&settings).await.expect("a store in an empty database")
}

fn settings() -> EmbeddedSettings {
    EmbeddedSettings { cache_bytes: 16 * 1024 * 1024, ..EmbeddedSettings::default() }
}

/// A store as those have it who do not know which it is.
fn of(store: &impl Store) -> &dyn Store {
    store
}

async fn commit(store: &dyn Store, writes: WriteSet) {
    store.commit(&writes).await.expect("a write set whose guards hold");
}

async fn read<T>(reading: impl Future<Output = Result<T, StoreError>>) -> T {
    reading.await.expect("rows that read back")
}

async fn refuse(store: &dyn Store, writes: WriteSet, why: &str) {
    match store.commit(&writes).await {
        Err(CommitError::Conflict) => {}
        other => panic!("{why}: {other:?}"),
    }
}

fn ids(orders: &[Order]) -> Vec<u64> {
    orders.iter().map(|order| order.id.as_u64() - id(0).as_u64()).collect()
}
