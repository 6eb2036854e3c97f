//! Notices to the merchant: sent after the result, posted until acknowledged or given up, and
//! repeated, delayed, contradicted, forged or withheld as the plan says.
//!
//! Knows how to deliver, not what a notice says: its dialect writes it. True notices tell of the
//! ledger as it is when they leave.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::header::CONTENT_TYPE;

use super::faults::{Happening, NoticePlan};
use super::ledger::{EntryState, Found};
use super::running::Running;

const FORM: &str = "application/x-www-form-urlencoded;charset=UTF-8";

/// What a notice claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Truth,
    /// The opposite of the ledger, well signed.
    Opposite,
    /// The opposite of the ledger, badly signed.
    Forgery,
}

/// Writes the body of a notice: percent-encoded form.
pub(super) type NoticeWriter = Box<dyn Fn(&Running, &Found, Claim) -> String + Send + Sync>;

/// What is to be told about one order.
pub(super) struct Notice {
    pub order_no: String,
    /// Where to, as the merchant gave it.
    pub url: String,
    /// How long until there is a result to tell.
    pub working: Duration,
    pub write: NoticeWriter,
}

/// The client that posts notices. Plain HTTP only: it trusts no certificate.
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
pub(super) fn schedule(running: &Arc<Running>, notice: Notice) {
    let faults = running.faults();
    let plan = NoticePlan::draw(&faults, running.settings.seed, &notice.order_no);
    let waiting = Waiting::begin(Arc::clone(running));
    tokio::spawn(async move {
        let running = &waiting.0;
        tokio::select! {
            () = tell(running, &notice, &plan) => {}
            () = running.stopped() => {}
        }
    });
}

/// Counts a notice as waiting for as long as it lives.
struct Waiting(Arc<Running>);

impl Waiting {
    fn begin(running: Arc<Running>) -> Self {
        running.begin_notice();
        Self(running)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.end_notice();
    }
}

async fn tell(running: &Running, notice: &Notice, plan: &NoticePlan) {
    tokio::time::sleep(notice.working).await;
    running.ledger.finish(running.now(), &notice.order_no);
    if plan.missing {
        running.counters.add(Happening::NoticeMissing);
        return;
    }
    if !plan.delay.is_zero() {
        running.counters.add(Happening::NoticeDelayed);
    }
    running.counters.add_many(Happening::NoticeRepeated, plan.copies.len() as u64);
    let mut posts: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    posts.push(Box::pin(post(running, notice, plan.delay, Claim::Truth)));
    for after in &plan.copies {
        posts.push(Box::pin(post(running, notice, *after, Claim::Truth)));
    }
    if let Some(after) = plan.contradiction {
        posts.push(Box::pin(post(running, notice, after, Claim::Opposite)));
    }
    if let Some(after) = plan.forgery {
        posts.push(Box::pin(post(running, notice, after, Claim::Forgery)));
    }
    join_all(posts).await;
}

/// Waits, then posts until the answer is 200 or the tries are used up.
async fn post(running: &Running, notice: &Notice, after: Duration, claim: Claim) {
    tokio::time::sleep(after).await;
    let Some(found) = running.ledger.look(running.now(), &notice.order_no) else { return };
    match claim {
        // What was reversed before its notice left is not told: the reversal's reply told it.
        Claim::Truth if found.facts.state == EntryState::Reversed => return,
        Claim::Truth => {}
        Claim::Opposite => {
            running.ledger.mark_contradicted(&notice.order_no);
            running.counters.add(Happening::NoticeContradicting);
        }
        Claim::Forgery => running.counters.add(Happening::NoticeForged),
    }
    let body = (notice.write)(running, &found, claim);
    let waits = running.settings.notice_retries.waits.iter().map(Some).chain([None]);
    for wait in waits {
        if deliver(running, &notice.url, &body).await {
            return;
        }
        match wait {
            Some(wait) => tokio::time::sleep(*wait).await,
            None => running.counters.add(Happening::NoticeGivenUp),
        }
    }
}

/// One post; answers whether the merchant acknowledged it.
async fn deliver(running: &Running, url: &str, body: &str) -> bool {
    let Ok(_permit) = running.posts.acquire().await else { return false };
    running.counters.add(Happening::NoticePost);
    let request = running.client.post(url).header(CONTENT_TYPE, FORM).body(body.to_owned());
    request.send().await.is_ok_and(|response| response.status() == reqwest::StatusCode::OK)
}
