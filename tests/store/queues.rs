//! What is worked by time or listed: entries, clearing, deliveries, contradictions, audit, leases.

use std::time::Duration;

use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use switchyard::domain::order::Order;
use switchyard::domain::reversal::ReversalEntry;
use switchyard::domain::time::{BusinessDate, DueWindow};
use switchyard::domain::write_set::{EntryChange, ReportedEnd, WriteSet};
use switchyard::store::{Backlog, Store};

use crate::support::books::{self, channel, date, due_by, id, moment, order};
use crate::{commit, read, refuse};

pub fn put(entry: &ReversalEntry) -> WriteSet {
    WriteSet { entries: vec![EntryChange::Put(entry.clone())], ..WriteSet::default() }
}

fn entry_ids(entries: &[ReversalEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.order.as_u64() - id(0).as_u64()).collect()
}

pub async fn entries_are_worked_by_time_and_channel(store: &dyn Store) {
    let due = [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(200)), (5, Some(100))];
    for (sequence, due_ms) in due {
        commit(store, put(&books::entry(&order(sequence), books::CHANNEL, due_ms))).await;
    }
    commit(store, put(&books::entry(&order(6), "unionpay2", Some(0)))).await;
    let find = |now_ms, limit| store.due_reversals(channel(), due_by(now_ms), limit);
    assert!(read(find(99, 10)).await.is_empty());
    assert_eq!(entry_ids(&read(find(100, 10)).await), [2, 5]);
    assert_eq!(entry_ids(&read(find(999, 10)).await), [2, 5, 4, 1]);
    assert_eq!(entry_ids(&read(find(999, 3)).await), [2, 5, 4]);
    assert_eq!(entry_ids(&read(store.reversals(None, 10)).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(entry_ids(&read(store.reversals(Some(id(2)), 2)).await), [3, 4]);
    let other = ChannelId::from_stored("unionpay2");
    assert_eq!(entry_ids(&read(store.due_reversals(other, due_by(999), 9)).await), [6]);
    let mut moved = books::entry(&order(2), books::CHANNEL, Some(250));
    moved.version = 2;
    commit(store, put(&moved)).await;
    let mut handed = books::entry(&order(5), books::CHANNEL, None);
    handed.version = 2;
    commit(store, put(&handed)).await;
    assert_eq!(entry_ids(&read(find(999, 10)).await), [4, 2, 1]);
    assert_eq!(read(store.reversal(id(2))).await, Some(moved));
    // What no wait can have set is due, too, behind what has come due.
    let far = 250 + 60_000 + 100;
    let waits = [(7, far), (8, far + 1), (9, 365 * 86_400_000)];
    for (sequence, due_ms) in waits {
        let entry = books::entry(&order(sequence), books::CHANNEL, Some(due_ms));
        commit(store, put(&entry)).await;
    }
    let by = DueWindow::at(moment(250), Duration::from_millis(100));
    let find = |limit| store.due_reversals(channel(), by, limit);
    assert_eq!(entry_ids(&read(find(10)).await), [4, 2, 8, 9]);
    assert_eq!(entry_ids(&read(find(3)).await), [4, 2, 8]);
    assert_eq!(entry_ids(&read(find(2)).await), [4, 2]);
}

pub async fn an_entry_goes_only_at_its_version(store: &dyn Store) {
    let entry = books::entry(&order(1), books::CHANNEL, Some(0));
    let remove = |version| WriteSet {
        entries: vec![EntryChange::Remove { order: id(1), version }],
        ..WriteSet::default()
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
    assert!(read(store.due_reversals(channel(), due_by(9), 9)).await.is_empty());
    commit(store, put(&entry)).await;
    assert_eq!(read(store.reversal(id(1))).await, Some(entry));
}

pub async fn clearing_is_listed_by_channel_and_date(store: &dyn Store) {
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
    commit(store, WriteSet { clearing: lines, ..WriteSet::default() }).await;
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

fn owe(requests: Vec<AccountingRequest>) -> WriteSet {
    WriteSet { accounting: requests, ..WriteSet::default() }
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

pub async fn accounting_requests_are_worked_by_time(store: &dyn Store) {
    let due = |sequence, due_ms| books::request(&order(sequence), due_ms);
    let requests = vec![due(1, 300), due(2, 100), due(3, 200), due(4, 100)];
    commit(store, owe(requests)).await;
    let find = |now_ms, limit| store.due_accounting(due_by(now_ms), limit);
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

pub async fn accounting_requests_are_listed_by_status(store: &dyn Store) {
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
    assert_eq!(read(store.accounting_backlog()).await, Backlog { owed: 3, parked: 2 });
}

pub async fn notices_are_worked_by_time(store: &dyn Store) {
    let notices: Vec<_> =
        [(1, 300), (2, 100)].map(|(n, due_ms)| books::notice(&order(n), due_ms)).into();
    commit(store, WriteSet { notices: notices.clone(), ..WriteSet::default() }).await;
    let due = async |now_ms| {
        let due = read(store.due_notices(due_by(now_ms), 10)).await;
        due.iter().map(|notice| notice.order).collect::<Vec<OrderId>>()
    };
    assert_eq!(due(99).await, []);
    assert_eq!(due(999).await, [id(2), id(1)]);
    let mut told = notices[1].clone();
    told.delivery.version = 2;
    told.delivery.status = DeliveryStatus::Acknowledged;
    let writes = WriteSet { notices: vec![told.clone()], ..WriteSet::default() };
    commit(store, writes.clone()).await;
    refuse(store, writes, "version 2 over 2").await;
    assert_eq!(due(999).await, [id(1)]);
    assert_eq!(read(store.notice(id(2))).await, Some(told));
    let mut parked = books::notice(&order(3), 100);
    parked.delivery.status = DeliveryStatus::Parked;
    commit(store, WriteSet { notices: vec![parked.clone()], ..WriteSet::default() }).await;
    let listed = async |status, after: Option<u64>, limit| {
        let page = read(store.notices(status, after.map(id), limit)).await;
        page.iter().map(|notice| notice.order).collect::<Vec<OrderId>>()
    };
    assert_eq!(listed(None, None, 9).await, [id(1), id(2), id(3)]);
    assert_eq!(listed(None, Some(1), 1).await, [id(2)]);
    assert_eq!(listed(Some(DeliveryStatus::Owed), None, 9).await, [id(1)]);
    assert_eq!(listed(Some(DeliveryStatus::Owed), Some(1), 9).await, []);
    assert_eq!(listed(Some(DeliveryStatus::Acknowledged), None, 9).await, [id(2)]);
    assert_eq!(listed(Some(DeliveryStatus::Parked), None, 9).await, [id(3)]);
    assert_eq!(listed(Some(DeliveryStatus::Parked), Some(3), 9).await, []);
    assert_eq!(read(store.notice_backlog()).await, Backlog { owed: 1, parked: 1 });
    // An operator has it sent again.
    parked.delivery.version = 2;
    parked.delivery.status = DeliveryStatus::Owed;
    commit(store, WriteSet { notices: vec![parked], ..WriteSet::default() }).await;
    assert_eq!(listed(Some(DeliveryStatus::Parked), None, 9).await, []);
    assert_eq!(listed(Some(DeliveryStatus::Owed), None, 9).await, [id(1), id(3)]);
    assert_eq!(read(store.notice(id(4))).await, None);
}

pub async fn contradictions_belong_to_their_order(store: &dyn Store) {
    let contradictions = vec![
        books::contradiction(&order(1), 2, ReportedEnd::Success),
        books::contradiction(&order(1), 1, ReportedEnd::Failure),
        books::contradiction(&order(1), 1, ReportedEnd::Success),
        books::contradiction(&order(2), 1, ReportedEnd::Success),
    ];
    commit(store, WriteSet { contradictions, ..WriteSet::default() }).await;
    let kept = read(store.contradictions(id(1))).await;
    let names: Vec<_> = kept.iter().map(|kept| (kept.attempt, kept.reported)).collect();
    assert_eq!(
        names,
        [(1, ReportedEnd::Success), (1, ReportedEnd::Failure), (2, ReportedEnd::Success)]
    );
    assert!(read(store.contradictions(id(3))).await.is_empty());
    // The listing of all of them goes on behind any place, also inside of an order.
    let list = async |after, limit| -> Vec<(u64, u8, ReportedEnd)> {
        let page = read(store.all_contradictions(after, limit)).await;
        let order = |order: OrderId| order.as_u64() - id(0).as_u64();
        page.iter().map(|one| (order(one.order), one.attempt, one.reported)).collect()
    };
    let (success, failure) = (ReportedEnd::Success, ReportedEnd::Failure);
    let all = [(1, 1, success), (1, 1, failure), (1, 2, success), (2, 1, success)];
    assert_eq!(list(None, 9).await, all);
    assert_eq!(list(None, 1).await, all[..1]);
    assert_eq!(list(Some((id(1), 1, success, 0)), 2).await, all[1..3]);
    assert_eq!(list(Some((id(1), 2, failure, 0)), 9).await, all[3..]);
    assert_eq!(list(Some((id(2), 1, success, 0)), 9).await, []);
}

pub async fn transactions_are_listed_by_order_and_by_day(store: &dyn Store) {
    let orders: Vec<Order> = (1..=4).map(order).collect();
    let transactions: Vec<Transaction> = orders.iter().map(books::transaction).collect();
    let mut clearing: Vec<_> = transactions.iter().map(books::clearing).collect();
    clearing[3].date = BusinessDate::from_yyyymmdd(20_261_123).expect("a date");
    // What was contradicted is in the clearing and is no transaction.
    let mut claimed = clearing[0].clone();
    claimed.channel_order_no.attempt = 7;
    clearing.push(claimed);
    commit(store, WriteSet { transactions: transactions.clone(), clearing, ..WriteSet::default() })
        .await;
    assert_eq!(read(store.transactions(None, 9)).await, transactions);
    assert_eq!(read(store.transactions(None, 2)).await, transactions[..2]);
    assert_eq!(read(store.transactions(Some(id(2)), 9)).await, transactions[2..]);
    let day =
        async |after, limit| read(store.transactions_of_day(channel(), date(), after, limit)).await;
    assert_eq!(day(None, 9).await, transactions[..3]);
    assert_eq!(day(Some(transactions[0].channel_order_no), 1).await, transactions[1..2]);
    let other = ChannelId::from_stored("union");
    assert!(read(store.transactions_of_day(other, date(), None, 9)).await.is_empty());
}

pub async fn the_audit_trail_keeps_its_order(store: &dyn Store) {
    let audit = vec![books::audit("a"), books::audit("b")];
    commit(store, WriteSet { audit, ..WriteSet::default() }).await;
    commit(store, WriteSet { audit: vec![books::audit("c")], ..WriteSet::default() }).await;
    let trail = read(store.audit(None, 10)).await;
    let subjects: Vec<_> = trail.iter().map(|(_, entry)| entry.subject.as_str()).collect();
    assert_eq!(subjects, ["a", "b", "c"]);
    let rest = read(store.audit(Some(trail[0].0), 1)).await;
    assert_eq!(rest, trail[1..2]);
    assert!(read(store.audit(Some(trail[2].0), 10)).await.is_empty());
    assert_eq!(read(store.audit_last()).await, trail[2].0);
}

pub async fn leases_never_overlap(store: &dyn Store) {
    let lease = async |day, node, count| store.lease(day, node, count).await.expect("numbers");
    assert_eq!(lease(261_122, 1, 100).await, 1);
    assert_eq!(lease(261_122, 1, 5).await, 101);
    assert_eq!(lease(261_122, 2, 5).await, 1);
    assert_eq!(lease(261_123, 1, 5).await, 1);
    assert_eq!(lease(261_122, 1, 1).await, 106);
}
