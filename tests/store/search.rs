//! Orders that are looked for: a store finds what a look over all of them in memory does, page by
//! page, and says how far it looked.
//!
//! `SWITCHYARD_STORE_SEED` chooses which orders, and what is asked of them.

use std::cmp::Reverse;
use std::time::Duration;

use fastrand::Rng;
use switchyard::domain::attempt::{Attempt, AttemptState};
use switchyard::domain::card::MaskedPan;
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId, MerchantId, OrderId};
use switchyard::domain::instrument::InstrumentFacts;
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::order::{Order, OrderKind, OrderStatus};
use switchyard::domain::order_filter::{ForeignNumber, OrderFilter};
use switchyard::domain::outcome::Reason;
use switchyard::domain::payee_account::{AccountDigests, AccountFacts, AccountKind, MaskedAccount};
use switchyard::domain::time::Timestamp;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::{OrderPage, Store};

use crate::support::books::{self, moment};
use crate::{commit, read};

const ORDERS: u64 = 120;
const QUESTIONS: u32 = 150;
/// More than a page looks at.
const MANY: u64 = 20_500;

const HOUR_MS: i64 = 3_600_000;

fn pick<T: Clone>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())].clone()
}

const CALLERS: [&str; 2] = ["core", "shop"];
const CHANNELS: [&str; 3] = ["unionpay", "harbour-bank", "meadow"];
const MERCHANTS: [&str; 3] = ["m-1", "m-2", "m.2"];
const CARDS: [&str; 3] = ["621626*********0018", "622202*********0018", "621626******4444"];
const ACCOUNTS: [&str; 2] = ["138****8000", "a**@mail.example"];
const REFERENCES: [&str; 3] = ["ref-100001", "ref-100002", "9.0001"];
const REASONS: [Reason; 2] = [Reason::DoNotHonour, Reason::InsufficientFunds];

/// An order of one of a few days and nodes, whose facts are drawn from few.
fn random_order(random: &mut Rng, sequence: u64) -> Order {
    let mut order = books::order(sequence);
    let day = random.u32(..4);
    order.id = OrderId::compose(261_120 + day, random.u16(1..3), sequence);
    // The 20th, and up to three days later; numbers and moments go together, or nearly.
    let midnight = -2 * 24 * HOUR_MS - 8 * HOUR_MS + i64::from(day) * 24 * HOUR_MS;
    let minutes = i64::try_from(sequence).expect("some hundreds") * 11 + random.i64(-4..=4);
    order.created_at = moment(midnight + minutes * 60_000);
    let asked = &mut order.instruction;
    asked.caller = CallerId::from_stored(pick(random, &CALLERS));
    asked.caller_order_id = CallerOrderId::from_stored(&format!("A-{sequence:06}"));
    asked.merchant_id = MerchantId::from_stored(pick(random, &MERCHANTS));
    asked.amount = AmountMinor::new(random.i64(1..6)).expect("an amount");
    asked.currency = pick(random, &[Currency::Cny, Currency::Usd]);
    if let Some(InstrumentFacts::Card(card)) = &mut asked.instrument {
        card.masked = MaskedPan::from_stored(pick(random, &CARDS));
        card.digests.pan = random.u128(..3);
        if random.bool() {
            card.row = None;
        }
    }
    if random.u8(..4) == 0 {
        let digests = AccountDigests { id: random.u128(..3), name: random.u64(..2) };
        asked.instrument = Some(InstrumentFacts::Account(AccountFacts {
            kind: pick(random, &AccountKind::ALL),
            masked: MaskedAccount::of(pick(random, &ACCOUNTS)),
            digests,
        }));
    }
    if random.u8(..5) == 0 {
        asked.instrument = None;
        asked.kind = OrderKind::Release { of: books::id(1) };
        order.attempts.clear();
        order.status = OrderStatus::Accepted;
    } else {
        let channel = |random: &mut Rng| ChannelId::from_stored(pick(random, &CHANNELS));
        order.attempts[0].channel = channel(random);
        if random.bool() {
            let second =
                Attempt { number: 2, channel: channel(random), ..order.attempts[0].clone() };
            order.attempts[0].state = AttemptState::NotSent;
            order.attempts.push(second);
        }
    }
    order
}

/// What becomes of it: it stays open, fails, or succeeds with a transaction.
fn ended(random: &mut Rng, order: &Order) -> Option<WriteSet> {
    if order.attempts.is_empty() {
        return None;
    }
    let mut writes = books::paid(order);
    let ended = &mut writes.orders[0];
    ended.attempts[0].channel_reference = Some(pick(random, &REFERENCES).to_owned());
    match random.u8(..3) {
        0 => return None,
        1 => {
            ended.status = OrderStatus::Failed;
            ended.reason = Some(pick(random, &REASONS));
            writes = WriteSet { orders: writes.orders, ..WriteSet::default() };
        }
        _ => {
            let trace = random.u32(500_000..500_004);
            writes.transactions[0].transcript = format!("traceNo={trace}&respCode=00");
            writes.clearing.clear();
            writes.accounting.clear();
        }
    }
    Some(writes)
}

fn question(random: &mut Rng) -> OrderFilter {
    let mut asked = OrderFilter::default();
    let time = |random: &mut Rng| Some(moment(random.i64(-4 * 24..3 * 24) * HOUR_MS));
    for _ in 0..random.u8(..4) {
        match random.u8(..16) {
            0 => asked.from = time(random),
            1 => asked.to = time(random),
            2 => asked.caller = Some(CallerId::from_stored(pick(random, &CALLERS))),
            3 => asked.status = Some(pick(random, &OrderStatus::ALL)),
            4 => asked.kind = Some(pick(random, &OrderKind::NAMES)),
            5 => asked.channel = Some(ChannelId::from_stored(pick(random, &CHANNELS))),
            6 => asked.merchant_id = Some(MerchantId::from_stored(pick(random, &MERCHANTS))),
            7 => asked.amount_from = Some(random.i64(0..6)),
            8 => asked.amount_to = Some(random.i64(0..6)),
            9 => asked.currency = Some(pick(random, &[Currency::Cny, Currency::Usd])),
            10 => asked.issuer_code = Some(pick(random, &["03070000", "01020000"]).to_owned()),
            11 => asked.first_six = Some(pick(random, &["621626", "622202"]).to_owned()),
            12 => asked.last_four = Some(pick(random, &["0018", "4444"]).to_owned()),
            13 => asked.pan_digest = Some(random.u128(..3)),
            14 => asked.account_digest = Some(random.u128(..3)),
            _ => asked.reason = Some(pick(random, &REASONS)),
        }
    }
    if random.u8(..6) == 0 {
        let numbers = ["A-000007", "ref-100001", "9.0001", "9x0001", "500001", "00001"];
        asked.number = ForeignNumber::parse(pick(random, &numbers));
    }
    asked
}

/// What a look over all orders finds.
fn expected(all: &[(Order, String)], asked: &OrderFilter) -> Vec<Order> {
    let others = OrderFilter { number: None, ..asked.clone() };
    let takes = |(order, words): &&(Order, String)| {
        let said = asked.number.as_ref().is_some_and(|number| number.is_in(words));
        asked.takes(order) || (said && others.takes(order))
    };
    let mut found: Vec<Order> = all.iter().filter(takes).map(|(order, _)| order.clone()).collect();
    found.sort_by_key(|order| Reverse(order.id));
    found
}

/// Every page of a question; none has more than `limit` orders.
async fn pages(store: &dyn Store, asked: &OrderFilter, limit: usize) -> Vec<Order> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = read(store.search_orders(asked.clone(), after, limit)).await;
        assert!(page.orders.len() <= limit);
        assert_eq!(page.next.is_some(), page.looked_until.is_some());
        found.extend(page.orders);
        let Some(next) = page.next else { return found };
        assert!(after.is_none_or(|after| next < after), "each page goes on");
        after = Some(next);
    }
}

pub async fn a_search_finds_what_a_look_over_all_orders_does(store: &dyn Store) {
    let seed = std::env::var("SWITCHYARD_STORE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let mut all = Vec::new();
    for sequence in 1..=ORDERS {
        let mut order = random_order(&mut random, sequence);
        commit(store, books::accepted(&order)).await;
        let mut words = String::new();
        if let Some(writes) = ended(&mut random, &order) {
            commit(store, writes.clone()).await;
            order = writes.orders[0].clone();
            words = writes.transactions.first().map_or(words, |one| one.transcript.clone());
        }
        all.push((order, words));
    }
    for _ in 0..QUESTIONS {
        let (asked, limit) = (question(&mut random), pick(&mut random, &[1, 3, 7, 1_000]));
        let (found, expected) = (pages(store, &asked, limit).await, expected(&all, &asked));
        assert_eq!(found, expected, "SWITCHYARD_STORE_SEED={seed}: {limit} of {asked:?}");
    }
}

/// The number of an order that brings a code by SMS was drawn for the code: it stands among the
/// numbers of earlier orders.
pub async fn a_search_finds_an_order_whose_number_was_drawn_for_its_code(store: &dyn Store) {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut all: Vec<Order> = (1..=60).map(books::order).collect();
    let begin = all[0].created_at;
    for (order, minutes) in all.iter_mut().zip(0..) {
        order.created_at = begin.plus(MINUTE * minutes);
    }
    all[10].created_at = begin.plus(MINUTE * 24);
    commit(store, WriteSet { orders: all.clone(), ..WriteSet::default() }).await;
    // By orders of its own number's time, and by orders of its own: whichever are left out.
    for (from, to) in [(24, 25), (24, 60), (0, 25)] {
        let time = |minutes| Some(begin.plus(MINUTE * minutes));
        let asked = OrderFilter { from: time(from), to: time(to), ..OrderFilter::default() };
        let found = pages(store, &asked, 7).await;
        assert!(found.iter().any(|one| one.id == all[10].id), "{from} to {to}");
    }
}

/// The page of a cursor that no page has given, of a time that is empty or the wrong way round, and
/// of any limit.
pub async fn a_search_bears_any_cursor_time_and_limit(store: &dyn Store) {
    let all: Vec<Order> = (1..=5).map(books::order).collect();
    commit(store, WriteSet { orders: all.clone(), ..WriteSet::default() }).await;
    let newest: Vec<Order> = all.iter().rev().cloned().collect();
    let everything = OrderFilter::default();
    let page = async |filter: &OrderFilter, after: Option<u64>, limit| {
        let after = after.map(OrderId::from_u64);
        read(store.search_orders(filter.clone(), after, limit)).await
    };
    let first = all[0].id.as_u64();
    for (after, found) in [
        (0, &[][..]),
        (first, &[]),
        (first + 1, &newest[4..]),
        (first + 3, &newest[2..]),
        (i64::MAX as u64, &newest),
        (u64::MAX, &newest),
    ] {
        let page = page(&everything, Some(after), 10).await;
        assert_eq!((page.orders.as_slice(), page.next), (found, None), "after {after}");
    }
    for (limit, found) in [(0, 1), (1, 1), (4, 4)] {
        let page = page(&everything, None, limit).await;
        assert_eq!(page.orders, newest[..found], "limit {limit}");
        assert_eq!(page.next, Some(newest[found - 1].id));
        assert_eq!(page.looked_until, Some(newest[found - 1].created_at), "the last one's time");
    }
    for limit in [6, 1_000, usize::MAX] {
        let page = page(&everything, None, limit).await;
        assert_eq!((page.orders.as_slice(), page.next), (newest.as_slice(), None), "{limit}");
    }
    let at = all[0].created_at;
    let later = |ms: u64| at.plus(Duration::from_millis(ms));
    let year = Duration::from_secs(365 * 86_400);
    for (from, to, found) in [
        (at, at, 0),
        (at, later(1), all.iter().filter(|one| one.created_at == at).count()),
        (later(1), at, 0),
        (at.plus(year), at.minus(year), 0),
        (Timestamp::from_millis(0), Timestamp::from_millis(0), 0),
        (Timestamp::from_millis(0), at.plus(year * 1_000), 5),
    ] {
        let filter = OrderFilter { from: Some(from), to: Some(to), ..everything.clone() };
        for after in [None, Some(first + 9)] {
            let page = page(&filter, after, 10).await;
            assert_eq!((page.orders.len(), page.next), (found, None), "{filter:?} {after:?}");
        }
    }
}

/// Orders end while somebody reads page by page: each is shown once, and none is missed.
pub async fn orders_that_end_between_two_pages_are_shown_once(store: &dyn Store) {
    let seed = std::env::var("SWITCHYARD_STORE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let all: Vec<Order> = (1..=60).map(books::order).collect();
    commit(store, WriteSet { orders: all.clone(), ..WriteSet::default() }).await;
    let mut open = all.clone();
    random.shuffle(&mut open);
    let (mut shown, mut after) = (Vec::new(), None);
    loop {
        let limit = random.usize(1..6);
        let page = read(store.search_orders(OrderFilter::default(), after, limit)).await;
        shown.extend(page.orders.iter().map(|order| order.id));
        for order in open.drain(..random.usize(..6).min(open.len())).collect::<Vec<_>>() {
            commit(store, books::paid(&order)).await;
        }
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    let expected: Vec<OrderId> = all.iter().rev().map(|order| order.id).collect();
    assert_eq!(shown, expected, "SWITCHYARD_STORE_SEED={seed}");
}

pub async fn a_search_of_many_orders_says_how_far_it_looked(store: &dyn Store) {
    // One every four seconds: most of a day.
    let later = |sequence: u64| i64::try_from(sequence).expect("some thousands") * 4_000;
    let orders: Vec<Order> = (1..=MANY)
        .map(|sequence| {
            let mut order = books::order(sequence);
            order.created_at = moment(later(sequence));
            if sequence == 1 {
                order.instruction.merchant_id = MerchantId::from_stored("rare");
            }
            order
        })
        .collect();
    for some in orders.chunks(2_000) {
        commit(store, WriteSet { orders: some.to_vec(), ..WriteSet::default() }).await;
    }
    let rare = Some(MerchantId::from_stored("rare"));
    let asked = OrderFilter { merchant_id: rare, ..OrderFilter::default() };
    let first = read(store.search_orders(asked.clone(), None, 10)).await;
    let OrderPage { orders: none, next, looked_until } = first;
    assert!(none.is_empty(), "the page ended before it was found");
    let until = next.expect("there is more").sequence();
    assert!(1 < until && until < MANY, "{until}");
    let at = moment(later(until));
    assert_eq!(looked_until, Some(at), "the last one that it looked at");
    assert_eq!(pages(store, &asked, 10).await, orders[..1], "it is found further on");
    // The page ends with the order before the last, with the last, and where it was found.
    let first = orders[0].id.as_u64();
    for (looked, found, more) in [(19_999, 1, false), (20_000, 1, true), (20_001, 0, true)] {
        let behind = OrderId::from_u64(first + looked);
        let page = read(store.search_orders(asked.clone(), Some(behind), 10)).await;
        assert_eq!((page.orders.len(), page.next.is_some()), (found, more), "{looked} orders");
        assert_eq!(page.looked_until.is_some(), more, "{looked} orders");
        if let Some(next) = page.next {
            let rest = read(store.search_orders(asked.clone(), Some(next), 10)).await;
            assert_eq!((rest.orders.len() + found, rest.next), (1, None), "{looked} orders");
        }
    }
    // A time leads past what is newer and what is older, in one page.
    let hours = |hour: i64| Some(moment(hour * HOUR_MS));
    for (from, to) in [(None, hours(1)), (hours(-1), hours(1))] {
        let asked = OrderFilter { from, to, ..asked.clone() };
        let page = read(store.search_orders(asked, None, 10)).await;
        assert_eq!((page.orders.as_slice(), page.next), (&orders[..1], None), "{from:?} {to:?}");
    }
    for (from, to) in [(hours(9), hours(10)), (hours(22), None)] {
        let asked = OrderFilter { from, to, ..asked.clone() };
        let page = read(store.search_orders(asked, None, 10)).await;
        assert_eq!((page.orders.len(), page.next), (0, None), "{from:?} {to:?}");
    }
    // And past all of them.
    let before =
        Timestamp::from_millis(moment(0).as_millis()).minus(Duration::from_secs(72 * 3_600));
    let asked = OrderFilter { to: Some(before), ..asked };
    let page = read(store.search_orders(asked, None, 10)).await;
    assert_eq!((page.orders.len(), page.next), (0, None));
}
