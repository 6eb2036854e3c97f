//! How many payments a second one ISO 8583 link carries, beside what the HTTP channel does.
//!
//! `cargo bench --bench iso8583_link` measures; any other run only shows that it works. Both go
//! through the registry (pace, breaker, adapter, transport) to a simulator in the same process,
//! with 256 payments on their way; the ISO 8583 channel has one TCP link, the HTTP channel as many
//! connections as it likes. Prints, and claims no pass or fail: time depends on the machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use switchyard::channel::registry::Registry;
use switchyard::channel::{AttemptFacts, ChannelRequest, Channels};
use switchyard::clock::Clock;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, Expiry, Pan};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::terms::CommonTerms;
use switchyard::simulator::{DialectSettings, Iso8583Style, Simulator, SimulatorSettings};

const IN_FLIGHT: u64 = 256;

const SHARED: &str = r#"state = "live"
[abilities]
operations = ["payment"]
currencies = ["CNY"]
[limits]
per_order_max_minor = 5000000
[pace]
requests_per_second = 1000000
in_flight = 256
[timeouts]
reply = "20s"
[unknown]
inquire = []
then = "operator"
reverse = []
not_found_final_after = "10m"
[clearing]
time_zone = "Asia/Shanghai"
cut_off = "23:00"
"#;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (rounds, payments) = if measured { (5, 60_000) } else { (1, 600) };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(run(rounds, payments));
}

async fn run(rounds: u64, payments: u64) {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    let clock = || Arc::new(|| Clock::System.now());
    let links = |id, style| SimulatorSettings::iso8583(id, style, clock()).with_declines_percent(0);
    let posp = Simulator::start(links("posp", Iso8583Style::Posp)).await.expect("a port");
    let cups = Simulator::start(links("cups", Iso8583Style::Cups)).await.expect("a port");
    let bank = SimulatorSettings::benchmark("bank", clock());
    let bank = Simulator::start(bank).await.expect("a port");
    write_links(folder, &posp, "style = \"posp\"");
    write_links(
        folder,
        &cups,
        "style = \"cups\"\nproduction = false\nacquirer = \"48021000\"\n\
         forwarder = \"48021000\"",
    );
    let http = include_str!("gateway/channel.toml").replace("http://SIMULATOR", &bank.base_url());
    std::fs::write(folder.join("bank.toml"), http).expect("writable");
    let routes = folder.join("routes.toml");
    let registry = Registry::load(folder, &routes, folder, CommonTerms::default(), Clock::System);
    let registry = Arc::new(registry.unwrap_or_else(|mistakes| panic!("{mistakes:#?}")));
    let sequence = Arc::new(AtomicU64::new(1));
    for name in ["bank", "posp", "cups"] {
        let mut best = 0.0_f64;
        for _ in 0..rounds {
            best = best.max(round(&registry, name, &sequence, payments).await);
        }
        println!("{name}: {best:.0} payments/s, {IN_FLIGHT} on their way (best of {rounds})");
    }
}

fn write_links(folder: &Path, simulator: &Simulator, style: &str) {
    let settings = simulator.settings();
    let DialectSettings::Iso8583(links) = &settings.dialect else { panic!("another dialect") };
    let id = &settings.id;
    let text = format!(
        r#"protocol = "iso8583"
{SHARED}[iso8583]
{style}
addresses = ["{}"]
terminals = ["12345678", "12345679", "12345680", "12345681"]
nodes = [1]
merchant_id = "898110148160001"
[iso8583.mac]
key = "file:{id}.hex"
"#,
        simulator.address()
    );
    std::fs::write(folder.join(format!("{id}.toml")), text).expect("writable");
    std::fs::write(folder.join(format!("{id}.hex")), links.mac_key.as_bytes()).expect("writable");
}

/// Payments a second, over `IN_FLIGHT` tasks that each wait for their answers.
async fn round(
    registry: &Arc<Registry>,
    channel: &str,
    sequence: &Arc<AtomicU64>,
    payments: u64,
) -> f64 {
    let channel = ChannelId::parse(channel).expect("an id");
    let end = sequence.load(Ordering::Relaxed) + payments;
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (registry, sequence) = (Arc::clone(registry), Arc::clone(sequence));
        let channel = channel.clone();
        tasks.spawn(async move {
            loop {
                let next = sequence.fetch_add(1, Ordering::Relaxed);
                if next >= end {
                    return;
                }
                let outcome = registry.call(&channel, payment(next)).await.outcome;
                assert!(matches!(outcome, Outcome::Approved(_)), "{channel}: {outcome:?}");
            }
        });
    }
    tasks.join_all().await;
    payments as f64 / begun.elapsed().as_secs_f64()
}

fn payment(sequence: u64) -> ChannelRequest {
    let order = OrderId::compose(261_122, 1, sequence);
    let facts = AttemptFacts {
        channel_order_no: ChannelOrderNo { order, attempt: 1 },
        sent_at: Clock::System.now(),
        announced_at: None,
        operation: Operation::Payment,
        merchant_id: MerchantId::parse("m-1").expect("an id"),
        amount: AmountMinor::new(10_000).expect("an amount"),
        currency: Currency::parse("CNY").expect("a currency"),
        description: None,
        channel_reference: None,
        payee_kind: None,
    };
    let card = CardInput {
        pan: Pan::parse("6216261000000000018").expect("a published test number"),
        expiry: Expiry::parse_yymm("3012"),
        cvv: None,
        holder: None,
        id_type: None,
        id_number: None,
        phone: None,
    };
    ChannelRequest::Charge { facts, instrument: card.into() }
}
