//! The channels of a test: two simulators, and channel files that lead to them.
//!
//! The files are the shipped examples with other addresses, keys and shorter waits, so that a test
//! runs what an operator would write.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::civil;
use switchyard::clock::Clock;
use switchyard::simulator::{
    Between, Faults, LedgerEntry, MERCHANT_ID, Simulator, SimulatorKeys, SimulatorSettings,
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
            settings.working = Between::millis(10, 50);
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
        let text = match channel {
            BANK => self.bank_file(unknown, timeouts),
            UNIONPAY => self.unionpay_file(notice_url, unknown, timeouts),
            other => panic!("no channel is called {other}"),
        };
        with_cut_off(&text, self.cut_off)
    }

    fn bank_file(&self, unknown: &str, timeouts: &str) -> String {
        let text = include_str!("../../channels/harbour-bank.toml");
        let text = with_line(text, "state = ", "state = \"live\"");
        let text = with_line(&text, "timeouts = ", &format!("timeouts = {timeouts}"));
        let text = with_line(&text, "breaker = ", BREAKER);
        let text = with_line(&text, "base_url = ", &setting("base_url", &self.bank.base_url()));
        let merchant = format!("values = {{ merchant_id = \"{MERCHANT_ID}\" }}");
        let text = with_line(&text, "values = ", &merchant);
        let text = with_line(&text, "key = ", "key = \"file:keys/harbour\"");
        with_section(&text, "unknown", unknown)
    }

    fn unionpay_file(&self, notice_url: &str, unknown: &str, timeouts: &str) -> String {
        let text = include_str!("../../channels/unionpay.toml");
        let base = self.unionpay.base_url();
        let back = format!("{base}/gateway/api/backTransReq.do");
        let query = format!("{base}/gateway/api/queryTrans.do");
        let text = with_line(text, "state = ", "state = \"live\"");
        let text = with_line(&text, "merchant_id = ", &setting("merchant_id", MERCHANT_ID));
        let text = with_line(&text, "transaction_url = ", &setting("transaction_url", &back));
        let text = with_line(&text, "query_url = ", &setting("query_url", &query));
        let text = with_line(&text, "reversal_url = ", &setting("reversal_url", &back));
        let text =
            with_line(&text, "statement_url = ", &setting("statement_url", &format!("{base}/")));
        let text = with_line(&text, "notice_url = ", &setting("notice_url", notice_url));
        let text = without_section(&text, "timeouts");
        let text = without_section(&text, "breaker");
        let shared = format!("timeouts = {timeouts}\n{BREAKER}\nstate = \"live\"");
        let text = with_line(&text, "state = ", &shared);
        with_section(&text, "unknown", unknown)
    }
}

/// A channel that fails on purpose must not be left out for long.
pub const BREAKER: &str = "breaker = { failures = 10, open_for = \"100ms\" }";

/// A cut-off that no test is long enough to reach: tests run on the machine's clock.
pub fn far_cut_off() -> civil::Time {
    cut_off_far_from(Clock::System.now())
}

/// A shipped channel file whose clearing day ends then.
pub fn with_cut_off(text: &str, cut_off: civil::Time) -> String {
    let key = "cut_off = \"";
    let start = text.find(key).expect("the file has a clearing calendar") + key.len();
    let end = start + text[start..].find('"').expect("the text has an end");
    format!("{}{}{}", &text[..start], cut_off.strftime("%H:%M"), &text[end..])
}

fn setting(key: &str, text: &str) -> String {
    format!("{key} = \"{text}\"")
}

/// The text with the first line that begins so replaced.
pub fn with_line(text: &str, begins: &str, line: &str) -> String {
    let is_it = |old: &&str| old.starts_with(begins);
    let old = text.lines().find(is_it).unwrap_or_else(|| panic!("no line begins with {begins}"));
    text.replacen(&format!("\n{old}\n"), &format!("\n{line}\n"), 1)
}

/// The text with the lines of a section replaced.
pub fn with_section(text: &str, name: &str, lines: &str) -> String {
    let heading = format!("\n[{name}]\n");
    let (before, after) = text.split_once(&heading).expect("the section");
    let end = after.find("\n[").expect("another section follows");
    format!("{before}{heading}{lines}{}", &after[end..])
}

pub fn without_section(text: &str, name: &str) -> String {
    with_section(text, name, "").replacen(&format!("\n[{name}]\n"), "\n", 1)
}
