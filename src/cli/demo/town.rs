//! Everybody around the daemon: three simulated channels, and the files that make it know them.
//!
//! The channel files are those that ship with the program, with other addresses, credentials and a
//! schedule short enough to watch. They lie, with freshly made keys, in a folder that goes with the
//! demo; it is its owner's alone. Upholds I-11: nothing in it belongs to anybody real.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::civil;

use crate::clock::Clock;
use crate::config::editor::{EditError, Editor, overlay};
use crate::simulator::{
    DurationRange, Faults, NoticeRetries, Simulator, SimulatorKeys, SimulatorSettings,
    cut_off_far_from,
};

const UNIONPAY_FILE: &str = include_str!("../../../channels/unionpay.toml");
const HARBOUR_FILE: &str = include_str!("../../../channels/harbour-bank.toml");

/// The merchant numbers in the shipped files.
const UNIONPAY_MERCHANT: &str = "777000000000001";
const HARBOUR_MERCHANT: &str = "M00012345";

/// The channels' ids, in the order of reports.
pub const CHANNELS: [&str; 3] = ["unionpay", "unionpay-credit", "harbour-bank"];

/// Where orders go: credit cards first to the channel that takes nothing else, the rest by weight.
const ROUTES: &str = r#"
[[rule]]
name = "credit cards of up to 8,000 yuan go to the credit channel"
when = { card_types = ["credit", "quasi_credit"], amount_to_minor = 800000 }
strategy = "priority"
channels = ["unionpay-credit", "harbour-bank", "unionpay"]

[[rule]]
name = "the rest is shared out"
strategy = "weighted"
channels = ["unionpay", "harbour-bank"]
weights = [3, 2]
"#;

/// Settings laid over every file: the keys are there, waits are short, the pace is quick, and the
/// largest load stays below the day's limit of payouts.
const EVERY_FILE: &str = r#"
state = "live"
[limits]
payouts_per_day_minor = 1000000000000
[pace]
requests_per_second = 1000
burst = 200
[timeouts]
connect = "300ms"
reply = "700ms"
[breaker]
open_for = "500ms"
[unknown]
inquire = ["300ms", "600ms", "1s", "1s", "2s"]
reverse = ["0s", "300ms", "1s", "2s", "2s"]
not_found_final_after = "4s"
"#;

/// The second UnionPay channel's own name, fees, limits and card types.
const CREDIT_FILE: &str = r#"
name = "UnionPay online, credit acquirer"
abilities.card_types = ["credit", "quasi_credit"]
limits.per_order_max_minor = 1000000
[[fees]]
name = "credit"
card_types = ["credit", "quasi_credit"]
rate_ppm = 4200
[[fees]]
name = "payouts"
operation = "payout"
fixed_minor = 100
"#;

/// One inquiry, then the bank is asked to reverse.
const BANK_FILE: &str = r#"
unknown.inquire = ["150ms"]
http.sign.key = "file:keys/harbour-bank.key"
"#;

/// The simulated channels, in the order of [`CHANNELS`].
pub struct Town {
    simulators: Vec<(&'static str, Simulator)>,
    keys: Arc<SimulatorKeys>,
    /// Far from now, so that the clearing day does not end between a payment and its void.
    cut_off: civil::Time,
}

impl Town {
    /// Starts the channels, each on a port of its own, on a bad day that the seed repeats.
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        let made = tokio::task::spawn_blocking(SimulatorKeys::generate).await;
        let keys = Arc::new(made.context("making the keys has panicked")??);
        let cut_off = cut_off_far_from(Clock::System.now());
        let mut simulators = Vec::new();
        for (place, id) in CHANNELS.into_iter().enumerate() {
            let clock: crate::simulator::ChannelClock = Arc::new(|| Clock::System.now());
            let settings = match id {
                "harbour-bank" => SimulatorSettings::harbour_bank(id, clock)
                    .with_merchant_id(HARBOUR_MERCHANT)
                    .with_faults(Faults { unclear: 1_200, ..bad_day() }),
                _ => SimulatorSettings::unionpay_acp(id, Arc::clone(&keys), clock)
                    .with_merchant_id(UNIONPAY_MERCHANT)
                    .with_faults(bad_day()),
            };
            let settings = settings
                .with_seed(seed.wrapping_add(place as u64))
                .with_cut_off(cut_off)
                .with_notice_retries(notice_retries());
            let started = Simulator::start(settings).await;
            simulators.push((id, started.with_context(|| format!("{id} does not start"))?));
        }
        Ok(Self { simulators, keys, cut_off })
    }

    pub fn simulators(&self) -> impl Iterator<Item = (&'static str, &Simulator)> {
        self.simulators.iter().map(|(id, simulator)| (*id, simulator))
    }

    /// From now on nothing goes wrong any more.
    pub fn calm(&self) -> anyhow::Result<()> {
        for (_, simulator) in &self.simulators {
            simulator.set_faults(Faults::calm())?;
        }
        Ok(())
    }

    /// Notices that the channels still want to deliver.
    pub fn notices_waiting(&self) -> usize {
        self.simulators.iter().map(|(_, simulator)| simulator.notices_waiting()).sum()
    }

    /// Writes the channel files with their keys, and the routes. `api` is the daemon's address, to
    /// which the channels post their notices.
    pub fn write_files(&self, base: &Path, api: &str) -> anyhow::Result<()> {
        let folder = base.join("channels");
        fs::create_dir_all(folder.join("keys"))?;
        fs::write(base.join("routes.toml"), ROUTES)?;
        let keys = &self.keys;
        for (name, text) in [
            ("encrypt.pem", &keys.encryption_certificate_pem),
            ("root.pem", &keys.root_pem),
            ("middle.pem", &keys.intermediate_pem),
            ("sign.pem", &keys.merchant_certificate_pem),
            ("sign.key", &keys.merchant_key_pem),
        ] {
            fs::write(folder.join("keys").join(name), text)?;
        }
        for (id, simulator) in &self.simulators {
            let base = simulator.base_url();
            let text = match simulator.harbour_key() {
                Some(key) => {
                    fs::write(folder.join("keys/harbour-bank.key"), key)?;
                    bank_file(&base)?
                }
                None => unionpay_file(id, &base, api)?,
            };
            let cut_off = self.cut_off.strftime("clearing.cut_off = \"%H:%M\"").to_string();
            fs::write(folder.join(format!("{id}.toml")), overlay(&text, &cut_off)?)?;
        }
        Ok(())
    }
}

fn bank_file(base: &str) -> Result<String, EditError> {
    let mut editor = Editor::new(HARBOUR_FILE)?;
    editor.lay(EVERY_FILE)?;
    editor.lay(BANK_FILE)?;
    editor.lay(&format!("http.base_url = \"{base}\""))?;
    Ok(editor.to_string())
}

fn unionpay_file(id: &str, base: &str, api: &str) -> Result<String, EditError> {
    let mut editor = Editor::new(UNIONPAY_FILE)?;
    editor.lay(EVERY_FILE)?;
    if id == "unionpay-credit" {
        editor.lay(CREDIT_FILE)?;
    }
    editor.lay(&format!(
        "[unionpay_acp]\n\
         transaction_url = \"{base}/gateway/api/backTransReq.do\"\n\
         reversal_url = \"{base}/gateway/api/backTransReq.do\"\n\
         query_url = \"{base}/gateway/api/queryTrans.do\"\n\
         statement_url = \"{base}/\"\n\
         notice_url = \"{api}/notices/{id}\"\n"
    ))?;
    Ok(editor.to_string())
}

/// 5 % of replies lost after processing, 2 % dropped before, and some of all else. What is late is
/// well within `not_found_final_after`, and what hangs outlasts the gateway's patience.
fn bad_day() -> Faults {
    Faults { hang_for: DurationRange::millis(1_000, 2_000), ..Faults::lossy() }
}

fn notice_retries() -> NoticeRetries {
    let waits = [100, 300, 600, 1_000].map(Duration::from_millis).to_vec();
    NoticeRetries { waits, timeout: Duration::from_secs(3) }
}
