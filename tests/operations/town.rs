//! Four channels as their shipped files describe them, and all that is around the daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use switchyard::clock::Clock;
use switchyard::codec::sign::sha256_hex;
use switchyard::config::checked::Settings;
use switchyard::config::editor::{Editor, overlay};
use switchyard::config::raw::Document;
use switchyard::domain::time::Timestamp;
use switchyard::simulator::{
    Counterpart, DurationRange, Faults, KeyTexts, LedgerSnapshot, ReversedLines, Simulator,
    SimulatorEvent,
};

use crate::accounting::Accounting;
use crate::lives::Life;
use crate::support::Scratch;
use crate::support::installation::CALLER_KEY;
use crate::support::simulated::{LIVE, QUICK_TIMEOUTS, cut_off_at, far_cut_off};
use crate::support::wire::{Door, http_client};
use crate::terminals;

/// A channel of the town. A shop of the same name sells over nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    pub id: &'static str,
    /// The shipped file.
    pub text: &'static str,
    /// What the channel charges, as its file says for debit cards. The amounts of the tests stay
    /// below the file's caps and above its minimum.
    fee_rate_ppm: u32,
    holds: bool,
    pays_out: bool,
    /// Laid over the file.
    waits: &'static str,
}

pub const UNIONPAY: Channel = Channel {
    id: "unionpay",
    text: include_str!("../../channels/unionpay.toml"),
    fee_rate_ppm: 3_500,
    holds: true,
    pays_out: true,
    waits: UNTIL_ANSWERED,
};
pub const MEADOW: Channel = Channel {
    id: "meadow-bank",
    text: include_str!("../../channels/meadow-bank.toml"),
    fee_rate_ppm: 3_800,
    holds: false,
    pays_out: false,
    waits: UNTIL_ANSWERED,
};
pub const QUARRY: Channel = Channel {
    id: "quarry-bank",
    text: include_str!("../../channels/quarry-bank.toml"),
    fee_rate_ppm: 4_200,
    holds: true,
    pays_out: false,
    waits: UNTIL_ANSWERED,
};
pub const LAKESIDE: Channel = Channel {
    id: "lakeside-acquirer",
    text: include_str!("../../channels/lakeside-acquirer.toml"),
    fee_rate_ppm: 3_500,
    holds: true,
    pays_out: false,
    waits: REVERSED_AT_ONCE,
};
pub const CHANNELS: [Channel; 4] = [UNIONPAY, MEADOW, QUARRY, LAKESIDE];

impl Channel {
    /// What can be lived on it: without holds, only what begins with a payment; payouts where its
    /// file has them.
    pub fn lives(self) -> &'static [Life] {
        let lives = match (self.holds, self.pays_out) {
            (true, true) => Life::ALL.len(),
            (true, false) => Life::OF_CARDS_THAT_PAY,
            (false, _) => Life::OF_PAYMENTS,
        };
        &Life::ALL[..lives]
    }
}

/// Inquiries go on so long that a hostile channel answers one of them. They wait beyond the longest
/// time that a simulator may sit on a request before they believe that there is no such order.
const UNTIL_ANSWERED: &str = r#"
[unknown]
inquire = [
    "200ms", "300ms", "500ms", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s",
]
then = "reverse"
reverse = ["0s", "300ms", "1s", "2s", "2s", "2s"]
reverse_until = "clearing_day"
not_found_final_after = "4s"
"#;

/// There is nothing to inquire with: the reversal is repeated until it is answered, a refund's too.
const REVERSED_AT_ONCE: &str = r#"
abilities.reversible = ["payment", "preauth", "capture", "void", "refund"]
[unknown]
inquire = []
then = "reverse"
reverse = ["0s", "300ms", "1s", "1s", "1s", "1s", "1s", "2s", "2s", "2s"]
reverse_until = "clearing_day"
not_found_final_after = "4s"
keeps_pan = true
"#;

pub struct Town {
    scratch: Scratch,
    simulators: Arc<Vec<(&'static str, Simulator)>>,
    pub accounting: Arc<Accounting>,
    accounting_url: String,
    pub door: Door,
    /// How far the channels' clocks are ahead of ours.
    ahead_ms: Arc<AtomicI64>,
}

impl Town {
    pub async fn build(seed: u64, accounting_failures_percent: u8) -> Self {
        let scratch = Scratch::new();
        let door = Door::open().await;
        std::fs::create_dir_all(scratch.path().join("channels/keys")).expect("a folder");
        let mut simulators = Vec::new();
        let ahead_ms = Arc::new(AtomicI64::new(0));
        for channel in CHANNELS {
            let simulator = settle(channel, seed, &ahead_ms, &scratch, &door).await;
            simulators.push((channel.id, simulator));
        }
        let simulators = Arc::new(simulators);
        let (accounting, accounting_url) =
            Accounting::open(Arc::clone(&simulators), seed, accounting_failures_percent).await;
        let rule = |channel: Channel| {
            let id = channel.id;
            format!(
                "[[rule]]\nname = \"{id}\"\nstrategy = \"priority\"\nchannels = [\"{id}\"]\n\
                 [rule.when]\nmerchants = [\"{id}\"]\n"
            )
        };
        let routes: String = CHANNELS.map(rule).concat();
        std::fs::write(scratch.path().join("routes.toml"), routes).expect("a file");
        Self { scratch, simulators, accounting, accounting_url, door, ahead_ms }
    }

    /// The channels' day ends, so that they give its statements.
    pub fn end_day(&self) {
        self.ahead_ms.store(24 * 3_600_000, Ordering::SeqCst);
    }

    /// A channel's statement of a date, if it has one.
    pub async fn statement(&self, channel: &str, date: &str) -> Option<Vec<u8>> {
        let simulator = self.simulators.iter().find(|(id, _)| *id == channel);
        let base = simulator.expect("one of ours").1.base_url();
        let reply = http_client().get(format!("{base}/statements/{date}")).send().await;
        let reply = reply.expect("a reply");
        match reply.status().as_u16() {
            200 => Some(reply.bytes().await.expect("a file").to_vec()),
            _ => None,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    pub fn settings(&self) -> Settings {
        let accounting = &self.accounting_url;
        let hash = sha256_hex(CALLER_KEY.as_bytes());
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
[payments]
wait_default = "10s"
[accounting]
url = "{accounting}"
waits = ["50ms", "200ms"]
[workers]
look_every = "50ms"
[[callers]]
name = "core"
roles = ["core", "operator"]
key_sha256 = "{hash}"
"#
        );
        let file = Some(("switchyard.toml", text.as_str()));
        let read = switchyard::config::settings(file, Vec::new(), self.scratch.path());
        read.expect("settings without mistakes")
    }

    pub fn set_faults(&self, faults: Faults) {
        for (_, simulator) in self.simulators.iter() {
            simulator.set_faults(faults).expect("possible faults");
        }
    }

    pub fn ledgers(&self) -> Vec<(&'static str, LedgerSnapshot)> {
        let ledger = |id: &str, simulator: &Simulator| match id == LAKESIDE.id {
            true => terminals::in_our_numbers(&simulator.ledger()),
            false => simulator.ledger(),
        };
        self.simulators.iter().map(|(id, simulator)| (*id, ledger(id, simulator))).collect()
    }

    /// A channel's ledger in its own numbers, and what its statements list of what was reversed.
    pub fn ledger_of(&self, channel: Channel) -> (LedgerSnapshot, ReversedLines) {
        let simulator = self.simulators.iter().find(|(id, _)| *id == channel.id);
        let simulator = &simulator.expect("one of ours").1;
        (simulator.ledger(), simulator.settings().reversed_lines)
    }

    pub fn notices_waiting(&self) -> usize {
        self.simulators.iter().map(|(_, simulator)| simulator.notices_waiting()).sum()
    }

    /// How many replies were lost so far.
    pub fn went_wrong(&self) -> u64 {
        let lost = [
            SimulatorEvent::ReplyLostByClose,
            SimulatorEvent::ReplyLostByReset,
            SimulatorEvent::ReplyLostByHang,
        ];
        let of = |simulator: &Simulator| lost.map(|kind| simulator.count(kind)).iter().sum::<u64>();
        self.simulators.iter().map(|(_, simulator)| of(simulator)).sum()
    }
}

/// Starts the other side of the channel's file, and writes a copy of the file that leads there.
async fn settle(
    channel: Channel,
    seed: u64,
    ahead_ms: &Arc<AtomicI64>,
    scratch: &Scratch,
    door: &Door,
) -> Simulator {
    let text = overlay(channel.text, &cut_off_at(far_cut_off())).expect("TOML");
    let document = Document::parse("shipped.toml", &text).expect("TOML");
    let other = Counterpart::read(&document, channel.id, &mut KeyTexts::new());
    let Ok(other) = other else { panic!("{} has no other side", channel.id) };
    let ahead_ms = Arc::clone(ahead_ms);
    let clock: switchyard::simulator::ChannelClock = Arc::new(move || {
        Timestamp::from_millis(Clock::System.now().as_millis() + ahead_ms.load(Ordering::SeqCst))
    });
    let mut settings = other
        .settings(channel.id, clock)
        .with_seed(seed)
        .with_declines_percent(0)
        .with_working(DurationRange::millis(10, 50));
    settings.fee_rate_ppm = channel.fee_rate_ppm;
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let notices = format!("http://{}", door.address);
    let copy = other.redirect_to_simulator(&text, &simulator.base_url(), &notices).expect("TOML");
    let mut copy = Editor::new(&copy).expect("TOML");
    for (place, credential) in other.credentials.iter().enumerate() {
        let name = format!("keys/{}-{place}", channel.id);
        let path = scratch.path().join("channels").join(&name);
        std::fs::write(path, credential.text.as_bytes()).expect("a file");
        // The copy keeps in files what the shipped file expects in the environment.
        let reference = credential.reference.replace("env:", "file:env/");
        copy.change_texts(|text| (text == reference).then(|| format!("file:{name}")));
    }
    let waits = channel.waits;
    copy.lay(&format!("timeouts = {QUICK_TIMEOUTS}\n{LIVE}\n{waits}")).expect("TOML");
    let file = scratch.path().join(format!("channels/{}.toml", channel.id));
    std::fs::write(file, copy.to_string()).expect("a file");
    simulator
}
