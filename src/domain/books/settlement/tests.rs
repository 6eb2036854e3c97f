//! Settlements as tables of receipts and statements, and through random lives of a channel.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::books::accounting::{AccountNames, AccountingRequest, PostingSide};

fn day(number: usize) -> BusinessDate {
    BusinessDate::parse(&format!("2026-11-{number:02}")).expect("a date")
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

fn channel() -> ChannelId {
    ChannelId::parse("unionpay").expect("an id")
}

fn received(reference: &str, from: usize, to: usize, minor: i64) -> ReceiptSubmission {
    let receipt = BankReceipt {
        bank_reference: reference.to_owned(),
        received_minor: minor,
        received_on: day(28),
        at: now(),
        by: "ann".to_owned(),
    };
    ReceiptSubmission {
        channel: channel(),
        from: day(from),
        to: day(to),
        currency: Currency::Cny,
        receipt,
    }
}

fn stated(principal: i64, fee: i64) -> Option<SettledAmounts> {
    Some(SettledAmounts::new(principal, fee).expect("small"))
}

fn facts(number: usize, stated: Option<SettledAmounts>, settled: Option<SettledDate>) -> DateFacts {
    DateFacts { date: day(number), stated, settled, problems: Vec::new() }
}

fn checked(settlement: ChannelSettlement, dates: &[DateFacts]) -> SettlementChange {
    check(settlement, dates, &[], &AccountNames::default(), now())
}

fn entries(request: &AccountingRequest) -> Vec<(PostingSide, &str, i64)> {
    let amount = |posting: &crate::domain::books::accounting::Posting| posting.amount_minor;
    request.postings.iter().map(|one| (one.side, one.account.as_str(), amount(one))).collect()
}

#[test]
fn a_receipt_that_equals_the_statement_is_booked_and_settles_its_dates() {
    let dates = [facts(20, stated(10_000, 60), None), facts(21, stated(-500, 0), None)];
    let one = checked(open(SettlementId::from_u64(7), received("B-1", 20, 21, 9_440)), &dates);
    assert_eq!(one.settlement.state, SettlementState::Agreed);
    assert_eq!((one.settlement.version, one.settlement.accounting_sequence), (1, 1));
    assert_eq!(one.settlement.expected, SettledAmounts::new(9_500, 60).expect("small"));
    let request = one.accounting.expect("booked");
    assert_eq!(request.imbalance_minor(), 0, "I-7");
    let wanted = [
        (PostingSide::Debit, "company:bank_reserve:unionpay", 9_440),
        (PostingSide::Debit, "company:channel_fee_cost:unionpay", 60),
        (PostingSide::Credit, "channel:unionpay:pending_clearing", 9_500),
    ];
    assert_eq!(entries(&request), wanted);
    assert_eq!((request.business_date, request.id.sequence), (day(28), 1));
    let rows: Vec<_> = one.settled.iter().map(|row| (row.date, row.version)).collect();
    assert_eq!(rows, [(day(20), 1), (day(21), 1)]);
    // Settled once: the same dates have nothing left.
    let settled = |place: usize| Some(one.settled[place].clone());
    let dates = [facts(20, stated(10_000, 60), settled(0)), facts(21, stated(-500, 0), settled(1))];
    let again = checked(open(SettlementId::from_u64(8), received("B-2", 20, 21, 9_440)), &dates);
    assert_eq!(again.settlement.state, SettlementState::Differs);
    assert_eq!(again.settlement.reasons, ["the bank has received 9440 more than is expected"]);
    assert!(again.accounting.is_none() && again.settled.is_empty());
}

#[test]
fn a_day_on_which_we_paid_the_channel_turns_the_signs() {
    let dates = [facts(20, stated(-2_000, -12), None)];
    let one = checked(open(SettlementId::from_u64(7), received("B-1", 20, 20, -1_988)), &dates);
    let request = one.accounting.expect("booked");
    let wanted = [
        (PostingSide::Credit, "company:bank_reserve:unionpay", 1_988),
        (PostingSide::Credit, "company:channel_fee_cost:unionpay", 12),
        (PostingSide::Debit, "channel:unionpay:pending_clearing", 2_000),
    ];
    assert_eq!(entries(&request), wanted);
}

#[test]
fn several_receipts_add_up_and_nothing_is_booked_before() {
    let dates = [facts(20, stated(10_000, 60), None)];
    let first = checked(open(SettlementId::from_u64(7), received("B-1", 20, 20, 9_000)), &dates);
    assert_eq!(first.settlement.state, SettlementState::Differs);
    assert!(first.accounting.is_none() && first.settled.is_empty());
    let further = received("B-2", 20, 20, 940);
    assert!(first.settlement.takes(&further));
    assert!(!first.settlement.takes(&received("B-2", 20, 21, 940)));
    let both = receive(first.settlement, further.receipt).expect("there is room");
    let both = checked(both, &dates);
    assert_eq!((both.settlement.state, both.settlement.version), (SettlementState::Agreed, 2));
    assert!(both.settlement.reasons.is_empty() && both.accounting.is_some());
    assert!(!both.settlement.takes(&received("B-3", 20, 20, 1)), "it is booked");
}

#[test]
fn reasons_tell_what_it_may_be() {
    let rows = [
        (10_000, "the gap equals the fees: the channel may charge them apart"),
        (9_880, "the gap equals the fees: the channel may have kept them twice"),
    ];
    let dates = [facts(20, stated(10_000, 60), None)];
    for (minor, reason) in rows {
        let one = checked(open(SettlementId::from_u64(7), received("B", 20, 20, minor)), &dates);
        assert_eq!(one.settlement.reasons.last().map(String::as_str), Some(reason));
    }
    let two = [facts(20, stated(500, 3), None), facts(21, stated(700, 4), None)];
    let one = checked(open(SettlementId::from_u64(7), received("B", 20, 21, 497)), &two);
    let reason = "the gap equals the money of 2026-11-21: it may come later";
    assert_eq!(one.settlement.reasons.last().map(String::as_str), Some(reason));
    // Without any statement even nothing is no agreement.
    let none = [facts(20, None, None)];
    let one = checked(open(SettlementId::from_u64(7), received("B", 20, 20, 0)), &none);
    assert_eq!(one.settlement.reasons, ["no statement of 2026-11-20 is reconciled"]);
    assert_eq!(one.settlement.state, SettlementState::Differs);
    // Another one that is open for the same date is named.
    let other = open(SettlementId::from_u64(9), received("C", 19, 20, 5));
    let mine = open(SettlementId::from_u64(7), received("B", 20, 20, 1));
    let names = AccountNames::default();
    let seen = check(mine, &dates, std::slice::from_ref(&other), &names, now());
    let named = format!("settlement {} is open for these dates", other.id);
    assert!(seen.settlement.reasons.contains(&named), "{:?}", seen.settlement.reasons);
}

#[test]
fn a_revision_leaves_only_what_it_has_changed() {
    let first = [facts(20, stated(10_000, 60), None)];
    let one = checked(open(SettlementId::from_u64(7), received("B-1", 20, 20, 9_940)), &first);
    let row = one.settled[0].clone();
    // What moves between principal and fee needs no receipt.
    let split = [facts(20, stated(10_010, 70), Some(row.clone()))];
    let moved = checked(one.settlement.clone(), &split);
    assert_eq!(moved.settlement.expected, SettledAmounts::new(10_010, 70).expect("small"));
    let request = moved.accounting.expect("booked");
    assert_eq!(request.id.sequence, 2);
    let wanted = [
        (PostingSide::Debit, "company:channel_fee_cost:unionpay", 10),
        (PostingSide::Credit, "channel:unionpay:pending_clearing", 10),
    ];
    assert_eq!(entries(&request), wanted);
    assert_eq!(moved.settled[0].version, 2);
    // More money needs its own receipt, and the settlement says so.
    let more = [facts(20, stated(12_000, 60), Some(row))];
    let noted = checked(one.settlement, &more);
    assert_eq!(noted.settlement.state, SettlementState::Agreed);
    assert!(noted.settlement.reasons[0].contains("2000 more"), "{:?}", noted.settlement.reasons);
    assert!(noted.accounting.is_none() && noted.settled.is_empty());
    let rest = checked(open(SettlementId::from_u64(8), received("B-2", 20, 20, 2_000)), &more);
    assert_eq!(rest.settlement.state, SettlementState::Agreed);
    assert_eq!(rest.settlement.expected, SettledAmounts::new(2_000, 0).expect("small"));
}

#[test]
fn a_reference_that_comes_again_names_what_differs() {
    let kept = open(SettlementId::from_u64(7), received("B-1", 20, 21, 5));
    assert_eq!(same_content(&kept, &received("B-1", 20, 21, 5)), Ok(()));
    let mut currency = received("B-1", 20, 21, 5);
    currency.currency = Currency::Usd;
    let mut on = received("B-1", 20, 21, 5);
    on.receipt.received_on = day(27);
    let rows = [
        (received("B-1", 19, 21, 5), "from"),
        (received("B-1", 20, 20, 5), "to"),
        (currency, "currency"),
        (received("B-1", 20, 21, 6), "amount"),
        (on, "received_on"),
    ];
    for (asked, field) in rows {
        assert_eq!(same_content(&kept, &asked), Err(SettlementRefusal::Differs { field }));
    }
}

#[test]
fn spans_and_amounts_have_bounds() {
    let far = BusinessDate::parse("2027-11-20").expect("a date");
    let mut long = received("B", 20, 20, 1);
    long.to = far;
    assert_eq!(long.dates(), Err(SettlementRefusal::TooManyDates));
    assert_eq!(received("B", 21, 20, 1).dates(), Err(SettlementRefusal::EndsBeforeItBegins));
    let huge = received("B", 20, 20, RECEIVED_MINOR_MAX + 1);
    assert_eq!(huge.dates(), Err(SettlementRefusal::TooLarge));
    assert_eq!(
        received("B", 20, 22, i64::from(i32::MIN)).dates(),
        Ok([20, 21, 22].map(day).into())
    );
    let mut full = open(SettlementId::from_u64(7), received("B", 20, 20, 1));
    // Bounded by the limit itself.
    while full.receipts.len() < RECEIPTS_MAX {
        full = receive(full, received("B", 20, 20, 1).receipt).expect("there is room");
    }
    let refused = receive(full, received("B", 20, 20, 1).receipt);
    assert_eq!(refused, Err(SettlementRefusal::TooManyReceipts));
}

/// What happens to one channel: its statements come and are revised, the bank receives.
#[derive(Debug, Clone)]
enum Step {
    /// A statement of a date, first or revised. What it moves is booked to pending clearing.
    State { date: usize, principal: i64, fee: i64 },
    /// A receipt for a span: `off` beside what is expected just then.
    Receive { from: usize, length: usize, off: i64 },
    /// The settlement of this place is looked at again.
    Check { place: usize },
}

const DATES: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = (0..DATES, -50_000..200_000_i64, -300..900_i64);
    let receive = (0..DATES, 0..3_usize, prop_oneof![2 => Just(0), 1 => -3..4_i64]);
    let step = prop_oneof![
        state.prop_map(|(date, principal, fee)| Step::State { date, principal, fee }),
        receive.prop_map(|(from, length, off)| Step::Receive { from, length, off }),
        (0..8_usize).prop_map(|place| Step::Check { place }),
    ];
    prop::collection::vec(step, 1..40)
}

/// Books, statements and settlements of one channel, as the store would keep them.
#[derive(Default)]
struct World {
    stated: BTreeMap<usize, SettledAmounts>,
    settled: BTreeMap<usize, SettledDate>,
    settlements: Vec<ChannelSettlement>,
    accounts: BTreeMap<String, i64>,
    receipts: u64,
}

impl World {
    fn facts(&self, from: usize, to: usize) -> Vec<DateFacts> {
        let one = |date: usize| DateFacts {
            date: day(date + 1),
            stated: self.stated.get(&date).copied(),
            settled: self.settled.get(&date).cloned(),
            problems: Vec::new(),
        };
        (from..=to).map(one).collect()
    }

    fn post(&mut self, account: &str, minor: i64) {
        *self.accounts.entry(account.to_owned()).or_default() += minor;
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::State { date, principal, fee } => {
                // Records and suspense together bring the statement's principal into pending
                // clearing; a revision brings what it has changed.
                let before = self.stated.get(&date).copied().unwrap_or_default();
                self.stated.insert(date, SettledAmounts::new(principal, fee).expect("small"));
                self.post("channel:unionpay:pending_clearing", principal - before.principal_minor);
                self.post("other side", before.principal_minor - principal);
            }
            Step::Receive { from, length, off } => {
                let to = (from + length).min(DATES - 1);
                let left = expected(&self.facts(from, to)).expect("small");
                self.receipts += 1;
                let reference = format!("B-{}", self.receipts);
                let asked = received(&reference, from + 1, to + 1, left.net_minor + off);
                let place = self.settlements.iter().position(|one| one.takes(&asked));
                let settlement = match place {
                    Some(place) => receive(self.settlements.remove(place), asked.receipt),
                    None => Ok(open(SettlementId::from_u64(self.receipts), asked)),
                };
                self.keep(settlement.expect("few receipts"));
            }
            Step::Check { place } => {
                if place < self.settlements.len() {
                    let settlement = self.settlements.remove(place);
                    self.keep(settlement);
                }
            }
        }
    }

    fn keep(&mut self, settlement: ChannelSettlement) {
        let place = |date: BusinessDate| usize::from(date.civil().day().unsigned_abs()) - 1;
        let facts = self.facts(place(settlement.from), place(settlement.to));
        let names = AccountNames::default();
        let before = settlement.version;
        let checked = check(settlement, &facts, &self.settlements, &names, now());
        assert_eq!(checked.settlement.version, before + 1);
        for row in &checked.settled {
            let kept = self.settled.insert(place(row.date), row.clone());
            assert_eq!(row.version, kept.map_or(1, |kept| kept.version + 1));
        }
        if let Some(request) = &checked.accounting {
            assert_eq!(request.imbalance_minor(), 0, "I-7");
            assert_eq!(request.id.sequence, checked.settlement.accounting_sequence);
            for entry in &request.postings {
                let sign = if entry.side == PostingSide::Debit { 1 } else { -1 };
                self.post(&entry.account, sign * entry.amount_minor);
            }
        }
        self.settlements.push(checked.settlement);
    }

    fn balance(&self, account: &str) -> i64 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    fn check(&self) {
        assert_eq!(self.accounts.values().sum::<i64>(), 0, "I-7: the trial balance is zero");
        let sum = |rows: &mut dyn Iterator<Item = SettledAmounts>| {
            rows.fold(SettledAmounts::default(), |sum, one| sum.plus(one).expect("small"))
        };
        let stated = sum(&mut self.stated.values().copied());
        let settled = sum(&mut self.settled.values().map(|row| row.settled));
        let unsettled = stated.less(settled).expect("small");
        let pending = self.balance("channel:unionpay:pending_clearing");
        assert_eq!(pending, unsettled.principal_minor, "pending clearing is what is unsettled");
        assert_eq!(self.balance("company:channel_fee_cost:unionpay"), settled.fee_minor);
        let agreed = self.settlements.iter().filter(|one| one.state == SettlementState::Agreed);
        let received: i64 = agreed.map(ChannelSettlement::received_minor).sum();
        let reserve = self.balance("company:bank_reserve:unionpay");
        assert_eq!(reserve, received, "S19: the reserve is what the bank has received");
        assert_eq!(reserve, settled.net_minor);
    }
}

proptest! {
    #[test]
    fn whatever_comes_pending_clearing_is_what_is_unsettled(steps in steps()) {
        let mut world = World::default();
        for step in &steps {
            world.play(step);
            world.check();
        }
    }
}
