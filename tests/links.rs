//! An ISO 8583 channel as the engine uses it, over real links to a far end that loses, spoils and
//! delays: what we were told is what the far end believes, and every unknown ends by a reversal.

#[path = "links/abroad.rs"]
mod abroad;
#[path = "links/late.rs"]
mod late;
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::core::Payment;
use support::postgres::{Database, database};
use support::wire::until;
use switchyard::channel::registry::Registry;
use switchyard::channel::{AttemptFacts, ChannelRequest, Channels};
use switchyard::clock::{Clock, Timekeeper};
use switchyard::codec::seal::{DigestKey, SealKey, SealKeys};
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, Expiry, Pan};
use switchyard::domain::cluster::Work;
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
        announced_at: None,
        operation,
        merchant_id: MerchantId::parse("m-1").expect("an id"),
        amount: AmountMinor::new(10_000 + i64::try_from(sequence).expect("small")).expect("some"),
        currency: Currency::parse("CNY").expect("a currency"),
        description: None,
        channel_reference: None,
        payee_kind: None,
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
