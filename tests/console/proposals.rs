//! Proposals to the BIN table: the page that shows them, and a person's yes and no on it.

use switchyard::domain::bin::Bin;
use switchyard::domain::bin::proposal::{BinEvidence, BinEvidenceSource, BinFact, BinProposal};
use switchyard::domain::ids::{ChannelId, OrderId};
use switchyard::domain::write_set::WriteSet;

use crate::support::simulated::UNIONPAY;
use crate::town::{AUDITOR, OPERATOR, Town};

const PAGE: &str = "/console/bins/proposals";
/// Rows of the shipped table for debit cards of 19 digits.
const TAKEN: &str = "621626";
const LEFT: &str = "622848";

/// As the worker writes one that three orders bear out.
async fn propose(town: &Town, bin: &str, fact: BinFact) {
    let state = town.app.state();
    let (table, now) = (state.bins.current(), state.engine.clock().now());
    let row = table.table.row(Bin::parse(bin).expect("a BIN"), 19).expect("a row");
    let one = |sequence| BinEvidence {
        source: BinEvidenceSource::Message,
        order: OrderId::compose(261_122, 1, sequence),
        channel: ChannelId::parse(UNIONPAY).expect("an id"),
        at: now,
        told: format!("the channel's notice names the card {fact}; the table has debit"),
    };
    let opened = BinProposal::open((fact, row, table.version), (1..=3).map(one).collect(), now);
    let writes = WriteSet { bin_proposals: vec![opened], ..WriteSet::default() };
    state.engine.record(writes).await.expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_accepted_or_refused_by_its_buttons() {
    let town = Town::new().await;
    propose(&town, TAKEN, BinFact::Credit).await;
    propose(&town, LEFT, BinFact::Prepaid).await;
    let accept = format!("{PAGE}/{TAKEN}-19-credit/accept");
    let refuse = format!("{PAGE}/{LEFT}-19-prepaid/refuse");
    let mut auditor = town.visitor(AUDITOR).await;
    let seen = auditor.get(PAGE).await.text;
    assert!(seen.contains("names the card credit") && !seen.contains("/accept"), "{seen}");
    let mut browser = town.visitor(OPERATOR).await;
    for (language, words) in [("en", ["debit", "prepaid"]), ("zh", ["借记卡", "预付卡"])] {
        let shown = browser.get(&format!("{PAGE}?lang={language}")).await.text;
        for word in words {
            assert!(shown.contains(&format!("<td>{word}</td>")), "{word}: {shown}");
        }
    }
    // A word on it is signed with a reason, by somebody who may.
    let unsigned = browser.fill(PAGE, &accept, &[]).await;
    assert_eq!(unsigned.status, 400, "{}", unsigned.text);
    let fields = browser.get(PAGE).await.hidden(&accept);
    assert_eq!(auditor.post(&accept, &fields).await.status, 403);
    let core = town.core();
    let card_type = async || {
        let found = core.get(&format!("/v1/bins/{TAKEN}?length=19")).await.body;
        found["rows"][0]["card_type"].as_str().expect("a type").to_owned()
    };
    assert_eq!(card_type().await, "debit");

    let reason = [("reason", "the issuer wrote")];
    let taken = browser.fill(&format!("{PAGE}?lang=en"), &accept, &reason).await;
    let back = format!("{PAGE}?said=taken_into_table");
    assert_eq!((taken.status, taken.header("location")), (303, &*back), "{}", taken.text);
    let shown = browser.get(&back).await.text;
    assert!(shown.contains("in a new version") && !shown.contains(TAKEN), "{shown}");
    assert_eq!(card_type().await, "credit");
    let refused = browser.fill(PAGE, &refuse, &[("reason", "a test of theirs")]).await;
    let back = format!("{PAGE}?said=not_proposed_again");
    assert_eq!((refused.status, refused.header("location")), (303, &*back), "{}", refused.text);
    let empty = browser.get(&back).await.text;
    assert!(empty.contains("class=\"calm\"") && !empty.contains("/refuse"), "{empty}");
    let all = browser.get(&format!("{PAGE}?state=all")).await.text;
    for said in ["accepted", "refused", "olga", "the issuer wrote", "a test of theirs"] {
        assert!(all.contains(said), "{said}: {all}");
    }
    let version = core.get("/v1/bin-table").await.body["version"].clone();
    assert_eq!(version, 1, "a no makes no version");
    town.app.stop().await;
}
