//! A channel's other side as the channel's own file describes it: the dialect that answers, the
//! merchant, the keys, and the edits that lead a copy of the file to the simulator.
//!
//! Reads the file without the adapters, so that it does not repeat an adapter's misreading. It
//! writes nothing and opens no file. Keys are made up and protect nothing real (I-11).
//!
//! A new protocol is added in four places: a variant of [`DialectSettings`] with its settings, a
//! module in `dialect`, its serving in `Simulator::start`, and its line in [`Counterpart::read`]. A
//! new bank is a [`BankStyle`](super::BankStyle) and a module in `dialect/banks`.

mod playable;
mod read;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::config::editor::{EditError, Editor};
use crate::domain::time::ClearingCalendar;

pub use self::playable::playable;
use super::settings::{ChannelClock, DialectSettings, SimulatorSettings};

/// Texts that the other side keeps from one start to the next, by name: its own private keys. A
/// missing one is made and added.
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
    /// The channel's addresses in the file: web addresses, or `host:port`.
    pub addresses: Vec<String>,
    /// The address to which the file has the channel's notices sent, if any.
    pub notice_address: Option<String>,
    /// The end of the clearing day by the file, since both sides must cut it at the same moment;
    /// UnionPay's if the file has none.
    pub calendar: ClearingCalendar,
    /// The first of the file's fees, in millionths of the amount, and whether the channel keeps it
    /// on a refund.
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

    /// The text behind a reference of the file. The error says that there is none.
    pub fn credential(&self, reference: &str) -> Result<String, String> {
        let found = self.credentials.iter().find(|one| one.reference == reference);
        let absent = || format!("no credential was made up for `{reference}`");
        found.map(|one| one.text.to_string()).ok_or_else(absent)
    }

    /// The file's text, changed so that a gateway that reads it calls a simulator at `base`
    /// (`http://host:port`), receives notices at `notices` (`http://host:port`), and finds every
    /// credential in a file. Its state becomes live, and its connections plain.
    pub fn redirect_to_simulator(
        &self,
        text: &str,
        base: &str,
        notices: &str,
    ) -> Result<String, EditError> {
        let mut editor = Editor::new(text)?;
        editor.change_texts(|text| self.replacement(text, base, notices));
        editor.lay("state = \"live\"")?;
        editor.remove(&[], "tls_roots");
        match &self.dialect {
            DialectSettings::UnionPayAcp(_) => editor.lay("unionpay_acp.production = false")?,
            DialectSettings::Iso8583(links) => {
                editor.lay("iso8583.tls = false")?;
                editor.remove(&["iso8583"], "tls_name");
                if links.form.header.is_none() {
                    editor.lay("iso8583.production = false")?;
                }
            }
            DialectSettings::Bank(_) => {}
        }
        Ok(editor.to_string())
    }

    /// The replacement for an address of the channel, for the notices' address, or for a credential
    /// of the environment, whose text lies in a file beside the others.
    fn replacement(&self, text: &str, base: &str, notices: &str) -> Option<String> {
        // A link's address is `host:port` and has no scheme.
        let host = base.split_once("://").map_or(base, |(_, host)| host);
        let here = |address: &str| if address.contains("://") { base } else { host };
        let moves = self.addresses.iter().map(|address| (address, here(address)));
        for (address, to) in moves.chain(self.notice_address.iter().map(|from| (from, notices))) {
            let path = text.strip_prefix(origin(address));
            if let Some(path) = path.filter(|path| path.is_empty() || path.starts_with('/')) {
                return Some(format!("{to}{path}"));
            }
        }
        let is_known = self.credentials.iter().any(|credential| credential.reference == text);
        let variable = text.strip_prefix("env:").filter(|_| is_known)?;
        Some(format!("file:env/{variable}"))
    }
}

/// `scheme://host:port` of a web address; any other text whole.
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

    fn led_here(other: &Counterpart, text: &str) -> String {
        let copy = other.redirect_to_simulator(text, "http://127.0.0.1:9", "http://127.0.0.1:7070");
        copy.expect("it was read as TOML")
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
        let copy = led_here(&other, UNIONPAY);
        assert!(!copy.contains("gateway.test.95516.com"));
        assert!(copy.contains("\nquery_url = \"http://127.0.0.1:9/gateway/api/queryTrans.do\"\n"));
        assert!(copy.contains("\nnotice_url = \"http://127.0.0.1:7070/notices/unionpay\"\n"));
        assert!(copy.contains("\nstate = \"live\" "));
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
        let copy = led_here(&other, HARBOUR);
        assert!(copy.contains("\nbase_url = \"http://127.0.0.1:9\"\n"));
        assert!(copy.contains("\nkey = \"file:env/HARBOUR_BANK_KEY\"\n"));
    }

    #[test]
    fn the_shipped_acquirer_s_file_is_led_to_plain_links() {
        let text = include_str!("../../../channels/lakeside-acquirer.toml");
        let other = read(text, &mut KeyTexts::new()).expect("an other side");
        let copy = led_here(&other, text);
        assert!(copy.contains("\naddresses = [\"127.0.0.1:9\"]\n"), "{copy}");
        assert!(copy.contains("\ntls = false\n"));
        assert!(copy.contains("\nmaster_key = \"file:env/LAKESIDE_MASTER_KEY\"\n"));
        let named = text.replace("tls = true", "tls = true\ntls_name = \"a.example\"");
        assert_eq!(led_here(&other, &named), copy, "plain links have no certificate");
    }

    #[test]
    fn only_what_leads_to_the_channel_is_changed_however_it_is_written() {
        let other = read(HARBOUR, &mut KeyTexts::new()).expect("an other side");
        let text = HARBOUR.replace("state = \"contracted\" #", "state=\"contracted\" #").replace(
            "values = {",
            "values = { a = 'https://api.harbour-bank.example.org', tls = \"no\",",
        );
        assert!(text.contains("\nstate=\"contracted\" #") && text.contains("example.org"));
        let expected = text
            .replace("state=\"contracted\" #", "state=\"live\" #")
            .replace("\"https://api.harbour-bank.example\"", "\"http://127.0.0.1:9\"")
            .replace("env:HARBOUR_BANK_KEY", "file:env/HARBOUR_BANK_KEY");
        assert_eq!(led_here(&other, &text), expected);
        let rooted = format!("tls_roots = [\"file:roots.pem\"]\n{text}");
        assert_eq!(led_here(&other, &rooted).matches("tls_roots").count(), 0);
    }

    #[test]
    fn a_file_without_another_side_says_why() {
        let found = read("protocol = \"pigeon\"\n", &mut KeyTexts::new()).err().expect("a mistake");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.toml:1: protocol: has no simulator"), "{found:?}");
    }
}
