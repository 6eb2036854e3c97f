//! A day at its end: what the channel says of it, what differs, and the money in the bank.
//!
//! The channel's statement has differences planted, and two payments of which nobody heard are
//! ended by nothing but their lines. A person decides where the money of each difference belongs,
//! the bank receives what the statements say, and in the end all books balance: the trial balance
//! of everything that accounting was asked to book is zero, suspense is empty, and the channel's
//! pending clearing holds what is unsettled: nothing. `story.rs` tells of the day itself.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use support::core::{Core, Payment};
use support::installation::{CALLER_KEY, Installation, metrics};
use support::simulated::{PATIENT_TIMEOUTS, UNIONPAY};
use support::wire::until;
use switchyard::app::App;
use switchyard::clock::Clock;
use switchyard::domain::time::{BusinessDate, ClearingCalendar, Timestamp};
use switchyard::simulator::{DifferenceKind, DurationRange, Faults};

const DAY_MS: i64 = 24 * 3_600_000;
/// One in this many lines of the statement is another one than the ledger's.
const DIFFERENCES_PERCENT: u8 = 40;
const PAYMENTS: usize = 30;
const REFUNDS: usize = 6;
const UNHEARD: usize = 4;

/// Nobody asks again within the test: only the statement can tell.
const PATIENT_UNKNOWNS: &str = r#"
inquire = ["30m"]
then = "operator"
reverse = ["0s"]
not_found_final_after = "30m"
"#;

/// A town whose channel lives some days behind, so that its days are over when it catches up.
struct Days {
    late_ms: Arc<AtomicI64>,
}

impl Days {
    fn behind(days: i64) -> Self {
        Self { late_ms: Arc::new(AtomicI64::new(days * DAY_MS)) }
    }

    fn set(&self, days: i64) {
        self.late_ms.store(days * DAY_MS, Ordering::SeqCst);
    }

    /// The day, so cut, that the channel's clock is in.
    fn channel_day(&self, cut_off: jiff::civil::Time) -> BusinessDate {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").expect("a zone");
        let calendar = ClearingCalendar { zone, cut_off };
        let now = Clock::System.now().as_millis() - self.late_ms.load(Ordering::SeqCst);
        calendar.date_of(Timestamp::from_millis(now))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i_10_a_day_is_reconciled_resolved_and_settled() {
    let days = Days::behind(6);
    let behind = Arc::clone(&days.late_ms);
    let town = Installation::new(move |settings| {
        let behind = Arc::clone(&behind);
        let mut settings = settings.with_differences_percent(DIFFERENCES_PERCENT);
        // As the channel's file says of refunds.
        settings.keeps_refund_fees = true;
        settings.clock = Arc::new(move || {
            let now = Clock::System.now().as_millis();
            Timestamp::from_millis(now - behind.load(Ordering::SeqCst))
        });
        settings
    })
    .await;
    write_channel(&town);
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let core = Core::new(app.address(), CALLER_KEY);
    let date = days.channel_day(town.channels.cut_off);
    let unheard = live(&town, &core).await;

    // The channel's day ends, and its statement comes.
    days.set(3);
    let batch = reconciled(&core, date).await;
    let planted = town.channels.unionpay.planted_differences(date);
    assert!(!planted.is_empty(), "differences were planted");
    let kind_of: BTreeMap<&str, DifferenceKind> =
        planted.iter().map(|one| (one.order_no.as_str(), one.kind)).collect();
    proven(&core, &batch, &unheard, &kind_of).await;
    classes_are_those_planted(&core, &batch, &kind_of, &unheard).await;

    // The same day again changes nothing in the books.
    let vouchers = booked(&town, &core).await;
    let rerun = format!("/v1/channels/{UNIONPAY}/reconciliations?date={date}");
    let again = core.post(&rerun, &json!({})).await;
    assert_eq!((again.status, again.text("state")), (201, "current"), "{}", again.body);
    assert_eq!(again.body["classes"], batch["classes"]);
    assert_eq!(booked(&town, &core).await, vouchers);

    // The next day's statement has what was cut off later there.
    let next = date.next();
    let next = fetched(&core, next).await.then_some(next);
    let later = match next {
        Some(next) => Some(reconciled(&core, next).await),
        None => None,
    };
    resolve_all(&core).await;
    settle(&core, date, next, &batch, later.as_ref()).await;
    balanced(&town, &core, &batch, later.as_ref()).await;
    app.stop().await;
}

/// The shipped file with waits that only a statement ends, days that stay open, and differences
/// that are put in suspense at once.
fn write_channel(town: &Installation) {
    town.write_channel(UNIONPAY, PATIENT_UNKNOWNS, PATIENT_TIMEOUTS);
    town.change_channel(UNIONPAY, "clearing.close_after = \"30d\"\nstatement.carry_days = 1");
}

/// Payments, refunds, and payments that the channel carries out without anybody hearing of it.
/// Gives the ids of the last, with the numbers that the channel knows them by.
async fn live(town: &Installation, core: &Core) -> Vec<(String, String)> {
    let mut ids = Vec::new();
    for place in 0..PAYMENTS {
        let amount = 10_000 + 371 * i64::try_from(place).expect("few");
        let paid = core.pay(&Payment::escrow(&format!("P-{place}"), amount)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        assert_eq!(paid.text("channel"), UNIONPAY);
        ids.push(paid.id().to_owned());
    }
    for (place, id) in ids.iter().take(REFUNDS).enumerate() {
        let refunded = core.refund(id, &format!("R-{place}"), 4_321).await;
        assert_eq!(refunded.outcome(), (200, "succeeded"), "{}", refunded.body);
    }
    let faults = Faults {
        lose_reply: 10_000,
        notice_missing: 10_000,
        hang_for: DurationRange::millis(10, 50),
        ..Faults::calm()
    };
    town.channels.unionpay.set_faults(faults).expect("possible faults");
    let mut unheard = Vec::new();
    for place in 0..UNHEARD {
        let amount = 20_000 + i64::try_from(place).expect("few");
        let unknown = core.pay(&Payment::escrow(&format!("U-{place}"), amount)).await;
        assert_eq!(unknown.outcome(), (202, "unknown"), "{}", unknown.body);
        unheard.push((unknown.id().to_owned(), unknown.text("channel_order_no").to_owned()));
    }
    town.channels.unionpay.set_faults(Faults::calm()).expect("possible faults");
    unheard
}

/// Asks for a date's statement; whether there is one.
async fn fetched(core: &Core, date: BusinessDate) -> bool {
    let path = format!("/v1/channels/{UNIONPAY}/statements/fetch?date={date}");
    let answer = core.post(&path, &json!({})).await;
    assert!(matches!(answer.status, 200 | 409), "{}", answer.body);
    answer.status == 200
}

/// The current batch of a date, once its statement has been run.
async fn reconciled(core: &Core, date: BusinessDate) -> Value {
    assert!(fetched(core, date).await, "the statement is there");
    let path = format!("/v1/reconciliations?channel={UNIONPAY}&date={date}");
    until("the statement is run", async || {
        let rows = core.all(&path, "reconciliations").await;
        rows.into_iter().find(|row| row["state"] == "current")
    })
    .await
}

/// An order that only the channel knew of has ended by its line, unless the line is missing, has
/// another amount, or stands twice: which differences fall on these orders depends on their
/// numbers, and so on the date.
async fn proven(
    core: &Core,
    batch: &Value,
    unheard: &[(String, String)],
    kind_of: &BTreeMap<&str, DifferenceKind>,
) {
    let mut ended = 0;
    for (id, number) in unheard {
        let order = core.payment(id).await;
        let kind = kind_of.get(number.as_str()).copied();
        if is_absent(kind) || is_no_proof(kind) {
            assert_eq!(order.text("status"), "unknown", "no evidence: {kind:?}");
        } else {
            assert_eq!(order.text("status"), "succeeded", "{}", order.body);
            assert_eq!(order.body["attempts"][0]["ended_by"], "statement");
            ended += 1;
        }
    }
    assert_eq!(batch["proven"], ended);
}

fn is_absent(kind: Option<DifferenceKind>) -> bool {
    matches!(kind, Some(DifferenceKind::Missing | DifferenceKind::ShiftedOut))
}

/// A line of another amount is not about the order, and of two lines neither is.
fn is_no_proof(kind: Option<DifferenceKind>) -> bool {
    matches!(kind, Some(DifferenceKind::Amount | DifferenceKind::Repeated))
}

/// Every planted difference is found in its class, and nothing else is.
async fn classes_are_those_planted(
    core: &Core,
    batch: &Value,
    kind_of: &BTreeMap<&str, DifferenceKind>,
    unheard: &[(String, String)],
) {
    let id = batch["id"].as_str().expect("an id");
    let found = core.all(&format!("/v1/reconciliations/{id}/differences"), "differences").await;
    let mut left = kind_of.clone();
    // Where our books do not know yet that there is something, nothing is missing.
    left.retain(|number, kind| {
        let unknown = unheard.iter().any(|(_, one)| one == number);
        !(unknown && is_absent(Some(*kind)))
    });
    for one in &found {
        let difference = &one["difference"];
        let number = difference["line"]["channel_order_no"]
            .as_str()
            .or_else(|| difference["record"]["channel_order_no"].as_str())
            .expect("a number");
        let is_unknown = unheard.iter().any(|(_, one)| one == number);
        let planted = left.remove(number);
        // Both lines of a number that our books do not have are found.
        let kind = planted.or_else(|| kind_of.get(number).copied().filter(|_| is_unknown));
        let expected: &[&str] = match kind {
            Some(DifferenceKind::Amount) if is_unknown => &["only_theirs"],
            Some(DifferenceKind::Repeated) if is_unknown => &["only_theirs", "duplicate_theirs"],
            Some(DifferenceKind::Missing | DifferenceKind::ShiftedOut) => &["only_ours"],
            Some(DifferenceKind::Foreign) => &["only_theirs"],
            Some(DifferenceKind::Repeated) => &["duplicate_theirs"],
            // What is paid back has the other sign.
            Some(DifferenceKind::Amount) => &["amount_over", "amount_short"],
            Some(DifferenceKind::Fee) => &["fee_differs"],
            other => panic!("{number} was planted as {other:?}: {difference}"),
        };
        let class = one["found_as"].as_str().expect("a class");
        assert!(expected.contains(&class), "{number} was planted as {kind:?}, found as {class}");
    }
    assert!(left.is_empty(), "planted and not found: {left:?}");
}

/// What accounting was asked to book, once nothing is owed to it.
async fn booked(town: &Installation, core: &Core) -> BTreeMap<String, Value> {
    until("accounting has acknowledged everything", async || {
        let path = "/v1/accounting-requests?state=owed";
        core.all(path, "accounting_requests").await.is_empty().then_some(())
    })
    .await;
    let posts = town.accounting.posts().into_iter();
    posts.map(|post| (post.text("id").to_owned(), post.body.clone())).collect()
}

/// Waits until every difference is in suspense, and decides on each.
async fn resolve_all(core: &Core) {
    let open = format!("/v1/differences?channel={UNIONPAY}");
    let suspended = until("what is carried over is put in suspense", async || {
        let rows = core.all(&open, "differences").await;
        rows.iter().all(|row| row["state"] == "suspended").then_some(rows)
    })
    .await;
    assert!(!suspended.is_empty(), "something is in suspense");
    measured(&suspended).await;
    for row in suspended {
        let remedy = match row["class"].as_str().expect("a class") {
            "fee_differs" => "fee_cost",
            "amount_over" | "amount_short" => "merchant",
            _ => "profit_or_loss",
        };
        let id = row["id"].as_str().expect("an id");
        let asked = json!({ "remedy": remedy, "reason": "as agreed on the phone" });
        let done = core.post(&format!("/v1/differences/{id}/resolve"), &asked).await;
        assert_eq!((done.status, done.text("state")), (200, "balanced"), "{}", done.body);
        assert_eq!(done.body["held"], json!([]));
    }
    assert!(core.all(&open, "differences").await.is_empty(), "nothing is open");
    measured(&[]).await;
}

/// Waits until the metrics have these differences in suspense, and their money.
async fn measured(suspended: &[Value]) {
    let gaps = suspended.iter().filter_map(|row| row["held"].as_array()).flatten();
    let minor = |gap: &Value, name: &str| gap[name].as_i64().expect("minor units").abs();
    let money: i64 = gaps.map(|gap| minor(gap, "principal") + minor(gap, "fee")).sum();
    let look = async || {
        let told = metrics().render();
        let sum = |name: &str, with: &str| -> i64 {
            let of_channel = format!("{name}{{channel=\"{UNIONPAY}\"");
            let lines = told.lines().filter(|line| line.starts_with(&of_channel));
            let values = lines.filter(|line| line.contains(with));
            values.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum()
        };
        let rows = sum("switchyard_differences_open", "state=\"suspended\"");
        let held = sum("switchyard_suspense_minor_units", "currency=\"CNY\"");
        (rows == i64::try_from(suspended.len()).expect("few") && held == money).then_some(())
    };
    until(&format!("{money} are measured in suspense"), look).await;
}

/// Amount and fee of all lines of a batch's statement.
fn stated(batch: &Value) -> (i64, i64) {
    let sums = &batch["theirs"][0]["sums"];
    let of = |name: &str| sums[name].as_i64().expect("an integer");
    (of("amount"), of("fee"))
}

fn net(batch: &Value) -> i64 {
    let (amount, fee) = stated(batch);
    amount - fee
}

/// The bank receives what the statements say: one fen too little first.
async fn settle(
    core: &Core,
    date: BusinessDate,
    next: Option<BusinessDate>,
    batch: &Value,
    later: Option<&Value>,
) {
    let expected = net(batch) + later.map_or(0, net);
    let receipt = |reference: &str, amount: i64| {
        json!({
            "from": date.to_string(), "to": next.unwrap_or(date).to_string(), "currency": "CNY",
            "amount": amount, "bank_reference": reference, "received_on": date.to_string(),
        })
    };
    let path = format!("/v1/channels/{UNIONPAY}/settlements");
    let short = core.post(&path, &receipt("B-1", expected - 1)).await;
    assert_eq!((short.status, short.text("state")), (201, "differs"), "{}", short.body);
    let again = core.post(&path, &receipt("B-1", expected - 1)).await;
    assert_eq!((again.status, again.id()), (200, short.id()), "{}", again.body);
    let whole = core.post(&path, &receipt("B-2", 1)).await;
    assert_eq!((whole.text("state"), whole.id()), ("agreed", short.id()), "{}", whole.body);
}

/// Every voucher balances, and what the accounts hold in the end is what happened.
async fn balanced(town: &Installation, core: &Core, batch: &Value, later: Option<&Value>) {
    let mut accounts: BTreeMap<String, i64> = BTreeMap::new();
    for voucher in booked(town, core).await.values() {
        let mut sum = 0;
        for entry in voucher["entries"].as_array().expect("entries") {
            let amount = entry["amount"].as_i64().expect("an integer");
            let signed = if entry["side"] == "debit" { amount } else { -amount };
            let account = entry["account"].as_str().expect("a name");
            *accounts.entry(account.to_owned()).or_default() += signed;
            sum += signed;
        }
        assert_eq!(sum, 0, "I-7: {voucher}");
    }
    assert_eq!(accounts.values().sum::<i64>(), 0, "the trial balance");
    let of = |name: &str| accounts.get(name).copied().unwrap_or(0);
    assert_eq!(of("channel:unionpay:pending_clearing"), 0, "all is settled: {accounts:?}");
    assert_eq!(of("company:suspense_payable:unionpay"), 0);
    assert_eq!(of("company:suspense_receivable:unionpay"), 0);
    assert_eq!(of("company:bank_reserve:unionpay"), net(batch) + later.map_or(0, net));
}
