//! An ISO 8583 channel as the engine uses it, over real links to a far end that loses, spoils and
//! delays: what we were told is what the far end believes, and every unknown ends by a reversal.

#[path = "links/abroad.rs"]
mod abroad;
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use support::Scratch;
use support::core::{Core, Payment};
use support::installation::{CALLER_KEY, metrics};
use support::postgres::{Database, database};
use support::wire::{listen, until};
use switchyard::app::App;
use switchyard::channel::registry::Registry;
use switchyard::channel::{AttemptFacts, ChannelRequest, Channels};
use switchyard::clock::{Clock, Timekeeper};
use switchyard::codec::iso8583::frame::{Framing, LengthForm};
use switchyard::codec::iso8583::{Draft, Format, ShippedFormat, decode, encode};
use switchyard::codec::seal::{DigestKey, SealKey, SealKeys};
use switchyard::codec::sign::sha256_hex;
use switchyard::domain::card::{CardInput, Expiry, Pan};
use switchyard::domain::cluster::Work;
use switchyard::domain::flow::attempt::Operation;
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::terms::CommonTerms;
use switchyard::domain::time::Timestamp;
use switchyard::engine::link_keys::shared_keys;
use switchyard::engine::{Engine, Vault};
use switchyard::entropy::Entropy;
use switchyard::simulator::{
    DialectSettings, EntryKind, EntryState, Faults, Iso8583Style, Simulator, SimulatorEvent,
    SimulatorSettings,
};
use switchyard::store::Store;
use switchyard::store::memory::MemoryStore;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PAYMENTS: u64 = 400;
const REVERSALS_MAX: usize = 200;

/// A channel file for a simulator, and its key beside it.
fn write_channel(folder: &Path, simulator: &Simulator) {
    let DialectSettings::Iso8583(links) = &simulator.settings().dialect else {
        panic!("another dialect")
    };
    let style = match links.style {
        Iso8583Style::Posp => "style = \"posp\"",
        Iso8583Style::Cups => {
            "style = \"cups\"\nproduction = false\nacquirer = \"48021000\"\n\
             forwarder = \"48021000\""
        }
    };
    let (terminals, mac) = match &links.master_key {
        None => (r#"terminals = ["12345678"]"#, "key = \"file:mac.hex\""),
        Some(master) => {
            std::fs::write(folder.join("master.hex"), master.as_bytes()).expect("writable");
            (r#"terminals = ["12345678", "12345679"]"#, "master_key = \"file:master.hex\"")
        }
    };
    let nodes = if links.master_key.is_some() { "[1, 2]" } else { "[1]" };
    let text = format!(
        r#"protocol = "iso8583"
state = "live"
[abilities]
operations = ["payment", "refund", "void", "preauth", "capture", "reversal"]
reversible = ["payment", "preauth", "capture", "void", "refund"]
currencies = ["CNY"]
[limits]
per_order_max_minor = 5000000
[pace]
requests_per_second = 1000000
in_flight = 256
wait_max = "20s"
[timeouts]
reply = "1s"
[breaker]
failures = 1000000
[unknown]
inquire = []
then = "reverse"
reverse = ["0s"]
not_found_final_after = "10m"
keeps_pan = true
[clearing]
time_zone = "Asia/Shanghai"
cut_off = "23:00"
[iso8583]
{style}
addresses = ["{}"]
links = 2
sign_on = true
reconnect_first = "5ms"
reconnect_longest = "50ms"
{terminals}
nodes = {nodes}
merchant_id = "898110148160001"
[iso8583.mac]
{mac}
"#,
        simulator.address()
    );
    std::fs::write(folder.join("links.toml"), text).expect("writable");
    std::fs::write(folder.join("mac.hex"), links.mac_key.as_bytes()).expect("writable");
}

fn registry(folder: &Path) -> Arc<Registry> {
    let routes = folder.join("routes.toml");
    let loaded = Registry::load(folder, &routes, folder, CommonTerms::default(), Clock::System);
    Arc::new(loaded.unwrap_or_else(|mistakes| panic!("{mistakes:#?}")))
}

fn facts(operation: Operation, sequence: u64) -> AttemptFacts {
    AttemptFacts {
        channel_order_no: ChannelOrderNo {
            order: OrderId::compose(261_122, 1, sequence),
            attempt: 1,
        },
        sent_at: Clock::System.now(),
        operation,
        merchant_id: MerchantId::parse("m-1").expect("an id"),
        amount: AmountMinor::new(10_000 + i64::try_from(sequence).expect("small")).expect("some"),
        currency: Currency::parse("CNY").expect("a currency"),
        description: None,
        channel_reference: None,
    }
}

fn card() -> CardInput {
    CardInput {
        pan: Pan::parse("6216261000000000018").expect("a published test number"),
        expiry: Expiry::parse_yymm("3012"),
        cvv: None,
        holder: None,
        id_type: None,
        id_number: None,
        phone: None,
    }
}

/// The far end's time: no clearing day ends while a test runs.
fn noon() -> Timestamp {
    Timestamp::from_millis(1_763_784_000_000)
}

/// Reverses until the far end says that nothing stands.
async fn reverse(
    registry: &Registry,
    channel: &ChannelId,
    facts: &AttemptFacts,
    original: Option<&AttemptFacts>,
) {
    for _ in 0..REVERSALS_MAX {
        let request = ChannelRequest::Reversal {
            facts: facts.clone(),
            original: original.cloned(),
            pan: Some(card().pan.clone()),
            now: Clock::System.now(),
        };
        match registry.call(channel, request).await.outcome {
            Outcome::Approved(_) | Outcome::NotFound { .. } => return,
            Outcome::Unknown(_) | Outcome::NotSent(_) => {}
            other => panic!("a reversal is never {other:?}"),
        }
    }
    panic!("a reversal has no end");
}

/// What we believe of one payment when everything has ended.
async fn pay(registry: Arc<Registry>, channel: ChannelId, sequence: u64) -> (i64, bool) {
    let facts = facts(Operation::Payment, sequence);
    let request = ChannelRequest::Charge { facts: facts.clone(), instrument: card().into() };
    let paid = match registry.call(&channel, request).await.outcome {
        Outcome::Approved(_) => true,
        Outcome::Declined(_) | Outcome::NotSent(_) => false,
        Outcome::Unknown(_) => {
            reverse(&registry, &channel, &facts, None).await;
            false
        }
        other => panic!("a final answer is never {other:?}"),
    };
    (facts.amount.get(), paid)
}

async fn both_sides_agree(style: Iso8583Style, seed: u64) {
    println!("seed {seed}");
    let settings = SimulatorSettings::iso8583("links", style, Arc::new(noon))
        .with_faults(Faults::hostile())
        .with_seed(seed);
    let simulator = Simulator::start(settings).await.expect("a port");
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    write_channel(folder, &simulator);
    let registry = registry(folder);
    let channel = ChannelId::parse("links").expect("an id");
    let mut calls = tokio::task::JoinSet::new();
    for sequence in 1..=PAYMENTS {
        calls.spawn(pay(Arc::clone(&registry), channel.clone(), sequence));
    }
    let mut ours: Vec<(i64, bool)> = calls.join_all().await;
    ours.sort_unstable();
    for happening in
        [SimulatorEvent::DroppedBefore, SimulatorEvent::ReplyLostByClose, SimulatorEvent::Garbage]
    {
        assert!(simulator.count(happening) > 0, "{happening:?} was never tried");
    }
    let ledger = simulator.stop().await;
    let theirs: std::collections::BTreeMap<i64, EntryState> =
        ledger.entries().iter().map(|entry| (entry.amount_minor, entry.state)).collect();
    for (amount, paid) in ours {
        let stands = theirs.get(&amount) == Some(&EntryState::Approved);
        assert_eq!(stands, paid, "{amount}: {:?}", theirs.get(&amount));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_and_their_acquirer_agree_after_a_bad_day() {
    both_sides_agree(Iso8583Style::Posp, fastrand::u64(..1_000_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_and_its_centre_agree_after_a_bad_day() {
    both_sides_agree(Iso8583Style::Cups, fastrand::u64(..1_000_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_original_finds_it() {
    for style in [Iso8583Style::Posp, Iso8583Style::Cups] {
        let settings = SimulatorSettings::iso8583("follow", style, Arc::new(noon));
        let settings = settings.with_declines_percent(0);
        let simulator = Simulator::start(settings).await.expect("a port");
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path();
        write_channel(folder, &simulator);
        let registry = registry(folder);
        let channel = ChannelId::parse("links").expect("an id");
        let mut hold = facts(Operation::Preauth, 1);
        let request = ChannelRequest::Charge { facts: hold.clone(), instrument: card().into() };
        let Outcome::Approved(approval) = registry.call(&channel, request).await.outcome else {
            panic!("nothing declines here")
        };
        hold.channel_reference = approval.channel_reference;
        let mut capture = facts(Operation::Capture, 2);
        capture.amount = hold.amount;
        let taken = ChannelRequest::FollowUp {
            facts: capture.clone(),
            original: hold,
            pan: Some(card().pan.clone()),
        };
        let Outcome::Approved(approval) = registry.call(&channel, taken).await.outcome else {
            panic!("its original stands")
        };
        capture.channel_reference = approval.channel_reference;
        let mut void = facts(Operation::Void, 3);
        void.amount = capture.amount;
        let request = ChannelRequest::FollowUp {
            facts: void,
            original: capture,
            pan: Some(card().pan.clone()),
        };
        let outcome = registry.call(&channel, request).await.outcome;
        assert!(matches!(outcome, Outcome::Approved(_)), "{style:?}: {outcome:?}");
        let mut sale = facts(Operation::Payment, 4);
        let request = ChannelRequest::Charge { facts: sale.clone(), instrument: card().into() };
        let Outcome::Approved(approval) = registry.call(&channel, request).await.outcome else {
            panic!("nothing declines here")
        };
        sale.channel_reference = approval.channel_reference;
        let mut refund = facts(Operation::Refund, 5);
        refund.amount = AmountMinor::new(300).expect("a part");
        let request = ChannelRequest::FollowUp {
            facts: refund,
            original: sale,
            pan: Some(card().pan.clone()),
        };
        let outcome = registry.call(&channel, request).await.outcome;
        assert!(matches!(outcome, Outcome::Approved(_)), "{style:?}: {outcome:?}");
        let ledger = simulator.stop().await;
        let states = ledger.entries().iter().filter(|one| one.state == EntryState::Undone);
        assert_eq!(states.count(), 1, "{style:?}");
    }
}

/// A node with links of its own.
struct LinkNode {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    number: u16,
    paid: AtomicU64,
}

impl LinkNode {
    fn start(store: Arc<dyn Store>, folder: &Path) -> Self {
        let clock = Timekeeper::from(Clock::System);
        clock.begin_lease();
        let routes = folder.join("routes.toml");
        let common = CommonTerms::default();
        let loaded = Registry::load(folder, &routes, folder, common, clock.clone());
        let registry = Arc::new(loaded.expect("a channel without mistakes"));
        let key = SealKey::new("k1", &[7; 32]).expect("32 bytes");
        let keys = SealKeys::new(key, Vec::new()).expect("one key");
        let digests = DigestKey::new(&[9; 32]).expect("32 bytes");
        let vault = Vault::new(keys, digests, Entropy::System);
        let number = store.cluster().expect("nodes share it").incarnation().node;
        let channels: Arc<dyn Channels> = Arc::<Registry>::clone(&registry);
        let engine = Arc::new(Engine::new(store, channels, clock, vault, number));
        registry.share_link_keys(shared_keys(&engine).expect("nodes share them"));
        Self { engine, registry, number, paid: AtomicU64::new(0) }
    }

    async fn renew(&self) {
        self.engine.renew_lease().await.expect("it stands");
    }

    fn signs_on(&self) -> bool {
        self.engine.holds(&Work::SignOn(channel()))
    }

    /// Connects anew.
    async fn connect(&self) {
        assert_eq!(self.registry.reload(), Ok(1));
        assert!(self.registry.connect_links(&channel()).await, "a link is up");
    }

    async fn pay(&self) -> Outcome {
        let sequence = self.paid.fetch_add(1, Ordering::SeqCst) + 1;
        let mut facts = facts(Operation::Payment, sequence);
        facts.channel_order_no.order = OrderId::compose(261_122, self.number, sequence);
        let request = ChannelRequest::Charge { facts, instrument: card().into() };
        self.registry.call(&channel(), request).await.outcome
    }
}

fn channel() -> ChannelId {
    ChannelId::parse("links").expect("an id")
}

/// Each sign-on ends the key of the one before, on whichever node that was.
async fn nodes_send_under_one_key(stores: [Arc<dyn Store>; 2]) {
    let settings = SimulatorSettings::iso8583_with_fresh_keys("links", Arc::new(noon));
    let simulator = Simulator::start(settings.with_declines_percent(0)).await.expect("a port");
    let scratch = tempfile::tempdir().expect("a folder");
    write_channel(scratch.path(), &simulator);
    let nodes = stores.map(|store| LinkNode::start(store, scratch.path()));
    for _ in 0..3 {
        for node in &nodes {
            node.renew().await;
        }
    }
    let [one, other] = &nodes;
    let (signer, user) = if one.signs_on() { (one, other) } else { (other, one) };
    assert!(signer.signs_on() && !user.signs_on(), "one node has the work");
    let is_paid = |outcome: Outcome| matches!(outcome, Outcome::Approved(_));
    // The other one waits for the first sign-on.
    let id = channel();
    let (paid, is_up) = tokio::join!(user.pay(), signer.registry.connect_links(&id));
    assert!(is_up && is_paid(paid.clone()), "{paid:?}");
    for _ in 0..3 {
        signer.connect().await;
        for node in [user, signer, user] {
            let paid = node.pay().await;
            assert!(is_paid(paid.clone()), "node {}: {paid:?}", node.number);
        }
        user.connect().await;
        let paid = signer.pay().await;
        assert!(is_paid(paid.clone()), "who does not sign on ends no key: {paid:?}");
        for node in &nodes {
            node.renew().await;
        }
    }
    // The work goes to the other node, and what is kept is no key in clear.
    signer.engine.leave().await.expect("it leaves");
    while !user.signs_on() {
        user.renew().await;
    }
    user.connect().await;
    let paid = user.pay().await;
    assert!(is_paid(paid.clone()), "{paid:?}");
    let state = user.engine.store().cluster_state().expect("nodes share files");
    let kept = state.link_keys(&channel()).await.expect("readable");
    let terminals: Vec<&str> = kept.iter().map(|(terminal, _)| terminal.as_str()).collect();
    assert_eq!(terminals, ["12345678", "12345679"]);
    // 40 bytes of keys, and the tag.
    assert!(kept.iter().all(|(_, sealed)| sealed.bytes.len() == 40 + 16));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_a_store_in_memory_send_under_one_key() {
    let store = MemoryStore::of_nodes(Arc::new(|| Clock::System.now()));
    let join =
        |node| -> Arc<dyn Store> { Arc::new(store.join(node, "127.0.0.1:1").expect("it is free")) };
    nodes_send_under_one_key([join(1), join(2)]).await;
}

async fn open(database: &Database, node: u16) -> Arc<dyn Store> {
    let settings = PostgresSettings { node, ..PostgresSettings::at(&*database.url) };
    Arc::new(PostgresStore::open(&settings).await.expect("it opens"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_a_database_send_under_one_key() {
    let Some(database) = database().await else { return };
    nodes_send_under_one_key([open(&database, 1).await, open(&database, 2).await]).await;
}

/// A void or refund whose answer was lost may have been carried out. Taken back, its original
/// stands as it did, and may be followed up again.
#[tokio::test(flavor = "multi_thread")]
async fn a_void_or_refund_is_taken_back_like_a_payment() {
    for style in [Iso8583Style::Posp, Iso8583Style::Cups] {
        let settings = SimulatorSettings::iso8583("undone", style, Arc::new(noon));
        let simulator = Simulator::start(settings.with_declines_percent(0)).await.expect("a port");
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path();
        write_channel(folder, &simulator);
        let registry = registry(folder);
        let channel = ChannelId::parse("links").expect("an id");
        let mut sale = facts(Operation::Payment, 1);
        let request = ChannelRequest::Charge { facts: sale.clone(), instrument: card().into() };
        let Outcome::Approved(approval) = registry.call(&channel, request).await.outcome else {
            panic!("nothing declines here")
        };
        sale.channel_reference = approval.channel_reference;
        for (operation, sequence) in
            [(Operation::Refund, 2), (Operation::Void, 3), (Operation::Refund, 4)]
        {
            let mut back = facts(operation, sequence);
            back.amount = sale.amount;
            let (original, pan) = (sale.clone(), Some(card().pan.clone()));
            let request = ChannelRequest::FollowUp { facts: back.clone(), original, pan };
            let outcome = registry.call(&channel, request).await.outcome;
            assert!(matches!(outcome, Outcome::Approved(_)), "{style:?}: {outcome:?}");
            if sequence < 4 {
                // Twice, as after a crash.
                reverse(&registry, &channel, &back, Some(&sale)).await;
                reverse(&registry, &channel, &back, Some(&sale)).await;
            }
        }
        // What was never asked for cannot be taken back.
        reverse(&registry, &channel, &facts(Operation::Void, 9), Some(&sale)).await;
        let ledger = simulator.stop().await;
        let mut states: Vec<_> = ledger.entries().iter().map(|one| (one.kind, one.state)).collect();
        states.sort_by_key(|(_, state)| *state);
        let expected =
            [(EntryKind::Charge, EntryState::Approved), (EntryKind::Refund, EntryState::Approved)];
        assert_eq!(states.iter().filter(|(_, state)| *state == EntryState::Reversed).count(), 2);
        assert!(expected.iter().all(|one| states.contains(one)), "{style:?}: {states:?}");
        let sold = ledger.entries().iter().find(|one| one.kind == EntryKind::Charge);
        assert_eq!(sold.expect("it was sold").used_minor, sale.amount.get(), "refunded once");
    }
}

/// A daemon with one channel of links, and its core.
struct Gateway {
    /// Removed with everything in it at the end.
    _scratch: Scratch,
    app: App,
    core: Core,
}

impl Gateway {
    /// `reverse` are the waits before reversals, `reply` the time for an answer.
    async fn open(address: &str, reply: &str, reverse: &str, mac: &str) -> Self {
        Self::open_wide(address, reply, reverse, mac, 16).await
    }

    /// The same, with so many reversals on their way at once.
    async fn open_wide(
        address: &str,
        reply: &str,
        reverse: &str,
        mac: &str,
        reversals_in_flight: u32,
    ) -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path().join("channels");
        std::fs::create_dir_all(&folder).expect("a folder");
        let channel = format!(
            r#"protocol = "iso8583"
state = "live"
[abilities]
operations = ["payment", "refund", "reversal"]
currencies = ["CNY"]
[limits]
per_order_max_minor = 5000000
[timeouts]
connect = "500ms"
reply = "{reply}"
[breaker]
failures = 1000000
[unknown]
inquire = []
then = "reverse"
reverse = {reverse}
reverse_until = "always"
not_found_final_after = "10m"
keeps_pan = true
[clearing]
time_zone = "Asia/Shanghai"
cut_off = "23:00"
[iso8583]
style = "posp"
addresses = ["{address}"]
reconnect_first = "5ms"
reconnect_longest = "20ms"
terminals = ["12345678"]
merchant_id = "898110148160001"
[iso8583.mac]
{mac}
"#
        );
        std::fs::write(folder.join("links.toml"), channel).expect("a file");
        let routes = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"links\"]\n";
        std::fs::write(scratch.path().join("routes.toml"), routes).expect("a file");
        let hash = sha256_hex(CALLER_KEY.as_bytes());
        let books = listen(Router::new().fallback(|| async { StatusCode::CREATED })).await;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [accounting]\nurl = \"http://{books}/\"\n[workers]\nlook_every = \"50ms\"\n\
             reversals_in_flight = {reversals_in_flight}\n[[callers]]\nname = \"core\"\n\
             roles = [\"core\", \"operator\"]\nkey_sha256 = \"{hash}\"\n"
        );
        let file = Some(("switchyard.toml", text.as_str()));
        let settings = switchyard::config::settings(file, Vec::new(), scratch.path());
        let settings = settings.expect("settings without mistakes");
        let app = App::start(settings, &scratch.path().join("data"), metrics()).await;
        let app = app.expect("a daemon");
        let core = Core::new(app.address(), CALLER_KEY);
        Self { _scratch: scratch, app, core }
    }

    /// The order once it has this status.
    async fn ended(&self, id: &str, status: &str) -> serde_json::Value {
        let ended = async || {
            let order = self.core.payment(id).await.body;
            (order["status"] == status).then_some(order)
        };
        until(&format!("{id} has {status}"), ended).await
    }
}

/// Nothing inquires and no reversal is due for long: the late answer alone ends the unknown.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_an_answer_after_the_time_out_ends_the_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let gateway = Gateway::open(&address, "200ms", "[\"1h\"]", "none = true").await;
    let core = gateway.core.clone();
    let paying = tokio::spawn(async move { core.pay(&Payment::instant("late-1", 1_234)).await });
    let mut far = FarEnd::accept(&listener).await;
    let (kind, trace, _) = far.read(1).await.remove(0);
    let unknown = async || {
        let entries = gateway.core.all("/v1/reversals", "reversals").await;
        (!entries.is_empty()).then_some(())
    };
    until("the payment is unknown", unknown).await;
    far.approve(kind + 10, &trace).await;
    let id = paying.await.expect("it ran").id().to_owned();
    let order = gateway.ended(&id, "succeeded").await;
    let attempt = &order["attempts"][0];
    assert_eq!((&attempt["state"], &attempt["ended_by"]), (&"approved".into(), &"notice".into()));
    let entry = gateway.core.get(&format!("/v1/reversals/{id}")).await;
    assert_eq!(entry.status, 404, "I-6: {}", entry.body);
    gateway.app.stop().await;
}

/// The reversal goes unanswered until its call has ended, and no other is due for long: its late
/// yes alone ends the order, while the book is open or in an operator's hands.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_an_answer_to_a_reversal_after_the_time_out_ends_the_order() {
    for (waits, phase) in [("[\"0s\", \"1h\"]", "reversing"), ("[\"0s\"]", "operator")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let gateway = Gateway::open(&address, "200ms", waits, "none = true").await;
        let core = gateway.core.clone();
        let paying = tokio::spawn(async move { core.pay(&Payment::instant("back-1", 99)).await });
        let mut far = FarEnd::accept(&listener).await;
        far.read(1).await;
        let (kind, trace, _) = far.read(1).await.remove(0);
        assert_eq!(kind, 400);
        let id = paying.await.expect("it ran").id().to_owned();
        let entry = async || gateway.core.get(&format!("/v1/reversals/{id}")).await;
        let given_up = async || {
            let words = entry().await.body;
            let ended = words.to_string().contains("reversal: unknown");
            (ended && words["phase"] == phase).then_some(())
        };
        until("the reversal's call has ended", given_up).await;
        far.approve(kind + 10, &trace).await;
        let order = gateway.ended(&id, "reversed").await;
        let attempt = &order["attempts"][0];
        let ended = (&attempt["state"], &attempt["ended_by"]);
        assert_eq!(ended, (&"reversed".into(), &"reversal".into()));
        assert_eq!(entry().await.status, 404, "I-6");
        gateway.app.stop().await;
    }
}

/// Refused late, no more reversals are sent, and the late yes to the payment is believed.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_a_late_refusal_of_a_reversal_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let codes = "none = true\n[iso8583.reversal_codes]\n94 = \"declined original_not_eligible\"";
    let gateway = Gateway::open(&address, "200ms", "[\"0s\", \"1h\"]", codes).await;
    let core = gateway.core.clone();
    let paying = tokio::spawn(async move { core.pay(&Payment::instant("kept-1", 99)).await });
    let mut far = FarEnd::accept(&listener).await;
    let (paid, number, _) = far.read(1).await.remove(0);
    let (kind, trace, _) = far.read(1).await.remove(0);
    let id = paying.await.expect("it ran").id().to_owned();
    let history = async |words: &str| {
        let entry = gateway.core.get(&format!("/v1/reversals/{id}")).await.body;
        entry.to_string().contains(words).then_some(entry)
    };
    until("its call has ended", async || history("reversal: unknown").await).await;
    // A success that the reversal may still undo is held.
    far.approve(paid + 10, &number).await;
    until("it is held", async || history("held: a reversal may still undo it").await).await;
    far.answer(kind + 10, &trace, "94").await;
    let entry = until("it is refused", async || history("late reversal: declined").await).await;
    assert_eq!(entry["phase"], "operator", "{entry}");
    gateway.app.stop().await;
}

/// A refund's answer comes when its call has ended: it ends the refund.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_a_late_answer_to_a_refund_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let gateway = Gateway::open(&address, "2s", "[\"1h\"]", "none = true").await;
    let core = gateway.core.clone();
    let paying = tokio::spawn(async move { core.pay(&Payment::instant("sold-1", 99)).await });
    let mut far = FarEnd::accept(&listener).await;
    let (kind, trace, _) = far.read(1).await.remove(0);
    far.approve(kind + 10, &trace).await;
    let id = paying.await.expect("it ran").id().to_owned();
    gateway.ended(&id, "succeeded").await;
    let core = gateway.core.clone();
    let refunding = tokio::spawn(async move { core.refund(&id, "back-1", 99).await });
    let (kind, trace, _) = far.read(1).await.remove(0);
    assert_eq!(kind, 220);
    let unknown = async || {
        let entries = gateway.core.all("/v1/reversals", "reversals").await;
        (!entries.is_empty()).then_some(())
    };
    until("the refund is unknown", unknown).await;
    far.approve(kind + 10, &trace).await;
    let refund = refunding.await.expect("it ran");
    let order = gateway.ended(refund.id(), "succeeded").await;
    assert_eq!(order["attempts"][0]["ended_by"], "notice", "{order}");
    gateway.app.stop().await;
}

/// The far end of a link that a test scripts: messages without a MAC.
struct FarEnd {
    stream: TcpStream,
    buffer: Vec<u8>,
    framing: Framing,
    format: Format,
}

impl FarEnd {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a link");
        let framing =
            Framing { form: LengthForm::Binary2, includes_itself: false, frame_bytes_max: 4_096 };
        Self { stream, buffer: Vec::new(), framing, format: Format::shipped(ShippedFormat::Posp) }
    }

    /// Type, trace number and amount of each of the next messages.
    async fn read(&mut self, count: usize) -> Vec<(u16, String, String)> {
        let mut found = Vec::new();
        while found.len() < count {
            while let Some(range) = self.framing.next(&self.buffer).expect("frames") {
                let message = decode(&self.format, &self.buffer[..range.end], range.start + 11);
                let message = message.expect("a message behind its header");
                let text = |field| message.value(field).expect("it is there").text();
                found.push((message.message_type(), text(11), text(4)));
                self.buffer.drain(..range.end);
            }
            if found.len() < count {
                let read = self.stream.read_buf(&mut self.buffer).await.expect("readable");
                assert!(read > 0, "the link ended after {found:?}");
            }
        }
        found
    }

    /// Says yes, in a message of this type.
    async fn approve(&mut self, kind: u16, trace: &str) {
        self.answer(kind, trace, "00").await;
    }

    /// Says what the code says.
    async fn answer(&mut self, kind: u16, trace: &str, code: &str) {
        let mut draft = Draft::new(kind);
        draft.put(11, trace.as_bytes()).put(39, code.as_bytes()).put(41, b"12345678");
        let mut out = Vec::new();
        let at = self.framing.begin(&mut out);
        out.extend_from_slice(&[0x60, 0, 0, 0, 3, 0x60, 0x22, 0, 0, 0, 0]);
        encode(&self.format, &draft, &mut out).expect("it fits");
        self.framing.end(&mut out, at).expect("it is short");
        self.stream.write_all(&out).await.expect("writable");
    }
}

/// Every payment that was on its way on a broken link is unknown; when the link is back, whenever
/// that is, the reversal of each goes out under its own trace number, none waiting for another.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_what_a_broken_link_took_with_it_is_reversed_when_it_is_back() {
    const ORDERS: i64 = 12;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let gateway = Gateway::open(&address.to_string(), "20s", "[\"0s\"]", "none = true").await;
    let payments = (1..=ORDERS).map(|minor| {
        let core = gateway.core.clone();
        async move { core.pay(&Payment::instant(&format!("broken-{minor}"), minor)).await }
    });
    let paying = tokio::spawn(futures_util::future::join_all(payments));
    let mut far = FarEnd::accept(&listener).await;
    let mut asked = far.read(ORDERS as usize).await;
    drop((far, listener));
    let answers = paying.await.expect("they ran");
    for answer in &answers {
        assert_eq!(answer.outcome(), (202, "unknown"), "{}", answer.body);
    }
    // Away for longer than it takes to try each: what cannot leave is not counted as tried.
    for answer in &answers {
        let tried = async || {
            let entry = gateway.core.get(&format!("/v1/reversals/{}", answer.id())).await;
            let words = entry.body.to_string();
            words.contains("reversal: not_sent").then_some(entry)
        };
        let entry = until("a reversal that could not leave", tried).await;
        assert_eq!(entry.body["phase"], "reversing", "{}", entry.body);
    }
    let listener = TcpListener::bind(address).await.expect("the same port");
    let mut far = FarEnd::accept(&listener).await;
    // All of them before one is answered.
    let mut reversed = far.read(ORDERS as usize).await;
    for (_, trace, _) in &reversed {
        far.approve(410, trace).await;
    }
    for answer in &answers {
        gateway.ended(answer.id(), "reversed").await;
    }
    asked.sort();
    reversed.sort();
    assert!(asked.iter().all(|(kind, ..)| *kind == 200));
    assert!(reversed.iter().all(|(kind, ..)| *kind == 400));
    let names = |all: Vec<(u16, String, String)>| {
        all.into_iter().map(|(_, trace, amount)| (trace, amount)).collect::<Vec<_>>()
    };
    assert_eq!(names(asked), names(reversed));
    gateway.app.stop().await;
}

/// With room for one reversal at a time, they leave in the order in which the payments went wrong,
/// not in the order in which they came due.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_unknown_is_reversed_first() {
    const ORDERS: i64 = 5;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let gateway = Gateway::open_wide(&address, "20s", "[\"1h\"]", "none = true", 1).await;
    let mut ids = Vec::new();
    for minor in 1..=ORDERS {
        let core = gateway.core.clone();
        let payment = Payment::instant(&format!("old-{minor}"), minor);
        let paying = tokio::spawn(async move { core.pay(&payment).await });
        // The link breaks under it.
        let mut far = FarEnd::accept(&listener).await;
        far.read(1).await;
        drop(far);
        let answer = paying.await.expect("it ran");
        assert_eq!(answer.outcome(), (202, "unknown"), "{}", answer.body);
        ids.push(answer.id().to_owned());
    }
    // The newest becomes due first. Its reversal holds the only place until it is answered, so the
    // others wait, due one after another, the oldest last.
    let retry = async |id: &String| {
        let reason = serde_json::json!({ "reason": "the channel is back" });
        let retried = gateway.core.post(&format!("/v1/reversals/{id}/retry"), &reason).await;
        assert_eq!(retried.status, 200, "{}", retried.body);
    };
    let (newest, older) = ids.split_last().expect("five of them");
    retry(newest).await;
    let mut far = FarEnd::accept(&listener).await;
    let mut reversed = far.read(1).await;
    for id in older.iter().rev() {
        retry(id).await;
    }
    for _ in 1..ORDERS {
        let (_, trace, _) = reversed.last().expect("one at least");
        far.approve(410, trace).await;
        reversed.append(&mut far.read(1).await);
    }
    let (_, trace, _) = reversed.last().expect("one at least");
    far.approve(410, trace).await;
    let amounts: Vec<i64> =
        reversed.iter().map(|(_, _, amount)| amount.parse().expect("digits")).collect();
    assert_eq!(amounts, [ORDERS, 1, 2, 3, 4]);
    assert!(reversed.iter().all(|(kind, ..)| *kind == 400));
    for id in &ids {
        gateway.ended(id, "reversed").await;
    }
    gateway.app.stop().await;
}
