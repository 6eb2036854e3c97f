//! A whole gateway behind a socket, and a client that speaks to it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use switchyard::api::auth::Callers;
use switchyard::api::openapi::document::document;
use switchyard::api::reconciliation::upload::Uploads;
use switchyard::api::{ApiState, Listener, serve};
use switchyard::channel::registry::Registry;
use switchyard::channel::{ChannelFuture, ChannelRequest, Channels, ReplyMeaning};
use switchyard::clock::Clock;
use switchyard::codec::seal::{DigestKey, SealKey, SealKeys};
use switchyard::codec::sign::sha256_hex;
use switchyard::config::checked::Settings;
use switchyard::config::server::ListenerKind;
use switchyard::config::settings;
use switchyard::domain::attempt::Attempt;
use switchyard::domain::cluster::NodePart;
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId};
use switchyard::domain::money::AmountMinor;
use switchyard::domain::order::Order;
use switchyard::domain::outcome::{Approval, Outcome, UnknownCause};
use switchyard::domain::terms::{CommonTerms, Terms};
use switchyard::domain::time::Timestamp;
use switchyard::engine::intake::Intake;
use switchyard::engine::{Engine, Vault};
use switchyard::entropy::Entropy;
use switchyard::reconciliation::incoming::{ImportDesk, Inbox, StatementDesk};
use switchyard::reconciliation::suspense::{DifferenceDesk, SettlementDesk};
use switchyard::reconciliation::{ChannelBooks, StatementRules};
use switchyard::store::Store;
use switchyard::store::memory::{MemoryFaults, MemoryStore};
use switchyard::tables::bin::LiveBinTable;
use switchyard::tables::routes::LiveRoutes;
use switchyard::telemetry::workers::{WorkerReport, WorkerReports};
use switchyard::workers::StopSignal;
use switchyard::workers::driver::{Worker, drive};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::slow_store::SlowStore;
use crate::support::Scratch;
use crate::support::books::moment;
use crate::support::contract::Contract;
use crate::unionpay;

/// What the daemon says of itself.
pub static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::new(document()));

/// A card number that UnionPay publishes for tests.
pub const CARD: &str = "6216261000000000018";

/// The channel's side: it gives the answers that the test has prepared, and counts.
pub struct Bank {
    registry: Arc<Registry>,
    answers: Mutex<VecDeque<ReplyMeaning>>,
    asked: Mutex<Vec<ChannelRequest>>,
    /// A place for each call that may be answered; without any, calls wait.
    gate: Semaphore,
}

impl Bank {
    /// The next call gets this answer; without one it is approved.
    pub fn will_answer(&self, outcome: Outcome) {
        self.will_be_understood(ReplyMeaning::new(outcome, String::new()));
    }

    /// The same, with what is kept beside the outcome.
    pub fn will_be_understood(&self, understood: ReplyMeaning) {
        self.answers.lock().expect("no panic under the lock").push_back(understood);
    }

    /// What the channel was asked, in order.
    pub fn asked(&self) -> Vec<ChannelRequest> {
        self.asked.lock().expect("no panic under the lock").clone()
    }

    pub fn calls(&self) -> u64 {
        self.asked.lock().expect("no panic under the lock").len() as u64
    }

    /// From now on calls wait until they are let go.
    pub fn hold(&self) {
        self.gate.forget_permits(usize::MAX >> 3);
    }

    pub fn let_go(&self) {
        self.gate.add_permits(1_000);
    }
}

impl Channels for Bank {
    fn ids(&self) -> Vec<ChannelId> {
        self.registry.ids()
    }

    fn terms(&self, channel: &ChannelId) -> Option<Arc<Terms>> {
        self.registry.terms(channel)
    }

    fn terms_at(&self, channel: &ChannelId, at: Timestamp) -> Option<Arc<Terms>> {
        self.registry.terms_at(channel, at)
    }

    fn longest_wait(&self, channel: &ChannelId) -> Duration {
        self.registry.longest_wait(channel)
    }

    fn give_back(&self, _: &Attempt, _: AmountMinor) {}

    fn count_sample(&self, order: &Order, attempt: &Attempt) {
        self.registry.count_sample(order, attempt);
    }

    fn share(&self, _: NodePart) -> bool {
        true
    }

    fn nodes_max(&self, _: &ChannelId) -> u32 {
        u32::MAX
    }

    fn call<'a>(
        &'a self,
        _channel: &'a ChannelId,
        request: ChannelRequest,
    ) -> ChannelFuture<'a, ReplyMeaning> {
        Box::pin(async move {
            self.asked.lock().expect("no panic under the lock").push(request);
            self.gate.acquire().await.expect("the gate is never closed").forget();
            let next = self.answers.lock().expect("no panic under the lock").pop_front();
            next.unwrap_or_else(|| ReplyMeaning::new(approved(), String::new()))
        })
    }
}

pub fn approved() -> Outcome {
    let reference = Some("ref-1".to_owned());
    let code = "00".to_owned();
    Outcome::Approved(Approval { channel_reference: reference, code, ..Approval::default() })
}

pub fn pending() -> Outcome {
    Outcome::Pending { code: "00".to_owned(), channel_reference: Some("q1".to_owned()) }
}

pub fn unknown() -> Outcome {
    Outcome::Unknown(UnknownCause::TimedOut)
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The status and stable code of a problem, which must be whole.
    pub fn problem(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{body}");
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        let code = body["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!(body["type"], format!("/errors/{code}"));
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        (self.status.as_u16(), code)
    }
}

pub struct Gateway {
    pub url: String,
    pub client: reqwest::Client,
    pub store: Arc<dyn Store>,
    pub faults: MemoryFaults,
    /// The same store as the engine has it.
    pub disk: SlowStore,
    pub bank: Arc<Bank>,
    pub state: Arc<ApiState>,
    clock: Arc<AtomicI64>,
    ahead_ms: Arc<AtomicI64>,
    commits: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<usize>>,
    /// Goes last: the gateway has its files there.
    pub scratch: Scratch,
}

/// The keys of the callers, each with its roles; a key is its name and `-key`.
const CALLERS: [(&str, &str); 4] = [
    ("core", "\"core\""),
    ("other", "\"core\""),
    ("operator", "\"operator\""),
    ("auditor", "\"auditor\""),
];

/// Another test of the process may have installed it.
fn install_provider() {
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn settings_text(more: &str) -> String {
    let callers = CALLERS.map(|(name, roles)| {
        let hash = sha256_hex(format!("{name}-key").as_bytes());
        format!("[[callers]]\nname = \"{name}\"\nroles = [{roles}]\nkey_sha256 = \"{hash}\"\n")
    });
    format!("{more}\n{}", callers.concat())
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with further settings, as a settings file says them.
    pub async fn start_with(more: &str) -> Self {
        Self::start_able(more, unionpay::ALL_OPERATIONS).await
    }

    /// The same, with other lines in the place of the channel's operations.
    pub async fn start_able(more: &str, abilities: &str) -> Self {
        install_provider();
        let scratch = Scratch::new();
        unionpay::write_channel(scratch.path(), abilities);
        let text = settings_text(more);
        let read = settings(Some(("test.toml", &text)), Vec::new(), scratch.path());
        let settings = Arc::new(read.expect("good settings"));
        let millis = Arc::new(AtomicI64::new(moment(0).as_millis()));
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let of = Box::new(Clock::Manual(Arc::clone(&millis)));
        let clock = Clock::Wrong { of, by_ms: Arc::clone(&ahead_ms) };
        let registry = Arc::new(registry(&settings, scratch.path(), clock.clone()));
        let bank = Arc::new(Bank {
            registry: Arc::clone(&registry),
            answers: Mutex::default(),
            asked: Mutex::default(),
            gate: Semaphore::new(1_000_000),
        });
        let store = MemoryStore::new();
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        store.on_commit(Box::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        let channels: Arc<dyn Channels> = Arc::clone(&bank) as Arc<dyn Channels>;
        let disk = SlowStore::over(store.clone());
        let engine =
            Arc::new(Engine::new(Arc::new(disk.clone()), channels, clock, vault(), settings.node));
        let bins = Arc::new(LiveBinTable::load(scratch.path()).expect("the shipped table"));
        let routes = LiveRoutes::load(&settings.routes_file, &registry.ids()).expect("routes");
        let intake = Arc::new(Intake::new(
            Arc::clone(&engine),
            Arc::clone(&registry),
            Arc::clone(&bins),
            Arc::new(routes),
            Entropy::seeded(7),
        ));
        let inbox = Arc::new(Inbox::new(scratch.path()));
        let clock = engine.clock().clone();
        let statements = StatementDesk::new(Arc::clone(&registry), Arc::clone(&inbox), clock);
        let rules: Arc<dyn StatementRules> = Arc::<Registry>::clone(&registry);
        let books = ChannelBooks::new(Arc::clone(&engine), rules);
        let imports = ImportDesk::new(books.clone(), inbox, scratch.path(), Entropy::seeded(8));
        let state = Arc::new(ApiState {
            imports: Arc::new(imports),
            differences: Arc::new(DifferenceDesk::new(books)),
            settlements: SettlementDesk::new(Arc::clone(&engine)),
            uploads: Uploads::default(),
            engine,
            reloads: intake.reloads(false, settings.hold_above_percent),
            intake,
            statements: Arc::new(statements),
            registry,
            bins,
            shared: None,
            callers: Callers::new(
                &settings.callers,
                settings.caller_requests_per_second,
                settings.caller_burst,
            ),
            settings,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            ready: AtomicBool::new(true),
            workers: WorkerReports::default(),
            approving: tokio::sync::Mutex::default(),
            entropy: Entropy::seeded(9),
            stopping: AtomicBool::new(false),
        });
        Self::listen(scratch, (store, disk), bank, state, (millis, ahead_ms, commits)).await
    }

    async fn listen(
        scratch: Scratch,
        (store, disk): (MemoryStore, SlowStore),
        bank: Arc<Bank>,
        state: Arc<ApiState>,
        (clock, ahead_ms, commits): (Arc<AtomicI64>, Arc<AtomicI64>, Arc<AtomicU64>),
    ) -> Self {
        let any_port = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(ListenerKind::Api, any_port, None).await.expect("a port");
        let url = format!("http://{}", listener.address().expect("an address"));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let served = tokio::spawn(async move {
            serve(vec![listener], shared, async {
                // A test that ends without stopping drops the sender, which stops it too.
                let _asked = stopped.await;
            })
            .await
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (stop, served) = (Some(stop), Some(served));
        let (faults, store) = (store.faults(), Arc::new(store));
        Self {
            url,
            client,
            disk,
            store,
            faults,
            bank,
            state,
            clock,
            ahead_ms,
            commits,
            stop,
            served,
            scratch,
        }
    }

    /// Asks for the stop; [`Self::stopped`] waits for its end.
    pub fn stop(&mut self) {
        let stop = self.stop.take().expect("it is stopped once");
        stop.send(()).expect("the server still runs");
    }

    /// The connections that were still open when the server had stopped.
    pub async fn stopped(&mut self) -> usize {
        self.served.take().expect("it ends once").await.expect("the server does not panic")
    }

    pub fn request(&self, caller: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match caller {
            "" => request,
            name => request.header("authorization", format!("Bearer {name}-key")),
        }
    }

    /// Sends a request; its answer must be one that the document has.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.expect("a request");
        let call = (request.method().to_string(), request.url().path().to_owned());
        let response = client.execute(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole body");
        let answer = Answer { status, headers, text };
        let kind = answer.header("content-type").unwrap_or_default();
        // Before a call is one, its header may be refused without a body.
        if !kind.is_empty() {
            let told = (status.as_u16(), kind);
            let complaint = CONTRACT.complaint((&call.0, &call.1), told, &answer.text);
            assert_eq!(complaint, None, "{call:?}");
            let names = answer.headers.keys().map(reqwest::header::HeaderName::as_str);
            let strange = CONTRACT.strange_header((&call.0, &call.1), status.as_u16(), names);
            assert_eq!(strange, None, "{call:?}: a header of its answer is not in the document");
        }
        answer
    }

    pub async fn get(&self, caller: &str, path: &str) -> Answer {
        self.send(self.request(caller, Method::GET, path)).await
    }

    pub fn posting(&self, caller: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.request(caller, Method::POST, path);
        request.header("content-type", "application/json").body(body.to_string())
    }

    pub async fn post(&self, caller: &str, path: &str, body: &Value) -> Answer {
        self.send(self.posting(caller, path, body)).await
    }

    pub async fn pay(&self, body: &Value) -> Answer {
        self.post("core", "/v1/payments", body).await
    }

    /// Moves the clock.
    pub fn later(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a bearable time");
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    /// Has the clock jump ahead, which no time has passed for.
    pub fn clock_jumps(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a bearable time");
        self.ahead_ms.fetch_add(millis, Ordering::SeqCst);
    }

    /// Drives a worker, whose rounds `GET /v1/workers` shows.
    pub fn work<W: Worker>(
        &self,
        worker: W,
        every: Option<Duration>,
        stop: StopSignal,
    ) -> JoinHandle<()> {
        let report = WorkerReport::new(W::NAME);
        self.state.workers.add(Arc::clone(&report));
        let clock = self.state.engine.clock().clone();
        tokio::spawn(drive(worker, every, report, clock, stop))
    }

    /// How many write sets were written.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Waits until the core's order is in the store and fits; it is given as it then is.
    pub async fn order_when(&self, order_id: &str, fits: impl Fn(&Order) -> bool) -> Order {
        loop {
            let caller = CallerId::from_stored("core");
            let id = CallerOrderId::from_stored(order_id);
            let order = self.store.order_by_caller(caller, id).await.expect("a read");
            if let Some(order) = order.filter(|order| fits(order)) {
                return order;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn registry(settings: &Settings, folder: &Path, clock: Clock) -> Registry {
    let common = CommonTerms {
        accounts: settings.accounts.clone(),
        has_accounting: settings.accounting.url.is_some(),
        notice_url: settings.notices.url.clone(),
        rates: settings.rates,
    };
    let read =
        Registry::load(&settings.channels_folder, &settings.routes_file, folder, common, clock);
    read.unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn vault() -> Vault {
    let key = SealKey::new("k1", &[7; 32]).expect("a key");
    let keys = SealKeys::new(key, Vec::new()).expect("keys");
    Vault::new(keys, DigestKey::new(&[9; 32]).expect("a key"), Entropy::seeded(1))
}

/// A payment's body that nothing is wrong with.
pub fn payment(order_id: &str) -> Value {
    json!({
        "order_id": order_id,
        "merchant_id": "m-42",
        "amount": 12_345,
        "currency": "CNY",
        "card": { "pan": CARD, "expiry": "2911", "cvv": "123", "holder": "张三" },
    })
}

/// The same with one member changed, named by a JSON pointer; `null` takes it out.
pub fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.insert(name.to_owned(), value);
    body
}

/// Some members of an object, as a list.
pub fn members(body: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| body[*name].clone()).collect()
}
