//! One suite that every store passes, and what only a store on a disk can show.

mod support;

use std::future::Future;
use std::sync::Arc;

use support::books::{self, accepted, channel, date, id, moment, order, paid};
use support::{Scratch, books::next};
use switchyard::domain::batch::{Batch, Claim, EntryChange};
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use switchyard::domain::flow::order::{Claims, Order, OrderKind};
use switchyard::domain::flow::reversal::ReversalEntry;
use switchyard::domain::ids::{CallerId, ChannelId, ChannelOrderNo, OrderId};
use switchyard::domain::time::BusinessDate;
use switchyard::store::memory::MemoryStore;
use switchyard::store::sled::{SledSettings, SledStore};
use switchyard::store::{CommitError, PAGE_MAX, Store, StoreError};

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

        /// Every commit is copied into the tree at once, and the next ones wait for it.
        mod settling {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let scratch = super::Scratch::new();
                    super::$test(&super::open_settling(&scratch, 1)).await;
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
    the_audit_trail_keeps_its_order,
    leases_never_overlap,
    racing_commits_of_one_version_have_one_winner,
    an_empty_batch_is_written,
}

fn open(scratch: &Scratch) -> SledStore {
    SledStore::open(scratch.path(), &settings()).expect("a store in a scratch folder")
}

fn open_settling(scratch: &Scratch, settle_keys: usize) -> SledStore {
    let settings = SledSettings { settle_keys, ..settings() };
    SledStore::open(scratch.path(), &settings).expect("a store in a scratch folder")
}

fn settings() -> SledSettings {
    SledSettings { cache_bytes: 16 * 1024 * 1024, ..SledSettings::default() }
}

async fn commit(store: &dyn Store, batch: Batch) {
    store.commit(batch).await.expect("a batch whose guards hold");
}

async fn read<T>(reading: impl Future<Output = Result<T, StoreError>>) -> T {
    reading.await.expect("rows that read back")
}

async fn refuse(store: &dyn Store, batch: Batch, why: &str) {
    match store.commit(batch).await {
        Err(CommitError::Conflict) => {}
        other => panic!("{why}: {other:?}"),
    }
}

fn ids(orders: &[Order]) -> Vec<u64> {
    orders.iter().map(|order| order.id.as_u64() - id(0).as_u64()).collect()
}

async fn an_order_is_found_by_both_of_its_ids(store: &dyn Store) {
    let order = order(1);
    assert_eq!(read(store.order(order.id)).await, None);
    let find = |number| store.order_by_caller(books::caller(), books::caller_order_id(number));
    assert_eq!(read(find(1)).await, None);
    commit(store, accepted(&order)).await;
    assert_eq!(read(store.order(order.id)).await, Some(order.clone()));
    assert_eq!(read(find(1)).await, Some(order.clone()));
    assert_eq!(read(find(2)).await, None);
    let stranger = CallerId::from_stored("cor");
    let found = store.order_by_caller(stranger, books::caller_order_id(1));
    assert_eq!(read(found).await, None);
    commit(store, paid(&order)).await;
    let ended = books::succeeded(&order);
    assert_eq!(read(store.order(order.id)).await, Some(ended.clone()));
    assert_eq!(read(find(1)).await, Some(ended));
}

async fn orders_are_listed_by_id_in_pages(store: &dyn Store) {
    for sequence in [5, 1, 300, 2, 256, 4, 3] {
        let order = order(sequence);
        commit(store, accepted(&order)).await;
        if sequence % 2 == 0 {
            commit(store, paid(&order)).await;
        }
    }
    let all = read(store.orders(None, usize::MAX)).await;
    assert_eq!(ids(&all), [1, 2, 3, 4, 5, 256, 300]);
    assert_eq!(ids(&read(store.orders(None, 3)).await), [1, 2, 3]);
    assert_eq!(ids(&read(store.orders(Some(id(3)), 3)).await), [4, 5, 256]);
    assert_eq!(ids(&read(store.orders(Some(id(299)), 3)).await), [300]);
    assert!(read(store.orders(Some(id(300)), 3)).await.is_empty());
    assert!(read(store.orders(None, 0)).await.is_empty());
}

async fn open_orders_are_those_that_are_not_final(store: &dyn Store) {
    for sequence in 1..=5 {
        commit(store, accepted(&order(sequence))).await;
    }
    commit(store, paid(&order(2))).await;
    commit(store, paid(&order(5))).await;
    assert_eq!(ids(&read(store.open_orders(None, 10)).await), [1, 3, 4]);
    assert_eq!(ids(&read(store.open_orders(None, 2)).await), [1, 3]);
    assert_eq!(ids(&read(store.open_orders(Some(id(3)), 2)).await), [4]);
}

async fn follow_ups_are_listed_by_what_they_refer_to(store: &dyn Store) {
    let kinds = [
        OrderKind::Refund { of: id(1) },
        OrderKind::Void { of: id(1) },
        OrderKind::Capture { of: id(2) },
        OrderKind::Release { of: id(1) },
        OrderKind::Refund { of: id(1) },
    ];
    for sequence in [1, 2] {
        commit(store, accepted(&order(sequence))).await;
    }
    for (sequence, kind) in (300..).zip(kinds) {
        commit(store, accepted(&Order { kind, ..order(sequence) })).await;
    }
    // A later version changes neither the list nor its order.
    commit(store, paid(&Order { kind: kinds[0], ..order(300) })).await;
    let listed = async |of, after, limit| ids(&read(store.follow_ups(id(of), after, limit)).await);
    assert_eq!(listed(1, None, usize::MAX).await, [300, 301, 304]);
    assert_eq!(listed(1, None, 2).await, [300, 301]);
    assert_eq!(listed(1, Some(id(301)), 2).await, [304]);
    assert_eq!(listed(2, None, 9).await, [302]);
    assert!(listed(3, None, 9).await.is_empty());
    let first = read(store.follow_ups(id(1), None, 1)).await;
    assert_eq!(Some(first[0].clone()), read(store.order(id(300))).await, "as it is now");
}

async fn a_success_is_read_back_whole(store: &dyn Store) {
    let order = order(1);
    commit(store, accepted(&order)).await;
    assert_eq!(read(store.transaction(order.id)).await, None);
    let batch = paid(&order);
    commit(store, batch.clone()).await;
    assert_eq!(read(store.transaction(order.id)).await.as_ref(), batch.transactions.first());
    assert_eq!(read(store.clearing(channel(), date(), None, 10)).await, batch.clearing);
    let request = &batch.accounting[0];
    assert_eq!(read(store.accounting_request(request.id)).await.as_ref(), Some(request));
    let absent = RequestId { chain: order.id, sequence: 2 };
    assert_eq!(read(store.accounting_request(absent)).await, None);
}

async fn i_9_a_caller_uses_an_order_id_once(store: &dyn Store) {
    commit(store, accepted(&order(1))).await;
    let twin = Order { id: id(2), ..order(1) };
    match store.commit(accepted(&twin)).await {
        Err(CommitError::Duplicate { existing }) => assert_eq!(existing, id(1)),
        other => panic!("the caller's order id was used: {other:?}"),
    }
    assert_eq!(read(store.order(id(2))).await, None);
    let elsewhere = Order { caller: CallerId::from_stored("core2"), ..twin };
    commit(store, accepted(&elsewhere)).await;
    refuse(store, accepted(&order(1)), "the same order a second time").await;
    let both =
        Batch { orders: vec![order(7), Order { id: id(8), ..order(7) }], ..Batch::default() };
    let both = store.commit(both).await;
    assert!(matches!(both, Err(CommitError::Duplicate { existing }) if existing == id(7)));
    assert_eq!(read(store.order(id(7))).await, None);
}

async fn a_version_follows_the_stored_one(store: &dyn Store) {
    let first = order(1);
    let second = next(&first);
    let third = next(&second);
    refuse(store, accepted(&Order { version: 0, ..first.clone() }), "version 0").await;
    refuse(store, accepted(&second), "version 2 of nothing").await;
    commit(store, accepted(&first)).await;
    refuse(store, accepted(&third), "version 3 over 1").await;
    commit(store, accepted(&second)).await;
    refuse(store, accepted(&second), "version 2 over 2").await;
    let renamed = Order { caller_order_id: books::caller_order_id(9), ..first.clone() };
    refuse(store, accepted(&renamed), "version 1 over 2").await;
    commit(store, accepted(&third)).await;
    assert_eq!(read(store.order(first.id)).await.map(|order| order.version), Some(3));
}

async fn a_final_order_stays_final(store: &dyn Store) {
    let first = order(1);
    commit(store, accepted(&first)).await;
    commit(store, paid(&first)).await;
    let ended = books::succeeded(&first);
    let reopened = Order { status: first.status, ..next(&ended) };
    refuse(store, accepted(&reopened), "a final order written as open").await;
    let claims = Claims { refunded_minor: 7, from_escrow_minor: 2, ..Claims::default() };
    let released = Order { released_minor: 5, claims, ..next(&ended) };
    commit(store, accepted(&released)).await;
    assert_eq!(read(store.order(first.id)).await, Some(released));
    assert!(read(store.open_orders(None, 10)).await.is_empty());
}

async fn what_is_new_must_not_exist(store: &dyn Store) {
    let first = order(1);
    let full = paid(&first);
    commit(store, accepted(&first)).await;
    commit(store, full.clone()).await;
    let kept = books::contradiction(&first, 1, Claim::Failure);
    commit(store, Batch { contradictions: vec![kept.clone()], ..Batch::default() }).await;
    let again = [
        Batch { transactions: full.transactions.clone(), ..Batch::default() },
        Batch { clearing: full.clearing.clone(), ..Batch::default() },
        Batch { accounting: full.accounting.clone(), ..Batch::default() },
        Batch { contradictions: vec![kept], ..Batch::default() },
    ];
    for batch in again {
        refuse(store, batch, "a row that exists").await;
    }
}

async fn a_batch_with_one_bad_guard_writes_nothing(store: &dyn Store) {
    commit(store, accepted(&order(1))).await;
    let stale = Order { version: 7, ..order(1) };
    let fresh = order(2);
    let batch = Batch {
        orders: vec![fresh.clone(), stale],
        entries: vec![EntryChange::Put(books::entry(&fresh, books::CHANNEL, Some(0)))],
        notices: vec![books::notice(&fresh, 0)],
        contradictions: vec![books::contradiction(&fresh, 1, Claim::Success)],
        audit: vec![books::audit("x")],
        ..paid(&fresh)
    };
    refuse(store, batch.clone(), "one of its guards does not hold").await;
    // The bad guard last: everything else was checked and found good before it.
    let late = Batch { orders: vec![fresh.clone()], ..batch };
    let stale_entry = EntryChange::Remove { order: id(1), version: 1 };
    let late = Batch { entries: [late.entries.clone(), vec![stale_entry]].concat(), ..late };
    refuse(store, late, "the entry that goes does not exist").await;
    assert_eq!(read(store.order(fresh.id)).await, None);
    let found = store.order_by_caller(books::caller(), books::caller_order_id(2));
    assert_eq!(read(found).await, None);
    assert_eq!(read(store.transaction(fresh.id)).await, None);
    assert_eq!(read(store.reversal(fresh.id)).await, None);
    assert_eq!(read(store.notice(fresh.id)).await, None);
    assert!(read(store.clearing(channel(), date(), None, 10)).await.is_empty());
    assert!(read(store.accounting_requests(None, None, 10)).await.is_empty());
    assert!(read(store.due_accounting(moment(9_999), 10)).await.is_empty());
    assert!(read(store.due_reversals(channel(), moment(9_999), 10)).await.is_empty());
    assert!(read(store.contradictions(fresh.id)).await.is_empty());
    assert!(read(store.audit(None, 10)).await.is_empty());
    assert_eq!(read(store.order(id(1))).await, Some(order(1)));
}

async fn a_batch_sees_its_own_rows(store: &dyn Store) {
    let first = order(1);
    let second = next(&first);
    let orders = vec![first.clone(), second.clone()];
    commit(store, Batch { orders, ..Batch::default() }).await;
    assert_eq!(read(store.order(first.id)).await, Some(second.clone()));
    let orders = vec![next(&second), next(&second)];
    refuse(store, Batch { orders, ..Batch::default() }, "the same version twice").await;
    let orders = vec![order(2), books::succeeded(&order(2))];
    commit(store, Batch { orders, ..Batch::default() }).await;
    assert_eq!(ids(&read(store.open_orders(None, 10)).await), [1]);
    assert_eq!(ids(&read(store.orders(None, 10)).await), [1, 2]);
}

fn put(entry: &ReversalEntry) -> Batch {
    Batch { entries: vec![EntryChange::Put(entry.clone())], ..Batch::default() }
}

fn entry_ids(entries: &[ReversalEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.order.as_u64() - id(0).as_u64()).collect()
}

async fn entries_are_worked_by_time_and_channel(store: &dyn Store) {
    let due = [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(200)), (5, Some(100))];
    for (sequence, due_ms) in due {
        commit(store, put(&books::entry(&order(sequence), books::CHANNEL, due_ms))).await;
    }
    commit(store, put(&books::entry(&order(6), "unionpay2", Some(0)))).await;
    let find = |now_ms, limit| store.due_reversals(channel(), moment(now_ms), limit);
    assert!(read(find(99, 10)).await.is_empty());
    assert_eq!(entry_ids(&read(find(100, 10)).await), [2, 5]);
    assert_eq!(entry_ids(&read(find(999, 10)).await), [2, 5, 4, 1]);
    assert_eq!(entry_ids(&read(find(999, 3)).await), [2, 5, 4]);
    assert_eq!(entry_ids(&read(store.reversals(None, 10)).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(entry_ids(&read(store.reversals(Some(id(2)), 2)).await), [3, 4]);
    let other = ChannelId::from_stored("unionpay2");
    assert_eq!(entry_ids(&read(store.due_reversals(other, moment(999), 9)).await), [6]);
    let mut moved = books::entry(&order(2), books::CHANNEL, Some(250));
    moved.version = 2;
    commit(store, put(&moved)).await;
    let mut handed = books::entry(&order(5), books::CHANNEL, None);
    handed.version = 2;
    commit(store, put(&handed)).await;
    assert_eq!(entry_ids(&read(find(999, 10)).await), [4, 2, 1]);
    assert_eq!(read(store.reversal(id(2))).await, Some(moved));
}

async fn an_entry_goes_only_at_its_version(store: &dyn Store) {
    let entry = books::entry(&order(1), books::CHANNEL, Some(0));
    let remove = |version| Batch {
        entries: vec![EntryChange::Remove { order: id(1), version }],
        ..Batch::default()
    };
    refuse(store, remove(1), "an entry that does not exist").await;
    commit(store, put(&entry)).await;
    refuse(store, put(&entry), "version 1 over 1").await;
    refuse(store, remove(2), "a version that is not there yet").await;
    refuse(store, remove(0), "version 0").await;
    refuse(store, remove(u32::MAX), "a version that cannot be").await;
    commit(store, remove(1)).await;
    refuse(store, remove(1), "it has gone").await;
    assert_eq!(read(store.reversal(id(1))).await, None);
    assert!(read(store.due_reversals(channel(), moment(9), 9)).await.is_empty());
    commit(store, put(&entry)).await;
    assert_eq!(read(store.reversal(id(1))).await, Some(entry));
}

async fn clearing_is_listed_by_channel_and_date(store: &dyn Store) {
    let tomorrow = BusinessDate::from_yyyymmdd(20_261_123).expect("a date");
    let mut lines = Vec::new();
    for sequence in [3, 1, 2, 4] {
        let mut line = books::clearing(&books::transaction(&order(sequence)));
        if sequence == 4 {
            line.date = tomorrow;
        }
        lines.push(line.clone());
        line.channel = ChannelId::from_stored("unionpay2");
        lines.push(line.clone());
        line.channel = channel();
        line.channel_order_no = ChannelOrderNo { order: line.order, attempt: 2 };
        lines.push(line);
    }
    commit(store, Batch { clearing: lines, ..Batch::default() }).await;
    let list = async |after, limit| -> Vec<(u64, u8)> {
        let page = read(store.clearing(channel(), date(), after, limit)).await;
        let name =
            |number: ChannelOrderNo| (number.order.as_u64() - id(0).as_u64(), number.attempt);
        page.iter().map(|line| name(line.channel_order_no)).collect()
    };
    assert_eq!(list(None, 10).await, [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
    assert_eq!(list(None, 2).await, [(1, 1), (1, 2)]);
    assert_eq!(list(Some((id(1), 2)), 2).await, [(2, 1), (2, 2)]);
    assert_eq!(list(Some((id(3), 2)), 2).await, []);
    assert_eq!(read(store.clearing(channel(), tomorrow, None, 10)).await.len(), 2);
    let short = ChannelId::from_stored("union");
    assert!(read(store.clearing(short, date(), None, 10)).await.is_empty());
}

fn owe(requests: Vec<AccountingRequest>) -> Batch {
    Batch { accounting: requests, ..Batch::default() }
}

fn moved(request: &AccountingRequest, status: DeliveryStatus, due_ms: i64) -> AccountingRequest {
    let mut request = request.clone();
    request.delivery.version += 1;
    request.delivery.tries += 1;
    request.delivery.status = status;
    request.delivery.due_at = moment(due_ms);
    request
}

fn request_ids(requests: &[AccountingRequest]) -> Vec<u64> {
    requests.iter().map(|request| request.id.chain.as_u64() - id(0).as_u64()).collect()
}

async fn accounting_requests_are_worked_by_time(store: &dyn Store) {
    let due = |sequence, due_ms| books::request(&order(sequence), due_ms);
    let requests = vec![due(1, 300), due(2, 100), due(3, 200), due(4, 100)];
    commit(store, owe(requests)).await;
    let find = |now_ms, limit| store.due_accounting(moment(now_ms), limit);
    assert!(read(find(99, 10)).await.is_empty());
    assert_eq!(request_ids(&read(find(100, 10)).await), [2, 4]);
    assert_eq!(request_ids(&read(find(999, 3)).await), [2, 4, 3]);
    let later = moved(&due(2, 100), DeliveryStatus::Owed, 400);
    commit(store, owe(vec![later.clone()])).await;
    commit(store, owe(vec![moved(&due(3, 200), DeliveryStatus::Acknowledged, 200)])).await;
    commit(store, owe(vec![moved(&due(4, 100), DeliveryStatus::Parked, 100)])).await;
    assert_eq!(request_ids(&read(find(999, 10)).await), [1, 2]);
    refuse(store, owe(vec![later]), "version 2 over 2").await;
}

async fn accounting_requests_are_listed_by_status(store: &dyn Store) {
    let requests: Vec<_> =
        (1..=6).map(|n| books::request(&order(n), 1_000 - i64::try_from(n).unwrap())).collect();
    commit(store, owe(requests.clone())).await;
    let second = AccountingRequest {
        id: RequestId { chain: id(1), sequence: 2 },
        ..books::request(&order(1), 0)
    };
    commit(store, owe(vec![second])).await;
    for (place, status) in [(1, DeliveryStatus::Acknowledged), (3, DeliveryStatus::Parked)] {
        commit(store, owe(vec![moved(&requests[place], status, 0)])).await;
        commit(store, owe(vec![moved(&requests[place + 1], status, 0)])).await;
    }
    let list = async |status, after, limit| {
        request_ids(&read(store.accounting_requests(status, after, limit)).await)
    };
    let after = |chain| Some(RequestId { chain: id(chain), sequence: 1 });
    assert_eq!(list(None, None, 10).await, [1, 1, 2, 3, 4, 5, 6]);
    assert_eq!(list(None, after(4), 10).await, [5, 6]);
    assert_eq!(list(None, after(1), 2).await, [1, 2]);
    let owed = Some(DeliveryStatus::Owed);
    assert_eq!(list(owed, None, 10).await, [1, 1, 6]);
    assert_eq!(list(owed, None, 2).await, [1, 1]);
    assert_eq!(list(owed, after(1), 10).await, [1, 6]);
    let acknowledged = Some(DeliveryStatus::Acknowledged);
    assert_eq!(list(acknowledged, None, 10).await, [2, 3]);
    assert_eq!(list(acknowledged, after(2), 10).await, [3]);
    let parked = Some(DeliveryStatus::Parked);
    assert_eq!(list(parked, None, 1).await, [4]);
    assert_eq!(list(parked, after(4), 1).await, [5]);
    assert!(list(owed, None, 0).await.is_empty());
}

async fn notices_are_worked_by_time(store: &dyn Store) {
    let notices: Vec<_> =
        [(1, 300), (2, 100)].map(|(n, due_ms)| books::notice(&order(n), due_ms)).into();
    commit(store, Batch { notices: notices.clone(), ..Batch::default() }).await;
    let due = async |now_ms| {
        let due = read(store.due_notices(moment(now_ms), 10)).await;
        due.iter().map(|notice| notice.order).collect::<Vec<OrderId>>()
    };
    assert_eq!(due(99).await, []);
    assert_eq!(due(999).await, [id(2), id(1)]);
    let mut told = notices[1].clone();
    told.delivery.version = 2;
    told.delivery.status = DeliveryStatus::Acknowledged;
    let batch = Batch { notices: vec![told.clone()], ..Batch::default() };
    commit(store, batch.clone()).await;
    refuse(store, batch, "version 2 over 2").await;
    assert_eq!(due(999).await, [id(1)]);
    assert_eq!(read(store.notice(id(2))).await, Some(told));
    assert_eq!(read(store.notice(id(3))).await, None);
}

async fn contradictions_belong_to_their_order(store: &dyn Store) {
    let contradictions = vec![
        books::contradiction(&order(1), 2, Claim::Success),
        books::contradiction(&order(1), 1, Claim::Failure),
        books::contradiction(&order(1), 1, Claim::Success),
        books::contradiction(&order(2), 1, Claim::Success),
    ];
    commit(store, Batch { contradictions, ..Batch::default() }).await;
    let kept = read(store.contradictions(id(1))).await;
    let names: Vec<_> = kept.iter().map(|kept| (kept.attempt, kept.claim)).collect();
    assert_eq!(names, [(1, Claim::Success), (1, Claim::Failure), (2, Claim::Success)]);
    assert!(read(store.contradictions(id(3))).await.is_empty());
}

async fn the_audit_trail_keeps_its_order(store: &dyn Store) {
    let audit = vec![books::audit("a"), books::audit("b")];
    commit(store, Batch { audit, ..Batch::default() }).await;
    commit(store, Batch { audit: vec![books::audit("c")], ..Batch::default() }).await;
    let trail = read(store.audit(None, 10)).await;
    let subjects: Vec<_> = trail.iter().map(|(_, entry)| entry.subject.as_str()).collect();
    assert_eq!(subjects, ["a", "b", "c"]);
    let rest = read(store.audit(Some(trail[0].0), 1)).await;
    assert_eq!(rest, trail[1..2]);
    assert!(read(store.audit(Some(trail[2].0), 10)).await.is_empty());
}

async fn leases_never_overlap(store: &dyn Store) {
    let lease = async |day, node, count| store.lease(day, node, count).await.expect("numbers");
    assert_eq!(lease(261_122, 1, 100).await, 1);
    assert_eq!(lease(261_122, 1, 5).await, 101);
    assert_eq!(lease(261_122, 2, 5).await, 1);
    assert_eq!(lease(261_123, 1, 5).await, 1);
    assert_eq!(lease(261_122, 1, 1).await, 106);
}

async fn racing_commits_of_one_version_have_one_winner(store: &dyn Store) {
    const RACERS: u64 = 40;
    let first = order(1);
    commit(store, accepted(&first)).await;
    let mut next_version = next(&first);
    for round in 0..5_u64 {
        let race = (0..RACERS).map(|racer| {
            let sequence = 100 + round * RACERS + racer;
            let orders = vec![next_version.clone(), order(sequence)];
            async move { (sequence, store.commit(Batch { orders, ..Batch::default() }).await) }
        });
        let ends = futures_util::future::join_all(race).await;
        let mut winners = 0;
        for (sequence, end) in ends {
            let written = read(store.order(id(sequence))).await.is_some();
            match end {
                Ok(()) => winners += u32::from(written),
                Err(CommitError::Conflict) => assert!(!written, "a loser wrote {sequence}"),
                Err(error) => panic!("neither won nor lost: {error}"),
            }
        }
        assert_eq!(winners, 1, "round {round}");
        next_version = next(&next_version);
    }
    assert_eq!(read(store.orders(None, PAGE_MAX)).await.len(), 6);
}

async fn an_empty_batch_is_written(store: &dyn Store) {
    commit(store, Batch::default()).await;
    assert!(read(store.orders(None, 1)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_what_was_committed_is_there_after_opening_again() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    for sequence in 1..=50 {
        commit(&store, accepted(&order(sequence))).await;
    }
    commit(&store, paid(&order(1))).await;
    commit(&store, Batch { audit: vec![books::audit("a")], ..Batch::default() }).await;
    assert_eq!(store.lease(261_122, 1, 100).await.expect("numbers"), 1);
    drop(store);
    let store = open(&scratch);
    assert_eq!(read(store.orders(None, 100)).await.len(), 50);
    assert_eq!(read(store.open_orders(None, 100)).await.len(), 49);
    assert_eq!(read(store.transaction(id(1))).await, Some(books::transaction(&order(1))));
    assert_eq!(store.lease(261_122, 1, 1).await.expect("a number"), 101);
    commit(&store, Batch { audit: vec![books::audit("b")], ..Batch::default() }).await;
    let trail = read(store.audit(None, 10)).await;
    assert_eq!(trail.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2]);
    refuse(&store, accepted(&order(50)), "an order that exists").await;
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let Err(error) = SledStore::open(scratch.path(), &settings()) else { panic!("opened twice") };
    assert!(error.to_string().contains("open in another process"), "{error}");
    commit(&store, accepted(&order(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_12_whoever_reads_a_row_reads_one_that_stays() {
    // Readers run beside commits; what they saw must be there after opening again.
    let scratch = Scratch::new();
    let store = Arc::new(open(&scratch));
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for sequence in 1..=200 {
                commit(&*store, accepted(&order(sequence))).await;
                commit(&*store, paid(&order(sequence))).await;
            }
        }
    });
    let mut seen: Vec<Order> = Vec::new();
    while seen.len() < 200 {
        let sequence = u64::try_from(seen.len()).expect("a small number") + 1;
        match read(store.order(id(sequence))).await {
            Some(order) => seen.push(order),
            None => {
                let page = read(store.orders(None, PAGE_MAX)).await;
                assert!(page.len() >= seen.len(), "a row that was read has gone");
            }
        }
    }
    writer.await.expect("the writer ends");
    drop(store);
    let store = open(&scratch);
    for order in seen {
        let kept = read(store.order(order.id)).await.expect("it was read before");
        assert!(kept.version >= order.version, "a version that was read has gone");
    }
}

/// Names the folder for the process that is killed; unset in every other run.
const VICTIM_FOLDER: &str = "SWITCHYARD_TEST_VICTIM_FOLDER";
/// How many keys the victim lets wait in its journal.
const VICTIM_SETTLE_KEYS: &str = "SWITCHYARD_TEST_VICTIM_SETTLE_KEYS";
/// How many answers the victim gives before it is killed.
const ANSWERS_BEFORE_KILL: usize = 300;

/// The part of the victim in the next test: it commits, says so, and goes on until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(VICTIM_FOLDER) else { return };
    let settle_keys = std::env::var(VICTIM_SETTLE_KEYS).expect("it is set with the folder");
    let settle_keys = settle_keys.parse().expect("a number of keys");
    let settings = SledSettings { settle_keys, ..settings() };
    let store = Arc::new(SledStore::open(folder.as_ref(), &settings).expect("a new store"));
    let payers = (0..8_u64).map(|payer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for sequence in (payer..).step_by(8) {
                let order = order(sequence);
                commit(&*store, accepted(&order)).await;
                println!("answered {sequence} 1");
                commit(&*store, paid(&order)).await;
                println!("answered {sequence} 2");
            }
        })
    });
    futures_util::future::join_all(payers).await;
}

/// The journal alone has the answers.
#[tokio::test]
async fn i_12_what_was_answered_survives_a_kill() {
    survives_a_kill(1_000_000).await;
}

/// The journal's files change places many times, and the kill comes while a layer settles.
#[tokio::test]
async fn i_12_what_was_answered_survives_a_kill_while_it_settles() {
    survives_a_kill(64).await;
}

async fn survives_a_kill(settle_keys: usize) {
    use std::io::{BufRead, BufReader};
    let scratch = Scratch::new();
    let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_victim_commits_until_it_is_killed", "--nocapture"])
        .env(VICTIM_FOLDER, scratch.path())
        .env(VICTIM_SETTLE_KEYS, settle_keys.to_string())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a process of this test");
    let mut answers = BufReader::new(victim.stdout.take().expect("it is piped")).lines();
    let mut answered = Vec::new();
    let note = |line: &str, answered: &mut Vec<(u64, u32)>| {
        let words: Vec<_> = line.split(' ').collect();
        if let ["answered", sequence, version] = words[..] {
            let read = (sequence.parse().ok(), version.parse().ok());
            answered.extend(read.0.zip(read.1));
        }
    };
    while answered.len() < ANSWERS_BEFORE_KILL {
        let line = answers.next().expect("the victim goes on until it is killed");
        note(&line.expect("a line"), &mut answered);
    }
    victim.kill().expect("it is running");
    // What it had said before the kill but was not read yet counts too; a torn last line does not.
    let rest: Vec<String> = answers.map_while(Result::ok).collect();
    for line in rest.iter().take(rest.len().saturating_sub(1)) {
        note(line, &mut answered);
    }
    victim.wait().expect("it has ended");
    let store = open(&scratch);
    for (sequence, version) in answered {
        let kept = read(store.order(id(sequence))).await.expect("it was answered");
        assert!(kept.version >= version, "order {sequence} lost version {version}");
        let booked = read(store.transaction(id(sequence))).await.is_some();
        assert_eq!(booked, kept.version == 2, "a success is written whole or not at all");
    }
}

/// Writes into the tree of a closed store behind its back, or removes from it.
fn tamper(scratch: &Scratch, key: &[u8], value: Option<&[u8]>) {
    let tree = sled::Config::new().path(scratch.path()).segment_size(4 * 1024 * 1024).open();
    let tree = tree.expect("a closed store");
    let before = match value {
        Some(value) => tree.insert(key, value),
        None => tree.remove(key),
    };
    assert!(before.expect("a write").is_some(), "the key is one of the store's");
    tree.flush().expect("a flush");
    drop(tree);
    // sled's threads may hold its lock a moment longer.
    let log = std::fs::File::open(scratch.path().join("db")).expect("sled's log");
    log.lock().expect("a lock that comes free");
}

fn order_key(table: u8, id: OrderId) -> Vec<u8> {
    [&[table], id.as_u64().to_be_bytes().as_slice()].concat()
}

#[tokio::test]
async fn a_store_from_before_the_index_of_follow_ups_still_reads() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let refund = |sequence| Order { kind: OrderKind::Refund { of: id(1) }, ..order(sequence) };
    commit(&store, accepted(&order(1))).await;
    commit(&store, accepted(&refund(2))).await;
    drop(store);
    let index = [order_key(b'f', id(1)), id(2).as_u64().to_be_bytes().to_vec()].concat();
    tamper(&scratch, &index, None);
    let store = open(&scratch);
    assert_eq!(read(store.order(id(2))).await.expect("the refund").kind, refund(2).kind);
    assert!(read(store.follow_ups(id(1), None, 9)).await.is_empty());
    commit(&store, accepted(&refund(3))).await;
    commit(&store, paid(&refund(2))).await;
    assert_eq!(ids(&read(store.follow_ups(id(1), None, 9)).await), [3]);
}

#[tokio::test]
async fn a_damaged_row_is_an_error_and_the_others_live_on() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    commit(&store, accepted(&order(1))).await;
    commit(&store, accepted(&order(2))).await;
    drop(store);
    tamper(&scratch, &order_key(b'o', id(1)), Some(&[99, 1, 2, 3]));
    let store = open(&scratch);
    let damaged = store.order(id(1)).await;
    assert!(matches!(damaged, Err(StoreError::Damaged { table: "orders", .. })), "{damaged:?}");
    let found = store.order_by_caller(books::caller(), books::caller_order_id(1)).await;
    assert!(matches!(found, Err(StoreError::Damaged { .. })));
    assert!(matches!(store.orders(None, 10).await, Err(StoreError::Damaged { .. })));
    let refused = store.commit(accepted(&next(&order(1)))).await;
    assert!(matches!(refused, Err(CommitError::Failed(StoreError::Damaged { .. }))));
    assert_eq!(read(store.order(id(2))).await, Some(order(2)));
    commit(&store, accepted(&next(&order(2)))).await;
}

#[tokio::test]
async fn a_layout_of_another_version_is_refused() {
    let scratch = Scratch::new();
    drop(open(&scratch));
    tamper(&scratch, b"!layout", Some(&[2]));
    let refused = SledStore::open(scratch.path(), &settings());
    assert!(matches!(refused.err(), Some(StoreError::Damaged { table: "layout", .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_row_comes_back_after_opening_again() {
    let scratch = Scratch::new();
    let store = open(&scratch);
    let mut large = books::entry(&order(1), books::CHANNEL, Some(0));
    let what = "x".repeat(60_000);
    for _ in 0..40 {
        large.note(moment(0), what.clone());
    }
    commit(&store, put(&large)).await;
    commit(&store, put(&books::entry(&order(2), books::CHANNEL, Some(0)))).await;
    drop(store);
    let blobs = std::fs::read_dir(scratch.path().join("blobs")).expect("sled's folder").count();
    assert!(blobs > 0, "it is too small to lie in a file of its own");
    let store = open(&scratch);
    assert_eq!(read(store.reversal(id(1))).await, Some(large));
}
