//! Services to a card over a channel's own side: verifications, calm and hostile, and over a stop.

use serde_json::{Value, json};
use switchyard::app::App;
use switchyard::simulator::Faults;

use crate::support::core::{Answer, Core, TEST_CARD};
use crate::support::installation::{CALLER_KEY, metrics};
use crate::town::{Town, UNIONPAY};

const SOMEBODY: &str = "11010519491231002X";
const NOBODY: &str = "110105194912310021";

fn asked(order_id: &str, id_number: &str) -> Value {
    json!({
        "order_id": order_id,
        "merchant_id": UNIONPAY.id,
        "card": {
            "pan": TEST_CARD, "holder": "ZHANG SANFENG", "id_type": "01",
            "id_number": id_number, "phone": "13800138473",
        },
    })
}

async fn verify(core: &Core, order_id: &str, id_number: &str) -> Answer {
    core.post("/v1/verifications", &asked(order_id, id_number)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn unionpay_compares_the_elements_and_a_lost_answer_is_unknown_after_a_stop_too() {
    let town = Town::build(3, 0).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let matches = verify(&core, "V-1", SOMEBODY).await;
    assert_eq!((matches.status, matches.text("verdict")), (200, "matches"), "{}", matches.body);
    let differs = verify(&core, "V-2", NOBODY).await;
    assert_eq!((differs.status, differs.text("verdict")), (200, "differs"), "{}", differs.body);
    assert_eq!((differs.text("reason"), differs.text("code")), ("identity_mismatch", "66"));
    let mut unclear = Vec::new();
    for (place, faults) in [
        Faults { lose_reply: 10_000, ..Faults::calm() },
        Faults { bad_signature: 10_000, ..Faults::calm() },
        Faults { unclear: 10_000, ..Faults::calm() },
    ]
    .into_iter()
    .enumerate()
    {
        town.set_faults(faults);
        let lost = verify(&core, &format!("V-1{place}"), SOMEBODY).await;
        assert_eq!((lost.status, lost.text("verdict")), (200, "unknown"), "{}", lost.body);
        assert!(!lost.text("unknown_cause").is_empty());
        unclear.push(lost);
    }
    town.set_faults(Faults::calm());
    assert!(core.get("/v1/reversals").await.body["reversals"].as_array().is_none_or(Vec::is_empty));
    app.stop().await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    for (place, lost) in unclear.iter().enumerate() {
        let again = verify(&core, &format!("V-1{place}"), SOMEBODY).await;
        assert_eq!(again.body, lost.body, "an end stays as it is");
    }
    assert_eq!(verify(&core, "V-1", SOMEBODY).await.body, matches.body);
    let anew = verify(&core, "V-20", SOMEBODY).await;
    assert_eq!(anew.text("verdict"), "matches", "an unknown is asked anew under another id");
    app.stop().await;
    for (id, ledger) in town.ledgers() {
        assert!(ledger.entries().is_empty(), "{id} has entered something");
    }
}
