//! Random histories: whatever is committed, one after the other or at once, a store answers and
//! shows what a plain model does.
//!
//! `SWITCHYARD_STORE_SEED` and `SWITCHYARD_STORE_STEPS` choose which history, and how long a one.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use switchyard::domain::books::clearing::ClearingRecord;
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::Order;
use switchyard::domain::reversal::ReversalEntry;
use switchyard::domain::time::BusinessDate;
use switchyard::domain::write_set::{
    AuditEntry, Contradiction, CoreNotice, EntryChange, ReportedEnd, WriteSet,
};
use switchyard::store::{Backlog, CommitError, ContradictionPlace, Store};

use crate::read;
use crate::support::books::{self, channel, due_by, id};

/// Few names, so that commits meet on the same rows all the time.
const ORDERS: u64 = 6;
/// More commits at once would have too many orders to try.
const AT_ONCE_MAX: usize = 4;
const STEPS_DEFAULT: u64 = 120;
const PAGE: usize = 999;

/// What a store has after any commits, said without indexes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Books {
    orders: BTreeMap<OrderId, Order>,
    entries: BTreeMap<OrderId, ReversalEntry>,
    transactions: BTreeMap<OrderId, Transaction>,
    clearing: BTreeMap<(BusinessDate, OrderId, u8), ClearingRecord>,
    requests: BTreeMap<RequestId, AccountingRequest>,
    notices: BTreeMap<OrderId, CoreNotice>,
    contradictions: BTreeMap<ContradictionPlace, Contradiction>,
    audit: Vec<AuditEntry>,
    shut: Option<BusinessDate>,
}

/// What speaks against a write set.
#[derive(Debug, Default)]
struct Objections {
    conflict: bool,
    /// Orders that have the caller's order id of another one.
    owners: Vec<OrderId>,
}

fn follows(stored: Option<u32>, version: u32) -> bool {
    stored.map_or(version == 1, |stored| version > 1 && stored == version - 1)
}

fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: V) -> bool {
    rows.insert(key, row).is_none()
}

impl Books {
    /// The books after a write set, or what speaks against it: a store says one of both things.
    fn after(&self, writes: &WriteSet) -> Result<Self, Objections> {
        let (mut books, mut objections) = (self.clone(), Objections::default());
        let mut holds = true;
        for order in &writes.orders {
            let asked = &order.instruction;
            let is_taken = |other: &&Order| {
                other.id != order.id
                    && (&other.instruction.caller, &other.instruction.caller_order_id)
                        == (&asked.caller, &asked.caller_order_id)
            };
            // Later versions have the id already.
            let owner = books.orders.values().find(is_taken).filter(|_| order.version == 1);
            objections.owners.extend(owner.map(|owner| owner.id));
            let stored = books.orders.get(&order.id);
            let opens =
                stored.is_some_and(|stored| stored.status.is_final()) && !order.status.is_final();
            holds &= follows(stored.map(|stored| stored.version), order.version) && !opens;
            books.orders.insert(order.id, order.clone());
        }
        for change in &writes.entries {
            match change {
                EntryChange::Put(entry) => {
                    let stored = books.entries.get(&entry.order).map(|stored| stored.version);
                    holds &= follows(stored, entry.version);
                    books.entries.insert(entry.order, entry.clone());
                }
                EntryChange::Remove { order, version } => {
                    let removed = books.entries.remove(order);
                    holds &= removed.is_some_and(|stored| stored.version == *version);
                }
            }
        }
        for request in &writes.accounting {
            let stored = books.requests.get(&request.id).map(|stored| stored.delivery.version);
            holds &= follows(stored, request.delivery.version);
            books.requests.insert(request.id, request.clone());
        }
        for notice in &writes.notices {
            let stored = books.notices.get(&notice.order).map(|stored| stored.delivery.version);
            holds &= follows(stored, notice.delivery.version);
            books.notices.insert(notice.order, notice.clone());
        }
        for row in &writes.transactions {
            holds &= put(&mut books.transactions, row.order, row.clone());
        }
        for row in &writes.contradictions {
            holds &= put(&mut books.contradictions, row.place(), row.clone());
        }
        let days = writes.shut.iter().map(|(_, date)| *date);
        books.shut = books.shut.into_iter().chain(days).max();
        for row in &writes.clearing {
            let number = row.channel_order_no;
            let key = (row.date, number.order, number.attempt);
            holds &= books.shut.is_none_or(|shut| row.date > shut);
            holds &= put(&mut books.clearing, key, row.clone());
        }
        books.audit.extend(writes.audit.iter().cloned());
        objections.conflict = !holds;
        let none = holds && objections.owners.is_empty();
        if none { Ok(books) } else { Err(objections) }
    }

    fn draw(&self, random: &mut fastrand::Rng) -> WriteSet {
        let mut writes = WriteSet::default();
        for _ in 0..random.usize(1..4) {
            self.draw_change(&mut writes, random);
        }
        writes
    }

    /// The version that follows, or now and then another one.
    fn version(stored: Option<u32>, random: &mut fastrand::Rng) -> u32 {
        if random.u8(..8) == 0 { random.u32(1..4) } else { stored.unwrap_or_default() + 1 }
    }

    fn draw_change(&self, writes: &mut WriteSet, random: &mut fastrand::Rng) {
        let number = random.u64(1..=ORDERS);
        let id = id(number);
        // What is there, the write set's own rows included.
        let now = self.after(writes).unwrap_or_else(|_| self.clone());
        let blank = books::order(number);
        let stored = now.orders.get(&id);
        match random.u8(..12) {
            0..4 => {
                let version = Self::version(stored.map(|order| order.version), random);
                let mut order = stored.cloned().unwrap_or_else(|| {
                    let mut order = books::order(number);
                    // Some share a name. No order has two: versions of one may be drawn apart.
                    let name = if number.is_multiple_of(2) { number - 1 } else { number };
                    order.instruction.caller_order_id = books::caller_order_id(name);
                    order
                });
                if random.u8(..3) == 0 {
                    order = books::succeeded(&order);
                } else if random.u8(..3) == 0 {
                    let asked = order.instruction;
                    order = books::order(number);
                    order.instruction = asked;
                }
                order.version = version;
                writes.orders.push(order);
            }
            4 | 5 => {
                let stored = now.entries.get(&id).map(|entry| entry.version);
                if random.u8(..3) == 0 {
                    let version = stored.unwrap_or(random.u32(1..3));
                    writes.entries.push(EntryChange::Remove { order: id, version });
                } else {
                    let due_ms = random.bool().then(|| random.i64(0..9));
                    let mut entry = books::entry(&blank, books::CHANNEL, due_ms);
                    entry.version = Self::version(stored, random);
                    writes.entries.push(EntryChange::Put(entry));
                }
            }
            6 => writes.transactions.push(books::transaction(&blank)),
            7 => {
                let mut row = books::clearing(&books::transaction(&blank));
                row.date = day(random.u8(21..25));
                writes.clearing.push(row);
            }
            8 => {
                let first = books::request(&blank, 0);
                let stored = now.requests.get(&first.id);
                let version = stored.map(|row| row.delivery.version);
                let mut request = stored.unwrap_or(&first).clone();
                request.delivery.version = Self::version(version, random);
                request.delivery.status = DeliveryStatus::ALL[random.usize(0..4)];
                request.delivery.due_at = books::moment(random.i64(0..9));
                writes.accounting.push(request);
            }
            9 => {
                let mut notice = books::notice(&blank, random.i64(0..9));
                let stored = now.notices.get(&id).map(|row| row.delivery.version);
                notice.delivery.version = Self::version(stored, random);
                notice.delivery.status = DeliveryStatus::ALL[random.usize(0..4)];
                writes.notices.push(notice);
            }
            10 => {
                let reported = ReportedEnd::ALL[random.usize(..2)];
                writes.contradictions.push(books::contradiction(&blank, 1, reported));
            }
            _ if random.u8(..6) == 0 => writes.shut.push((channel(), day(random.u8(20..23)))),
            _ => writes.audit.push(books::audit(&random.u32(..).to_string())),
        }
    }

    async fn is_shown_by(&self, store: &dyn Store) -> bool {
        let seen = Seen::by(store).await;
        seen == Seen::of(self)
    }
}

fn day(day: u8) -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_100 + u32::from(day)).expect("a date")
}

/// All listings of a store.
#[derive(Debug, PartialEq)]
pub struct Seen {
    orders: Vec<Order>,
    open: Vec<OrderId>,
    by_caller: Vec<Option<OrderId>>,
    views: Vec<Option<(Order, Option<ReversalEntry>)>>,
    entries: Vec<ReversalEntry>,
    due_entries: Vec<OrderId>,
    transactions: Vec<Transaction>,
    clearing: Vec<ClearingRecord>,
    requests: Vec<AccountingRequest>,
    parked_requests: Vec<RequestId>,
    due_requests: Vec<RequestId>,
    request_backlog: Backlog,
    notice_backlog: Backlog,
    notices: Vec<CoreNotice>,
    owed_notices: Vec<OrderId>,
    due_notices: Vec<OrderId>,
    contradictions: Vec<Contradiction>,
    audit: Vec<(u64, AuditEntry)>,
    shut: Option<BusinessDate>,
}

const DUE_MS: i64 = 4;

impl Seen {
    /// As a database shows it, whose texts hold no NUL. Only the audit trail of the tests has one.
    pub fn with_visible_nul(mut self) -> Self {
        for (_, entry) in &mut self.audit {
            entry.reason = entry.reason.replace('\0', "\u{2400}");
            entry.subject = entry.subject.replace('\0', "\u{2400}");
        }
        self
    }

    pub fn without_last_audit(mut self) -> Self {
        self.audit.pop();
        self
    }

    pub async fn by(store: &dyn Store) -> Self {
        let (parked, owed) = (Some(DeliveryStatus::Parked), Some(DeliveryStatus::Owed));
        let (mut by_caller, mut views, mut clearing) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=ORDERS {
            let name = books::caller_order_id(number);
            let order = read(store.order_by_caller(books::caller(), name)).await;
            by_caller.push(order.map(|order| order.id));
            let view = read(store.view(id(number))).await;
            views.push(view.map(|view| (view.order, view.entry)));
        }
        for date in 21..25 {
            clearing.extend(read(store.clearing(channel(), day(date), None, PAGE)).await);
        }
        let due_entries = read(store.due_reversals(channel(), due_by(DUE_MS), PAGE)).await;
        let due_requests = read(store.due_accounting(due_by(DUE_MS), PAGE)).await;
        let due_notices = read(store.due_notices(due_by(DUE_MS), PAGE)).await;
        let open = read(store.open_orders(None, PAGE)).await;
        let parked_requests = read(store.accounting_requests(parked, None, PAGE)).await;
        let owed_notices = read(store.notices(owed, None, PAGE)).await;
        Self {
            orders: read(store.orders(None, PAGE)).await,
            open: open.iter().map(|order| order.id).collect(),
            by_caller,
            views,
            entries: read(store.reversals(None, PAGE)).await,
            due_entries: due_entries.iter().map(|entry| entry.order).collect(),
            transactions: read(store.transactions(None, PAGE)).await,
            clearing,
            requests: read(store.accounting_requests(None, None, PAGE)).await,
            parked_requests: parked_requests.iter().map(|request| request.id).collect(),
            due_requests: due_requests.iter().map(|request| request.id).collect(),
            request_backlog: read(store.accounting_backlog()).await,
            notice_backlog: read(store.notice_backlog()).await,
            notices: read(store.notices(None, None, PAGE)).await,
            owed_notices: owed_notices.iter().map(|notice| notice.order).collect(),
            due_notices: due_notices.iter().map(|notice| notice.order).collect(),
            contradictions: read(store.all_contradictions(None, PAGE)).await,
            audit: read(store.audit(None, PAGE)).await,
            shut: read(store.clearing_days(channel())).await.shut_through,
        }
    }

    fn of(books: &Books) -> Self {
        let orders: Vec<Order> = books.orders.values().cloned().collect();
        let view = |number| {
            let entry = books.entries.get(&id(number)).cloned();
            books.orders.get(&id(number)).map(|order| (order.clone(), entry))
        };
        let has_name = |order: &&Order, number| {
            order.instruction.caller_order_id == books::caller_order_id(number)
        };
        let by_caller = |number| {
            let order = orders.iter().find(|order| has_name(order, number));
            order.map(|order| order.id)
        };
        let is_due = |due_at| due_at <= books::moment(DUE_MS);
        let entries = books.entries.values();
        let mut due_entries: Vec<_> = entries
            .filter_map(|entry| Some((entry.due_at?, entry.order)))
            .filter(|(due_at, _)| is_due(*due_at))
            .collect();
        due_entries.sort_unstable();
        let requests = books.requests.values();
        let of_status = |status| requests.clone().filter(move |row| row.delivery.status == status);
        let mut due_requests: Vec<_> = of_status(DeliveryStatus::Owed)
            .map(|row| (row.delivery.due_at, row.id))
            .filter(|(due_at, _)| is_due(*due_at))
            .collect();
        due_requests.sort_unstable();
        let notices = books.notices.values();
        let notices_of = |status| notices.clone().filter(move |row| row.delivery.status == status);
        let owed = notices_of(DeliveryStatus::Owed);
        let mut due_notices: Vec<_> = owed
            .clone()
            .map(|row| (row.delivery.due_at, row.order))
            .filter(|(due_at, _)| is_due(*due_at))
            .collect();
        due_notices.sort_unstable();
        let second = |pairs: Vec<_>| pairs.into_iter().map(|(_, order)| order).collect();
        Self {
            open: orders.iter().filter(|row| !row.status.is_final()).map(|row| row.id).collect(),
            by_caller: (1..=ORDERS).map(by_caller).collect(),
            views: (1..=ORDERS).map(view).collect(),
            entries: books.entries.values().cloned().collect(),
            due_entries: second(due_entries),
            transactions: books.transactions.values().cloned().collect(),
            clearing: books.clearing.values().cloned().collect(),
            requests: requests.clone().cloned().collect(),
            parked_requests: of_status(DeliveryStatus::Parked).map(|row| row.id).collect(),
            due_requests: due_requests.into_iter().map(|(_, id)| id).collect(),
            request_backlog: Backlog {
                owed: of_status(DeliveryStatus::Owed).count() as u64,
                parked: of_status(DeliveryStatus::Parked).count() as u64,
            },
            notice_backlog: Backlog {
                owed: owed.clone().count() as u64,
                parked: notices_of(DeliveryStatus::Parked).count() as u64,
            },
            notices: books.notices.values().cloned().collect(),
            owed_notices: owed.map(|row| row.order).collect(),
            due_notices: second(due_notices),
            contradictions: books.contradictions.values().cloned().collect(),
            audit: (1..).zip(books.audit.iter().cloned()).collect(),
            shut: books.shut,
            orders,
        }
    }
}

/// Whether the store's answer is one that the model allows; then the books after it.
fn allows(books: &Books, writes: &WriteSet, end: &Result<(), CommitError>) -> Option<Books> {
    match (end, books.after(writes)) {
        (Ok(()), Ok(after)) => Some(after),
        (Err(CommitError::Conflict), Err(objections)) => objections.conflict.then(|| books.clone()),
        (Err(CommitError::Duplicate { existing }), Err(objections)) => {
            objections.owners.contains(existing).then(|| books.clone())
        }
        _ => None,
    }
}

/// Every state that the answers allow, whichever order the commits were carried out in.
fn outcomes(books: &Books, rest: &[(WriteSet, Result<(), CommitError>)]) -> Vec<Books> {
    fn go(books: &Books, rest: Vec<&(WriteSet, Result<(), CommitError>)>, found: &mut Vec<Books>) {
        if rest.is_empty() {
            found.push(books.clone());
        }
        for place in 0..rest.len() {
            let (writes, end) = rest[place];
            if let Some(after) = allows(books, writes, end) {
                let mut others = rest.clone();
                others.remove(place);
                go(&after, others, found);
            }
        }
    }
    let mut found = Vec::new();
    go(books, rest.iter().collect(), &mut found);
    found.dedup();
    found
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: a number")))
}

pub async fn random_histories_equal_a_plain_model(store: &dyn Store) {
    let seed = number("SWITCHYARD_STORE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let steps = number("SWITCHYARD_STORE_STEPS").unwrap_or(STEPS_DEFAULT);
    println!("SWITCHYARD_STORE_SEED={seed} SWITCHYARD_STORE_STEPS={steps}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut books = Books::default();
    let (mut written, mut refused) = (0, 0);
    for step in 0..steps {
        let count = if random.bool() { 1 } else { random.usize(2..=AT_ONCE_MAX) };
        let drawn: Vec<WriteSet> = (0..count).map(|_| books.draw(&mut random)).collect();
        let ends = join_all(drawn.iter().map(|writes| store.commit(writes))).await;
        written += ends.iter().filter(|end| end.is_ok()).count();
        refused += ends.iter().filter(|end| end.is_err()).count();
        let committed: Vec<_> = drawn.into_iter().zip(ends).collect();
        let possible = outcomes(&books, &committed);
        assert!(!possible.is_empty(), "step {step}: no order explains {committed:#?}");
        let mut shown = None;
        for after in &possible {
            if shown.is_none() && after.is_shown_by(store).await {
                shown = Some(after.clone());
            }
        }
        books = shown.unwrap_or_else(|| {
            panic!("step {step}: {committed:#?}\nwere answered, and the books are otherwise")
        });
    }
    assert!(written > 20 && refused > 20, "too little is tried: {written}, {refused}");
}
