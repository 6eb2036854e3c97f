//! The whole system from an order to its clearing, in one run: read this first.
//!
//! A payment core sends orders to the gateway. A bank answers at once, UnionPay only accepts and
//! tells the result later; one card is declined, one reply is lost, one refund is booked before it
//! leaves. Accounting gets vouchers, the core hears of what it was left waiting for, and at the end
//! the books and the channels' own ledgers agree to the fen. Both channels are simulated;
//! everything between is real.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::core::{Core, Payment};
use support::installation::{CALLER_KEY, Installation, NOTICE_KEY, metrics};
use support::simulated::{BANK, BANK_LIMIT_MINOR, PATIENT_TIMEOUTS, UNIONPAY};
use support::wire::{Post, until};
use switchyard::app::App;
use switchyard::simulator::{DurationRange, EntryKind, EntryState, Faults, LedgerEntry, Simulator};

/// A key that signs nothing here.
const OTHER_KEY: &str = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=";
/// The bank is asked soon and often. UnionPay is asked so late that only its notice can be heard.
const BANK_UNKNOWNS: &str = r#"
inquire = ["300ms", "300ms", "300ms", "1s", "1s", "5s", "5s"]
then = "reverse"
reverse = ["0s", "1s", "2s"]
not_found_final_after = "1m"
"#;
const UNIONPAY_UNKNOWNS: &str = r#"
inquire = ["10m"]
then = "reverse"
reverse = ["0s", "1s", "2s"]
not_found_final_after = "1m"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn from_order_to_clearing() {
    let town = Installation::new(|channel| channel).await;
    town.write_channel(BANK, BANK_UNKNOWNS, PATIENT_TIMEOUTS);
    town.write_channel(UNIONPAY, UNIONPAY_UNKNOWNS, PATIENT_TIMEOUTS);
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let core = Core::new(app.address(), CALLER_KEY);

    // An instant payment: the BIN table says whose card it is, the routes choose the bank, and the
    // bank's reply is final.
    let paid = core.pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"));
    assert_eq!(paid.text("channel"), BANK);
    assert_eq!(paid.body["card"]["masked"], "621626*********0018");
    assert_eq!(paid.body["card"]["card_type"], "debit");

    // An escrow payment: UnionPay accepts it, and its notice brings the success while the core's
    // call still waits.
    let escrow = core.pay(&Payment::escrow("A-2", 50_000)).await;
    assert_eq!(escrow.outcome(), (200, "succeeded"));
    assert_eq!(escrow.text("channel"), UNIONPAY);
    assert_eq!(escrow.body["attempts"][0]["ended_by"], "notice");

    // A decline is an answer too, and it has a reason. The same order sent again is not a new one.
    let too_much = Payment::instant("A-3", BANK_LIMIT_MINOR + 1);
    let declined = core.pay(&too_much).await;
    assert_eq!(declined.outcome(), (200, "failed"));
    assert_eq!(declined.text("reason"), "limit_exceeded");
    assert_eq!(core.pay(&too_much).await.body, declined.body);

    // The bank books a payment and its reply is lost. That is not a failure: it is unknown, it has
    // an entry in the temp reversal table, and the core must wait.
    town.channels.bank.set_faults(lost_replies()).expect("possible faults");
    let unknown = core.pay(&Payment::instant("A-4", 20_000)).await;
    assert_eq!(unknown.outcome(), (202, "unknown"));
    let entry = core.get(&format!("/v1/reversals/{}", unknown.id())).await;
    assert_eq!(entry.status, 200, "{}", entry.body);

    // The bank is reachable again, an inquiry finds the success, and the core hears of it.
    town.channels.bank.set_faults(Faults::calm()).expect("possible faults");
    let told = town.core_inbox.post_with("order_id", "A-4").await;
    assert!(told.is_signed_with(NOTICE_KEY) && !told.is_signed_with(OTHER_KEY));
    assert_eq!((told.text("id"), told.text("status")), (unknown.id(), "succeeded"));
    let found = core.payment(unknown.id()).await;
    assert_eq!(found.body["attempts"].as_array().map(Vec::len), Some(1), "it was asked once");
    assert_eq!(found.body["attempts"][0]["ended_by"], "inquiry");

    // The goods have arrived: the merchant gets the escrowed money.
    let released = core.release(escrow.id(), "A-5").await;
    assert_eq!(released.outcome(), (200, "succeeded"));
    assert_eq!((&released.body["amount"], released.text("of")), (&50_000.into(), escrow.id()));

    // One cup was broken: a part goes back to the card. That is booked first; only then UnionPay is
    // asked, and its notice ends the refund while the core's call still waits.
    let refunded = core.refund(escrow.id(), "A-6", 8_000).await;
    assert_eq!(refunded.outcome(), (200, "succeeded"));
    assert_eq!((refunded.text("kind"), refunded.text("channel")), ("refund", UNIONPAY));
    assert_eq!(core.payment(escrow.id()).await.body["refunded"], 8_000);
    let too_much = core.refund(escrow.id(), "A-7", 42_001).await;
    assert_eq!((too_much.status, &too_much.body["left"]), (422, &42_000.into()));

    // Accounting has a balanced voucher for each of the five, and for nothing else.
    let none_owed = async || core.all(OWED, "accounting_requests").await.is_empty().then_some(());
    until("accounting acknowledges everything", none_owed).await;
    let (bank, unionpay) =
        ("channel:harbour-bank:pending_clearing", "channel:unionpay:pending_clearing");
    let (merchant, escrowed) = ("merchant:shop-1:pending_clearing", "company:transitional");
    let expected = [
        (paid.id(), "instant_payment", "receipt", bank, merchant, 12_345),
        (escrow.id(), "escrow_payment", "receipt", unionpay, escrowed, 50_000),
        (unknown.id(), "instant_payment", "receipt", bank, merchant, 20_000),
        (released.id(), "escrow_release", "transfer", escrowed, merchant, 50_000),
        (refunded.id(), "refund", "payment", merchant, unionpay, 8_000),
    ];
    let vouchers = town.accounting.posts();
    assert_eq!(vouchers.len(), expected.len());
    for (id, event, kind, debit, credit, amount) in expected {
        let of_it = |post: &&Post| post.text("order") == id;
        let voucher = vouchers.iter().find(of_it).expect("a voucher of each success");
        assert_eq!((voucher.text("event"), voucher.text("voucher")), (event, kind));
        let entries = [("debit", debit, amount), ("credit", credit, amount)];
        assert_eq!(entries_of(voucher), entries);
    }

    // The day's clearing: what each channel owes us, its fee taken off, as the channel sees it.
    assert_eq!(clearing(&core, BANK, &town.channels.bank).await, [(12_345, 43), (20_000, 70)]);
    let unionpays = clearing(&core, UNIONPAY, &town.channels.unionpay).await;
    assert_eq!(unionpays, [(50_000, 175), (-8_000, 0)]);
    assert!(core.all("/v1/reversals", "reversals").await.is_empty(), "nothing is left unknown");
    app.stop().await;
}

const OWED: &str = "/v1/accounting-requests?state=owed";

/// Everything is carried out, and nobody hears of it.
fn lost_replies() -> Faults {
    Faults { lose_reply: 10_000, hang_for: DurationRange::millis(10, 50), ..Faults::calm() }
}

fn entries_of(voucher: &Post) -> Vec<(&str, &str, i64)> {
    let entries = voucher.body["entries"].as_array().expect("entries");
    entries
        .iter()
        .map(|entry| {
            let field = |name: &str| entry[name].as_str().expect("a text");
            (field("side"), field("account"), entry["amount"].as_i64().expect("an integer"))
        })
        .collect()
}

/// Principal and fee of each of a channel's clearing records, after their sums were compared with
/// the channel's own ledger.
async fn clearing(core: &Core, channel: &str, simulator: &Simulator) -> Vec<(i64, i64)> {
    let ledger = simulator.ledger();
    let charged = || ledger.entries().iter().filter(|entry| entry.state == EntryState::Approved);
    let dates: BTreeSet<_> = charged().map(|entry| entry.settle_date.clone()).collect();
    let records = core.clearing(channel, &Vec::from_iter(dates)).await;
    let of = |record: &Value, field: &str| record[field].as_i64().expect("an integer");
    let sum = |field: &str| records.iter().map(|record| of(record, field)).sum::<i64>();
    let signed = |entry: &LedgerEntry| match entry.kind {
        EntryKind::Refund | EntryKind::Undo | EntryKind::Payout => -entry.amount_minor,
        EntryKind::Charge | EntryKind::Preauth | EntryKind::Capture => entry.amount_minor,
    };
    assert_eq!(sum("principal"), charged().map(signed).sum::<i64>());
    // Fees are for what takes money from a card; a refund gives none back here.
    let takes = charged().filter(|entry| signed(entry) > 0);
    assert_eq!(sum("fee"), takes.map(|entry| entry.fee_minor).sum::<i64>());
    assert_eq!(sum("net"), sum("principal") - sum("fee"));
    records.iter().map(|record| (of(record, "principal"), of(record, "fee"))).collect()
}
