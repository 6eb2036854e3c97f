//! Orders, and what is committed with them.

use switchyard::domain::attempt::Source;
use switchyard::domain::books::accounting::RequestId;
use switchyard::domain::event::{EventKind, OrderEvent};
use switchyard::domain::ids::CallerId;
use switchyard::domain::order::{Claims, Instruction, Order, OrderKind};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::reversal::ReversalEntry;
use switchyard::domain::write_set::{EntryChange, ReportedEnd, WriteSet};
use switchyard::store::memory::MemoryStore;
use switchyard::store::{CommitError, PAGE_MAX, Store};

use crate::support::books::{self, accepted, channel, date, due_by, id, next, order, paid};
use crate::{commit, ids, read, refuse};

pub async fn an_order_is_found_by_both_of_its_ids(store: &dyn Store) {
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

pub async fn orders_are_listed_by_id_in_pages(store: &dyn Store) {
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

pub async fn open_orders_are_those_that_are_not_final(store: &dyn Store) {
    for sequence in 1..=5 {
        commit(store, accepted(&order(sequence))).await;
    }
    commit(store, paid(&order(2))).await;
    commit(store, paid(&order(5))).await;
    assert_eq!(ids(&read(store.open_orders(None, 10)).await), [1, 3, 4]);
    assert_eq!(ids(&read(store.open_orders(None, 2)).await), [1, 3]);
    assert_eq!(ids(&read(store.open_orders(Some(id(3)), 2)).await), [4]);
}

pub async fn what_happened_is_listed_by_order(store: &dyn Store) {
    let event = |sequence, version, ordinal| {
        let at = books::moment(i64::from(version));
        let event = OrderEvent::new(id(sequence), at, EventKind::Learned, 1);
        let event = event.telling(Source::Inquiry, &Outcome::NotFound { code: "34".into() }, None);
        OrderEvent { version, ordinal, transcript: "respCode=34".to_owned(), ..event }
    };
    let writes = |events: Vec<OrderEvent>| WriteSet { events, ..WriteSet::default() };
    commit(store, writes(vec![event(1, 256, 0), event(2, 1, 0)])).await;
    commit(store, writes(vec![event(1, 2, 1), event(1, 2, 0)])).await;
    let all = [event(1, 2, 0), event(1, 2, 1), event(1, 256, 0)];
    let listed =
        async |sequence, after, limit| read(store.order_events(id(sequence), after, limit)).await;
    assert_eq!(listed(1, None, 1_000).await, all);
    assert_eq!(listed(2, None, 1_000).await, [event(2, 1, 0)]);
    assert!(listed(3, None, 1_000).await.is_empty());
    // Page by page, behind an event that is there and behind one that is not.
    assert_eq!(listed(1, None, 2).await, all[..2]);
    for (place, behind) in [((2, 0), 1), ((2, 1), 2), ((255, 255), 2), ((256, 0), 3)] {
        assert_eq!(listed(1, Some(place), 2).await, all[behind..], "{place:?}");
    }
    assert!(listed(1, Some((u32::MAX, u8::MAX)), 2).await.is_empty(), "it ends with the order");
    refuse(store, writes(vec![event(1, 2, 1)]), "it is there already").await;
}

/// The order with another instruction.
fn with(mut order: Order, change: impl FnOnce(&mut Instruction)) -> Order {
    change(&mut order.instruction);
    order
}

pub async fn follow_ups_are_listed_by_what_they_refer_to(store: &dyn Store) {
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
        commit(store, accepted(&with(order(sequence), |asked| asked.kind = kind))).await;
    }
    // A later version changes neither the list nor its order.
    commit(store, paid(&with(order(300), |asked| asked.kind = kinds[0]))).await;
    let listed = async |of, after, limit| ids(&read(store.follow_ups(id(of), after, limit)).await);
    assert_eq!(listed(1, None, usize::MAX).await, [300, 301, 304]);
    assert_eq!(listed(1, None, 2).await, [300, 301]);
    assert_eq!(listed(1, Some(id(301)), 2).await, [304]);
    assert_eq!(listed(2, None, 9).await, [302]);
    assert!(listed(3, None, 9).await.is_empty());
    let first = read(store.follow_ups(id(1), None, 1)).await;
    assert_eq!(Some(first[0].clone()), read(store.order(id(300))).await, "as it is now");
}

pub async fn a_view_has_all_of_an_order(store: &dyn Store) {
    assert!(read(store.view(id(1))).await.is_none());
    let payment = order(1);
    commit(store, accepted(&payment)).await;
    let view = read(store.view(id(1))).await.expect("it is there");
    assert_eq!((view.order, view.entry, view.transaction), (payment.clone(), None, None));
    assert!(view.contradictions.is_empty() && view.original.is_none());
    let claim = books::contradiction(&payment, 1, ReportedEnd::Failure);
    let writes = WriteSet { contradictions: vec![claim.clone()], ..paid(&payment) };
    commit(store, writes.clone()).await;
    let entry = books::entry(&order(2), books::CHANNEL, Some(0));
    let refund = with(order(2), |asked| asked.kind = OrderKind::Refund { of: id(1) });
    let entries = vec![EntryChange::Put(entry.clone())];
    commit(store, WriteSet { entries, ..accepted(&refund) }).await;
    let view = read(store.view(id(1))).await.expect("it is there");
    assert_eq!(view.order, writes.orders[0]);
    assert_eq!(view.transaction.as_ref(), writes.transactions.first());
    assert_eq!(view.contradictions, [claim]);
    let view = read(store.view(id(2))).await.expect("it is there");
    assert_eq!((view.order, view.entry), (refund, Some(entry)));
    let original = view.original.expect("a refund has one");
    assert_eq!(original.order, writes.orders[0]);
    assert_eq!(original.transaction.as_ref(), writes.transactions.first());
}

/// Each commit writes the order and its entry with one version: they are never seen apart.
pub async fn a_view_is_of_one_moment(store: &dyn Store) {
    const VERSIONS: u32 = 200;
    let version = |version| {
        let entry = ReversalEntry { version, ..books::entry(&order(1), books::CHANNEL, None) };
        WriteSet {
            orders: vec![Order { version, ..order(1) }],
            entries: vec![EntryChange::Put(entry)],
            ..WriteSet::default()
        }
    };
    commit(store, version(1)).await;
    let write = async {
        for number in 2..=VERSIONS {
            commit(store, version(number)).await;
        }
    };
    let look = async {
        loop {
            let view = read(store.view(id(1))).await.expect("it is there");
            let entry = view.entry.expect("it has one");
            assert_eq!(view.order.version, entry.version);
            if entry.version == VERSIONS {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, look);
}

#[tokio::test]
async fn what_is_in_flight_is_orphaned_when_a_memory_store_is_opened_again() {
    let memory = MemoryStore::new();
    let store: &dyn Store = &memory;
    commit(store, accepted(&order(1))).await;
    commit(store, accepted(&order(2))).await;
    assert!(read(store.orphans(None, 9)).await.is_empty(), "they are its own");
    memory.faults().restart();
    commit(store, accepted(&order(3))).await;
    commit(store, paid(&order(1))).await;
    assert_eq!(ids(&read(store.orphans(None, 9)).await), [2]);
}

pub async fn a_success_is_read_back_whole(store: &dyn Store) {
    let order = order(1);
    commit(store, accepted(&order)).await;
    assert_eq!(read(store.transaction(order.id)).await, None);
    let writes = paid(&order);
    commit(store, writes.clone()).await;
    assert_eq!(read(store.transaction(order.id)).await.as_ref(), writes.transactions.first());
    assert_eq!(read(store.clearing(channel(), date(), None, 10)).await, writes.clearing);
    let request = &writes.accounting[0];
    assert_eq!(read(store.accounting_request(request.id)).await.as_ref(), Some(request));
    let absent = RequestId { chain: order.id, sequence: 2 };
    assert_eq!(read(store.accounting_request(absent)).await, None);
}

pub async fn i_9_a_caller_uses_an_order_id_once(store: &dyn Store) {
    commit(store, accepted(&order(1))).await;
    let twin = Order { id: id(2), ..order(1) };
    match store.commit(&accepted(&twin)).await {
        Err(CommitError::Duplicate { existing }) => assert_eq!(existing, id(1)),
        other => panic!("the caller's order id was used: {other:?}"),
    }
    assert_eq!(read(store.order(id(2))).await, None);
    let elsewhere = with(twin, |asked| asked.caller = CallerId::from_stored("core2"));
    commit(store, accepted(&elsewhere)).await;
    refuse(store, accepted(&order(1)), "the same order a second time").await;
    let both =
        WriteSet { orders: vec![order(7), Order { id: id(8), ..order(7) }], ..WriteSet::default() };
    let both = store.commit(&both).await;
    assert!(matches!(both, Err(CommitError::Duplicate { existing }) if existing == id(7)));
    assert_eq!(read(store.order(id(7))).await, None);
}

pub async fn a_version_follows_the_stored_one(store: &dyn Store) {
    let first = order(1);
    let second = next(&first);
    let third = next(&second);
    refuse(store, accepted(&Order { version: 0, ..first.clone() }), "version 0").await;
    refuse(store, accepted(&second), "version 2 of nothing").await;
    commit(store, accepted(&first)).await;
    refuse(store, accepted(&third), "version 3 over 1").await;
    commit(store, accepted(&second)).await;
    refuse(store, accepted(&second), "version 2 over 2").await;
    let renamed = with(first.clone(), |asked| asked.caller_order_id = books::caller_order_id(9));
    refuse(store, accepted(&renamed), "version 1 over 2").await;
    commit(store, accepted(&third)).await;
    assert_eq!(read(store.order(first.id)).await.map(|order| order.version), Some(3));
}

pub async fn a_final_order_stays_final(store: &dyn Store) {
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

pub async fn what_is_new_must_not_exist(store: &dyn Store) {
    let first = order(1);
    let full = paid(&first);
    commit(store, accepted(&first)).await;
    commit(store, full.clone()).await;
    let kept = books::contradiction(&first, 1, ReportedEnd::Failure);
    commit(store, WriteSet { contradictions: vec![kept.clone()], ..WriteSet::default() }).await;
    let again = [
        WriteSet { transactions: full.transactions.clone(), ..WriteSet::default() },
        WriteSet { clearing: full.clearing.clone(), ..WriteSet::default() },
        WriteSet { accounting: full.accounting.clone(), ..WriteSet::default() },
        WriteSet { contradictions: vec![kept], ..WriteSet::default() },
    ];
    for writes in again {
        refuse(store, writes, "a row that exists").await;
    }
}

pub async fn a_batch_with_one_bad_guard_writes_nothing(store: &dyn Store) {
    commit(store, accepted(&order(1))).await;
    let stale = Order { version: 7, ..order(1) };
    let fresh = order(2);
    let writes = WriteSet {
        orders: vec![fresh.clone(), stale],
        entries: vec![EntryChange::Put(books::entry(&fresh, books::CHANNEL, Some(0)))],
        notices: vec![books::notice(&fresh, 0)],
        contradictions: vec![books::contradiction(&fresh, 1, ReportedEnd::Success)],
        audit: vec![books::audit("x")],
        ..paid(&fresh)
    };
    refuse(store, writes.clone(), "one of its guards does not hold").await;
    // The bad guard last: everything else was checked and found good before it.
    let late = WriteSet { orders: vec![fresh.clone()], ..writes };
    let stale_entry = EntryChange::Remove { order: id(1), version: 1 };
    let late = WriteSet { entries: [late.entries.clone(), vec![stale_entry]].concat(), ..late };
    refuse(store, late, "the entry that goes does not exist").await;
    assert_eq!(read(store.order(fresh.id)).await, None);
    let found = store.order_by_caller(books::caller(), books::caller_order_id(2));
    assert_eq!(read(found).await, None);
    assert_eq!(read(store.transaction(fresh.id)).await, None);
    assert_eq!(read(store.reversal(fresh.id)).await, None);
    assert_eq!(read(store.notice(fresh.id)).await, None);
    assert!(read(store.clearing(channel(), date(), None, 10)).await.is_empty());
    assert!(read(store.accounting_requests(None, None, 10)).await.is_empty());
    assert!(read(store.due_accounting(due_by(9_999), 10)).await.is_empty());
    assert!(read(store.due_reversals(channel(), due_by(9_999), 10)).await.is_empty());
    assert!(read(store.contradictions(fresh.id)).await.is_empty());
    assert!(read(store.audit(None, 10)).await.is_empty());
    assert_eq!(read(store.order(id(1))).await, Some(order(1)));
}

pub async fn a_batch_sees_its_own_rows(store: &dyn Store) {
    let first = order(1);
    let second = next(&first);
    let orders = vec![first.clone(), second.clone()];
    commit(store, WriteSet { orders, ..WriteSet::default() }).await;
    assert_eq!(read(store.order(first.id)).await, Some(second.clone()));
    let orders = vec![next(&second), next(&second)];
    refuse(store, WriteSet { orders, ..WriteSet::default() }, "the same version twice").await;
    let orders = vec![order(2), books::succeeded(&order(2))];
    commit(store, WriteSet { orders, ..WriteSet::default() }).await;
    assert_eq!(ids(&read(store.open_orders(None, 10)).await), [1]);
    assert_eq!(ids(&read(store.orders(None, 10)).await), [1, 2]);
}

pub async fn racing_commits_of_one_version_have_one_winner(store: &dyn Store) {
    const RACERS: u64 = 40;
    let first = order(1);
    commit(store, accepted(&first)).await;
    let mut next_version = next(&first);
    for round in 0..5_u64 {
        let race = (0..RACERS).map(|racer| {
            let sequence = 100 + round * RACERS + racer;
            let orders = vec![next_version.clone(), order(sequence)];
            let writes = WriteSet { orders, ..WriteSet::default() };
            async move { (sequence, store.commit(&writes).await) }
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

pub async fn an_empty_batch_is_written(store: &dyn Store) {
    commit(store, WriteSet::default()).await;
    assert!(read(store.orders(None, 1)).await.is_empty());
}
