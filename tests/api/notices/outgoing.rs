//! Notices to the core: tried for days, then parked, seen and sent again by an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use reqwest::Method;
use serde_json::{Value, json};
use switchyard::codec::webhook::WebhookKey;
use switchyard::workers::StopSignal;
use switchyard::workers::notices::{NoticeKeys, NoticeWork, NoticeWorker};
use tokio::sync::watch;

use crate::gateway::{Gateway, payment, pending};
use crate::support::wire::{listen, until};
use crate::unionpay;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A core that answers with one status, until told otherwise.
#[derive(Default)]
struct Core {
    status: AtomicU16,
    posts: AtomicU32,
}

async fn take(State(core): State<Arc<Core>>) -> StatusCode {
    core.posts.fetch_add(1, Ordering::SeqCst);
    StatusCode::from_u16(core.status.load(Ordering::SeqCst)).expect("a status")
}

struct Desk {
    gateway: Gateway,
    core: Arc<Core>,
    _stop: watch::Sender<bool>,
}

impl Desk {
    async fn open(status: u16) -> Self {
        let core = Arc::new(Core::default());
        core.status.store(status, Ordering::SeqCst);
        let router = Router::new().route("/ends", post(take)).with_state(Arc::clone(&core));
        let url = format!("http://{}/ends", listen(router).await);
        let more = format!("[notices]\nurl = \"{url}\"\nwaits = [\"10ms\"]\n");
        let gateway = Gateway::start_with(&more).await;
        let settings = &gateway.state.settings;
        let work = NoticeWork {
            delivery: settings.notices.clone(),
            retry_for: settings.notices_retry_for,
        };
        let (stop, asked) = StopSignal::new();
        let key = WebhookKey::parse(&WebhookKey::text_of(&[7; 32])).expect("a key");
        let keys = Arc::new(NoticeKeys::new(vec![key]));
        let worker = NoticeWorker::new(Arc::clone(&gateway.state.engine), work, keys);
        gateway.work(worker.expect("a client"), Some(Duration::from_millis(5)), asked);
        Self { gateway, core, _stop: stop }
    }

    /// A payment that ends after its call, so that the core must be told.
    async fn pay(&self, order_id: &str) -> String {
        self.gateway.bank.will_answer(pending());
        let request = self.gateway.posting("core", "/v1/payments", &payment(order_id));
        let answer = self.gateway.send(request.header("prefer", "wait=0")).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let open = self.gateway.order_when(order_id, |o| o.attempts[0].state.needs_entry()).await;
        let number = open.channel_order_no(1).to_string();
        let notice = unionpay::notice(&number, "20261122160000", &[]);
        let path = "/notices/unionpay";
        let taken = self.gateway.request("", Method::POST, path).body(notice);
        assert_eq!(self.gateway.send(taken).await.status, 200);
        open.id.to_string()
    }

    async fn notice(&self, id: &str) -> Value {
        self.gateway.get("operator", &format!("/v1/notices/{id}")).await.json()
    }

    async fn listed(&self, query: &str) -> Vec<String> {
        let page = self.gateway.get("operator", &format!("/v1/notices{query}")).await.json();
        let rows = page["notices"].as_array().expect("notices").clone();
        rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Moves the clock on until the worker has tried so often.
    async fn tried(&self, times: u32) {
        let tried = async || {
            self.gateway.later(Duration::from_millis(20));
            (self.core.posts.load(Ordering::SeqCst) >= times).then_some(())
        };
        until("the core is asked", tried).await;
    }

    async fn is(&self, id: &str, state: &str) -> Value {
        let stands = async || {
            self.gateway.later(Duration::from_millis(20));
            let notice = self.notice(id).await;
            (notice["state"] == state).then_some(notice)
        };
        until(state, stands).await
    }
}

#[tokio::test]
async fn a_core_that_answers_404_for_a_while_is_told_all_the_same() {
    let desk = Desk::open(404).await;
    let id = desk.pay("A-1").await;
    desk.tried(3).await;
    let waiting = desk.is(&id, "owed").await;
    assert_eq!(waiting["last_error"], "it answered 404 Not Found", "{waiting}");
    desk.core.status.store(204, Ordering::SeqCst);
    let told = desk.is(&id, "acknowledged").await;
    assert!(told["acknowledged_at"].is_string(), "{told}");
    assert_eq!(desk.listed("?state=acknowledged").await, [id]);
}

#[tokio::test]
async fn what_the_core_has_not_taken_for_days_is_parked_and_sent_again_by_an_operator() {
    let desk = Desk::open(404).await;
    let id = desk.pay("A-1").await;
    desk.tried(1).await;
    desk.gateway.later(4 * DAY);
    desk.is(&id, "parked").await;
    assert_eq!(desk.listed("?state=parked").await, [id.as_str()]);
    assert_eq!(desk.listed("?state=owed").await, [""; 0]);
    assert_eq!(desk.listed(&format!("?after={id}")).await, [""; 0]);

    let path = format!("/v1/notices/{id}/retry");
    let why = json!({ "reason": "the core is well again" });
    assert_eq!(desk.gateway.post("core", &path, &why).await.problem().0, 403);
    desk.core.status.store(200, Ordering::SeqCst);
    let again = desk.gateway.post("operator", &path, &why).await;
    assert_eq!(again.status, 200, "{}", again.text);
    desk.is(&id, "acknowledged").await;
    let audit = desk.gateway.get("auditor", "/v1/audit").await.json();
    let last = audit["entries"].as_array().and_then(|all| all.last()).expect("an entry");
    assert_eq!((&last["action"], &last["subject"]), (&json!("notice.retry"), &json!(id)));

    let unknown = desk.gateway.get("operator", "/v1/notices/2611220000000099999").await;
    assert_eq!(unknown.problem().0, 404);
    let withdrawn = desk.gateway.get("operator", "/v1/notices?state=withdrawn").await;
    assert_eq!(withdrawn.problem().0, 400, "a notice is never withdrawn");
}
