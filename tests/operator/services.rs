//! What the commands say of cards that are bound, and of cards that were verified.

use std::path::Path;

use serde_json::{Value, json};
use switchyard::app::App;
use switchyard::simulator::TEST_SMS_CODE;

use crate::reading::ask;
use crate::support::core::{Core, TEST_CARD};
use crate::support::daemon::{program, run};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::simulated::UNIONPAY;

const PHONE: &str = "13800138000";
/// UnionPay's channel speaks for its token product.
const BINDS_CARDS: &str = r#"
[abilities]
operations = [
    "payment", "refund", "void", "undo", "inquiry", "reversal",
    "agreement_code", "agreement_confirmation", "agreement_inquiry", "agreement_end",
]
instruments = ["agreement"]
reversible = ["payment"]

[unionpay_acp]
biz_type = "000902"
token_requestor = "62000000001"
"#;

/// A verification to send, of a person who matches the card: the identity number is the standard's
/// example.
pub fn verification(order_id: &str) -> Value {
    let card = json!({
        "pan": TEST_CARD, "holder": "ZHANG SAN", "id_type": "01",
        "id_number": "11010519491231002X", "phone": PHONE,
    });
    json!({ "order_id": order_id, "merchant_id": "m-1", "card": card })
}

/// The code of a payment to come.
pub fn payment_code(order_id: &str) -> Value {
    json!({
        "order_id": order_id, "merchant_id": "m-1", "amount": 12_345, "currency": "CNY",
        "card": { "pan": TEST_CARD, "phone": PHONE },
    })
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).expect("one object")
}

#[tokio::test(flavor = "multi_thread")]
async fn agreements_are_listed_shown_and_ended() {
    let town = Installation::new(|channel| channel).await;
    town.change_channel(UNIONPAY, BINDS_CARDS);
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let folder = town.folder();
    let card = json!({ "pan": TEST_CARD, "expiry": "4912", "phone": PHONE });
    let open = async |order_id: &str, merchant: &str| {
        let body = json!({ "order_id": order_id, "merchant_id": merchant, "card": card });
        let opened = core.post("/v1/agreements", &body).await;
        assert_eq!((opened.status, opened.text("state")), (200, "code_sent"), "{}", opened.body);
        opened.id().to_owned()
    };
    let bound = open("G-1", "m-1").await;
    let confirm = |code: &str| {
        let (path, body) = (format!("/v1/agreements/{bound}/confirm"), json!({ "code": code }));
        let core = core.clone();
        async move { core.post(&path, &body).await }
    };
    let wrong = confirm("000000").await;
    assert_eq!(wrong.text("reason"), "wrong_sms_code", "{}", wrong.body);

    let listed = ask(&app, folder, &["agreement", "list", "m-1"]).await;
    let told = listed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("code_sent") && told.contains("(wrong_sms_code)"), "{listed}");
    let confirmed = confirm(TEST_SMS_CODE).await;
    assert_eq!(confirmed.text("state"), "active", "{}", confirmed.body);
    let waiting = open("G-2", "m-1").await;
    open("G-3", "m-2").await;
    let listed = ask(&app, folder, &["agreement", "list", "m-1"]).await;
    let ids: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    let ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    assert_eq!(ids, [bound.as_str(), &waiting], "{listed}");
    assert!(listed.contains("active") && listed.contains("621626*********0018"), "{listed}");
    assert!(listed.lines().all(|line| line.chars().count() <= 100), "{listed}");
    assert!(!listed.contains(PHONE), "I-11: {listed}");
    let lines = ask(&app, folder, &["agreement", "list", "m-1", "--json"]).await;
    let states: Vec<Value> = lines.lines().map(|line| object(line)["state"].clone()).collect();
    assert_eq!(states, ["active", "code_sent"], "{lines}");
    let none = ask(&app, folder, &["agreement", "list", "m-3"]).await;
    assert_eq!(none.lines().count(), 1, "a heading: {none}");

    let by_card = ["agreement", "list", "--first-six", "621626", "--last-four", "0018"];
    let listed = ask(&app, folder, &by_card).await;
    assert_eq!(listed.lines().count(), 4, "a heading and all three: {listed}");
    let none = ask(&app, folder, &["agreement", "list", "m-1", "--last-four", "0019"]).await;
    assert_eq!(none.lines().count(), 1, "a heading: {none}");

    // By our id, by the caller's own, and by another's name for it.
    for words in [
        &["agreement", "show", &bound, "--json"][..],
        &["agreement", "show", "G-1", "--json"],
        &["agreement", "show", "G-1", "--caller", "core", "--json"],
    ] {
        let shown = object(&ask(&app, folder, words).await);
        assert_eq!(shown["id"], bound.as_str(), "{words:?}");
    }
    let ended = object(&ask(&app, folder, &["agreement", "end", &bound, "--json"]).await);
    assert_eq!((&ended["id"], &ended["state"]), (&json!(bound), &json!("ended")));
    let shown = object(&ask(&app, folder, &["agreement", "show", &bound]).await);
    assert_eq!(shown["state"], "ended");

    refuses_what_there_is_not(&app, folder).await;
    app.stop().await;
}

/// What there is not is refused in the daemon's words.
async fn refuses_what_there_is_not(app: &App, folder: &Path) {
    let mut command = program(folder);
    let url = format!("http://{}", app.address());
    command.args(["agreement", "end", "2611221000000000001", "--url", &url, "--key", CALLER_KEY]);
    let refused = tokio::task::spawn_blocking(move || {
        let english = command.env("LC_ALL", "C.UTF-8").output().expect("it starts");
        let chinese = command.args(["--language", "zh"]).output().expect("it starts");
        (english, chinese)
    });
    let (refused, in_chinese) = refused.await.expect("no panic");
    let told = String::from_utf8_lossy(&in_chinese.stderr);
    assert!(told.contains("not_found: 没有此编号的协议"), "{told}");
    assert!(told.ends_with("\n  资源不存在\n  核对标识与路径。\n"), "{told}");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("not_found: no agreement has this id"), "{told}");
    assert!(told.ends_with("\n  The resource does not exist\n  Check the id and the path.\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_payment_s_code_is_shown() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let sent = core.post("/v1/payment-codes", &payment_code("A-1")).await;
    assert_eq!((sent.status, sent.text("state")), (200, "sent"), "{}", sent.body);
    for words in [
        &["payment-code", "show", "A-1"][..],
        &["payment-code", "show", "A-1", "--json"],
        &["payment-code", "show", "A-1", "--caller", "core", "--json"],
    ] {
        let shown = ask(&app, town.folder(), words).await;
        assert_eq!(object(&shown), sent.body, "{words:?}");
        assert!(!shown.contains(PHONE) && !shown.contains("621626"), "I-11: {shown}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_shown_with_its_verdict() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let verified = core.post("/v1/verifications", &verification("V-1")).await;
    assert_eq!((verified.status, verified.text("verdict")), (200, "matches"), "{}", verified.body);
    for words in [
        &["verification", "show", verified.id()][..],
        &["verification", "show", "V-1", "--json"],
        &["verification", "show", "V-1", "--caller", "core", "--json"],
    ] {
        let shown = ask(&app, town.folder(), words).await;
        assert_eq!(object(&shown), verified.body, "{words:?}");
        assert!(!shown.contains("ZHANG") && !shown.contains(PHONE), "I-11: {shown}");
    }
    // Amounts are typed in major units, and never without their currency.
    let explain = ["route", "explain", "--bin", "621626", "--amount"];
    for (typed, told) in [
        (&["12.345", "--currency", "CNY"][..], "has 2 decimals at most"),
        (&["1,234.00", "--currency", "CNY"], "write an amount of CNY in major units"),
        (&["12.0", "--currency", "JPY"], "has 0 decimals at most"),
        (&["12.30", "--currency", "XXX"], "--currency is none of CNY, HKD"),
        (&["12.30"], "--currency"),
    ] {
        let refused = run(town.folder(), &[&explain[..], typed].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(told), "{typed:?}: {said}");
    }
    // It has a route and no amount, with a daemon and without one.
    let words = ["route", "explain", "--bin", "621626", "--operation", "verification"];
    let plan = ask(&app, town.folder(), &[&words[..], &["--daemon"]].concat()).await;
    assert!(plan.contains("plan: harbour-bank, unionpay\n"), "{plan}");
    let alone = [&words[..], &["--config", "switchyard.toml", "--data", "none"]].concat();
    let plan = String::from_utf8_lossy(&run(town.folder(), &alone).stdout).into_owned();
    assert!(plan.contains("plan: harbour-bank, unionpay\n"), "{plan}");
    // A payee's account in place of a card, with a daemon and without one.
    let money = ["--amount", "12.30", "--currency", "CNY"];
    let payout = ["route", "explain", "--operation", "payout", "--payee-kind"];
    let alone = ["--config", "switchyard.toml", "--data", "none"];
    let ours = [&payout[..], &["bank_account"], &money].concat();
    let plan = ask(&app, town.folder(), &[&ours[..], &["--daemon"]].concat()).await;
    assert!(plan.contains("plan: harbour-bank\n"), "{plan}");
    let plan = String::from_utf8_lossy(&run(town.folder(), &[&ours[..], &alone].concat()).stdout)
        .into_owned();
    assert!(plan.contains("plan: harbour-bank\n"), "{plan}");
    let theirs = [&payout[..], &["login"], &money, &alone].concat();
    let plan = String::from_utf8_lossy(&run(town.folder(), &theirs).stdout).into_owned();
    let told = "harbour-bank: the channel does not pay to accounts of this kind";
    assert!(plan.contains(told) && plan.contains("plan: no channel"), "{plan}");
    for wrong in
        [[&words[..], &["--amount", "1", "--currency", "CNY"]].concat(), words[..4].to_vec()]
    {
        let refused = run(town.folder(), &wrong);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && told.contains("--amount"), "{told}");
    }
    app.stop().await;
}
