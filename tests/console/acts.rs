//! What an order's story offers to do, and what other routes would have made of orders.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::support::core::Payment;
use crate::support::installation::Installation;
use crate::support::simulated::UNIONPAY;
use crate::town::{AUDITOR, OPERATOR, Town};

const WHAT_IF: &str = "/console/routes/what-if";

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_sent_again_from_the_story() {
    let town = Town::new().await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    let page = format!("/console/orders/{}", paid.id());
    let action = format!("{page}/actions/resend_notice");
    let mut browser = town.visitor(OPERATOR).await;
    let sent = browser.fill(&page, &action, &[("reason", "the core lost it")]).await;
    let back = format!("{page}?said=carried_out");
    assert_eq!((sent.status, sent.header("location")), (303, &*back), "{}", sent.text);
    assert!(browser.get(&back).await.text.contains("It is carried out"));
    let audit = town.core().get("/v1/audit?order=newest").await;
    let entry = &audit.body["entries"][0];
    assert_eq!(entry["reason"], "the core lost it", "{entry}");
    assert!(entry.to_string().contains("olga"), "{entry}");
    // Both languages have words for it; an auditor has no form, and none of another path's token.
    let chinese = browser.get(&format!("{page}?lang=zh")).await.text;
    assert!(chinese.contains("重发通知") && chinese.contains("退款"), "{chinese}");
    let mut auditor = town.visitor(AUDITOR).await;
    assert!(!auditor.get(&page).await.text.contains("/actions/"));
    let fields = browser.get(&page).await.hidden(&action);
    assert_eq!(auditor.post(&action, &fields).await.status, 403);
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_made_from_the_story_as_it_is_at_that_moment() {
    let town = Town::new().await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    let page = format!("/console/orders/{}", paid.id());
    let action = format!("{page}/actions/refund");
    let mut browser = town.visitor(OPERATOR).await;
    let shown = browser.get(&page).await;
    assert!(shown.text.contains("at most <span class=\"money\">123.45"), "{}", shown.text);
    let hidden = shown.hidden(&action);
    let with = |filled: &[(&str, &str)]| {
        let mut fields = hidden.clone();
        fields.extend(filled.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        fields
    };
    // What is no amount never stands for the whole; what the API refuses is said on the page.
    let rows = [
        ("1.234", 422, "An amount in major units was expected"),
        ("a lot", 422, "An amount in major units was expected"),
        ("123.46", 422, "<code>"),
    ];
    for (amount, status, told) in rows {
        let refused =
            browser.post(&action, &with(&[("order_id", "R-1"), ("amount", amount)])).await;
        assert_eq!(refused.status, status, "{amount}: {}", refused.text);
        assert!(refused.text.contains(told) && refused.text.contains("role=\"alert\""), "{amount}");
        for kept in [amount, "R-1"] {
            let kept = format!("value=\"{kept}\"");
            assert!(refused.text.contains(&kept), "{kept}: {}", refused.text);
        }
    }
    // Only what the story names, at the path that it names.
    let elsewhere = [
        format!("/v1/payments/{}/void", paid.id()),
        format!("/v1/notices/{}/retry", paid.id()),
        "/console/logout".to_owned(),
        String::new(),
    ];
    for path in &elsewhere {
        let refused = browser.post(&action, &with(&[("order_id", "R-1"), ("path", path)])).await;
        assert_eq!(refused.status, 409, "{path}: {}", refused.text);
    }
    let untouched = town.core().payment(paid.id()).await;
    assert_eq!(untouched.body["follow_ups"].as_array().map_or(0, Vec::len), 0);

    let made = browser.post(&action, &with(&[("order_id", "R-1"), ("amount", "23.45")])).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let refund = made.header("location").to_owned();
    assert!(refund.ends_with("?said=taken") && !refund.contains(paid.id()), "{refund}");
    let refund = browser.get(&refund).await.text;
    assert!(refund.contains("23.45 <small>CNY</small>") && refund.contains("R-1"), "{refund}");
    // The same form once more, whatever stands in it: it leads to where it has led.
    let again = browser.post(&action, &with(&[("order_id", "R-2")])).await;
    assert_eq!(again.header("location"), made.header("location").replace("taken", "already"));
    let told = browser.get(again.header("location")).await.text;
    assert!(told.contains("nothing was done a second time"), "{told}");
    // The rest, by a page that is loaded anew, and a form of a page from before: the story has it
    // no longer.
    let late = browser.get(&page).await.hidden(&action);
    let made = browser.fill(&page, &action, &[("order_id", "R-2")]).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let mut late = late;
    late.insert("order_id".to_owned(), "R-3".to_owned());
    let again = browser.post(&action, &late).await;
    assert_eq!(again.status, 409, "{}", again.text);
    assert!(again.text.contains("does not allow this any more"), "{}", again.text);
    let refunded = town.core().payment(paid.id()).await;
    assert_eq!(refunded.body["follow_ups"].as_array().map_or(0, Vec::len), 2, "{refunded:?}");
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_other_routes_would_hit_are_named_in_both_languages() {
    let installation = Installation::new(|settings| settings).await;
    installation.change_channel(UNIONPAY, "limits.per_order_max_minor = 10000");
    let town = Town::around(installation, |_| {}).await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "over the bank, which takes more");
    let routes = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"unionpay\"]\n";
    let mut browser = town.visitor(OPERATOR).await;
    let asked = question(paid.text("created_at"), routes);
    let asked: Vec<_> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (language, words) in [("en", "above the most of an order"), ("zh", "超过单笔上限")] {
        let page = format!("{WHAT_IF}?lang={language}");
        let told = browser.fill(&page, WHAT_IF, &asked).await;
        let struck = told.text.split_once("id=\"struck\"").expect("reasons").1;
        // It stands behind the bank in the rule in force, where it is struck as well.
        let row = format!("{words}</td><td class=\"num\">1</td><td class=\"num\">1</td>");
        assert!(struck.contains(&row), "{struck}");
        assert!(told.text.contains("<td>harbour-bank</td>"), "{}", told.text);
    }
    town.app.stop().await;
}

/// The form of a question about the days around an order.
fn question(created_at: &str, routes: &str) -> [(&'static str, String); 3] {
    let day: Date = created_at[..10].parse().expect("a date");
    let (from, to) = (day - 1.day(), day + 1.day());
    [("from", from.to_string()), ("to", to.to_string()), ("routes", routes.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_asks_what_other_routes_would_have_made_of_orders() {
    let town = Town::new().await;
    let paid = town.core().pay(&Payment::instant("A-1", 12_345)).await;
    let mut browser = town.visitor(AUDITOR).await;
    assert!(browser.get("/console/routes").await.text.contains(&format!("href=\"{WHAT_IF}\"")));
    let mut ask = async |routes: &str, language: &str| {
        let mut fields = browser.get(&format!("{WHAT_IF}?lang={language}")).await.hidden(WHAT_IF);
        let asked = question(paid.text("created_at"), routes);
        fields.extend(BTreeMap::from(asked.map(|(name, value)| (name.to_owned(), value))));
        browser.post(WHAT_IF, &fields).await
    };
    // No order of this size has a route; the file is larger than an order's body may be.
    let filling = "# a remark\n".repeat(20_000);
    let small = format!(
        "{filling}[[rule]]\nname = \"small\"\nstrategy = \"priority\"\n\
         channels = [\"unionpay\"]\nwhen = {{ amount_to_minor = 1 }}\n"
    );
    let told = ask(&small, "en").await;
    assert_eq!(told.status, 200, "{}", told.text);
    let report = told.text.split_once("id=\"report\"").expect("a report").1;
    let said = [
        "Orders that were planned again: 1",
        "Of these go elsewhere: 1 (100.00 %)",
        "123.45 <small>CNY</small>",
        "0.00 <small>CNY</small>",
        "<td>no channel</td>",
        "1 – 1",
    ];
    for said in said {
        assert!(report.contains(said), "{said}: {report}");
    }
    assert!(told.text.contains("name = &quot;small&quot;"), "what was typed is kept");
    let told = ask(&small, "zh").await.text;
    for said in ["重新规划的订单：1 笔", "其中改走其他通道：1 笔（100.00 %）", "95% 区间"]
    {
        assert!(told.contains(said), "{said}");
    }
    // Mistakes of the file are named with their lines, and none of its text becomes a tag.
    let below = "[[rule]]\nname = \"x\"\nstrategy = \"sideways\"\nchannels = [\"<b>\"]\n";
    let refused = ask(below, "en").await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    for said in ["files_refused", "<td class=\"num\">3</td>", "sideways", "Advice", "&lt;b&gt;"] {
        assert!(refused.text.contains(said), "{said}: {}", refused.text);
    }
    assert!(!refused.text.contains("<b>") && !refused.text.contains("id=\"report\""));
    // The problem and its advice are in the visitor's language; what is between backticks is code.
    let refused = ask(below, "zh").await.text;
    for said in ["路由或通道文件有错误", "改正文件；<code>switchyard channel check</code>"]
    {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_reload_is_shown_and_accepted_where_the_routes_are() {
    const PAGE: &str = "/console/routes";
    const RELOAD: &str = "/console/routes/reload";
    let installation = Installation::new(|settings| settings).await;
    let routes = installation.folder().join("routes.toml");
    let town = Town::around(installation, |_| {}).await;
    for number in 0..20 {
        town.core().pay(&Payment::instant(&format!("A-{number}"), 12_345)).await;
    }
    let mut browser = town.visitor(OPERATOR).await;
    assert!(!browser.get(PAGE).await.text.contains("id=\"held\""));
    let all = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"unionpay\"]\n";
    std::fs::write(routes, all).expect("a file");
    town.app.reload().await.expect("no panic");
    for (language, words) in [("en", "A reload is held"), ("zh", "重新载入待确认")] {
        let today = browser.get(&format!("/console?lang={language}")).await.text;
        let (before, told) = today.split_once("href=\"/console/routes#held\">").expect("a link");
        assert!(told.starts_with(words) && before.contains("id=\"alerts\""), "{today}");
    }
    for (language, words) in [("en", "A reload is held"), ("zh", "待确认")] {
        let shown = browser.get(&format!("{PAGE}?lang={language}")).await.text;
        let held = shown.split_once("id=\"held\"").expect("a section").1;
        assert!(held.contains(words) && held.contains("20 / 20"), "{held}");
        assert!(held.contains("<td>harbour-bank</td><td>unionpay</td>"), "{held}");
    }
    let mut auditor = town.visitor(AUDITOR).await;
    let read = auditor.get(PAGE).await.text;
    assert!(read.contains("id=\"held\"") && !read.contains(RELOAD), "an auditor accepts nothing");
    let done = browser.fill(PAGE, RELOAD, &[("reason", "a new contract")]).await;
    let back = format!("{PAGE}?said=reloaded");
    assert_eq!((done.status, done.header("location")), (303, &*back), "{}", done.text);
    let shown = browser.get(&back).await.text;
    assert!(shown.contains("<th scope=\"row\">all</th>") && !shown.contains("id=\"held\""));
    town.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_one_page_that_lead_to_one_path_are_each_carried_out() {
    let town = Town::new().await;
    let mut browser = town.visitor(OPERATOR).await;
    for source in ["unionpay-2014-10.csv", "unionpay-2018-06.csv", "unionpay-2014-10.csv"] {
        let source = format!("{}/tests/fixtures/bin/{source}", env!("CARGO_MANIFEST_DIR"));
        let fields = [("source", source.as_str()), ("force", "true"), ("reason", "a drill")];
        let taken = browser.fill("/console/bins", "/console/bins/refresh", &fields).await;
        assert_eq!(taken.header("location"), "/console/bins?said=refreshed", "{}", taken.text);
    }
    let action = "/console/bins/rollback";
    let mut forms = browser.get("/console/bins").await.all_hidden(action);
    forms.retain(|form| form.contains_key("version"));
    assert_eq!(forms.iter().map(|form| &form["version"]).collect::<Vec<_>>(), ["2", "1"]);
    // The way back, and another form of the page that still stands there.
    let with_reason = |form: &BTreeMap<String, String>| {
        let mut form = form.clone();
        form.insert("reason".to_owned(), "a bank is missing".to_owned());
        form
    };
    let unsaid = browser.post(action, &forms[0]).await;
    assert_eq!(unsaid.status, 400, "{}", unsaid.text);
    let forms: Vec<_> = forms.iter().map(with_reason).collect();
    for form in [&forms[1], &forms[0]] {
        let sent = browser.post(action, form).await;
        assert_eq!(sent.header("location"), "/console/bins?said=rolled_back", "{form:?}");
        let table = town.core().get("/v1/bin-table").await.body;
        assert_eq!(table["version"].to_string(), form["version"]);
    }
    let again = browser.post(action, &forms[1]).await;
    assert_eq!(again.header("location"), "/console/bins?said=already");
    let page = browser.get("/console/bins").await.text;
    assert_eq!(page.matches("<td>a bank is missing</td>").count(), 2, "{page}");
    assert_eq!(page.matches("<td>a drill</td>").count(), 3, "{page}");
    town.app.stop().await;
}
