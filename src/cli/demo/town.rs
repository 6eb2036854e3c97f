//! Everybody around the daemon: three simulated channels, and the files that make it know them.
//!
//! The channel files are those that ship with the program, with other addresses, credentials and a
//! schedule short enough to watch. They lie, with freshly made keys, in a folder that goes with the
//! demo; it is its owner's alone. Upholds I-11: nothing in it belongs to anybody real.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::civil;

use crate::clock::Clock;
use crate::simulator::{
    Between, Faults, NoticeRetries, Simulator, SimulatorKeys, SimulatorSettings, cut_off_far_from,
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

/// When the clearing day ends in all shipped files that the demo uses.
const CUT_OFF: &str = "cut_off = \"23:00\"";

/// Lines of the shipped UnionPay file, and what stands there in the demo. Each must be there once.
const UNIONPAY_EDITS: [(&str, &str); 7] = [
    ("requests_per_second = 200\nburst = 50", "requests_per_second = 1000\nburst = 200"),
    ("connect = \"2s\"\nreply = \"10s\"", "connect = \"300ms\"\nreply = \"700ms\""),
    ("open_for = \"5s\"", "open_for = \"500ms\""),
    (
        "inquire = [\"1s\", \"2s\", \"4s\", \"8s\", \"16s\", \"32s\"]",
        "inquire = [\"300ms\", \"600ms\", \"1s\", \"1s\", \"2s\"]",
    ),
    (
        "reverse = [\"0s\", \"30s\", \"2m\", \"10m\"]",
        "reverse = [\"0s\", \"300ms\", \"1s\", \"2s\", \"2s\"]",
    ),
    ("not_found_final_after = \"10m\"", "not_found_final_after = \"4s\""),
    ("notice_url = \"https://pay.example.com/notices/unionpay\"", "notice_url = \"{notices}\""),
];

/// The second UnionPay channel's own name, fees, limits and card types.
const CREDIT_EDITS: [(&str, &str); 4] = [
    ("name = \"UnionPay online, test system\"", "name = \"UnionPay online, credit acquirer\""),
    (
        "card_types = [\"debit\", \"credit\", \"quasi_credit\", \"prepaid\"]",
        "card_types = [\"credit\", \"quasi_credit\"]",
    ),
    ("per_order_max_minor = 5000000", "per_order_max_minor = 1000000"),
    ("rate_ppm = 4500", "rate_ppm = 4200"),
];

/// The same for the bank. One inquiry, then it is asked to reverse.
const HARBOUR_EDITS: [(&str, &str); 7] = [
    ("requests_per_second = 200, burst = 50", "requests_per_second = 1000, burst = 200"),
    ("connect = \"2s\", reply = \"10s\"", "connect = \"300ms\", reply = \"700ms\""),
    ("open_for = \"5s\"", "open_for = \"500ms\""),
    ("inquire = [\"2s\", \"5s\", \"10s\", \"30s\", \"1m\", \"5m\"]", "inquire = [\"150ms\"]"),
    (
        "reverse = [\"0s\", \"30s\", \"2m\", \"10m\"]",
        "reverse = [\"0s\", \"300ms\", \"1s\", \"2s\", \"2s\"]",
    ),
    ("not_found_final_after = \"10m\"", "not_found_final_after = \"4s\""),
    ("env:HARBOUR_BANK_KEY", "file:keys/harbour-bank.key"),
];

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
            let text = match simulator.harbour_key() {
                Some(key) => {
                    fs::write(folder.join("keys/harbour-bank.key"), key)?;
                    let text = edit(&go_live(HARBOUR_FILE), &HARBOUR_EDITS)?;
                    text.replace("https://api.harbour-bank.example", &simulator.base_url())
                }
                None => unionpay_file(id, simulator, api)?,
            };
            let cut_off = self.cut_off.strftime("cut_off = \"%H:%M\"").to_string();
            let text = edit(&text, &[(CUT_OFF, &cut_off)])?;
            fs::write(folder.join(format!("{id}.toml")), text)?;
        }
        Ok(())
    }
}

fn unionpay_file(id: &str, simulator: &Simulator, api: &str) -> anyhow::Result<String> {
    let mut text = edit(&go_live(UNIONPAY_FILE), &UNIONPAY_EDITS)?;
    if id == "unionpay-credit" {
        text = edit(&text, &CREDIT_EDITS)?;
    }
    let hosts = ["https://gateway.test.95516.com", "https://filedownload.test.95516.com"];
    let base = simulator.base_url();
    let text = hosts.iter().fold(text, |text, host| text.replace(host, &base));
    Ok(text.replace("{notices}", &format!("{api}/notices/{id}")))
}

/// The shipped files wait for their owner's keys; in the demo the keys are there. The channel's own
/// state is the first that a file speaks of.
fn go_live(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(line) = lines.iter_mut().find(|line| line.starts_with("state = ")) {
        *line = "state = \"live\"";
    }
    lines.join("\n") + "\n"
}

/// Makes each edit where it belongs, once.
fn edit(text: &str, edits: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for (from, to) in edits {
        if text.matches(from).count() != 1 {
            bail!("the shipped channel file has not exactly one `{from}`");
        }
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}

/// 5 % of replies lost after processing, 2 % dropped before, and some of all else. What is late is
/// well within `not_found_final_after`, and what hangs outlasts the gateway's patience.
fn bad_day() -> Faults {
    Faults { hang_for: Between::millis(1_000, 2_000), ..Faults::lossy() }
}

fn notice_retries() -> NoticeRetries {
    let waits = [100, 300, 600, 1_000].map(Duration::from_millis).to_vec();
    NoticeRetries { waits, timeout: Duration::from_secs(3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_finds_its_place_in_the_shipped_files() {
        let unionpay = edit(UNIONPAY_FILE, &UNIONPAY_EDITS).expect("UnionPay");
        assert!(edit(&unionpay, &CREDIT_EDITS).is_ok());
        assert!(edit(HARBOUR_FILE, &HARBOUR_EDITS).is_ok());
        for file in [UNIONPAY_FILE, HARBOUR_FILE] {
            assert!(edit(file, &[(CUT_OFF, "")]).is_ok());
        }
        for file in [UNIONPAY_FILE, HARBOUR_FILE] {
            assert_eq!(go_live(file).matches("\nstate = \"live\"\n").count(), 1);
        }
        assert!(edit("a a", &[("a", "b")]).is_err(), "twice is not once");
        assert!(edit("a", &[("c", "b")]).is_err());
    }
}
