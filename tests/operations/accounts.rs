//! Payouts to accounts, at a bank of a file of its own that pays to cards and to its own accounts:
//! booked first, sent once, ended by evidence, masked everywhere, and found by their digest.

use serde_json::{Value, json};
use switchyard::app::App;
use switchyard::simulator::{EntryKind, Faults};

use crate::support::core::{Answer, Core};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::simulated::BANK;
use crate::support::wire::until;

/// An account of the bank's, and one that it does not have.
const ACCOUNT: &str = "65001234098765";
const NO_ACCOUNT: &str = "65001234";

fn payout(order_id: &str, account: &str, name: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "m-1", "amount": 1_200, "currency": "CNY",
        "payee": { "account": account, "kind": "bank_account", "name": name },
    })
}

async fn ended(core: &Core, id: &str) -> Answer {
    until("the payout ends", async || {
        let found = core.payment(id).await;
        matches!(found.text("status"), "succeeded" | "failed").then_some(found)
    })
    .await
}

async fn pay_out(core: &Core, body: &Value) -> Answer {
    let taken = core.post("/v1/payouts", body).await;
    assert!(matches!(taken.status, 200 | 202), "{}", taken.body);
    ended(core, taken.id()).await
}

/// A lost reply is asked about by our number; nothing is sent a second time.
async fn ended_after_a_lost_reply(town: &Installation, core: &Core) -> Answer {
    town.channels.set_faults(Faults { lose_reply: 10_000, ..Faults::calm() });
    let asking = {
        let core = core.clone();
        tokio::spawn(async move {
            core.post("/v1/payouts", &payout("O-4", ACCOUNT, "ZHANG SANFENG")).await
        })
    };
    let number = town.bank_is_asked(core, "payout", "O-4").await;
    let is_unknown = async || {
        let order = core.get("/v1/payments?order_id=O-4").await;
        (order.text("status") == "unknown").then_some(())
    };
    until("its reply is lost", is_unknown).await;
    town.channels.set_faults(Faults::calm());
    let lost = asking.await.expect("no panic");
    let found = ended(core, lost.id()).await;
    assert_eq!(found.text("status"), "succeeded", "{}", found.body);
    assert_eq!(found.body["attempts"][0]["ended_by"], "inquiry", "{}", found.body);
    assert_eq!(town.channels.bank.times_asked("payout", &number), 1, "it was sent once");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_to_an_account_is_as_whole_as_one_to_a_card() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);

    let paid = pay_out(&core, &payout("O-1", ACCOUNT, "ZHANG SANFENG")).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!(paid.text("channel"), BANK);
    assert_eq!(paid.body["payee"], json!({ "account": "650*******8765", "kind": "bank_account" }));
    assert!(paid.body.get("card").is_none(), "{}", paid.body);
    let entries = town.channels.bank.ledger().entries().to_vec();
    let [entry] = entries.as_slice() else { panic!("one payout: {entries:?}") };
    assert_eq!((entry.kind, entry.amount_minor), (EntryKind::Payout, 1_200));

    // The same payee is the same order; another one is named by the field that differs.
    let again = core.post("/v1/payouts", &payout("O-1", ACCOUNT, "ZHANG SANFENG")).await;
    assert_eq!((again.status, again.id()), (200, paid.id()), "I-9");
    for (other, field) in [
        (payout("O-1", "65001234098766", "ZHANG SANFENG"), "payee.account"),
        (payout("O-1", ACCOUNT, "LI SI"), "payee.name"),
    ] {
        let refused = core.post("/v1/payouts", &other).await;
        assert_eq!((refused.status, refused.text("field")), (409, field), "{}", refused.body);
    }

    // What the bank answers where the payee is none of its own, or is called otherwise.
    for (order_id, account, name, reason) in [
        ("O-2", NO_ACCOUNT, "LI SI", "invalid_account"),
        ("O-3", ACCOUNT, "NOBODY", "identity_mismatch"),
    ] {
        let refused = pay_out(&core, &payout(order_id, account, name)).await;
        assert_eq!(refused.outcome(), (200, "failed"), "{}", refused.body);
        assert_eq!(refused.text("reason"), reason);
    }

    let found = ended_after_a_lost_reply(&town, &core).await;

    // Every order of an account is found by its digest, and shows no more of it than before.
    let asked = json!({ "payee": { "account": ACCOUNT } });
    let listed = core.post("/v1/orders/search", &asked).await;
    let orders = listed.body["orders"].as_array().expect("a page");
    let ids: Vec<&str> = orders.iter().filter_map(|one| one["order_id"].as_str()).collect();
    assert_eq!(ids, ["O-4", "O-3", "O-1"], "{}", listed.body);
    let story = core.get(&format!("/v1/orders/{}/story?language=en", paid.id())).await;
    let words = story.body["events"][0]["words"].as_str().unwrap_or_default();
    assert!(words.contains("to account 650*******8765"), "{words}");
    for shown in [&listed.body, &story.body, &found.body] {
        let text = shown.to_string();
        assert!(!text.contains(ACCOUNT) && !text.contains("SANFENG"), "I-11: {text}");
    }
    app.stop().await;
}
