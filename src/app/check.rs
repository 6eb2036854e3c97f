//! `store check`: whether books hold their invariants, at rest or while nodes work on them.
//!
//! Orders that refer to each other are a *family*: a payment or pre-authorisation with all that
//! draws on it or undoes it. Families are read a page at a time and given to the auditor
//! (`domain/audit`); in memory are only which order belongs to which family, the sums of clearing
//! days, and the records that contradict. Then come the rows that foreign keys would demand.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::{AuditedRows, AuditedSums, check_close, check_order};
use crate::domain::books::accounting::{AccountingRequest, PostingSide, RequestId, SourceDocument};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::Order;
use crate::domain::time::BusinessDate;
use crate::store::{PAGE_MAX, Store, StoreError};

/// The most violations that are told one by one.
const TOLD_MAX: usize = 1_000;
/// So many orders are read for a page of families.
const FAMILIES: usize = 250;

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub orders: u64,
    pub clearing_records: u64,
    pub accounting_requests: u64,
    /// Sentences, most of which begin with the invariant's number; at most a thousand.
    pub told: Vec<String>,
    /// How many violations there are.
    pub violations: u64,
}

impl CheckReport {
    fn tell(&mut self, found: impl IntoIterator<Item = String>) {
        for words in found {
            self.violations += 1;
            if self.told.len() < TOLD_MAX {
                self.told.push(words);
            }
        }
    }

    fn unless(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds {
            self.tell([words()]);
        }
    }
}

/// Visits all rows of a kind, a page at a time.
macro_rules! pages {
    ($store:expr, $page:ident, $limit:expr, |$rows:ident| $work:block) => {
        let mut after = None;
        loop {
            let ($rows, last) = $store.$page(after, $limit).await?;
            $work
            match last {
                Some(_) => after = last,
                None => break,
            }
        }
    };
}

/// Which orders belong together.
#[derive(Default)]
struct Families {
    /// What each order refers to, where it refers to one.
    originals: BTreeMap<OrderId, OrderId>,
    members: BTreeMap<OrderId, Vec<OrderId>>,
}

impl Families {
    fn root_of(&self, id: OrderId) -> OrderId {
        let mut root = id;
        // An order refers to an older one; damage could make a circle, which ends here too.
        for _ in 0..self.originals.len() {
            match self.originals.get(&root) {
                Some(original) => root = *original,
                None => break,
            }
        }
        root
    }

    fn gather(&mut self) {
        let ids: Vec<OrderId> = self.originals.keys().copied().collect();
        for id in ids {
            self.members.entry(self.root_of(id)).or_default().push(id);
        }
    }
}

/// Reads all books and tells what does not hold. `progress` is called with the orders done.
///
/// # Errors
/// If rows cannot be read. A row that cannot be decoded ends the check: `store verify` finds it.
pub async fn check_books(
    store: &dyn Store,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    let mut families = Families::default();
    pages!(store, page_of_orders, PAGE_MAX, |orders| {
        report.orders += count(&orders);
        for order in &orders {
            let original = order.instruction.kind.original();
            families.originals.extend(original.map(|original| (order.id, original)));
        }
        check_agreements(store, &orders, &mut report).await?;
        progress(0, report.orders);
    });
    families.gather();
    let contradicted = check_clearing(store, &mut report).await?;
    check_families(store, families, &contradicted, &mut report, progress).await?;
    check_owners(store, &mut report).await?;
    check_requests(store, &mut report).await?;
    check_reconciliation(store, &mut report).await?;
    report.tell(store.unfollowed().await?);
    Ok(report)
}

/// What orders name to be paid by is there.
async fn check_agreements(
    store: &dyn Store,
    orders: &[Order],
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let mut named = BTreeMap::new();
    for order in orders {
        if let Some(InstrumentFacts::Agreement { id, .. }) = &order.instruction.instrument {
            named.insert(id.chain(), order.id);
        }
    }
    if named.is_empty() {
        return Ok(());
    }
    for row in store.agreements_of(&Vec::from_iter(named.keys().copied())).await? {
        named.remove(&row.id.chain());
    }
    report.tell(named.iter().map(|(agreement, order)| {
        format!("order {order} is paid by agreement {agreement}, which is not there")
    }));
    Ok(())
}

fn count<R>(rows: &[R]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

type ByOrder<R> = BTreeMap<OrderId, Vec<R>>;

/// Clearing records against their transactions, and closed days against their records. Gives the
/// records that contradict an order's end.
async fn check_clearing(
    store: &dyn Store,
    report: &mut CheckReport,
) -> Result<ByOrder<ClearingRecord>, StoreError> {
    let (mut sums, mut contradicted) = (AuditedSums::default(), ByOrder::new());
    pages!(store, page_of_clearing, PAGE_MAX, |records| {
        report.clearing_records += count(&records);
        let due = || records.iter().filter(|record| record.state == ClearingState::Due);
        let orders: BTreeSet<OrderId> = due().map(|record| record.order).collect();
        let transactions = store.transactions_of(&Vec::from_iter(orders)).await?;
        let booked: BTreeMap<_, _> = transactions.iter().map(|row| (row.order, row)).collect();
        for record in due() {
            let fits = booked.get(&record.order).is_some_and(|row| {
                (&row.channel, row.clearing_date, row.channel_order_no)
                    == (&record.channel, record.date, record.channel_order_no)
            });
            report.unless(fits, || {
                let ClearingRecord { channel, date, order, .. } = record;
                format!(
                    "I-7: a clearing record of {order} at {channel}, {date}, has no transaction"
                )
            });
        }
        for record in records {
            sums.add(&record);
            let net = record.net_minor == record.principal_minor - record.fee_minor;
            let id = record.order;
            report.unless(net, || format!("I-7: the net of a clearing record of {id} is another"));
            if record.state == ClearingState::Contradicted {
                contradicted.entry(id).or_default().push(record);
            }
        }
    });
    check_days(store, &sums, report).await?;
    let orders: Vec<OrderId> = contradicted.keys().copied().collect();
    for missing in missing_orders(store, &orders).await? {
        report.tell([format!("I-7: a clearing record is of order {missing}, which is not there")]);
    }
    Ok(contradicted)
}

/// I-7: closed days have the sums of their records, and are closed as far as it is said.
async fn check_days(
    store: &dyn Store,
    sums: &AuditedSums,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let mut last: BTreeMap<ChannelId, BusinessDate> = BTreeMap::new();
    pages!(store, page_of_closes, PAGE_MAX, |closes| {
        for close in closes {
            report.tell(check_close(sums, &close));
            let last = last.entry(close.channel.clone()).or_insert(close.date);
            *last = (*last).max(close.date);
        }
    });
    pages!(store, page_of_clearing_days, PAGE_MAX, |days| {
        for (channel, days) in days {
            let closed = last.remove(&channel);
            report.unless(days.closed_through == closed, || {
                format!("I-7: {channel} is closed through another day than its last close")
            });
            report.unless(days.shut_through >= days.closed_through, || {
                format!("I-7: {channel} takes records of a closed day")
            });
        }
    });
    report.tell(last.keys().map(|channel| format!("I-7: {channel} takes records of closed days")));
    Ok(())
}

/// What the auditor says of each order, with its family.
async fn check_families(
    store: &dyn Store,
    mut families: Families,
    contradicted: &ByOrder<ClearingRecord>,
    report: &mut CheckReport,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(), StoreError> {
    let mut done = 0;
    pages!(store, page_of_orders, FAMILIES, |orders| {
        let roots = orders.into_iter().filter(|one| one.instruction.kind.original().is_none());
        let roots: Vec<Order> = roots.collect();
        let members: Vec<(OrderId, Vec<OrderId>)> = roots
            .iter()
            .map(|root| (root.id, families.members.remove(&root.id).unwrap_or_default()))
            .collect();
        let others: Vec<OrderId> =
            members.iter().flat_map(|(_, members)| members.iter().copied()).collect();
        let mut rows = OrderRows::read(store, roots, &others, contradicted).await?;
        for (root, others) in members {
            let family = [&[root][..], &others].concat();
            let audited = rows.family(&family);
            report.tell(family.iter().flat_map(|id| check_order(&audited, *id)));
            done += count(&family);
        }
        progress(done, report.orders);
    });
    // Those whose first order was not found.
    for (root, members) in families.members {
        report.tell(
            members.iter().map(|id| format!("I-8: {id} draws on {root}, which is not there")),
        );
    }
    Ok(())
}

/// The rows of the orders of a page.
struct OrderRows(AuditedRows);

impl OrderRows {
    async fn read(
        store: &dyn Store,
        roots: Vec<Order>,
        others: &[OrderId],
        contradicted: &ByOrder<ClearingRecord>,
    ) -> Result<Self, StoreError> {
        let mut rows = AuditedRows { are_live: true, ..AuditedRows::default() };
        let others = store.orders_of(others).await?;
        rows.orders.extend(roots.into_iter().chain(others).map(|order| (order.id, order)));
        let ids: Vec<OrderId> = rows.orders.keys().copied().collect();
        let entries = store.entries_of(&ids).await?;
        rows.entries.extend(entries.into_iter().map(|entry| (entry.order, entry)));
        let requests = store.requests_of_chains(&ids).await?;
        rows.accounting.extend(requests.into_iter().map(|request| (request.id, request)));
        for row in store.contradictions_of_orders(&ids).await? {
            rows.contradictions.entry(row.order).or_default().push(row);
        }
        for row in store.notices_of(&ids).await? {
            rows.notices.entry(row.order).or_default().push(row);
        }
        let mut keys = Vec::new();
        for row in store.transactions_of(&ids).await? {
            keys.push((row.channel.clone(), row.clearing_date, row.channel_order_no));
            rows.transactions.entry(row.order).or_default().push(row);
        }
        for row in store.clearing_records(keys).await? {
            if row.state == ClearingState::Due {
                rows.clearing.entry(row.order).or_default().push(row);
            }
        }
        for id in ids {
            if let Some(records) = contradicted.get(&id) {
                rows.clearing.entry(id).or_default().extend(records.iter().cloned());
            }
        }
        Ok(Self(rows))
    }

    /// Takes out what belongs to a family.
    fn family(&mut self, family: &[OrderId]) -> AuditedRows {
        let (all, mut own) =
            (&mut self.0, AuditedRows { are_live: true, ..AuditedRows::default() });
        for id in family {
            own.orders.extend(all.orders.remove(id).map(|row| (*id, row)));
            own.entries.extend(all.entries.remove(id).map(|row| (*id, row)));
            own.transactions.extend(all.transactions.remove(id).map(|rows| (*id, rows)));
            own.clearing.extend(all.clearing.remove(id).map(|rows| (*id, rows)));
            own.contradictions.extend(all.contradictions.remove(id).map(|rows| (*id, rows)));
            own.notices.extend(all.notices.remove(id).map(|rows| (*id, rows)));
            let chain = |sequence| RequestId { chain: *id, sequence };
            let requests = all.accounting.range(chain(0)..=chain(u16::MAX));
            own.accounting.extend(requests.map(|(id, request)| (*id, request.clone())));
        }
        own
    }
}

async fn missing_orders(store: &dyn Store, ids: &[OrderId]) -> Result<Vec<OrderId>, StoreError> {
    let mut missing = Vec::new();
    for ids in ids.chunks(PAGE_MAX) {
        let there = store.orders_of(ids).await?;
        let there: BTreeSet<OrderId> = there.iter().map(|order| order.id).collect();
        missing.extend(ids.iter().filter(|id| !there.contains(id)));
    }
    Ok(missing)
}

/// Rows beside orders that belong to one.
async fn check_owners(store: &dyn Store, report: &mut CheckReport) -> Result<(), StoreError> {
    macro_rules! owned {
        ($page:ident, $what:literal) => {
            pages!(store, $page, PAGE_MAX, |rows| {
                let ids: Vec<OrderId> = rows.iter().map(|row| row.order).collect();
                for id in missing_orders(store, &ids).await? {
                    report
                        .tell([format!(concat!($what, " is of order {}, which is not there"), id)]);
                }
            });
        };
    }
    owned!(page_of_entries, "I-6: a reversal entry");
    owned!(page_of_transactions, "I-7: a transaction");
    owned!(page_of_notices, "I-7: a notice");
    owned!(page_of_contradictions, "I-5: a contradiction");
    owned!(page_of_events, "I-6: an event");
    check_events(store, report).await?;
    let mut next = 1;
    pages!(store, page_of_audit, PAGE_MAX, |lines| {
        for (place, _) in lines {
            report.unless(place == next, || format!("the audit trail has a gap before {place}"));
            next = place + 1;
        }
    });
    Ok(())
}

/// I-6: what is told of an order is of a version that it has had, and of an attempt that it has.
async fn check_events(store: &dyn Store, report: &mut CheckReport) -> Result<(), StoreError> {
    pages!(store, page_of_events, PAGE_MAX, |events| {
        let ids: BTreeSet<OrderId> = events.iter().map(|event| event.order).collect();
        let orders = store.orders_of(&Vec::from_iter(ids)).await?;
        let orders: BTreeMap<OrderId, &Order> =
            orders.iter().map(|order| (order.id, order)).collect();
        for event in &events {
            let Some(order) = orders.get(&event.order) else { continue };
            let has_attempt = event.attempt == 0 || order.attempt(event.attempt).is_some();
            report.unless(event.version <= order.version && has_attempt, || {
                format!("I-6: an event tells what order {} has not had", event.order)
            });
        }
    });
    Ok(())
}

/// I-7: requests that no order's chain shows: their owners, their balance, and gaps.
async fn check_requests(store: &dyn Store, report: &mut CheckReport) -> Result<(), StoreError> {
    let mut before: Option<AccountingRequest> = None;
    pages!(store, page_of_requests, PAGE_MAX, |requests| {
        report.accounting_requests += count(&requests);
        let orders: Vec<OrderId> = requests.iter().filter_map(AccountingRequest::order).collect();
        for id in missing_orders(store, &orders).await? {
            report.tell([format!("I-7: a request books order {id}, which is not there")]);
        }
        let mut differences = BTreeSet::new();
        let mut settlements = BTreeSet::new();
        for request in requests {
            let id = request.id;
            match &request.source {
                SourceDocument::Order { .. } => {}
                SourceDocument::Difference { difference, .. } => {
                    differences.insert(difference.chain());
                    report.unless(is_balanced(&request), || {
                        format!("I-7: request {id} does not balance")
                    });
                }
                SourceDocument::Settlement { settlement, .. } => {
                    settlements.insert(settlement.chain());
                    report.unless(is_balanced(&request), || {
                        format!("I-7: request {id} does not balance")
                    });
                }
            }
            let follows = before.as_ref().filter(|before| before.id.chain == id.chain);
            let wanted = follows.map_or(1, |before| before.id.sequence.saturating_add(1));
            report.unless(id.sequence == wanted, || {
                format!("I-7: the chain of {} has a gap before {}", id.chain, id.sequence)
            });
            before = Some(request);
        }
        let there = store.differences_of(&Vec::from_iter(differences.iter().copied())).await?;
        let there = there.iter().map(|row| row.id.chain()).collect();
        let no_differences: Vec<_> = differences.difference(&there).copied().collect();
        let there = store.settlements_of(&Vec::from_iter(settlements.iter().copied())).await?;
        let there = there.iter().map(|row| row.id.chain()).collect();
        report.tell(no_differences.iter().chain(settlements.difference(&there)).map(|chain| {
            format!(
                "I-7: requests of chain {chain} book a difference or settlement that is not there"
            )
        }));
    });
    Ok(())
}

fn is_balanced(request: &AccountingRequest) -> bool {
    let side = |side| {
        let postings = request.postings.iter().filter(move |posting| posting.side == side);
        postings.map(|posting| i128::from(posting.amount_minor)).sum::<i128>()
    };
    side(PostingSide::Debit) == side(PostingSide::Credit)
}

/// I-10: what batches found is there, and so are they.
async fn check_reconciliation(
    store: &dyn Store,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    pages!(store, page_of_found, PAGE_MAX, |found| {
        let batches: BTreeSet<OrderId> = found.iter().map(|row| row.batch.chain()).collect();
        let there = store.reconciliations_of(&Vec::from_iter(batches)).await?;
        let batches: BTreeSet<OrderId> = there.iter().map(|row| row.id.chain()).collect();
        let differences: BTreeSet<OrderId> =
            found.iter().map(|row| row.difference.chain()).collect();
        let there = store.differences_of(&Vec::from_iter(differences)).await?;
        let differences: BTreeSet<OrderId> = there.iter().map(|row| row.id.chain()).collect();
        for row in &found {
            let (batch, difference) = (row.batch.chain(), row.difference.chain());
            report.unless(batches.contains(&batch), || {
                format!("I-10: what batch {batch} found is there without it")
            });
            report.unless(differences.contains(&difference), || {
                format!("I-10: batch {batch} found difference {difference}, which is not there")
            });
        }
    });
    pages!(store, page_of_differences, PAGE_MAX, |differences| {
        let owing: Vec<OrderId> = differences.iter().map(|row| row.id.chain()).collect();
        let requests = store.requests_of_chains(&owing).await?;
        for row in &differences {
            let chain = row.id.chain();
            let booked = requests.iter().filter(|request| request.id.chain == chain).count();
            report.unless(booked == usize::from(row.accounting_sequence), || {
                format!("I-7: difference {chain} has {booked} requests and counts others")
            });
        }
    });
    pages!(store, page_of_settlements, PAGE_MAX, |settlements| {
        let owing: Vec<OrderId> = settlements.iter().map(|row| row.id.chain()).collect();
        let requests = store.requests_of_chains(&owing).await?;
        for row in &settlements {
            let chain = row.id.chain();
            let booked = requests.iter().filter(|request| request.id.chain == chain).count();
            report.unless(booked == usize::from(row.accounting_sequence), || {
                format!("I-7: settlement {chain} has {booked} requests and counts others")
            });
        }
    });
    pages!(store, page_of_settled, PAGE_MAX, |dates| {
        let by: BTreeSet<OrderId> = dates.iter().map(|row| row.by.chain()).collect();
        let there = store.settlements_of(&Vec::from_iter(by)).await?;
        let there: BTreeSet<OrderId> = there.iter().map(|row| row.id.chain()).collect();
        for row in dates.iter().filter(|row| !there.contains(&row.by.chain())) {
            let (channel, date) = (&row.channel, row.date);
            report.tell([format!("I-7: {channel}, {date}, was settled by nothing that is there")]);
        }
    });
    Ok(())
}
