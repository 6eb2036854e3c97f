//! A channel's other side as the channel's own file describes it: which dialect answers, to which
//! merchant, with which keys, and how a copy of the file is led to the simulator.
//!
//! Reads the file by itself, without the adapters: what an adapter misreads there, a simulator must
//! not misread too. It writes nothing and opens no file. Keys are made up and belong to nobody
//! (I-11).
//!
//! A further protocol joins in four places: a variant of [`DialectSettings`] with its settings, a
//! module in `dialect`, how it is served in `Simulator::start`, and its line in
//! [`Counterpart::read`]. A further bank is a [`BankStyle`](super::BankStyle) and a module in
//! `dialect/banks`.

mod playable;
mod read;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::domain::time::ClearingCalendar;

pub use self::playable::playable;
use super::settings::{ChannelClock, DialectSettings, SimulatorSettings};

/// Texts that the other side keeps from one start to the next, by name: its own private keys. What
/// is not there yet is made, and put in.
pub type KeyTexts = BTreeMap<String, Zeroizing<String>>;

/// The text behind one of the file's credential references.
pub struct TestCredential {
    /// As the file has it: `file:path` or `env:NAME`.
    pub reference: String,
    pub text: Zeroizing<String>,
}

impl TestCredential {
    fn new(reference: &str, text: &str) -> Self {
        Self { reference: reference.to_owned(), text: Zeroizing::new(text.to_owned()) }
    }
}

/// The other side of one channel file.
pub struct Counterpart {
    pub dialect: DialectSettings,
    pub credentials: Vec<TestCredential>,
    /// Where the file reaches the channel: web addresses, or `host:port`.
    pub addresses: Vec<String>,
    /// Where the file has the channel's notices sent, if it has any.
    pub notice_address: Option<String>,
    /// When and where the file says that the clearing day ends: both sides must cut it at the same
    /// moment. Without it in the file, UnionPay's.
    pub calendar: ClearingCalendar,
    /// The first of the file's fees, in millionths of the amount, and whether the channel keeps it
    /// where money is refunded.
    pub fee: Option<(u32, bool)>,
}

impl Counterpart {
    /// The settings of a simulator that plays this side: no faults, one order in ten declined.
    pub fn settings(&self, id: &str, clock: ChannelClock) -> SimulatorSettings {
        let mut settings = SimulatorSettings::of(id, self.dialect.clone(), clock);
        settings.calendar = self.calendar.clone();
        if let Some((rate_ppm, kept)) = self.fee {
            (settings.fee_rate_ppm, settings.keeps_refund_fees) = (rate_ppm, kept);
        }
        settings
    }

    /// The file's text, changed so that the gateway that reads it speaks to a simulator at `base`
    /// (`http://host:port`) and hears of notices at `notices` (`http://host:port`), and finds every
    /// credential in a file. Its state becomes live, and its links plain.
    pub fn leading_here(&self, text: &str, base: &str, notices: &str) -> String {
        let mut text = text.to_owned();
        // A link's address is `host:port` and has no scheme.
        let host = base.split_once("://").map_or(base, |(_, host)| host);
        let here = |address: &str| if address.contains("://") { base } else { host };
        let moves = self.addresses.iter().map(|address| (address, here(address)));
        for (address, to) in moves.chain(self.notice_address.iter().map(|from| (from, notices))) {
            let origin = origin(address);
            text = text.replace(&format!("\"{origin}"), &format!("\"{to}"));
        }
        // An environment variable's text lies in a file beside the others.
        for credential in &self.credentials {
            if let Some(name) = credential.reference.strip_prefix("env:") {
                text = text.replace(&format!("\"env:{name}\""), &format!("\"file:env/{name}\""));
            }
        }
        let mut lines: Vec<&str> = text.lines().collect();
        for (begin, line) in [
            ("state = ", "state = \"live\""),
            ("production = ", "production = false"),
            // Links here are plain.
            ("tls = ", "tls = false"),
        ] {
            if let Some(found) = lines.iter_mut().find(|found| found.starts_with(begin)) {
                *found = line;
            }
        }
        lines.join("\n") + "\n"
    }
}

/// `scheme://host:port` of a web address; anything else whole.
fn origin(address: &str) -> &str {
    let Some(start) = address.find("://").map(|at| at + 3) else { return address };
    let end = address[start..].find('/').map_or(address.len(), |length| start + length);
    &address[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mistake::Mistake;
    use crate::config::raw::Document;
    use crate::simulator::keys::tests::shared_keys;

    const UNIONPAY: &str = include_str!("../../../channels/unionpay.toml");
    const HARBOUR: &str = include_str!("../../../channels/harbour-bank.toml");

    fn read(text: &str, kept: &mut KeyTexts) -> Result<Counterpart, Vec<String>> {
        let document = Document::parse("a.toml", text).expect("TOML");
        let words = |found: Vec<Mistake>| found.iter().map(ToString::to_string).collect();
        Counterpart::read(&document, "a", kept).map_err(words)
    }

    fn kept_keys() -> KeyTexts {
        shared_keys()
            .texts()
            .map(|(name, text)| (name.to_owned(), text.to_owned().into()))
            .collect()
    }

    #[test]
    fn the_shipped_unionpay_file_has_another_side_with_a_key_for_each_reference() {
        let mut kept = kept_keys();
        let other = read(UNIONPAY, &mut kept).expect("an other side");
        let DialectSettings::UnionPayAcp(acp) = &other.dialect else { panic!("another dialect") };
        assert_eq!(acp.merchant_id, "777000000000001");
        let mut references: Vec<_> =
            other.credentials.iter().map(|credential| credential.reference.as_str()).collect();
        references.sort_unstable();
        assert_eq!(
            references,
            [
                "file:keys/encrypt.pem",
                "file:keys/middle.pem",
                "file:keys/root.pem",
                "file:keys/sign.key",
                "file:keys/sign.pem",
            ]
        );
        let copy = other.leading_here(UNIONPAY, "http://127.0.0.1:9", "http://127.0.0.1:7070");
        assert!(!copy.contains("gateway.test.95516.com"));
        assert!(copy.contains("\nquery_url = \"http://127.0.0.1:9/gateway/api/queryTrans.do\"\n"));
        assert!(copy.contains("\nnotice_url = \"http://127.0.0.1:7070/notices/unionpay\"\n"));
        assert!(copy.contains("\nstate = \"live\"\n"));
        let again = read(&copy, &mut kept).expect("the copy has the same other side");
        assert_eq!(again.credentials.len(), other.credentials.len());
    }

    #[test]
    fn what_was_kept_is_used_again() {
        let mut kept = kept_keys();
        let first = read(UNIONPAY, &mut kept).expect("an other side");
        let second = read(UNIONPAY, &mut kept).expect("an other side");
        for (one, other) in first.credentials.iter().zip(&second.credentials) {
            assert_eq!(*one.text, *other.text, "{}", one.reference);
        }
    }

    #[test]
    fn the_shipped_bank_file_has_another_side_with_its_shared_key() {
        let mut kept = KeyTexts::new();
        let other = read(HARBOUR, &mut kept).expect("an other side");
        assert_eq!(other.credentials.len(), 1);
        assert_eq!(other.credentials[0].reference, "env:HARBOUR_BANK_KEY");
        let copy = other.leading_here(HARBOUR, "http://127.0.0.1:9", "http://127.0.0.1:7070");
        assert!(copy.contains("\nbase_url = \"http://127.0.0.1:9\"\n"));
        assert!(copy.contains("\nkey = \"file:env/HARBOUR_BANK_KEY\"\n"));
    }

    #[test]
    fn the_shipped_acquirer_s_file_is_led_to_plain_links() {
        let text = include_str!("../../../channels/lakeside-acquirer.toml");
        let other = read(text, &mut KeyTexts::new()).expect("an other side");
        let copy = other.leading_here(text, "http://127.0.0.1:9", "http://127.0.0.1:7070");
        assert!(copy.contains("\naddresses = [\"127.0.0.1:9\"]\n"), "{copy}");
        assert!(copy.contains("\ntls = false\n"));
        assert!(copy.contains("\nmaster_key = \"file:env/LAKESIDE_MASTER_KEY\"\n"));
    }

    #[test]
    fn a_file_without_another_side_says_why() {
        let found = read("protocol = \"pigeon\"\n", &mut KeyTexts::new()).err().expect("a mistake");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.toml:1: protocol: there is no simulator"), "{found:?}");
    }
}
