//! Orders looked for in the embedded store: the first page of questions that operators ask, of a
//! number that nobody has, and how long a look over everything takes.
//!
//! `cargo bench --bench order_search -- [payments] [rounds] [folder]`, 2,000,000 payments of ten
//! days and 200 rounds unless it is said; a folder that is there already is used as it is. Payments
//! are filled in as they end, a thousand a commit: their rows are those of a store that has been
//! written for long. It makes no claim and cannot fail on a slow machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use support::{Scratch, books};
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::card::{CardDigests, MaskedPan};
use switchyard::domain::ids::{CallerOrderId, ChannelId, MerchantId, OrderId};
use switchyard::domain::instrument::InstrumentFacts;
use switchyard::domain::money::AmountMinor;
use switchyard::domain::order::{Order, OrderStatus};
use switchyard::domain::order_filter::{ForeignNumber, OrderFilter};
use switchyard::domain::outcome::Reason;
use switchyard::domain::time::Timestamp;
use switchyard::domain::write_set::WriteSet;
use switchyard::store::Store;
use switchyard::store::embedded::{EmbeddedSettings, EmbeddedStore};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAYS: u64 = 10;
const MERCHANTS: u32 = 10_000;
const AT_ONCE: u64 = 1_000;
const DAY_MS: i64 = 86_400_000;
/// Of a page.
const LIMIT: usize = 100;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let (payments, rounds) = (number(0).unwrap_or(2_000_000), number(1).unwrap_or(200));
    let scratch = Scratch::new();
    let folder = arguments.get(2).map_or_else(|| scratch.path(), Path::new).join("books");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    let is_new = !folder.exists();
    let store = EmbeddedStore::open(&folder, &EmbeddedSettings::default()).expect("a store");
    if is_new {
        let started = Instant::now();
        runtime.block_on(fill(&store, payments));
        println!("{payments} payments in {:.0} s", started.elapsed().as_secs_f64());
    }
    println!("question                                   orders  p50 ms  p95 ms  max ms");
    for (name, ask) in questions(payments) {
        let (found, mut times) = runtime.block_on(first_pages(&store, rounds, &ask));
        times.sort_unstable();
        let at = |part: usize| {
            let place = (times.len() * part / 100).min(times.len() - 1);
            times[place].as_secs_f64() * 1e3
        };
        let [median, tail, worst] = [50, 95, 100].map(at);
        println!("{name:42} {found:6} {median:7.1} {tail:7.1} {worst:7.1}");
    }
    let started = Instant::now();
    let pages = runtime.block_on(all_pages(&store, nobodys()));
    let took = started.elapsed().as_secs_f64();
    println!("a number that nobody has, to the end: {pages} pages in {took:.1} s");
    let started = Instant::now();
    let merchant = OrderFilter { merchant_id: merchant(7), ..OrderFilter::default() };
    let pages = runtime.block_on(all_pages(&store, merchant));
    let took = started.elapsed().as_secs_f64();
    println!("a merchant of {MERCHANTS}, to the end: {pages} pages in {took:.1} s");
}

type Question = Box<dyn Fn(&mut Rng) -> OrderFilter>;

/// What is asked, each time of another merchant, card or day.
fn questions(payments: u64) -> Vec<(&'static str, Question)> {
    let day = |random: &mut Rng, length_ms: i64| {
        let day = i64::try_from(random.u64(0..DAYS)).expect("a few days");
        let from = books::moment(day * DAY_MS + random.i64(0..DAY_MS - length_ms));
        let to = Timestamp::from_millis(from.as_millis() + length_ms);
        OrderFilter { from: Some(from), to: Some(to), ..OrderFilter::default() }
    };
    vec![
        ("the newest", Box::new(|_| OrderFilter::default())),
        (
            "failed, the newest (2 %)",
            Box::new(|_| {
                let status = Some(OrderStatus::Failed);
                OrderFilter { status, ..OrderFilter::default() }
            }),
        ),
        (
            "failed for a reason (1 %), of a channel",
            Box::new(|_| OrderFilter {
                reason: Some(Reason::InsufficientFunds),
                channel: Some(ChannelId::from_stored(books::CHANNEL)),
                ..OrderFilter::default()
            }),
        ),
        (
            "open",
            Box::new(|_| {
                let status = Some(OrderStatus::Processing);
                OrderFilter { status, ..OrderFilter::default() }
            }),
        ),
        (
            "last four digits",
            Box::new(|random| {
                let last_four = Some(format!("{:04}", random.u32(0..10_000)));
                OrderFilter { last_four, ..OrderFilter::default() }
            }),
        ),
        (
            "a merchant of ten thousand",
            Box::new(|random| {
                let merchant_id = merchant(random.u32(0..MERCHANTS));
                OrderFilter { merchant_id, ..OrderFilter::default() }
            }),
        ),
        ("an hour of a day", Box::new(move |random| day(random, 3_600_000))),
        (
            "a day's failures",
            Box::new(move |random| {
                let status = Some(OrderStatus::Failed);
                OrderFilter { status, ..day(random, DAY_MS - 1) }
            }),
        ),
        (
            "a whole card that nobody has",
            Box::new(|random| {
                let pan_digest = Some(random.u128(..));
                OrderFilter { pan_digest, ..OrderFilter::default() }
            }),
        ),
        (
            "the channel's reference of any payment",
            Box::new(move |random| {
                let number = ForeignNumber::parse(&reference(random.u64(1..=payments)));
                OrderFilter { number, ..OrderFilter::default() }
            }),
        ),
        ("a number that nobody has", Box::new(|_| nobodys())),
    ]
}

fn nobodys() -> OrderFilter {
    OrderFilter { number: ForeignNumber::parse("nobody-has-it"), ..OrderFilter::default() }
}

fn merchant(number: u32) -> Option<MerchantId> {
    Some(MerchantId::from_stored(&format!("merchant-{number}")))
}

async fn first_pages(
    store: &dyn Store,
    rounds: u64,
    ask: &dyn Fn(&mut Rng) -> OrderFilter,
) -> (usize, Vec<Duration>) {
    let (mut random, mut found, mut times) = (Rng::with_seed(rounds), 0, Vec::new());
    for _ in 0..rounds {
        let asked = ask(&mut random);
        let started = Instant::now();
        let page = store.search_orders(asked, None, LIMIT).await.expect("a page");
        times.push(started.elapsed());
        found = page.orders.len();
    }
    (found, times)
}

async fn all_pages(store: &dyn Store, asked: OrderFilter) -> u64 {
    let (mut after, mut pages) = (None, 0);
    loop {
        let page = store.search_orders(asked.clone(), after, LIMIT).await.expect("a page");
        pages += 1;
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

/// Days of payments, each ended as it came; one in fifty has failed, and a thousand are open.
async fn fill(store: &dyn Store, payments: u64) {
    for first in (1..=payments).step_by(usize::try_from(AT_ONCE).expect("a thousand")) {
        let some = first..(first + AT_ONCE).min(payments + 1);
        let orders: Vec<Order> = some.map(|number| order(number, payments)).collect();
        let accepted = WriteSet { orders: orders.clone(), ..WriteSet::default() };
        store.commit(&accepted).await.expect("the first commit");
        if first + AT_ONCE > payments {
            break;
        }
        let mut all = WriteSet::default();
        for order in &orders {
            let mut writes = books::paid(order);
            let mut random = Rng::with_seed(order.id.sequence());
            let ended = &mut writes.orders[0];
            if random.u8(0..50) == 0 {
                ended.status = OrderStatus::Failed;
                let reasons = [Reason::InsufficientFunds, Reason::DoNotHonour];
                ended.reason = Some(reasons[random.usize(0..2)]);
                all.orders.append(&mut writes.orders);
                continue;
            }
            let reference = reference(order.id.sequence());
            ended.attempts[0].channel_reference = Some(reference.clone());
            let transaction = &mut writes.transactions[0];
            transaction.transcript = format!("respCode=00&respMsg=success&queryId={reference}");
            transaction.channel_reference = Some(reference);
            writes.accounting[0].delivery.status = DeliveryStatus::Acknowledged;
            all.orders.append(&mut writes.orders);
            all.transactions.append(&mut writes.transactions);
            all.clearing.append(&mut writes.clearing);
            all.accounting.append(&mut writes.accounting);
        }
        store.commit(&all).await.expect("the second commit");
    }
}

/// An order whose parts are as different from the others' as those of real ones.
fn order(sequence: u64, payments: u64) -> Order {
    let mut random = Rng::with_seed(sequence);
    let mut order = books::order(sequence);
    let each = payments.div_ceil(DAYS);
    let (day, in_day) = ((sequence - 1) / each, (sequence - 1) % each);
    let day_of_month = 22 + u32::try_from(day).expect("a few days");
    // From the 22nd of November on, over the end of the month.
    let yymmdd = if day_of_month <= 30 { 261_100 + day_of_month } else { 261_170 + day_of_month };
    order.id = OrderId::compose(yymmdd, 1, sequence);
    let within = i64::try_from(in_day * DAY_MS.unsigned_abs() / each).expect("within a day");
    let midnight_ms = -8 * 3_600_000 + i64::try_from(day).expect("a few days") * DAY_MS;
    order.created_at = books::moment(midnight_ms + within);
    let asked = &mut order.instruction;
    asked.caller_order_id = CallerOrderId::from_stored(&format!("{:032x}", random.u128(..)));
    asked.merchant_id = merchant(random.u32(0..MERCHANTS)).expect("a merchant");
    asked.amount = AmountMinor::new(random.i64(100..1_000_000)).expect("an amount");
    if let Some(InstrumentFacts::Card(card)) = &mut asked.instrument {
        let last = random.u32(0..10_000);
        card.masked = MaskedPan::from_stored(&format!("621626*********{last:04}"));
        card.digests =
            CardDigests { pan: random.u128(..), expiry: random.u64(..), ..CardDigests::default() };
    }
    order
}

/// What the channel calls a payment.
fn reference(sequence: u64) -> String {
    format!("20261122{:013}", Rng::with_seed(!sequence).u64(0..10_000_000_000_000))
}
