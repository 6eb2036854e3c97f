//! The pages: what they show, in both languages, and the calls behind them.

use serde_json::Value;

use crate::support::core::Payment;
use crate::town::{AUDITOR, OPERATOR, Town};

/// Every page that the frame leads to.
const PLACES: [&str; 14] = [
    "/console",
    "/console/orders",
    "/console/unknowns",
    "/console/channels",
    "/console/routes",
    "/console/routes/what-if",
    "/console/bins",
    "/console/reconciliation",
    "/console/differences",
    "/console/settlement",
    "/console/accounting",
    "/console/notices",
    "/console/audit",
    "/console/settings",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_there_in_both_languages_and_leads_to_its_json() {
    let town = Town::new().await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"));
    for key in [OPERATOR, AUDITOR] {
        let mut browser = town.visitor(key).await;
        let mut paths = PLACES.map(str::to_owned).to_vec();
        paths.push("/console/channels/unionpay".to_owned());
        paths.push(format!("/console/orders/{}", paid.id()));
        paths.push("/console/orders?status=succeeded&amount=123.45&from=2026-01-01".to_owned());
        paths.push("/console/bins?prefix=621626".to_owned());
        paths.push("/console/bins/proposals?state=all".to_owned());
        paths.push("/console/reconciliation/unionpay".to_owned());
        paths.push("/console/reconciliation/unionpay/2026-11-22".to_owned());
        let booking = town.core().get("/v1/accounting-requests").await;
        let booking =
            booking.body["accounting_requests"][0]["id"].as_str().expect("an id").to_owned();
        paths.push(format!("/console/accounting/{booking}"));
        for path in paths {
            let and = if path.contains('?') { '&' } else { '?' };
            let english = browser.get(&format!("{path}{and}lang=en")).await;
            let chinese = browser.get(&format!("{path}{and}lang=zh")).await;
            assert_eq!((english.status, chinese.status), (200, 200), "{path}: {}", english.text);
            assert!(english.text.contains("<html lang=\"en\">"), "{path}");
            assert!(chinese.text.contains("<html lang=\"zh-Hans\">"), "{path}");
            for text in [&english.text, &chinese.text] {
                assert!(text.contains("</html>"), "{path} breaks off");
                let is_inline = text.contains(" style=") || text.contains("<script>");
                assert!(!is_inline && !text.contains(" onclick="), "{path}");
            }
            let calls = english.text.split("href=\"/console/json/").skip(1);
            let calls: Vec<_> = calls.filter_map(|rest| rest.split('"').next()).collect();
            assert!(!calls.is_empty(), "{path} leads to no JSON");
            for call in calls {
                let call = call.replace("&amp;", "&");
                let shown = browser.get(&format!("/console/json/{call}")).await;
                assert_eq!(shown.status, 200, "{call}");
                if call.ends_with("&form=csv") {
                    assert!(shown.header("content-type").starts_with("text/csv"), "{call}");
                    continue;
                }
                let shown: Value = serde_json::from_str(&shown.text).expect("JSON");
                assert!(shown.is_object(), "{call}");
            }
        }
    }
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_the_browsers_until_one_is_chosen() {
    let town = Town::new().await;
    let mut browser = town.browser();
    let request = browser.request(reqwest::Method::GET, "/console/login");
    let chinese = browser.send(request.header("accept-language", "fr, zh-CN;q=0.9")).await;
    assert!(chinese.text.contains("<html lang=\"zh-Hans\">"));
    assert!(browser.get("/console/login").await.text.contains("<html lang=\"en\">"));
    browser.get("/console/login?lang=zh").await;
    assert!(browser.get("/console/login").await.text.contains("<html lang=\"zh-Hans\">"));
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_text() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    let hostile = "%3Cscript%3Ealert(1)%3C/script%3E%22onload=%22x";
    for path in [
        format!("/console/unknowns?channel={hostile}"),
        format!("/console/unknowns?phase={hostile}"),
        format!("/console?said={hostile}&lang={hostile}"),
        format!("/console/channels/{hostile}"),
        format!("/console/login?next={hostile}"),
        format!("/console/unknowns?after={hostile}"),
    ] {
        let sight = browser.get(&path).await;
        assert!(!sight.text.contains("<script>"), "{path}: {}", sight.text);
        assert!(!sight.text.contains("\"onload="), "{path}: {}", sight.text);
    }
    // What is stored comes back as text as well.
    let reason = "<b onclick=\"x\">&amp;</b>";
    let action = "/console/channels/harbour-bank/switch";
    let page = "/console/channels/harbour-bank";
    let switched = browser.fill(page, action, &[("reason", reason)]).await;
    assert_eq!(switched.status, 303);
    let shown = browser.get("/console/audit").await.text;
    assert!(!shown.contains("<b onclick"), "{shown}");
    assert!(shown.contains("&lt;b onclick=&quot;x&quot;&gt;&amp;amp;&lt;/b&gt;"), "{shown}");
    let audit = town.core().get("/v1/audit?order=newest").await;
    assert_eq!(audit.body["entries"][0]["reason"], reason);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_api_is_shown_as_it_is() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    let unknown = browser.get("/console/unknowns?phase=none").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text.contains("inquiring, reversing, undo_owed or operator"));
    let gone = browser.get("/console/channels/nobody").await;
    assert_eq!(gone.status, 404);
    assert!(gone.text.contains("channel_unknown"));
    let action = format!("/console/orders/{}/resolve", paid.id());
    let ended = browser.get(&format!("/console/orders/{}", paid.id())).await;
    assert!(!ended.text.contains(&action), "nothing is open, and nothing is to be decided");
    let long = browser.get("/console/bins?prefix=6216261000000000018").await;
    assert!(long.text.contains("bin_too_long"), "{}", long.text);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_with_what_was_expected() {
    let town = Town::new().await;
    town.core().pay(&Payment::instant("A-1", 12_345)).await;
    let mut browser = town.visitor(OPERATOR).await;
    for (query, field, told) in [
        ("orders?from=22.11.2026", "from", "A date was expected, as 2026-11-22"),
        ("orders?to=2026-13-01", "to", "A date was expected"),
        ("orders?amount=1.234", "amount", "An amount in major units was expected"),
        ("orders?amount=1,5", "amount", "An amount in major units was expected"),
        ("orders?amount=1&currency=XXZ", "currency", "The code of a currency was expected"),
        ("orders?status=none", "status", "invalid_query"),
        ("orders?kind=%00", "kind", "invalid_query"),
        ("orders?after=%FF", "after", "invalid_query"),
        ("orders?last_four=12", "last_four", "invalid_query"),
        ("unknowns?after=x", "after", "invalid_query"),
        ("accounting?state=lost", "state", "invalid_query"),
        ("notices?after=-1", "after", "invalid_query"),
        ("differences?state=lost", "state", "invalid_query"),
        ("audit?after=x", "after", "invalid_query"),
        ("settlement?after=x%20y", "after", "invalid_query"),
        ("reconciliation/unionpay?through=x", "through", "invalid_query"),
        ("bins?prefix=621626&length=x", "length", "invalid_query"),
    ] {
        let shown = browser.get(&format!("/console/{query}")).await;
        let is_refused = [400, 422].contains(&shown.status);
        assert!(is_refused, "{query}: {} {}", shown.status, shown.text);
        let refused = shown.text.split_once("role=\"alert\"").map_or("", |parts| parts.1);
        assert!(refused.contains(told) && refused.contains(field), "{query}: {refused}");
    }
    for (page, action, fields) in [
        ("routes", "routes", [("bin", "621626"), ("amount", "1.234"), ("currency", "CNY")]),
        ("routes", "routes", [("bin", "621626"), ("length", "x"), ("amount", "1")]),
        ("bins", "bins/refresh", [("as_of", "soon"), ("source", ""), ("force", "")]),
    ] {
        let [page, action] = [page, action].map(|path| format!("/console/{path}"));
        let refused = browser.fill(&page, &action, &fields).await;
        assert!([400, 422].contains(&refused.status), "{fields:?}: {}", refused.text);
        assert!(refused.text.contains("role=\"alert\""), "{fields:?}: {}", refused.text);
    }
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_twice_is_carried_out_once() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    let page = "/console/channels/unionpay";
    let action = "/console/channels/unionpay/switch";
    let mut fields = browser.get(page).await.hidden(action);
    fields.insert("reason".to_owned(), "night work".to_owned());
    let written = async || {
        let audit = town.core().get("/v1/audit?order=newest").await;
        audit.body["entries"].as_array().map_or(0, Vec::len)
    };
    let before = written().await;
    // At the same time, and again afterwards.
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    let send = || {
        let request = browser.request(reqwest::Method::POST, action);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(body.clone()).send()
    };
    let (one, two) = tokio::join!(send(), send());
    let mut led = [one, two].map(|answer| {
        let answer = answer.expect("the daemon answers");
        assert_eq!(answer.status().as_u16(), 303);
        answer.headers()["location"].to_str().expect("text").to_owned()
    });
    led.sort();
    let already = format!("{page}?said=already");
    assert_eq!(led, [already.clone(), format!("{page}?said=switched_off")]);
    assert_eq!(browser.post(action, &fields).await.header("location"), already);
    assert_eq!(written().await, before + 1);
    let told = browser.get(&format!("{already}&lang=zh")).await.text;
    assert!(told.contains("未重复执行"), "{told}");
    // A form that was refused may be put right and sent again.
    let mut wrong = browser.get("/console/settlement").await.hidden("/console/settlement");
    for (name, value) in [
        ("channel", "unionpay"),
        ("from", "2026-11-22"),
        ("currency", "CNY"),
        ("amount", "7.505"),
        ("bank_reference", "B-1"),
        ("received_on", "2026-11-23"),
    ] {
        wrong.insert(name.to_owned(), value.to_owned());
    }
    assert_eq!(browser.post("/console/settlement", &wrong).await.status, 422);
    wrong.insert("amount".to_owned(), "7.50".to_owned());
    let recorded = browser.post("/console/settlement", &wrong).await;
    assert!(recorded.header("location").ends_with("?said=recorded"), "{}", recorded.text);
    // Without its mark a form is none of ours.
    fields.remove("once");
    assert_eq!(browser.post(action, &fields).await.status, 403);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_times_and_alerts_are_for_people() {
    let town = Town::new().await;
    town.core().pay(&Payment::instant("A-1", 987_654)).await;
    let mut browser = town.visitor(OPERATOR).await;
    let page = "/console/channels/unionpay";
    let action = "/console/channels/unionpay/switch";
    let off = browser.fill(page, action, &[("reason", "night work")]).await;
    assert_eq!(off.header("location"), "/console/channels/unionpay?said=switched_off");
    assert!(
        browser.get(off.header("location")).await.text.contains("The channel is switched off.")
    );
    let today = browser.get("/console").await.text;
    assert!(today.contains("9,876.54 <small>CNY</small>"), "{today}");
    assert!(today.contains("unionpay is switched off"), "{today}");
    let time = today.split("<time datetime=\"").nth(1).expect("a time");
    let (utc, shown) = time.split_once("\" title=\"").expect("UTC stands behind it");
    assert!(utc.ends_with('Z') && shown.starts_with(utc), "{time}");
    let on = browser.fill(page, action, &[("reason", "it is morning")]).await;
    assert_eq!(on.header("location"), "/console/channels/unionpay?said=switched_on");
    assert!(browser.get("/console").await.text.contains("Nothing needs a person."));
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_by_any_number_and_none_stands_in_a_url() {
    let town = Town::new().await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    town.core().pay(&Payment::instant("A-2", 12_346)).await;
    let mut browser = town.visitor(AUDITOR).await;
    let page = format!("/console/orders/{}", paid.id());
    let told = browser.get(&format!("{page}?lang=zh")).await.text;
    for text in ["受理", "发往通道", "写入交易流水", "123.45 <small>CNY</small>"] {
        assert!(told.contains(text), "the story lacks {text}: {told}");
    }
    let told = browser.get(&format!("{page}?lang=en")).await.text;
    assert!(told.contains("class=\"story\"") && told.contains("unionpay"), "{told}");
    for number in [paid.id(), "A-1", paid.text("channel_order_no")] {
        let action = "/console/orders/find";
        let found = browser.fill("/console", action, &[("number", number)]).await;
        assert_eq!((found.status, found.header("location")), (303, &*page), "{number}");
    }
    let card = crate::support::core::TEST_CARD;
    let by_card = browser.fill("/console", "/console/orders/find", &[("number", card)]).await;
    assert_eq!(by_card.status, 200, "{}", by_card.text);
    assert!(by_card.text.contains("A-1") && by_card.text.contains("A-2"), "{}", by_card.text);
    assert!(!by_card.text.contains(card), "a card number is shown nowhere");
    let none = browser.fill("/console", "/console/orders/find", &[("number", "B-9")]).await;
    assert!(none.text.contains("No order matches."), "{}", none.text);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_make_the_calls_that_they_stand_for() {
    let town = Town::new().await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    let mut browser = town.visitor(OPERATOR).await;
    let fields = [("bin", "621626"), ("amount", "123.45"), ("currency", "CNY")];
    let explained = browser.fill("/console/routes", "/console/routes", &fields).await;
    assert_eq!(explained.status, 200, "{}", explained.text);
    assert!(explained.text.contains("Where it would go"), "{}", explained.text);
    let fields = [("bin", "621626"), ("amount", "1.234"), ("currency", "CNY")];
    let refused = browser.fill("/console/routes", "/console/routes", &fields).await;
    assert!(refused.status >= 400, "an amount is no float");
    // What accounting and the core have is delivered once more when it is asked for.
    let id = paid.id();
    let sent = browser.fill("/console/notices", "/console/notices/retry", &[("id", id)]).await;
    assert_eq!(sent.header("location"), "/console/notices?said=retried_all&state=parked");
    let gone = [("id", "2611220000000009999")];
    let refused = browser.fill("/console/notices", "/console/notices/retry", &gone).await;
    assert_eq!(refused.status, 404);
    assert!(refused.text.contains("1 of 1 were refused"), "{}", refused.text);
    let receipt = [
        ("channel", "unionpay"),
        ("from", "2026-11-22"),
        ("currency", "CNY"),
        ("amount", "-7.50"),
        ("bank_reference", "B-1"),
        ("received_on", "2026-11-23"),
    ];
    let recorded = browser.fill("/console/settlement", "/console/settlement", &receipt).await;
    assert!(recorded.header("location").ends_with("?said=recorded"), "{}", recorded.text);
    let settlement = browser.get(recorded.header("location")).await.text;
    assert!(settlement.contains("\u{2212}7.50 <small>CNY</small>"), "{settlement}");
    let refreshed = [("source", "nowhere.csv")];
    let refused = browser.fill("/console/bins", "/console/bins/refresh", &refreshed).await;
    assert!(refused.text.contains("bin_table_refused"), "{}", refused.text);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_the_bin_table_leads_to_its_rows_against_the_one_before() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bin/unionpay-2018-06.csv");
    let fields = [("source", source), ("force", "true"), ("reason", "a drill")];
    let taken = browser.fill("/console/bins", "/console/bins/refresh", &fields).await;
    assert_eq!(taken.header("location"), "/console/bins?said=refreshed", "{}", taken.text);
    let versions = browser.get("/console/bins").await.text;
    let path = "/console/bins/changes?from=0&to=1";
    let href = format!("href=\"{}\"", path.replace('&', "&amp;"));
    assert!(versions.contains(&href), "{versions}");
    let told = town.core().get("/v1/bin-table/changes?from=0&to=1").await.body;
    let first = told["changes"][0]["bin"].as_str().expect("a row").to_owned();
    let row = format!("<th scope=\"row\" class=\"id\">{first}</th>");
    for (language, kind) in [("en", "removed"), ("zh", "删除")] {
        let shown = browser.get(&format!("{path}&lang={language}")).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        let kind = format!("<td class=\"list\">{kind}</td>");
        assert!(shown.text.contains(&row) && shown.text.contains(&kind), "{}", shown.text);
        assert!(!shown.text.contains("bin_change."), "every word has a text: {}", shown.text);
        assert!(
            shown.text.contains("href=\"/console/json/v1/bin-table/changes?"),
            "{}",
            shown.text
        );
    }
    // The next page has other rows, and leads back to the first one of the same versions.
    let next = told["next"].as_str().expect("more than a page");
    let second = browser.get(&format!("{path}&after={next}&lang=en")).await.text;
    assert!(!second.contains(&row), "{second}");
    assert!(second.contains("from=0&amp;lang=en&amp;to=1\">"), "{second}");
    let unknown = browser.get("/console/bins/changes?from=0&to=9").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text.contains("version 9 of the BIN table is not in the history"));
    town.app.stop().await;
}
