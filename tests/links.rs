//! An ISO 8583 channel as the engine uses it, over real links to a far end that loses, spoils and
//! delays: what we were told is what the far end believes, and every unknown ends by a reversal.

use std::path::Path;
use std::sync::Arc;

use switchyard::channel::registry::Registry;
use switchyard::channel::{AttemptFacts, ChannelRequest, Channels};
use switchyard::clock::Clock;
use switchyard::domain::card::{CardInput, Expiry, Pan};
use switchyard::domain::flow::attempt::Operation;
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::terms::HouseTerms;
use switchyard::domain::time::Timestamp;
use switchyard::simulator::{
    DialectSettings, EntryKind, EntryState, Faults, Happening, Iso8583Style, Simulator,
    SimulatorSettings,
};

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
terminals = ["12345678"]
nodes = [1]
merchant_id = "898110148160001"
[iso8583.mac]
key = "file:mac.hex"
"#,
        simulator.address()
    );
    std::fs::write(folder.join("links.toml"), text).expect("writable");
    std::fs::write(folder.join("mac.hex"), links.mac_key.as_bytes()).expect("writable");
}

fn registry(folder: &Path) -> Arc<Registry> {
    let routes = folder.join("routes.toml");
    let loaded = Registry::load(folder, &routes, folder, HouseTerms::default(), Clock::System);
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
    original: Option<Operation>,
) {
    for _ in 0..REVERSALS_MAX {
        let request = ChannelRequest::Reversal {
            facts: facts.clone(),
            original,
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
    let request = ChannelRequest::Charge { facts: facts.clone(), card: card() };
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
    let name = format!("switchyard-links-{style:?}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    write_channel(&folder, &simulator);
    let registry = registry(&folder);
    let channel = ChannelId::parse("links").expect("an id");
    let mut calls = tokio::task::JoinSet::new();
    for sequence in 1..=PAYMENTS {
        calls.spawn(pay(Arc::clone(&registry), channel.clone(), sequence));
    }
    let mut ours: Vec<(i64, bool)> = calls.join_all().await;
    ours.sort_unstable();
    for happening in [Happening::DroppedBefore, Happening::ReplyLostByClose, Happening::Garbage] {
        assert!(simulator.count(happening) > 0, "{happening:?} was never tried");
    }
    let ledger = simulator.stop().await;
    let theirs: std::collections::BTreeMap<i64, EntryState> =
        ledger.entries().iter().map(|entry| (entry.amount_minor, entry.state)).collect();
    for (amount, paid) in ours {
        let stands = theirs.get(&amount) == Some(&EntryState::Approved);
        assert_eq!(stands, paid, "{amount}: {:?}", theirs.get(&amount));
    }
    std::fs::remove_dir_all(&folder).expect("it was ours");
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
        let name = format!("switchyard-follow-{style:?}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        write_channel(&folder, &simulator);
        let registry = registry(&folder);
        let channel = ChannelId::parse("links").expect("an id");
        let mut hold = facts(Operation::Preauth, 1);
        let request = ChannelRequest::Charge { facts: hold.clone(), card: card() };
        let Outcome::Approved(approval) = registry.call(&channel, request).await.outcome else {
            panic!("nothing declines here")
        };
        hold.channel_reference = approval.channel_reference;
        let mut capture = facts(Operation::Capture, 2);
        capture.amount = hold.amount;
        let taken =
            ChannelRequest::FollowUp { facts: capture.clone(), original: hold, card: Some(card()) };
        let Outcome::Approved(approval) = registry.call(&channel, taken).await.outcome else {
            panic!("its original stands")
        };
        capture.channel_reference = approval.channel_reference;
        let mut void = facts(Operation::Void, 3);
        void.amount = capture.amount;
        let request =
            ChannelRequest::FollowUp { facts: void, original: capture, card: Some(card()) };
        let outcome = registry.call(&channel, request).await.outcome;
        assert!(matches!(outcome, Outcome::Approved(_)), "{style:?}: {outcome:?}");
        let mut sale = facts(Operation::Payment, 4);
        let request = ChannelRequest::Charge { facts: sale.clone(), card: card() };
        let Outcome::Approved(approval) = registry.call(&channel, request).await.outcome else {
            panic!("nothing declines here")
        };
        sale.channel_reference = approval.channel_reference;
        let mut refund = facts(Operation::Refund, 5);
        refund.amount = AmountMinor::new(300).expect("a part");
        let request =
            ChannelRequest::FollowUp { facts: refund, original: sale, card: Some(card()) };
        let outcome = registry.call(&channel, request).await.outcome;
        assert!(matches!(outcome, Outcome::Approved(_)), "{style:?}: {outcome:?}");
        let ledger = simulator.stop().await;
        let states = ledger.entries().iter().filter(|one| one.state == EntryState::Undone);
        assert_eq!(states.count(), 1, "{style:?}");
        std::fs::remove_dir_all(&folder).expect("it was ours");
    }
}

/// A void or refund whose answer was lost may have been carried out. Taken back, its original
/// stands as it did, and may be followed up again.
#[tokio::test(flavor = "multi_thread")]
async fn a_void_or_refund_is_taken_back_like_a_payment() {
    for style in [Iso8583Style::Posp, Iso8583Style::Cups] {
        let settings = SimulatorSettings::iso8583("undone", style, Arc::new(noon));
        let simulator = Simulator::start(settings.with_declines_percent(0)).await.expect("a port");
        let name = format!("switchyard-undone-{style:?}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        write_channel(&folder, &simulator);
        let registry = registry(&folder);
        let channel = ChannelId::parse("links").expect("an id");
        let mut sale = facts(Operation::Payment, 1);
        let request = ChannelRequest::Charge { facts: sale.clone(), card: card() };
        let Outcome::Approved(approval) = registry.call(&channel, request).await.outcome else {
            panic!("nothing declines here")
        };
        sale.channel_reference = approval.channel_reference;
        for (operation, sequence) in
            [(Operation::Refund, 2), (Operation::Void, 3), (Operation::Refund, 4)]
        {
            let mut back = facts(operation, sequence);
            back.amount = sale.amount;
            let (original, card) = (sale.clone(), Some(card()));
            let request = ChannelRequest::FollowUp { facts: back.clone(), original, card };
            let outcome = registry.call(&channel, request).await.outcome;
            assert!(matches!(outcome, Outcome::Approved(_)), "{style:?}: {outcome:?}");
            if sequence < 4 {
                // Twice, as after a crash.
                reverse(&registry, &channel, &back, Some(Operation::Payment)).await;
                reverse(&registry, &channel, &back, Some(Operation::Payment)).await;
            }
        }
        // What was never asked for cannot be taken back.
        reverse(&registry, &channel, &facts(Operation::Void, 9), Some(Operation::Payment)).await;
        let ledger = simulator.stop().await;
        let mut states: Vec<_> = ledger.entries().iter().map(|one| (one.kind, one.state)).collect();
        states.sort_by_key(|(_, state)| *state);
        let expected =
            [(EntryKind::Charge, EntryState::Approved), (EntryKind::Refund, EntryState::Approved)];
        assert_eq!(states.iter().filter(|(_, state)| *state == EntryState::Reversed).count(), 2);
        assert!(expected.iter().all(|one| states.contains(one)), "{style:?}: {states:?}");
        let sold = ledger.entries().iter().find(|one| one.kind == EntryKind::Charge);
        assert_eq!(sold.expect("it was sold").used_minor, sale.amount.get(), "refunded once");
        std::fs::remove_dir_all(&folder).expect("it was ours");
    }
}
