//! Notices to the merchant: sent after the result, posted until acknowledged or given up, and
//! repeated, delayed, contradicted, forged or withheld as the plan says.
//!
//! It delivers notices, and the dialect writes them. A true notice describes the ledger as it is
//! when the notice leaves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::faults::{NoticePlan, SimulatorEvent};
use super::ledger::{EntryState, EntryView};
use super::state::SimulatorState;

/// One notice as it is posted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub content_type: &'static str,
    /// The headers that carry the signature, if the body does not.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
}

impl Letter {
    /// A percent-encoded form.
    pub fn form(body: String) -> Self {
        let content_type = "application/x-www-form-urlencoded;charset=UTF-8";
        Self { content_type, headers: Vec::new(), body }
    }
}

/// The statement of a notice about its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoticeContent {
    Truth,
    /// The opposite of the ledger, well signed.
    Opposite,
    /// The opposite of the ledger, badly signed.
    Forgery,
}

/// Writes a notice.
pub(super) type NoticeWriter =
    Box<dyn Fn(&SimulatorState, &EntryView, NoticeContent) -> Letter + Send + Sync>;

/// A notice to come about one order.
pub(super) struct BankNotice {
    pub order_no: String,
    /// The address that the merchant gave.
    pub url: String,
    /// The time until there is a result.
    pub working: Duration,
    pub write: NoticeWriter,
}

/// The client that posts notices: plain HTTP only, so it trusts no certificate.
pub(super) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .build()
}

/// Sends the notice in the background. The plan is drawn now, so later faults do not change it.
pub(super) fn schedule(running: &Arc<SimulatorState>, notice: BankNotice) {
    let faults = running.faults();
    let plan = NoticePlan::draw(&faults, running.settings.seed, &notice.order_no);
    let waiting = WaitingNotice::begin(Arc::clone(running));
    tokio::spawn(async move {
        let running = &waiting.0;
        tokio::select! {
            () = send_notice(running, &notice, &plan) => {}
            () = running.stopped() => {}
        }
    });
}

/// Counts a notice as waiting for as long as this exists.
struct WaitingNotice(Arc<SimulatorState>);

impl WaitingNotice {
    fn begin(running: Arc<SimulatorState>) -> Self {
        running.begin_notice();
        Self(running)
    }
}

impl Drop for WaitingNotice {
    fn drop(&mut self) {
        self.0.end_notice();
    }
}

async fn send_notice(running: &SimulatorState, notice: &BankNotice, plan: &NoticePlan) {
    tokio::time::sleep(notice.working).await;
    running.ledger.finish(running.now(), &notice.order_no);
    if plan.missing {
        running.counters.add(SimulatorEvent::NoticeMissing);
        return;
    }
    if plan.delayed {
        running.counters.add(SimulatorEvent::NoticeDelayed);
    }
    running.counters.add_many(SimulatorEvent::NoticeRepeated, plan.copies.len() as u64);
    let mut posts: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    posts.push(Box::pin(post(running, notice, plan.delay, NoticeContent::Truth)));
    for after in &plan.copies {
        posts.push(Box::pin(post(running, notice, *after, NoticeContent::Truth)));
    }
    if let Some(after) = plan.contradiction {
        posts.push(Box::pin(post(running, notice, after, NoticeContent::Opposite)));
    }
    if let Some(after) = plan.forgery {
        posts.push(Box::pin(post(running, notice, after, NoticeContent::Forgery)));
    }
    join_all(posts).await;
}

/// Waits, then posts until the answer is 200 or the tries are used up.
async fn post(
    running: &SimulatorState,
    notice: &BankNotice,
    after: Duration,
    content: NoticeContent,
) {
    tokio::time::sleep(after).await;
    match content {
        NoticeContent::Truth => {}
        NoticeContent::Opposite => {
            running.ledger.mark_contradicted(&notice.order_no);
            running.counters.add(SimulatorEvent::NoticeContradicting);
        }
        NoticeContent::Forgery => running.counters.add(SimulatorEvent::NoticeForged),
    }
    let waits = running.settings.notice_retries.waits.iter().map(Some).chain([None]);
    for wait in waits {
        // Written anew for each post: a retry may leave after a reversal, and must not tell an
        // older state.
        let Some(letter) = write(running, notice, content) else { return };
        if deliver(running, &notice.url, letter).await {
            return;
        }
        match wait {
            Some(wait) => tokio::time::sleep(*wait).await,
            None => running.counters.add(SimulatorEvent::NoticeGivenUp),
        }
    }
}

/// The notice as of now. A reversed order has no true notice, since the reversal's reply told it.
fn write(running: &SimulatorState, notice: &BankNotice, content: NoticeContent) -> Option<Letter> {
    let found = running.ledger.look(running.now(), &notice.order_no)?;
    let withheld = content == NoticeContent::Truth && found.facts.state == EntryState::Reversed;
    (!withheld).then(|| (notice.write)(running, &found, content))
}

/// Posts once; returns whether the merchant acknowledged it.
async fn deliver(running: &SimulatorState, url: &str, letter: Letter) -> bool {
    let Ok(_permit) = running.posts.acquire().await else { return false };
    running.counters.add(SimulatorEvent::NoticePost);
    let request = running.client.post(url).headers(letter.headers.into_iter().collect());
    let request = request.header(CONTENT_TYPE, letter.content_type).body(letter.body);
    request.send().await.is_ok_and(|response| response.status() == reqwest::StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::domain::money::{AmountMinor, Currency};
    use crate::domain::time::Timestamp;
    use crate::simulator::SimulatorSettings;
    use crate::simulator::ledger::{BankOrder, IssuerDecision};

    /// A channel with one approved order "a", and a notice about it that tells its state.
    fn approved() -> (SimulatorState, BankNotice) {
        let clock = Arc::new(|| Timestamp::from_millis(1_795_000_000_000));
        let settings = SimulatorSettings::harbour_bank("x", clock);
        let client = client(Duration::from_secs(1)).expect("a client");
        let running = SimulatorState::new(settings, client, watch::channel(false).1);
        let amount = AmountMinor::new(5).expect("an amount");
        let currency = Currency::Cny;
        let (sent_at, product) = ("", "");
        let order = BankOrder { order_no: "a", sent_at, amount, currency, card: None, product };
        let verdict = IssuerDecision { approves: true, code: "00", working: Duration::ZERO };
        running.ledger.charge(running.now(), order, verdict, "30");
        let notice = BankNotice {
            order_no: "a".to_owned(),
            url: String::new(),
            working: Duration::ZERO,
            write: Box::new(|_, found, content| {
                Letter::form(format!("{content:?} of {:?}", found.facts.state))
            }),
        };
        (running, notice)
    }

    #[test]
    fn a_true_notice_is_withheld_once_its_order_is_reversed_and_a_lie_is_not() {
        let (running, notice) = approved();
        let written = |content| write(&running, &notice, content).map(|letter| letter.body);
        assert_eq!(written(NoticeContent::Truth).as_deref(), Some("Truth of Approved"));
        running.ledger.reverse(running.now(), "a", None);
        assert_eq!(written(NoticeContent::Truth), None);
        assert_eq!(written(NoticeContent::Opposite).as_deref(), Some("Opposite of Reversed"));
        let unknown = BankNotice { order_no: "b".to_owned(), ..notice };
        assert_eq!(write(&running, &unknown, NoticeContent::Opposite), None);
    }
}
