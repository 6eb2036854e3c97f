//! Differences as tables, and through random lives.

use std::collections::BTreeMap;

use jiff::civil;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::change::Balancing;
use super::*;
use crate::domain::attempt::Operation;
use crate::domain::books::accounting::{AccountNames, AccountingRequest, PostingSide};
use crate::domain::books::reconcile::Status;
use crate::domain::ids::{MerchantId, OrderId};
use crate::domain::time::{ClearingCalendar, DueWindow};

const HOUR_MS: i64 = 3_600_000;

fn date(day: u32) -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_100 + day).expect("a day of November")
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_millis(1_795_334_400_000 + hours * HOUR_MS)
}

fn due(hours: i64) -> DueWindow {
    DueWindow::at(at(hours), LONGEST_CARRIED)
}

fn item(amount_minor: i64, fee_minor: i64) -> Item {
    Item {
        movement: if amount_minor < 0 { Operation::Refund } else { Operation::Payment },
        amount_minor,
        fee_minor: Some(fee_minor),
        currency: Currency::Cny,
        status: Status::Succeeded,
        date: Some(date(20)),
    }
}

fn failed(item: Item) -> Item {
    Item { status: Status::Failed, ..item }
}

fn line(item: Item) -> LineSide {
    LineSide {
        date: date(20),
        digest: [7; 16],
        line: 2,
        order_no: "1".to_owned(),
        reference: String::new(),
        item: Some(item),
        unreadable: None,
    }
}

fn record(item: Item) -> RecordSide {
    let channel_order_no = ChannelOrderNo { order: OrderId::from_u64(1), attempt: 1 };
    RecordSide { date: date(20), channel_order_no, reference: None, item }
}

fn finding(
    class: Class,
    theirs: Option<Item>,
    ours: Option<Item>,
    claimed: ContradictedMoney,
) -> Finding {
    let (line, record) = (theirs.map(line), ours.map(record));
    Finding { class, key: MatchKey::OrderNo, line, record, claimed, elsewhere: None }
}

fn of(class: Class, theirs: Option<Item>, ours: Option<Item>) -> Finding {
    finding(class, theirs, ours, ContradictedMoney::Nothing)
}

fn moment(names: &AccountNames, now: Timestamp) -> Moment<'_> {
    Moment { now, business_date: date(23), names }
}

fn run(number: u64) -> Run {
    Run { batch: BatchId::from_u64(number), due_at: at(72) }
}

fn opened(finding: &Finding) -> Change {
    let id = DifferenceId::from_u64(5);
    let names = AccountNames::default();
    Difference::open(id, &ChannelId::from_stored("one"), finding, run(1), &moment(&names, at(0)))
}

/// Debits less credits, by the account's name without its owner, of requests in their order.
fn booked(requests: &[AccountingRequest]) -> BTreeMap<String, i64> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for request in requests {
        assert_eq!(request.imbalance_minor(), 0, "I-7: entries balance");
        for entry in &request.postings {
            let sign = if entry.side == PostingSide::Debit { 1 } else { -1 };
            let name = entry.account.replace(":one", "").replace("company:", "");
            let currency = request.currency.name();
            *sums.entry(format!("{name} {currency}")).or_default() += sign * entry.amount_minor;
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn sums(rows: &[(&str, i64)]) -> BTreeMap<String, i64> {
    rows.iter().map(|(name, sum)| (format!("{name} CNY"), *sum)).collect()
}

fn balancing(remedy: Remedy) -> Balancing {
    let merchant_id = None;
    Balancing {
        remedy,
        merchant_id,
        actor: "ada".to_owned(),
        approver: None,
        reason: "asked".to_owned(),
    }
}

fn gap(principal_minor: i64, fee_minor: i64) -> Gap {
    Gap { currency: Currency::Cny, principal_minor, fee_minor }
}

#[test]
fn a_gap_is_the_line_less_the_record() {
    let (ours, refund) = (item(100, 2), item(-40, -1));
    let usd = Item { currency: Currency::Usd, ..item(90, 3) };
    let in_usd = Gap { currency: Currency::Usd, principal_minor: 90, fee_minor: 3 };
    let silent = Item { fee_minor: None, ..item(105, 0) };
    let rows = [
        (Class::Matched, Some(item(100, 3)), Some(ours), vec![]),
        (Class::MatchedLate, Some(ours), Some(ours), vec![]),
        (Class::MatchedWeak, Some(ours), Some(ours), vec![]),
        (Class::Shifted, Some(ours), Some(ours), vec![]),
        (Class::AmountOver, Some(item(105, 4)), Some(ours), vec![gap(5, 2)]),
        (Class::AmountOver, Some(silent), Some(ours), vec![gap(5, 0)]),
        (Class::AmountShort, Some(item(-41, -1)), Some(refund), vec![gap(-1, 0)]),
        (Class::FeeDiffers, Some(item(100, 1)), Some(ours), vec![gap(0, -1)]),
        (Class::CurrencyDiffers, Some(usd), Some(ours), vec![gap(-100, -2), in_usd]),
        (Class::StatusDiffers, Some(failed(ours)), Some(ours), vec![gap(-100, -2)]),
        (Class::StatusDiffers, Some(ours), Some(failed(ours)), vec![]),
        (Class::OnlyTheirs, Some(ours), None, vec![gap(100, 2)]),
        (Class::OnlyTheirs, Some(failed(ours)), None, vec![]),
        (Class::DuplicateTheirs, Some(refund), None, vec![gap(-40, -1)]),
        (Class::OnlyOurs, None, Some(ours), vec![gap(-100, -2)]),
        (Class::OnlyOurs, None, Some(failed(ours)), vec![gap(-100, -2)]),
        (Class::DuplicateOurs, None, Some(refund), vec![gap(40, 1)]),
        (Class::BadLine, None, None, vec![]),
    ];
    for (class, theirs, ours, wanted) in rows {
        let found = gaps(class, theirs.as_ref(), ours.as_ref());
        assert_eq!(found, wanted, "{class:?} {theirs:?} {ours:?}");
    }
}

#[test]
fn what_is_found_first_has_its_state() {
    let (ours, undo) = (item(100, 2), OrderId::from_u64(9));
    let one = |class, theirs, ours, claimed| opened(&finding(class, theirs, ours, claimed));
    let nothing = ContradictedMoney::Nothing;
    let rows = [
        (one(Class::OnlyTheirs, Some(ours), None, nothing), DifferenceState::Carried),
        (one(Class::OnlyOurs, None, Some(ours), nothing), DifferenceState::Carried),
        (one(Class::MatchedLate, Some(ours), Some(ours), nothing), DifferenceState::Cleared),
        (one(Class::Shifted, Some(ours), Some(ours), nothing), DifferenceState::Cleared),
        (one(Class::OnlyTheirs, Some(failed(ours)), None, nothing), DifferenceState::Cleared),
        (
            one(
                Class::StatusDiffers,
                Some(ours),
                Some(failed(ours)),
                ContradictedMoney::Undone { by: undo },
            ),
            DifferenceState::Cleared,
        ),
        (
            one(Class::StatusDiffers, Some(ours), Some(failed(ours)), ContradictedMoney::Held),
            DifferenceState::Suspended,
        ),
    ];
    for (change, state) in rows {
        let row = &change.difference;
        assert_eq!(row.state, state, "{row:?}");
        assert_eq!(row.due_at.is_some(), state == DifferenceState::Carried);
        assert_eq!(row.history.len(), 1);
        // Suspense has a claim's money since it came: nothing of it is booked again.
        assert_eq!(change.accounting, []);
        let held = if state == DifferenceState::Suspended { vec![gap(100, 0)] } else { vec![] };
        assert_eq!(row.held, held);
    }
}

#[test]
fn suspense_follows_what_the_statements_say() {
    let names = AccountNames::default();
    let ours = item(100, 2);
    let first = of(Class::AmountOver, Some(item(105, 2)), Some(ours));
    let row = opened(&first).difference;
    for hours in [71, 72 - 45 * 24] {
        let change = row.expire(ContradictedMoney::Nothing, due(hours), &moment(&names, at(hours)));
        assert_eq!(change, None, "it is not due");
    }
    let back = 72 - 45 * 24 - 1;
    let wrong = row.expire(ContradictedMoney::Nothing, due(back), &moment(&names, at(back)));
    let wrong = wrong.expect("nothing is carried for so long: a wrong clock has dated it");
    assert_eq!(wrong.difference.state, DifferenceState::Suspended);
    let due = row
        .expire(ContradictedMoney::Nothing, due(72), &moment(&names, at(72)))
        .expect("it is due");
    let (receivable, payable) = ("suspense_receivable", "suspense_payable");
    let pending = "channel:pending_clearing";
    assert_eq!(booked(&due.accounting), sums(&[(pending, 5), (payable, -5)]));
    let row = due.difference;
    assert_eq!((row.state, row.accounting_sequence), (DifferenceState::Suspended, 1));
    assert_eq!(row.with_finding(&first, run(1), &moment(&names, at(73))), None, "it is the same");

    // A reissued file says something else: only what has changed is booked.
    let less = of(Class::AmountShort, Some(item(98, 3)), Some(ours));
    let changed = row.with_finding(&less, run(2), &moment(&names, at(74))).expect("it changes");
    let wanted = [(pending, -7), (payable, 5), (receivable, 3), ("channel_fee_cost", -1)];
    assert_eq!(booked(&changed.accounting), sums(&wanted));
    let row = changed.difference;
    assert_eq!((row.held.clone(), row.changed_by), (vec![gap(-2, 1)], BatchId::from_u64(2)));

    let gone = row.without_finding(BatchId::from_u64(3), "matched", &moment(&names, at(75)));
    let gone = gone.expect("it was open");
    let back = [(pending, 2), (receivable, -3), ("channel_fee_cost", 1)];
    assert_eq!(booked(&gone.accounting), sums(&back));
    assert_eq!((gone.difference.state, gone.difference.held), (DifferenceState::Cleared, vec![]));
}

#[test]
fn a_person_says_where_the_money_belongs() {
    let names = AccountNames::default();
    let now = moment(&names, at(1));
    let over = opened(&of(Class::OnlyTheirs, Some(item(100, 2)), None)).difference;
    let short = opened(&of(Class::OnlyOurs, None, Some(item(100, 2)))).difference;
    let (pending, cost) = ("channel:pending_clearing", "channel_fee_cost");
    let rows = [
        (&over, Remedy::Channel, vec![]),
        (&over, Remedy::ProfitOrLoss, vec![(pending, 100), (cost, -2), (PROFIT, -98)]),
        (&over, Remedy::FeeCost, vec![(pending, 100), (cost, -100)]),
        (&over, Remedy::Merchant, vec![(pending, 100), (cost, -2), (MERCHANT, -98)]),
        (&short, Remedy::Merchant, vec![(pending, -100), (cost, 2), (MERCHANT, 98)]),
        (&short, Remedy::ProfitOrLoss, vec![(pending, -100), (cost, 2), (PROFIT, 98)]),
    ];
    let owner = MerchantId::from_stored("m1");
    for (row, remedy, wanted) in rows {
        let done = row.balance(&balancing(remedy), Some(&owner), ContradictedMoney::Nothing, &now);
        let Change { difference, accounting } = done.expect("it is open");
        assert_eq!(booked(&accounting), sums(&wanted), "{remedy:?}");
        assert_eq!((accounting.len(), difference.accounting_sequence), (2, 2));
        assert_eq!((difference.state, difference.held), (DifferenceState::Balanced, vec![]));
        assert_eq!(difference.remedy, Some((remedy, "asked".to_owned())));
    }
}

const PROFIT: &str = "difference_profit_or_loss";
const MERCHANT: &str = "merchant:m1:pending_clearing";

#[test]
fn what_cannot_be_balanced_is_refused_by_name() {
    let names = AccountNames::default();
    let now = moment(&names, at(1));
    let over = opened(&of(Class::OnlyTheirs, Some(item(100, 2)), None)).difference;
    let bad = Difference { class: Class::BadLine, ..over.clone() };
    let unread = bad.line.clone().map(|line| LineSide { item: None, ..line });
    let bad = Difference { line: unread, ..bad };
    let (m1, m2) = (MerchantId::from_stored("m1"), MerchantId::from_stored("m2"));
    let ask = |row: &Difference, asked: &Balancing, owner: Option<&MerchantId>| {
        row.balance(asked, owner, ContradictedMoney::Nothing, &now).map(|done| done.difference)
    };
    let merchant = balancing(Remedy::Merchant);
    let named = |id: &MerchantId| Balancing { merchant_id: Some(id.clone()), ..merchant.clone() };
    let silent = Balancing { reason: " ".to_owned(), ..merchant.clone() };
    assert_eq!(ask(&over, &silent, None), Err(BalanceRefusal::NoReason));
    assert_eq!(ask(&over, &merchant, None), Err(BalanceRefusal::NoMerchant));
    let other = BalanceRefusal::OtherMerchant { merchant_id: m1.clone() };
    assert_eq!(ask(&over, &named(&m2), Some(&m1)), Err(other));
    assert!(ask(&over, &named(&m2), None).is_ok() && ask(&over, &named(&m1), Some(&m1)).is_ok());
    let acknowledge = balancing(Remedy::Acknowledge);
    assert_eq!(ask(&over, &acknowledge, None), Err(BalanceRefusal::Money));
    assert_eq!(ask(&bad, &balancing(Remedy::Channel), None), Err(BalanceRefusal::NoMoney));
    let done = ask(&bad, &acknowledge, None).expect("nothing hangs on it");
    assert_eq!((done.state, done.accounting_sequence), (DifferenceState::Balanced, 0));
    assert_eq!(ask(&done, &acknowledge, None), Err(BalanceRefusal::Balanced));
    let cleared = opened(&of(Class::Shifted, Some(item(1, 0)), Some(item(1, 0)))).difference;
    assert_eq!(ask(&cleared, &acknowledge, None), Err(BalanceRefusal::Cleared));
    // A balanced one is never touched again.
    let names = AccountNames::default();
    let again = of(Class::OnlyTheirs, Some(item(7, 0)), None);
    assert_eq!(done.with_finding(&again, run(2), &moment(&names, at(2))), None);
    assert_eq!(done.without_finding(BatchId::from_u64(2), "gone", &now), None);
    assert_eq!(done.without_line(BatchId::from_u64(2), &now), None);
}

#[test]
fn a_claim_that_stays_in_suspense_is_taken_over_and_balanced() {
    let names = AccountNames::default();
    let claim = failed(item(100, 2));
    let pair =
        finding(Class::StatusDiffers, Some(item(100, 2)), Some(claim), ContradictedMoney::Held);
    let row = opened(&pair).difference;
    let done = row.balance(
        &balancing(Remedy::ProfitOrLoss),
        None,
        ContradictedMoney::Held,
        &moment(&names, at(1)),
    );
    let done = done.expect("it is held");
    // The opening entry was the contradiction's own.
    assert_eq!(booked(&done.accounting), sums(&[("suspense_payable", 100), (PROFIT, -100)]));
    // Its line disappears: what suspense has for it goes back, and nothing is held.
    let alone = finding(Class::OnlyOurs, None, Some(claim), ContradictedMoney::Held);
    let change = row.with_finding(&alone, run(2), &moment(&names, at(2))).expect("it changes");
    let wanted = [("channel:pending_clearing", -100), ("suspense_payable", 100)];
    let fee = [("channel_fee_cost", 2), ("suspense_payable", -2)];
    let mut all = sums(&wanted);
    for (name, sum) in sums(&fee) {
        *all.entry(name).or_default() += sum;
    }
    assert_eq!(booked(&change.accounting), all);
    assert_eq!(change.difference.held, [gap(0, -2)]);
}

#[test]
fn a_difference_is_carried_to_the_end_of_a_clearing_day() {
    let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
    let rows = [
        (civil::time(23, 0, 0, 0), 3, "2026-11-23T15:00:00.000Z"),
        (civil::time(23, 0, 0, 0), 0, "2026-11-20T15:00:00.000Z"),
        (civil::Time::midnight(), 3, "2026-11-23T16:00:00.000Z"),
    ];
    for (cut_off, days, end) in rows {
        let calendar = ClearingCalendar { zone: zone.clone(), cut_off };
        let until = carried_until(&calendar, date(20), days);
        assert_eq!(until.rfc3339(), end);
        assert!(calendar.date_of(until) > days_after(date(20), days));
        let before = Timestamp::from_millis(until.as_millis() - 1);
        assert_eq!(calendar.date_of(before), days_after(date(20), days));
    }
}

/// One thing that happens to the difference of a record.
#[derive(Debug, Clone)]
enum Step {
    Found(Option<(i64, i64, bool)>),
    Gone,
    LosesItsLine,
    Expires,
    Balanced(Remedy),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let line = (90_i64..110, -3_i64..6, prop::bool::weighted(0.2));
    let step = prop_oneof![
        4 => prop::option::of(line).prop_map(Step::Found),
        1 => Just(Step::Gone),
        1 => Just(Step::LosesItsLine),
        2 => Just(Step::Expires),
        1 => prop::sample::select(&Remedy::ALL[..]).prop_map(Step::Balanced),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a batch says of the record and this line.
fn said(theirs: Option<(i64, i64, bool)>, ours: Item, claimed: ContradictedMoney) -> Finding {
    let Some((amount, fee, fails)) = theirs else {
        return finding(Class::OnlyOurs, None, Some(ours), claimed);
    };
    let theirs = item(amount, fee);
    let theirs = if fails { failed(theirs).as_reported() } else { theirs };
    let tolerance = crate::domain::books::reconcile::Tolerance::default();
    let class = crate::domain::books::reconcile::compare(&theirs, &ours, tolerance);
    finding(class, Some(theirs), Some(ours), claimed)
}

proptest! {
    #[test]
    fn i_7_the_vouchers_of_a_difference_are_what_it_holds(
        steps in steps(),
        claimed in prop::sample::select(&[ContradictedMoney::Nothing, ContradictedMoney::Held][..]),
    ) {
        let names = AccountNames::default();
        let ours = match claimed {
            ContradictedMoney::Held => failed(item(100, 2)),
            ContradictedMoney::Nothing | ContradictedMoney::Undone { .. } => item(100, 2),
        };
        let base = if claimed == ContradictedMoney::Held { 100 } else { 0 };
        let owner = MerchantId::from_stored("m1");
        let Change { difference: mut row, mut accounting } =
            opened(&said(Some((101, 2, false)), ours, claimed));
        for (number, step) in (2..).zip(steps) {
            let now = moment(&names, at(100));
            let before = row.clone();
            let change = match step {
                Step::Found(theirs) => {
                    row.with_finding(&said(theirs, ours, claimed), run(number), &now)
                }
                // A claim without an undo agrees with no line, so it is never simply gone.
                Step::Gone if claimed == ContradictedMoney::Held => None,
                Step::Gone => row.without_finding(BatchId::from_u64(number), "gone", &now),
                Step::LosesItsLine => row.without_line(BatchId::from_u64(number), &now),
                Step::Expires => row.expire(claimed, due(100), &now),
                Step::Balanced(remedy) => {
                    row.balance(&balancing(remedy), Some(&owner), claimed, &now).ok()
                }
            };
            let Some(change) = change else { continue };
            prop_assert_ne!(before.state, DifferenceState::Balanced, "it stays as it is");
            row = change.difference;
            accounting.extend(change.accounting);
            let sequences = accounting.iter().map(|request| request.id.sequence);
            prop_assert!(sequences.eq(1..=row.accounting_sequence));
            prop_assert!(row.history.len() <= HISTORY_MAX);
            let mut sums = booked(&accounting);
            let mut suspense = |name: &str| sums.remove(&format!("{name} CNY")).unwrap_or(0);
            let net = suspense("suspense_receivable") + suspense("suspense_payable");
            let held: i64 =
                row.held.iter().map(|held| held.fee_minor - held.principal_minor).sum();
            let own = match row.state {
                DifferenceState::Suspended => held + base,
                DifferenceState::Balanced => base,
                DifferenceState::Carried | DifferenceState::Cleared => {
                    prop_assert!(sums.is_empty(), "{:?}", sums);
                    0
                }
            };
            prop_assert_eq!(net, own, "{:?}", row);
            prop_assert_eq!(row.due_at.is_some(), row.state == DifferenceState::Carried);
        }
    }
}
