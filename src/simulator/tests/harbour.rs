//! Harbour bank from a merchant's side.

use super::*;

async fn bank(
    settings: impl FnOnce(SimulatorSettings) -> SimulatorSettings,
) -> (Simulator, TestClock) {
    let clock = TestClock::noon();
    let plain = SimulatorSettings::harbour_bank("harbour", clock.clock()).with_declines_percent(0);
    (Simulator::start(settings(plain)).await.expect("a simulator"), clock)
}

#[tokio::test]
async fn a_charge_is_final_at_once_and_answered_the_same_again() {
    let (simulator, _) = bank(|plain| plain).await;
    let merchant = HarbourMerchant::of(&simulator);
    let first = merchant.charge(&order_no(1)).await;
    assert_eq!(first.text("code"), "0000");
    assert_eq!(first.text("orderNo"), order_no(1));
    assert_eq!(first.text("settleDate"), "1122");
    assert_eq!(first.json["amount"], 1_000);
    let again = merchant.charge(&order_no(1)).await;
    assert_eq!(again.json, first.json);
    let mut other = HarbourMerchant::charge_body(&order_no(1));
    other["amount"] = 999.into();
    assert_eq!(merchant.ask("/v1/charges", &other).await.text("code"), "1400");
    let query = merchant.query(&order_no(1)).await;
    assert_eq!((query.text("code"), query.text("state")), ("0000", "SUCCESS"));
    assert_eq!(query.text("tradeNo"), first.text("tradeNo"));
    assert_eq!(merchant.query(&order_no(2)).await.text("code"), "1404");
    let ledger = simulator.stop().await;
    assert_eq!(ledger.entries().len(), 1);
    assert_eq!(ledger.entries()[0].requests, 3);
    assert_eq!(ledger.entries()[0].card.as_deref(), Some("621626*********0018"));
}

#[tokio::test]
async fn a_reversal_and_an_undo_end_where_they_should() {
    let (simulator, clock) = bank(|plain| plain).await;
    let merchant = HarbourMerchant::of(&simulator);
    merchant.charge(&order_no(1)).await;
    assert_eq!(merchant.reverse(&order_no(1)).await.text("code"), "0000");
    assert_eq!(merchant.reverse(&order_no(1)).await.text("code"), "2001");
    assert_eq!(merchant.query(&order_no(1)).await.text("state"), "REVERSED");
    assert_eq!(merchant.charge(&order_no(1)).await.text("code"), "2001");
    assert_eq!(merchant.reverse(&order_no(9)).await.text("code"), "1404");
    assert_eq!(merchant.charge(&order_no(9)).await.text("code"), "1005");

    let charge = merchant.charge(&order_no(2)).await;
    assert_eq!(merchant.undo(&order_no(3), &charge, 999).await.text("code"), "1400");
    assert_eq!(merchant.undo(&order_no(3), &charge, 1_000).await.text("code"), "0000");
    assert_eq!(merchant.undo(&order_no(4), &charge, 1_000).await.text("code"), "2001");
    assert_eq!(merchant.query(&order_no(3)).await.text("state"), "SUCCESS");
    let unknown = VerifiedReply { json: serde_json::json!({}), signed: true };
    assert_eq!(merchant.undo(&order_no(5), &unknown, 1_000).await.text("code"), "1404");

    merchant.charge(&order_no(6)).await;
    clock.forward(11 * 3_600_000);
    assert_eq!(merchant.reverse(&order_no(6)).await.text("code"), "2002");
    assert_eq!(merchant.charge(&order_no(7)).await.text("settleDate"), "1123");
    let ledger = simulator.stop().await;
    let net = ledger.net_minor();
    let of = |index| net[&order_no(index)[..19]];
    assert_eq!((of(1), of(2), of(6), of(9)), (0, 0, 1_000, 0));
    assert_eq!(ledger.get(&order_no(2)).map(|entry| entry.state), Some(EntryState::Undone));
    assert!(ledger.charged_twice().is_empty());
}

#[tokio::test]
async fn what_cannot_be_proved_or_read_changes_nothing() {
    let (simulator, _) = bank(|plain| plain).await;
    let merchant = HarbourMerchant::of(&simulator);
    let stranger =
        HarbourMerchant { key: HmacKey::new(b"other"), ..HarbourMerchant::of(&simulator) };
    let body = HarbourMerchant::charge_body(&order_no(1));
    let response = stranger.send("/v1/charges", &body).await.expect("a response");
    assert_eq!(merchant.prove(response).await.expect("a message").text("code"), "1900");
    let rows = [
        ("merchantId", serde_json::json!("other")),
        ("orderNo", serde_json::json!("a b")),
        ("orderNo", serde_json::json!("")),
        ("amount", serde_json::json!(0)),
        ("amount", serde_json::json!("1")),
        ("currency", serde_json::json!("XXX")),
        ("sentAt", serde_json::json!("now")),
        ("card", serde_json::json!({})),
    ];
    for (key, value) in rows {
        let mut body = HarbourMerchant::charge_body(&order_no(1));
        body[key] = value;
        let code = merchant.ask("/v1/charges", &body).await.text("code").to_owned();
        assert_eq!(code, "1400", "{key}");
    }
    assert_eq!(merchant.ask("/v1/other", &body).await.text("code"), "1400");
    assert_eq!(simulator.count(SimulatorEvent::RequestRefused), 10);
    assert!(simulator.stop().await.entries().is_empty());
}

#[tokio::test]
async fn a_bad_card_is_declined_with_its_reason() {
    let (simulator, _) = bank(|plain| plain).await;
    let merchant = HarbourMerchant::of(&simulator);
    let rows = [
        ("number", "6216261000000000019", "1014"),
        ("expiry", "2610", "1054"),
        ("expiry", "2611", "0000"),
        ("cvv", "12", "1082"),
    ];
    for (index, (key, value, expected)) in rows.into_iter().enumerate() {
        let mut body = HarbourMerchant::charge_body(&order_no(index as u32));
        body["card"][key] = value.into();
        let code = merchant.ask("/v1/charges", &body).await.text("code").to_owned();
        assert_eq!(code, expected, "{key}");
    }
}

#[tokio::test]
async fn declines_come_as_often_as_asked_with_a_spread_of_reasons() {
    let (simulator, _) = bank(|plain| plain.with_declines_percent(40)).await;
    let merchant = HarbourMerchant::of(&simulator);
    let mut codes = BTreeMap::new();
    for index in 0..300 {
        let charge = merchant.charge(&order_no(index)).await;
        *codes.entry(charge.text("code").to_owned()).or_insert(0) += 1;
    }
    assert!((150..210).contains(&codes["0000"]), "{codes:?}");
    assert!(codes.len() >= 6, "{codes:?}");
    let query = merchant.query(&order_no(0)).await;
    let ledger = simulator.stop().await;
    assert_eq!(query.text("resultCode"), ledger.entries()[0].code);
    assert_eq!(ledger.count(EntryState::Approved), codes["0000"]);
}

#[tokio::test]
async fn pending_charges_are_decided_later() {
    let (simulator, clock) = bank(|mut plain| {
        if let Some(bank) = plain.dialect.harbour_mut() {
            bank.pending_percent = 100;
        }
        plain.with_working(DurationRange::millis(50, 50))
    })
    .await;
    let merchant = HarbourMerchant::of(&simulator);
    assert_eq!(merchant.charge(&order_no(1)).await.text("code"), "1099");
    let query = merchant.query(&order_no(1)).await;
    assert_eq!((query.text("state"), query.text("resultCode")), ("PROCESSING", "1099"));
    clock.forward(50);
    let query = merchant.query(&order_no(1)).await;
    assert_eq!((query.text("state"), query.text("resultCode")), ("SUCCESS", "0000"));
    assert_eq!(merchant.charge(&order_no(1)).await.text("code"), "0000");
}

#[tokio::test]
async fn a_benchmark_needs_no_signature_and_one_number_is_charged_once_at_any_concurrency() {
    let settings = SimulatorSettings::benchmark("bench", TestClock::noon().clock());
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let merchant =
        Arc::new(HarbourMerchant { key: HmacKey::new(b"none"), ..HarbourMerchant::of(&simulator) });
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..400 {
        let merchant = Arc::clone(&merchant);
        calls.spawn(async move {
            let body = HarbourMerchant::charge_body(&order_no(index % 40));
            let response = merchant.send("/v1/charges", &body).await.expect("a response");
            merchant.prove(response).await.expect("a message").text("code").to_owned()
        });
    }
    assert!(calls.join_all().await.iter().all(|code| code == "0000"));
    let ledger = simulator.stop().await;
    assert_eq!(ledger.entries().len(), 40);
    assert!(ledger.entries().iter().all(|entry| entry.requests == 10));
    assert_eq!(ledger.summary()["charged_minor"], 40_000);
}

#[tokio::test]
async fn the_ledger_is_read_over_http() {
    let (simulator, _) = bank(|plain| plain).await;
    HarbourMerchant::of(&simulator).charge(&order_no(1)).await;
    let get = async |path: &str| {
        let response = client().get(format!("{}{path}", simulator.base_url())).send().await;
        response.expect("a response").text().await.expect("a text")
    };
    assert_eq!(get("/ledger").await, simulator.ledger().json_lines());
    let summary: serde_json::Value =
        serde_json::from_str(&get("/ledger/summary").await).expect("one");
    assert_eq!(summary["approved"], 1);
    assert_eq!(summary["happened"]["requests"], 1);
    assert_eq!(summary["dialect"], "harbour-bank");
    assert!(!get("/ledger").await.contains(CARD));
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let plain = || SimulatorSettings::harbour_bank("x", TestClock::noon().clock());
    let impossible = Faults { lose_reply: 10_001, ..Faults::calm() };
    for settings in [plain().with_declines_percent(101), plain().with_faults(impossible)] {
        let settings = settings.with_merchant_id("other").with_harbour_key("key");
        let refused = Simulator::start(settings).await.err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::InvalidInput));
    }
    let simulator = Simulator::start(plain()).await.expect("a simulator");
    assert!(simulator.set_faults(impossible).is_err());
    assert!(simulator.set_faults(Faults::hostile()).is_ok());
}

#[tokio::test]
async fn a_card_is_bound_by_a_code_and_pays_by_the_number() {
    let (simulator, clock) = bank(|plain| plain).await;
    let merchant = HarbourMerchant::of(&simulator);
    let body = |number: u32, more: serde_json::Value| {
        let mut body = HarbourMerchant::order_body(&order_no(number));
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        body
    };
    let ask = async |path: &str, number: u32, more: serde_json::Value| {
        merchant.ask(&format!("/v1/agreements{path}"), &body(number, more)).await
    };
    let card = || serde_json::json!({ "cardNumber": CARD, "mobile": "13800138000" });
    let with = |code: &str| {
        let mut card = card();
        card["smsCode"] = code.into();
        card
    };
    assert_eq!(ask("", 1, with(TEST_SMS_CODE)).await.text("code"), "1071", "none was sent");
    assert_eq!(ask("/codes", 2, card()).await.text("code"), "0000");
    assert_eq!(ask("", 3, with("000000")).await.text("code"), "1071");
    let nothing = serde_json::json!({});
    assert_eq!(ask("/query", 3, nothing.clone()).await.text("code"), "1404", "it opened nothing");
    let opened = ask("", 4, with(TEST_SMS_CODE)).await;
    assert_eq!(opened.text("code"), "0000");
    let number = opened.text("agreementNo").to_owned();
    assert_eq!(ask("", 4, with(TEST_SMS_CODE)).await.json, opened.json, "a repeat");
    let found = ask("/query", 4, nothing).await;
    assert_eq!((found.text("resultCode"), found.text("agreementNo")), ("0000", &*number));
    assert_eq!(found.text("endsAt"), opened.text("endsAt"));
    ask("/codes", 5, card()).await;
    clock.forward(10 * 60_000 + 1);
    assert_eq!(ask("", 6, with(TEST_SMS_CODE)).await.text("code"), "1072");

    let by_number = serde_json::json!({ "agreementNo": number });
    let amount = HarbourMerchant::charge_body(&order_no(1))["amount"].clone();
    let code_of = async |kind: &str, number: u32, payer: &serde_json::Value| {
        let mut asked = payer.clone();
        (asked["amount"], asked["operation"]) = (amount.clone(), kind.into());
        let answer = merchant.ask("/v1/payment-codes", &body(number, asked)).await;
        answer.text("code").to_owned()
    };
    let code =
        async |number: u32, payer: &serde_json::Value| code_of("payment", number, payer).await;
    let pay = async |number: u32, code: Option<&str>| {
        let mut charge = HarbourMerchant::charge_body(&order_no(number));
        let members = charge.as_object_mut().expect("an object");
        members.remove("card");
        members.extend(by_number.as_object().expect("an object").clone());
        members.extend(code.map(|code| ("smsCode".to_owned(), code.into())));
        merchant.ask("/v1/charges", &charge).await.text("code").to_owned()
    };
    assert_eq!(pay(10, None).await, "0000");
    assert_eq!(pay(11, Some(TEST_SMS_CODE)).await, "1071", "none was sent");
    assert_eq!(code(12, &by_number).await, "0000");
    assert_eq!(pay(13, Some(TEST_SMS_CODE)).await, "1071", "it is another payment's");
    assert_eq!(pay(12, Some(TEST_SMS_CODE)).await, "0000");
    assert_eq!(code(18, &card()).await, "0000", "a card gets one too");
    assert_eq!(code_of("preauth", 19, &by_number).await, "0000");
    assert_eq!(pay(19, Some(TEST_SMS_CODE)).await, "1071", "it is a hold's");
    assert_eq!(code_of("refund", 20, &by_number).await, "1400");
    assert_eq!(ask("/end", 14, by_number.clone()).await.text("code"), "0000");
    assert_eq!(ask("/end", 15, by_number.clone()).await.text("code"), "1073");
    assert_eq!(code(16, &by_number).await, "1073");
    assert_eq!(pay(17, None).await, "1073");
    let ledger = simulator.stop().await;
    let masked: Vec<_> = ledger.entries().iter().map(|entry| entry.card.as_deref()).collect();
    assert_eq!(masked, [Some("621626*********0018"); 5], "of the right card, and the refused ones");
}
