//! A working day at the console, in a real browser: its tasks as a person does them.
//!
//! Chromium is driven by chromedriver over WebDriver. Each task begins at the first page and takes
//! three clicks or fewer; what is typed into a form is no click. Screenshots of every page, in both
//! languages, by day, by night and on a narrow screen, are left in `target/console/`. Every page is
//! held against axe-core's rules of accessibility. Where chromium or axe-core is missing, this is
//! left out with a word; `.ci/run` demands both.

mod driver;
mod shop;
#[path = "../support/mod.rs"]
mod support;

use driver::{Browser, Look};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::Value;
use shop::Shop;
use support::wire::until;
use support::witnesses::{axe, has_chromium, is_left_out};

/// The most clicks of a task, from the first page.
const CLICKS_MAX: u32 = 3;
/// Impacts of axe-core that no page may have.
const SERIOUS: [&str; 2] = ["serious", "critical"];

/// The pages that are photographed and held against axe-core.
const PAGES: [(&str, &str); 17] = [
    ("today", "/console"),
    ("orders", "/console/orders"),
    ("unknowns", "/console/unknowns"),
    ("channels", "/console/channels"),
    ("channel", "/console/channels/unionpay"),
    ("routes", "/console/routes"),
    ("what-if", "/console/routes/what-if"),
    ("bins", "/console/bins?prefix=621626"),
    ("bin-changes", "/console/bins/changes?from=0&to=1"),
    ("reconciliation", "/console/reconciliation"),
    ("differences", "/console/differences?channel=unionpay"),
    ("settlement", "/console/settlement?channel=unionpay"),
    ("accounting", "/console/accounting"),
    ("notices", "/console/notices"),
    ("approvals", "/console/approvals?state=all"),
    ("audit", "/console/audit"),
    ("settings", "/console/settings"),
];

/// Routes under which most orders go nowhere.
const NARROWER_ROUTES: &str = "[[rule]]\nname = \"small\"\nstrategy = \"priority\"\n\
     channels = [\"unionpay\"]\nwhen = { amount_to_minor = 10005 }\n";

/// One person's day.
struct WorkingDay {
    browser: Browser,
    base: String,
    done: Vec<(&'static str, u32)>,
}

impl WorkingDay {
    /// A task: it begins at the first page, and its clicks are counted.
    async fn task(&mut self, name: &'static str) {
        self.end();
        self.browser.go(&format!("{}/console?lang=en", self.base)).await;
        self.browser.clicks = 0;
        self.done.push((name, 0));
    }

    fn end(&mut self) {
        if let Some((name, clicks)) = self.done.last_mut() {
            *clicks = self.browser.clicks;
            assert!(*clicks <= CLICKS_MAX, "{name} takes {clicks} clicks");
        }
    }

    async fn shows(&mut self, text: &str) {
        let (name, _) = self.done.last().expect("a task");
        let what = format!("{name}: a page with {text:?}");
        until(&what, async || self.browser.text().await?.contains(text).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_working_day_take_three_clicks_each() {
    let axe = axe();
    if is_left_out(!has_chromium(), "chromium and chromedriver")
        || is_left_out(axe.is_none(), "axe-core")
    {
        return;
    }
    let shop = Shop::open().await;
    let base = format!("http://{}", shop.app.address());
    let mut browser = Browser::start().await;
    browser.go(&format!("{base}/console?lang=en")).await;
    browser.fill("#key", support::installation::CALLER_KEY).await;
    browser.click("form button").await;
    let axe = std::fs::read_to_string(axe.expect("it is there")).expect("axe-core is text");
    shop.changes_the_bin_table().await;
    look_at_all(&browser, &base, &shop, &axe).await;
    look_at_answers(&mut browser, &base, &shop, &axe).await;
    let mut day = WorkingDay { browser, base: base.clone(), done: Vec::new() };
    unknowns_and_channels(&mut day, &shop).await;
    cards_and_deliveries(&mut day, &shop).await;
    days_and_money(&mut day, &shop).await;
    day.end();
    assert_eq!(day.done.len(), 13, "{:?}", day.done);
    day.browser.quit().await;
    shop.app.stop().await;
}

async fn unknowns_and_channels(day: &mut WorkingDay, shop: &Shop) {
    day.task("see what wants a person").await;
    day.shows("Unknowns that wait for a person").await;
    day.shows("Accounting requests that are parked").await;

    day.task("end an unknown, as the channel has told on the phone").await;
    day.browser.click("a[href='/console/unknowns?phase=operator']").await;
    day.browser.click("table[data-rows] tbody a").await;
    day.browser.choose("select[name=outcome]", "failed").await;
    day.browser.fill("form[action$='/resolve'] input[name=reason]", "told on the phone").await;
    day.browser.click("form[action$='/resolve'] button").await;
    day.shows("The decision is in the books.").await;

    day.task("find an order by a number that the shop has told").await;
    day.browser.fill("input[type=search]", "P-3").await;
    day.browser.press_enter("input[type=search]").await;
    day.shows("P-3").await;
    day.shows("100.03 CNY").await;

    day.task("see how a channel does").await;
    day.browser.click("main a[href='/console/channels/unionpay']").await;
    day.shows("Requests, the last 24 hours").await;

    day.task("keep orders away from a channel").await;
    day.browser.click("main a[href='/console/channels/harbour-bank']").await;
    day.browser.fill("form[action$='/switch'] input[name=reason]", "their night work").await;
    day.browser.click("form[action$='/switch'] button").await;
    day.shows("The channel is switched off.").await;
    assert_eq!(shop.core.get("/v1/channels/harbour-bank").await.body["enabled"], false);
}

async fn cards_and_deliveries(day: &mut WorkingDay, shop: &Shop) {
    day.task("look a card's issuer up").await;
    day.browser.click("a[href='/console/bins']").await;
    day.browser.fill("input[name=prefix]", "621626").await;
    day.browser.click("form[action='/console/bins'] button").await;
    day.shows("621626").await;

    day.task("see why an order goes where it goes").await;
    day.browser.click("a[href='/console/routes']").await;
    day.browser.fill("input[name=bin]", "621626").await;
    day.browser.click("form[action='/console/routes'] button").await;
    day.shows("Where it would go").await;

    day.task("have accounting posted again what it refused").await;
    shop.accounting.accepts(true);
    day.browser.click("a[href='/console/accounting?state=parked']").await;
    day.browser.click("input[data-all]").await;
    day.browser.click("form[action$='/retry'] button").await;
    day.shows("They are being delivered now.").await;
    shop.nothing_is_parked("/v1/accounting-requests?state=parked", "accounting_requests").await;

    day.task("have the core told again what it did not take").await;
    shop.told.accepts(true);
    day.browser.click("main a[href='/console/notices?state=parked']").await;
    day.browser.click("input[data-all]").await;
    day.browser.click("form[action$='/retry'] button").await;
    day.shows("They are being delivered now.").await;
    shop.nothing_is_parked("/v1/notices?state=parked", "notices").await;
}

async fn days_and_money(day: &mut WorkingDay, shop: &Shop) {
    day.task("see how yesterday's statement agrees").await;
    day.browser.click("a[href='/console/reconciliation']").await;
    let date = format!("a[href='/console/reconciliation/unionpay/{}']", shop.date);
    day.browser.click(&date).await;
    day.shows("Suspense by age").await;

    day.task("balance differences of one cause together").await;
    day.browser.click("main a[href='/console/differences?channel=unionpay']").await;
    day.browser.click("input[data-all]").await;
    day.browser.choose("select[name=remedy]", "profit or loss").await;
    day.browser.fill("form.bulk input[name=reason]", "agreed with the channel").await;
    day.browser.click("form.bulk button").await;
    day.shows("The differences are balanced.").await;

    day.task("record the bank's money").await;
    day.browser.click("a[href='/console/settlement']").await;
    let form = "form[method=post][action='/console/settlement']";
    day.browser.choose(&format!("{form} select[name=channel]"), "UnionPay").await;
    for (name, value) in [("from", &*shop.date), ("received_on", &*shop.date)] {
        day.browser.set(&format!("{form} input[name={name}]"), value).await;
    }
    day.browser.fill(&format!("{form} input[name=amount]"), "1.23").await;
    day.browser.fill(&format!("{form} input[name=bank_reference]"), "B-17").await;
    day.browser.click(&format!("{form} button")).await;
    day.shows("The receipt is recorded.").await;
    day.shows("1.23 CNY").await;

    day.task("see who has done what").await;
    day.browser.click("a[href='/console/audit']").await;
    day.shows("their night work").await;
    day.shows("told on the phone").await;
}

/// Photographs every page as people have it before them, and holds each against axe-core.
async fn look_at_all(browser: &Browser, base: &str, shop: &Shop, axe: &str) {
    let unknowns = shop.core.all("/v1/reversals", "reversals").await;
    let unknown = unknowns[0]["id"].as_str().expect("an id");
    let differences = shop.core.all("/v1/differences?channel=unionpay", "differences").await;
    let difference = differences[0]["id"].as_str().expect("an id");
    let batch = differences[0]["found_by"].as_str().expect("a batch");
    let mut pages = PAGES.map(|(name, path)| (name, path.to_owned())).to_vec();
    pages.push(("order", format!("/console/orders/{unknown}")));
    pages.push(("date", format!("/console/reconciliation/unionpay/{}", shop.date)));
    pages.push(("difference", format!("/console/differences/{difference}")));
    pages.push(("batch", format!("/console/batches/{batch}")));
    let parked = shop.core.all("/v1/accounting-requests?state=parked", "accounting_requests").await;
    let parked = parked[0]["id"].as_str().expect("an id");
    pages.push(("accounting-request", format!("/console/accounting/{parked}")));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console");
    std::fs::create_dir_all(&folder).expect("a folder for screenshots");
    let looks = [
        Look { language: "en", scheme: "light", width: 1_280 },
        Look { language: "zh", scheme: "dark", width: 1_280 },
        Look { language: "zh", scheme: "light", width: 420 },
    ];
    let mut complaints = Vec::new();
    for look in looks {
        browser.appear(&look).await;
        for (name, path) in &pages {
            let and = if path.contains('?') { '&' } else { '?' };
            browser.go(&format!("{base}{path}{and}lang={}", look.language)).await;
            let file = format!("{name}-{}-{}-{}.png", look.language, look.scheme, look.width);
            std::fs::write(folder.join(file), browser.screenshot().await).expect("a file");
            for found in serious(&browser.accessibility(axe).await) {
                complaints.push(format!("{name} ({}, {}): {found}", look.language, look.scheme));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    browser.appear(&Look { language: "en", scheme: "light", width: 1_280 }).await;
}

/// The same of what stands on a page only after a click: a report, and the forms of a story.
async fn look_at_answers(browser: &mut Browser, base: &str, shop: &Shop, axe: &str) {
    let paid = shop.core.all("/v1/orders?status=succeeded", "orders").await;
    let of = |name: &str| paid[0][name].as_str().expect("an order has it");
    let day: Date = of("created_at")[..10].parse().expect("a date");
    let paid = of("id");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console");
    browser.go(&format!("{base}/console/routes/what-if?lang=en")).await;
    for (name, date) in [("from", day - 1.day()), ("to", day + 1.day())] {
        browser.set(&format!("input[name={name}]"), &date.to_string()).await;
    }
    browser.fill("textarea", NARROWER_ROUTES).await;
    browser.click("form[action$='/what-if'] button").await;
    until("the report", async || browser.text().await?.contains("Report").then_some(())).await;
    let report = (browser.screenshot().await, serious(&browser.accessibility(axe).await));
    browser.go(&format!("{base}/console/orders/{paid}")).await;
    for name in ["refund", "resend_notice"] {
        browser.click(&format!("details:has(form[action$='/{name}']) summary")).await;
    }
    let story = (browser.screenshot().await, serious(&browser.accessibility(axe).await));
    for (name, (picture, complaints)) in [("what-if-report", report), ("order-actions", story)] {
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("a file");
        assert!(complaints.is_empty(), "{name}: {}", complaints.join("\n"));
    }
}

fn serious(violations: &Value) -> Vec<String> {
    let violations = violations.as_array().expect("axe-core gives a list");
    let counts = violations
        .iter()
        .filter(|one| one["impact"].as_str().is_some_and(|impact| SERIOUS.contains(&impact)));
    counts.map(|one| format!("{}: {}", one["id"], one["nodes"])).collect()
}
