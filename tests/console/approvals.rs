//! What waits for a second person: the form that asks, and the page on which another one decides.

use switchyard::config::checked::Role;
use switchyard::config::four_eyes::HeldSwitch;

use crate::support::simulated::UNIONPAY;
use crate::town::{AUDITOR, OPERATOR, Town, caller};

const SECOND: &str = "a key of a second operator for the console's tests";

#[tokio::test(flavor = "multi_thread")]
async fn i_14_a_held_form_says_so_and_a_second_person_carries_it_out() {
    let town = Town::with(|settings| {
        settings.four_eyes.channel_switch = HeldSwitch::Both;
        settings.callers.push(caller("otto", Role::Operator, SECOND));
    })
    .await;
    let page = format!("/console/channels/{UNIONPAY}");
    let form = format!("{page}/switch");
    let mut browser = town.visitor(OPERATOR).await;
    let asked = browser.fill(&page, &form, &[("enabled", "false"), ("reason", "tests")]).await;
    let waits = "/console/approvals?said=held";
    assert_eq!((asked.status, asked.header("location")), (303, waits), "{}", asked.text);
    let shown = browser.get(waits).await.text;
    assert!(shown.contains("Nothing is done yet"), "{shown}");
    assert!(shown.contains(&format!("switch channel {UNIONPAY} off")), "{shown}");
    let core = town.core();
    assert_eq!(core.get(&format!("/v1/channels/{UNIONPAY}")).await.body["enabled"], true);
    let waiting = core.get("/v1/approvals").await.body;
    let id = waiting["approvals"][0]["id"].as_str().expect("a request").to_owned();
    let approve = format!("/console/approvals/{id}/approve");
    let own = browser.fill("/console/approvals", &approve, &[]).await;
    assert_eq!(own.status, 403, "who asks does not approve: {}", own.text);
    assert!(browser.get("/console").await.text.contains("href=\"/console/approvals\""));
    let mut auditor = town.visitor(AUDITOR).await;
    assert!(!auditor.get("/console/approvals").await.text.contains("/approve"));
    let mut second = town.visitor(SECOND).await;
    let done = second.fill("/console/approvals", &approve, &[]).await;
    let back = "/console/approvals?said=approved";
    assert_eq!((done.status, done.header("location")), (303, back), "{}", done.text);
    assert_eq!(core.get(&format!("/v1/channels/{UNIONPAY}")).await.body["enabled"], false);
    let all = second.get("/console/approvals?state=all&lang=zh").await.text;
    assert!(all.contains("已执行") && all.contains("otto"), "{all}");
    let audit = second.get("/console/audit").await.text;
    assert!(audit.contains("olga + otto"), "{audit}");
    town.app.stop().await;
}
