//! The channels of a test: two simulators, and channel files that lead to them.
//!
//! The files are the shipped examples with other addresses, keys and shorter waits, so that a test
//! runs what an operator would write.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::civil;
use switchyard::clock::Clock;
use switchyard::config::editor::overlay;
use switchyard::simulator::{
    DurationRange, Faults, LedgerEntry, MERCHANT_ID, Simulator, SimulatorKeys, SimulatorSettings,
    cut_off_far_from,
};

pub const BANK: &str = "harbour-bank";
pub const UNIONPAY: &str = "unionpay";

/// What a bank answers "no" to, whatever the card: one fen more is over its limit.
pub const BANK_LIMIT_MINOR: i64 = 1_000_000;

/// A section `[unknown]` that comes to its end within seconds.
pub const QUICK_UNKNOWNS: &str = r#"
inquire = ["200ms", "500ms", "1s"]
then = "reverse"
reverse = ["0s", "300ms", "1s", "2s", "2s", "2s"]
reverse_until = "clearing_day"
not_found_final_after = "2s"
"#;

/// The time-outs that `QUICK_UNKNOWNS` allows: with a wait of half a second for the pace, a call
/// takes two seconds at most.
pub const QUICK_TIMEOUTS: &str = "{ connect = \"500ms\", reply = \"1s\" }";
/// The time-outs of the shipped files.
pub const PATIENT_TIMEOUTS: &str = "{ connect = \"2s\", reply = \"10s\" }";

/// Making RSA keys takes most of a second, so a process makes them once.
fn keys() -> Arc<SimulatorKeys> {
    static KEYS: OnceLock<Arc<SimulatorKeys>> = OnceLock::new();
    Arc::clone(KEYS.get_or_init(|| Arc::new(SimulatorKeys::generate().expect("five RSA keys"))))
}

/// Both simulators, running.
pub struct SimulatedChannels {
    pub bank: Simulator,
    pub unionpay: Simulator,
    /// When the clearing day ends: far from the test's start.
    pub cut_off: civil::Time,
}

impl SimulatedChannels {
    /// Starts both with the settings as `change` leaves them: at first calm, approving every card.
    pub async fn start(change: impl Fn(SimulatorSettings) -> SimulatorSettings) -> Self {
        let clock = || -> switchyard::simulator::ChannelClock { Arc::new(|| Clock::System.now()) };
        let cut_off = far_cut_off();
        let plain = |settings: SimulatorSettings| {
            let mut settings = settings.with_declines_percent(0).with_cut_off(cut_off);
            settings.working = DurationRange::millis(10, 50);
            settings.per_order_max_minor = BANK_LIMIT_MINOR;
            change(settings)
        };
        let bank = plain(SimulatorSettings::harbour_bank(BANK, clock()));
        let unionpay = plain(SimulatorSettings::unionpay_acp(UNIONPAY, keys(), clock()));
        Self {
            bank: Simulator::start(bank).await.expect("a bank"),
            unionpay: Simulator::start(unionpay).await.expect("a UnionPay"),
            cut_off,
        }
    }

    pub fn set_faults(&self, faults: Faults) {
        for simulator in [&self.bank, &self.unionpay] {
            simulator.set_faults(faults).expect("possible faults");
        }
    }

    /// What both believe, by channel.
    pub fn entries(&self) -> Vec<(&'static str, LedgerEntry)> {
        let of = |name: &'static str, simulator: &Simulator| {
            let entries = simulator.ledger().entries().to_vec();
            entries.into_iter().map(move |entry| (name, entry))
        };
        of(BANK, &self.bank).chain(of(UNIONPAY, &self.unionpay)).collect()
    }

    /// Writes the keys that the channel files name.
    pub fn write_keys(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("keys")).expect("a folder for keys");
        let keys = self.unionpay.unionpay_keys().expect("it speaks UnionPay's dialect");
        let harbour_key = self.bank.harbour_key().expect("it speaks the bank's dialect");
        let files = [
            ("harbour", harbour_key),
            ("sign.pem", &keys.merchant_certificate_pem),
            ("sign.key", &keys.merchant_key_pem),
            ("encrypt.pem", &keys.encryption_certificate_pem),
            ("root.pem", &keys.root_pem),
            ("middle.pem", &keys.intermediate_pem),
        ];
        for (name, text) in files {
            std::fs::write(folder.join("keys").join(name), text).expect("a file");
        }
    }

    /// The file of a channel, with this section `[unknown]` and these time-outs.
    pub fn file(&self, channel: &str, notice_url: &str, unknown: &str, timeouts: &str) -> String {
        let (shipped, own) = match channel {
            BANK => (include_str!("../../channels/harbour-bank.toml"), self.bank_file()),
            UNIONPAY => {
                (include_str!("../../channels/unionpay.toml"), self.unionpay_file(notice_url))
            }
            other => panic!("no channel is called {other}"),
        };
        let cut_off = cut_off_at(self.cut_off);
        let common = format!("timeouts = {timeouts}\n{LIVE}\n{cut_off}\n[unknown]\n{unknown}");
        overlay(&overlay(shipped, &common).expect("TOML"), &own).expect("TOML")
    }

    fn bank_file(&self) -> String {
        let base = self.bank.base_url();
        format!(
            r#"
[http]
base_url = "{base}"
values = {{ merchant_id = "{MERCHANT_ID}" }}
sign.key = "file:keys/harbour"
"#
        )
    }

    fn unionpay_file(&self, notice_url: &str) -> String {
        let base = self.unionpay.base_url();
        format!(
            r#"
[unionpay_acp]
merchant_id = "{MERCHANT_ID}"
transaction_url = "{base}/gateway/api/backTransReq.do"
query_url = "{base}/gateway/api/queryTrans.do"
reversal_url = "{base}/gateway/api/backTransReq.do"
statement_url = "{base}/"
notice_url = "{notice_url}"
"#
        )
    }
}

/// Keys at the top of a channel's file: a channel that fails on purpose must not be left out for
/// long.
pub const LIVE: &str = "state = \"live\"\nbreaker = { failures = 10, open_for = \"100ms\" }";

/// A cut-off that no test is long enough to reach: tests run on the machine's clock.
pub fn far_cut_off() -> civil::Time {
    cut_off_far_from(Clock::System.now())
}

/// The key that ends a channel's clearing day then.
pub fn cut_off_at(cut_off: civil::Time) -> String {
    cut_off.strftime("clearing.cut_off = \"%H:%M\"").to_string()
}
