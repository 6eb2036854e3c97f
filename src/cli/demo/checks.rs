//! Holds the daemon's books against what everybody else believes: the channels' ledgers, the
//! accounting system, the payment core.
//!
//! A broken invariant is told by its number and the order's id; card numbers are not known here
//! (I-11). Where a channel signed two answers that exclude each other, no gateway can know better:
//! such a line is *disputed* if the books keep the contradiction, and a difference if they do not.

use std::collections::{BTreeMap, BTreeSet};

use super::binding::BoundCard;
use super::books::Books;
use super::client::FollowUpOutcome;
use super::drain::OpenWork;
use super::load::{AccountPayout, DemoPayee, PaymentAnswer, VerifiedCard};
use super::sinks::{BookingLog, NoticeLog};
use super::town::CHANNELS;
use crate::domain::agreement::AgreementState;
use crate::domain::attempt::AttemptState;
use crate::domain::books::accounting::{AccountingRequest, BookingEvent, DeliveryStatus};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Order, OrderKind, OrderStatus, SettlementMode};
use crate::domain::verification::VerificationVerdict;
use crate::simulator::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot};

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The number of the broken promise, for instance `I-7`.
    pub invariant: &'static str,
    /// An order id or a channel order number.
    pub about: String,
    pub what: String,
}

/// How one channel's ledger and our books compare, line by line, and its clearing totals.
#[derive(Debug, Clone, Default)]
pub struct Concord {
    pub channel: &'static str,
    pub lines: usize,
    pub agreeing: usize,
    pub disputed: usize,
    pub differing: usize,
    /// The sum that the channel believes it charged and did not give back.
    pub ledger_minor: i64,
    pub records: usize,
    pub principal_minor: i64,
    pub fee_minor: i64,
    pub net_minor: i64,
    /// The part of our principal that belongs to disputed lines and is not in the ledger.
    pub disputed_minor: i64,
}

/// The records of the other parties.
pub struct Witnesses {
    pub answers: Vec<PaymentAnswer>,
    pub ledgers: Vec<(&'static str, LedgerSnapshot)>,
    pub booked: BookingLog,
    pub told: NoticeLog,
    pub owed: OpenWork,
}

/// The results of the checks.
#[derive(Debug, Clone, Default)]
pub struct DemoFindings {
    pub violations: Vec<Violation>,
    pub channels: Vec<Concord>,
}

impl DemoFindings {
    fn broken(&mut self, invariant: &'static str, about: impl ToString, what: impl ToString) {
        let (about, what) = (about.to_string(), what.to_string());
        self.violations.push(Violation { invariant, about, what });
    }

    /// Lines on which a ledger and our books differ.
    pub fn ledger_differences(&self) -> usize {
        self.channels.iter().map(|channel| channel.differing).sum()
    }
}

/// Checks everything.
pub fn check(books: &Books, witnesses: &Witnesses, orders: u32) -> DemoFindings {
    let mut findings = DemoFindings::default();
    check_drained(&mut findings, books, witnesses.owed);
    check_answers(&mut findings, books, &witnesses.answers, orders);
    check_books(&mut findings, books);
    check_accounting(&mut findings, books, &witnesses.booked);
    check_notices(&mut findings, books, &witnesses.told);
    for channel in CHANNELS {
        let ledger = witnesses.ledgers.iter().find(|(id, _)| *id == channel);
        let (_, ledger) = ledger.expect("every channel of the demo has a ledger");
        let agreement = compare(&mut findings, books, channel, ledger);
        findings.channels.push(agreement);
    }
    check_charged_once(&mut findings, &witnesses.ledgers);
    findings
}

fn check_drained(findings: &mut DemoFindings, books: &Books, owed: OpenWork) {
    if !owed.is_nothing() {
        findings.broken("I-6", "all", owed.sentence());
    }
    for order in books.orders.values().filter(|order| !order.status.is_final()) {
        findings.broken("I-3", order.id, format!("it is still {}", order.status.name()));
    }
    for entry in &books.entries {
        findings.broken("I-6", entry.order, format!("its entry is {}", entry.phase.name()));
    }
}

/// The answers to the core hold (I-5, I-9, I-12).
fn check_answers(
    findings: &mut DemoFindings,
    books: &Books,
    answers: &[PaymentAnswer],
    orders: u32,
) {
    let distinct: BTreeSet<&str> = answers.iter().map(|one| one.id.as_str()).collect();
    let payments = books.payments().count();
    if distinct.len() != orders as usize || payments != orders as usize {
        let what = format!("{orders} sent, {} answered, {payments} in the books", distinct.len());
        findings.broken("I-9", "all", what);
    }
    let is_final =
        |status: &str| OrderStatus::ALL.iter().any(|one| one.name() == status && one.is_final());
    for answer in answers {
        let id = OrderId::parse(&answer.id);
        let Some(order) = id.and_then(|id| books.orders.get(&id)) else {
            findings.broken("I-12", &answer.id, "it was answered and is not in the books");
            continue;
        };
        let kept = order.status.name();
        if is_final(&answer.status) && answer.status != kept {
            findings.broken("I-5", order.id, format!("answered {}, now {kept}", answer.status));
        }
        if let Some(verified) = &answer.verification {
            check_verification(findings, order.id, verified);
        }
        if let Some(bound) = &answer.bound {
            check_binding(findings, order.id, bound);
        }
        if let Some((id, status, replayed)) = &answer.repeat {
            let changed = is_final(&answer.status) && *status != answer.status;
            if *id != answer.id || changed || !replayed {
                let what = format!("a repeat was answered {id} {status}, replayed {replayed}");
                findings.broken("I-9", order.id, what);
            }
        }
        if let Some(paid) = &answer.paid_out {
            check_account_payout(findings, books, paid);
        }
        let by_agreement = answer.bound.iter().filter_map(|bound| bound.payment.as_ref());
        let paid_out = answer.paid_out.iter().map(|paid| &paid.call);
        let others = answer.release.iter().chain(&answer.others);
        for one in others.chain(by_agreement).chain(paid_out) {
            let FollowUpOutcome::Taken { id, status } = &one.outcome else { continue };
            let kept = OrderId::parse(id).and_then(|id| books.orders.get(&id));
            let kept = kept.map(|order| order.status.name());
            if kept.is_none() || (is_final(status) && kept != Some(status)) {
                findings.broken("I-12", id, format!("answered {status}, now {kept:?}"));
            }
        }
        if let Some(release) = &answer.release {
            let may_be_refused = answer.status != "succeeded";
            let fits = match &release.outcome {
                FollowUpOutcome::Taken { status, .. } => status == "succeeded",
                FollowUpOutcome::Refused { .. } => may_be_refused,
            };
            if !fits {
                findings.broken("I-8", order.id, format!("its release is {:?}", release.outcome));
            }
        }
    }
}

/// A verification is answered once, and nobody is the holder of no card.
fn check_verification(findings: &mut DemoFindings, order: OrderId, verified: &VerifiedCard) {
    let (verdict, (again, replayed)) = (&verified.verdict, &verified.repeat);
    if !verdict.is_empty() && (again != verdict || !replayed) {
        let what = format!("its card's verification: {verdict}, then {again}, said {replayed}");
        findings.broken("I-9", order, what);
    }
    if !verified.names_somebody && verdict == VerificationVerdict::Matches.name() {
        findings.broken("I-2", order, "its card is said to be nobody's");
    }
}

/// An agreement is opened once, a code that nobody got binds no card, and what is paid by it is
/// paid under its own id.
fn check_binding(findings: &mut DemoFindings, order: OrderId, bound: &BoundCard) {
    let (again, replayed) = &bound.repeat;
    if *again != bound.id || !replayed {
        let what = format!("its agreement is {}, then {again}, said {replayed}", bound.id);
        findings.broken("I-9", order, what);
    }
    if bound.after_wrong_code == AgreementState::Active.name() {
        findings.broken("I-2", order, "a code that no phone has got has bound its card");
    }
}

/// What goes to an account reaches nobody but its holder, and of the account no more is kept than
/// its owner knows it by.
fn check_account_payout(findings: &mut DemoFindings, books: &Books, paid: &AccountPayout) {
    let FollowUpOutcome::Taken { id, .. } = &paid.call.outcome else { return };
    // One that is not there is told of with the others.
    let Some(order) = OrderId::parse(id).and_then(|id| books.orders.get(&id)) else { return };
    let account = order.instruction.instrument.as_ref().and_then(InstrumentFacts::account);
    if !account.is_some_and(|account| account.masked.as_str().contains("*******")) {
        findings.broken("I-11", order.id, "its payee's account is not kept, or not masked");
    }
    if paid.payee != DemoPayee::Holder && order.status == OrderStatus::Succeeded {
        let what = format!("it was paid, and its payee is {:?}", paid.payee);
        findings.broken("I-2", order.id, what);
    }
}

/// One transaction, one clearing record and one booking for each success, none for the rest (I-7).
fn check_books(findings: &mut DemoFindings, books: &Books) {
    let mut records: BTreeMap<OrderId, Vec<&ClearingRecord>> = BTreeMap::new();
    for record in books.clearing.iter().filter(|one| one.state == ClearingState::Due) {
        records.entry(record.order).or_default().push(record);
    }
    let mut requests: BTreeMap<OrderId, Vec<&AccountingRequest>> = BTreeMap::new();
    for request in &books.accounting {
        if let Some(order) = request.order() {
            requests.entry(order).or_default().push(request);
        }
        if request.imbalance_minor() != 0 || request.postings.is_empty() {
            findings.broken("I-7", request.id, "its entries do not balance");
        }
    }
    for order in books.core_orders() {
        let succeeded = order.status == OrderStatus::Succeeded;
        let expected = usize::from(succeeded);
        let moved = usize::from(succeeded && books.moves_minor(order) != 0);
        let transactions = usize::from(books.transactions.contains_key(&order.id));
        let cleared = records.get(&order.id).map_or(0, Vec::len);
        let of = requests.get(&order.id).map_or(&[][..], Vec::as_slice);
        let booked = |event| of.iter().filter(|request| request.event == event).count();
        let (first, expected_first, red, expected_red) = match booking_of(books, order) {
            None => (0, 0, 0, 0),
            Some((event, None)) => (booked(event), expected, 0, 0),
            // Booked first, and taken back if it came to nothing.
            Some((event, Some(red))) => (booked(event), 1, booked(red), 1 - expected),
        };
        let found = [transactions, cleared, first, red];
        if found != [expected, moved, expected_first, expected_red] {
            let what = format!(
                "{} {}: {transactions} transactions, {cleared} clearing records, {first} bookings, \
                 {red} taken back",
                order.instruction.kind.name(),
                order.status.name()
            );
            findings.broken("I-7", order.id, what);
        }
        check_attempts(findings, order);
    }
}

/// The booking of an order, and the red letter of one that is booked before it is sent.
fn booking_of(books: &Books, order: &Order) -> Option<(BookingEvent, Option<BookingEvent>)> {
    if books.moves_minor(order) == 0 {
        return None;
    }
    match order.instruction.kind {
        OrderKind::Payment | OrderKind::Capture { .. } => {
            Some(match order.instruction.settlement_mode {
                SettlementMode::Instant => (BookingEvent::InstantPayment, None),
                SettlementMode::Escrow => (BookingEvent::EscrowPayment, None),
            })
        }
        OrderKind::Refund { .. } => {
            Some((BookingEvent::Refund, Some(BookingEvent::RefundTakenBack)))
        }
        OrderKind::Void { .. } => Some((BookingEvent::Void, Some(BookingEvent::VoidTakenBack))),
        OrderKind::Payout => Some((BookingEvent::Payout, Some(BookingEvent::PayoutTakenBack))),
        OrderKind::Preauth | OrderKind::Undo { .. } | OrderKind::Release { .. } => None,
    }
}

/// The order's status and its attempts say the same (I-4, I-5).
fn check_attempts(findings: &mut DemoFindings, order: &Order) {
    let in_state = |state| order.attempts.iter().filter(|one| one.state == state).count();
    let approved = in_state(AttemptState::Approved);
    let open = order.attempts.iter().filter(|one| one.state.is_unresolved()).count();
    if approved != usize::from(order.status == OrderStatus::Succeeded) || open > 0 {
        let what = format!("{}: {approved} approved and {open} open attempts", order.status.name());
        findings.broken("I-4", order.id, what);
    }
}

/// The accounting system has booked what we owed it, each once, and it balances (I-7).
fn check_accounting(findings: &mut DemoFindings, books: &Books, booked: &BookingLog) {
    for request in &books.accounting {
        if request.delivery.status != DeliveryStatus::Acknowledged {
            let what = format!("its booking is {}", request.delivery.status.name());
            findings.broken("I-7", request.id, what);
        }
        if !booked.requests.contains_key(&request.id.to_string()) {
            findings.broken("I-7", request.id, "accounting has not booked it");
        }
    }
    if booked.requests.len() != books.accounting.len() || booked.unreadable > 0 {
        let (theirs, ours) = (booked.requests.len(), books.accounting.len());
        let what = format!("accounting has {theirs} requests, we have {ours}");
        findings.broken("I-7", "all", what);
    }
    let balance: i64 = booked.accounts.values().sum();
    if booked.debits_minor != booked.credits_minor || balance != 0 {
        let what = format!("debits {} and credits {}", booked.debits_minor, booked.credits_minor);
        findings.broken("I-7", "all", what);
    }
}

/// The core was told of every end, and never of another one (I-5).
fn check_notices(findings: &mut DemoFindings, books: &Books, told: &NoticeLog) {
    if told.forged > 0 {
        let what = format!("{} notices were not signed as agreed", told.forged);
        findings.broken("I-12", "all", what);
    }
    for order in books.core_orders() {
        let acknowledged = books.notices.get(&order.id).map(|notice| notice.delivery.status);
        let statuses = told.orders.get(&order.id.to_string());
        let is_right = statuses.is_some_and(|statuses| {
            !statuses.is_empty() && statuses.iter().all(|status| status == order.status.name())
        });
        if acknowledged != Some(DeliveryStatus::Acknowledged) || !is_right {
            let what = format!("the core was told {statuses:?}, it is {}", order.status.name());
            findings.broken("I-12", order.id, what);
        }
    }
}

/// Line by line: every entry of the ledger, every attempt in our books. An undo of our own belongs
/// to the line of what it takes back.
fn compare(
    findings: &mut DemoFindings,
    books: &Books,
    channel: &'static str,
    ledger: &LedgerSnapshot,
) -> Concord {
    let mut agreement = Concord { channel, ..Concord::default() };
    let mut cleared: BTreeMap<String, i64> = BTreeMap::new();
    for record in books.clearing.iter().filter(|record| record.channel.as_str() == channel) {
        let root = books.root(record.channel_order_no).to_string();
        *cleared.entry(root).or_default() += record.principal_minor;
        agreement.records += 1;
        agreement.principal_minor += record.principal_minor;
        agreement.fee_minor += record.fee_minor;
        agreement.net_minor += record.net_minor;
    }
    let theirs = ledger_lines(books, ledger);
    let ours = our_lines(books, channel);
    let numbers: BTreeSet<&str> =
        theirs.keys().map(String::as_str).chain(ours.keys().map(String::as_str)).collect();
    for number in numbers {
        let stands = theirs.get(number).copied().unwrap_or_default();
        let claim = ours.get(number).copied().unwrap_or_default();
        let booked = cleared.get(number).copied().unwrap_or_default();
        agreement.lines += 1;
        agreement.ledger_minor += stands.minor;
        if claim == stands && booked == stands.minor {
            agreement.agreeing += 1;
        } else if is_disputed(books, number, ledger.get(number)) {
            agreement.disputed += 1;
            agreement.disputed_minor += booked - stands.minor;
        } else {
            agreement.differing += 1;
            let what = format!(
                "{channel} has {stands:?}, our order says {claim:?}, our clearing {booked}"
            );
            findings.broken("I-10", number, what);
        }
    }
    if agreement.principal_minor - agreement.disputed_minor != agreement.ledger_minor {
        findings.broken("I-10", channel, "clearing and ledger have different totals");
    }
    agreement
}

/// One line, as one side has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LedgerLine {
    /// The amount that moved, signed by its effect on the channel's debt to us.
    minor: i64,
    /// Amounts that were held.
    held_minor: i64,
}

/// The amount that each attempt at a channel moved or held by our orders, by channel order number.
/// Attempts of which nothing reached the channel are left out unless they claim something.
fn our_lines(books: &Books, channel: &str) -> BTreeMap<String, LedgerLine> {
    let mut claimed = BTreeMap::new();
    for order in books.core_orders() {
        for attempt in order.attempts.iter().filter(|one| one.channel.as_str() == channel) {
            if attempt.state == AttemptState::Approved {
                let number = order.channel_order_no(attempt.number).to_string();
                let holds = order.instruction.kind == OrderKind::Preauth;
                let held_minor = if holds { order.instruction.amount.get() } else { 0 };
                claimed.insert(number, LedgerLine { minor: books.moves_minor(order), held_minor });
            }
        }
    }
    claimed
}

/// The amount that the channel's entries moved or held, by order number.
fn ledger_lines(books: &Books, ledger: &LedgerSnapshot) -> BTreeMap<String, LedgerLine> {
    let mut lines: BTreeMap<String, LedgerLine> = BTreeMap::new();
    for entry in ledger.entries() {
        let number = ChannelOrderNo::parse(&entry.order_no);
        let about = number.map_or_else(|| entry.order_no.clone(), |no| books.root(no).to_string());
        let is_own_undo = about != entry.order_no;
        let line = lines.entry(about).or_default();
        let stands = match entry.state {
            // An amount that an undo or void took back has moved; the undo moves it back.
            EntryState::Approved | EntryState::Undone => entry.amount_minor,
            EntryState::Working | EntryState::Declined | EntryState::Reversed => 0,
        };
        match entry.kind {
            EntryKind::Charge | EntryKind::Capture => line.minor += stands,
            EntryKind::Refund | EntryKind::Payout => line.minor -= stands,
            EntryKind::Preauth => line.held_minor += stands,
            EntryKind::Undo => {
                let original = entry.original.as_deref().and_then(|number| ledger.get(number));
                let of_a_hold = original.is_some_and(|one| one.kind == EntryKind::Preauth);
                match (of_a_hold, is_own_undo) {
                    (false, _) => line.minor -= stands,
                    (true, true) => line.held_minor -= stands,
                    // A void of a hold moves nothing, and its own line says so.
                    (true, false) => {}
                }
            }
        }
    }
    lines
}

fn standing_minor(entry: &LedgerEntry) -> i64 {
    match entry.state {
        EntryState::Approved => entry.amount_minor,
        EntryState::Working | EntryState::Declined | EntryState::Reversed | EntryState::Undone => 0,
    }
}

/// Whether the channel signed both answers about this charge, and our books keep that it did.
fn is_disputed(books: &Books, number: &str, line: Option<&LedgerEntry>) -> bool {
    let signed_both = line.is_some_and(|entry| entry.contradicted);
    let kept = ChannelOrderNo::parse(number).is_some_and(|number| {
        let against = books.contradictions.get(&number.order);
        against.is_some_and(|rows| rows.iter().any(|row| row.attempt == number.attempt))
    });
    signed_both && kept
}

/// No order stands charged or paid out twice, at one channel or at several (I-4).
fn check_charged_once(findings: &mut DemoFindings, ledgers: &[(&'static str, LedgerSnapshot)]) {
    let mut standing: BTreeMap<String, u32> = BTreeMap::new();
    for (_, ledger) in ledgers {
        let is_first =
            |entry: &&LedgerEntry| matches!(entry.kind, EntryKind::Charge | EntryKind::Payout);
        let charges = ledger.entries().iter().filter(is_first);
        for entry in charges.filter(|entry| standing_minor(entry) > 0) {
            *standing.entry(entry.order_prefix().to_owned()).or_default() += 1;
        }
    }
    for (order, times) in standing.into_iter().filter(|(_, times)| *times > 1) {
        findings.broken("I-4", order, format!("it stands charged or paid out {times} times"));
    }
}
