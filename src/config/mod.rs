//! Reading settings: the main configuration, the routes and the channel files, all in TOML.
//!
//! `raw` turns texts and environment variables into one tree in which each value knows where it
//! was written; `section` reads that tree key by key, `value` reads each value, and `mistake` is
//! what they say about it. Reading goes on after a mistake, so that one run reports every mistake.
//! `editor` changes a file's text.

pub mod accounts;
pub mod checked;
pub mod console;
pub mod four_eyes;
pub mod credential;
pub mod editor;
pub mod in_force;
pub mod keys;
pub mod layout;
pub mod links;
pub mod mistake;
pub mod otlp;
pub mod raw;
pub mod section;
pub mod server;
mod url;
pub mod value;

use std::path::Path;

use checked::Settings;
use mistake::{Mistake, Mistakes};
use raw::Document;

/// The commented defaults, compiled in: they are the manual of the settings too.
pub const DEFAULT_TEXT: &str = include_str!("default.toml");

/// Settings from the defaults, a file (its name and text), and the environment, in this order.
///
/// `base` is the folder that relative paths start from. Every mistake is reported at once.
pub fn settings(
    file: Option<(&str, &str)>,
    environment: Vec<(String, String)>,
    base: &Path,
) -> Result<Settings, Vec<Mistake>> {
    let document = Document::layered(DEFAULT_TEXT, file, environment)?;
    let mistakes = Mistakes::new();
    let mut settings = Settings::read(document.root(&mistakes), base);
    settings.in_force = in_force::listed(&document);
    mistakes.into_result().map(|()| settings)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::keys::Need;
    use super::*;
    use crate::domain::books::accounting::AccountNames;

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        let read = settings(Some(("a.toml", text)), Vec::new(), Path::new("/base"));
        read.map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_are_whole_and_without_mistake() {
        let defaults = read("").expect("nothing needs to be said");
        assert!(defaults.server.api.listen.ip().is_loopback());
        assert_eq!(defaults.channels_folder, Path::new("/base/channels"));
        assert!(defaults.callers.is_empty() && defaults.accounting.url.is_none());
        assert_eq!(defaults.accounting_batch_max, 1);
        assert_eq!(defaults.accounts, AccountNames::default());
    }

    /// A setting without a value there stands in a comment: `# key = …`.
    #[test]
    fn the_file_of_defaults_has_every_setting_and_no_other() {
        let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut head = String::new();
        for line in DEFAULT_TEXT.lines().map(|line| line.trim_start_matches("# ")) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
                head = section.trim_start_matches('[').to_owned();
            } else if let Some((key, _)) = line.split_once(" = ")
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
            {
                written.entry(head.clone()).or_default().insert(key.to_owned());
            }
        }
        let text = format!("{DEFAULT_TEXT}[[callers]]\n");
        let document = Document::parse("default.toml", &text).expect("TOML");
        let mistakes = Mistakes::new();
        drop(Settings::read(document.root(&mistakes), Path::new("")));
        let read = mistakes.keys.needs();
        let of_section = |(head, needs): (&String, &BTreeMap<String, Need>)| {
            let keys = needs.iter().filter(|(_, need)| !need.is_section);
            let keys: BTreeSet<String> = keys.map(|(key, _)| key.clone()).collect();
            (!keys.is_empty()).then(|| (head.clone(), keys))
        };
        let read: BTreeMap<String, BTreeSet<String>> = read.iter().filter_map(of_section).collect();
        assert_eq!(written, read, "default.toml has what is read");
    }

    #[test]
    fn mistakes_name_file_line_and_advice() {
        let rows = [
            ("[server]\nlisten = \"0.0.0.0:1\"", "a.toml:2: server.listen: is reachable"),
            ("[server]\nlisen = \"x\"", "a.toml:2: server.lisen"),
            ("[server]\nlisten = \"\"", "a.toml:2: server.listen: is empty"),
            ("[telemetry.otlp]\nsample_percent = 101", "a.toml:2: telemetry.otlp.sample_percent"),
            (
                "[server.notices.tls]\ncertificate = \"env:C\"\nkey = \"env:K\"",
                "a.toml:2: server.notices.tls.certificate: is of a listener without",
            ),
            (
                "[server.metrics]\nlisten = \"192.0.2.1:1\"",
                "a.toml:2: server.metrics.listen: is reachable",
            ),
            (
                "[server]\nlisten = \"127.0.0.1:9\"\n[server.notices]\nlisten = \"[::]:9\"",
                "a.toml:4: server.notices.listen: is taken by another listener; server.listen",
            ),
            (
                "[server.notices]\nlisten = \"127.0.0.1:9\"\n[server.metrics]\n\
                 listen = \"127.0.0.1:9\"",
                "a.toml:4: server.metrics.listen: is taken by another listener; server.notices",
            ),
            (
                "[server.metrics.tls]\nkey = \"env:K\"",
                "a.toml:2: server.metrics.tls.key: has no certificate beside it",
            ),
            (
                "[server.tls]\ncertificate = \"env:C\"",
                "a.toml:2: server.tls.certificate: has no key",
            ),
            (
                "[server.tls]\nclient_roots = \"env:R\"",
                "a.toml:2: server.tls.client_roots: asks for certificates without TLS",
            ),
            (
                "[[callers]]\nname = \"a\"\ncertificate_keys_sha256 = []",
                "a.toml:3: callers[0].certificate_keys_sha256: binds the caller",
            ),
            ("[node]\nnumber = 1000", "a.toml:2: node.number"),
            ("[payments]\nwait_default = \"61s\"", "a.toml:2: payments.wait_default: is above"),
            ("[accounting]\nwaits = []", "a.toml:2: accounting.waits: has no wait"),
            ("[accounting]\nbatch_max = 501", "a.toml:2: accounting.batch_max"),
            (
                "[accounting.accounts]\nbank_reserve = \"{bank}\"",
                "a.toml:2: accounting.accounts.bank_reserve: has the unknown word {bank}",
            ),
            (
                "[notices]\nkeys = [\"env:A\", \"env:B\", \"env:C\"]",
                "a.toml:2: notices.keys: are more than two",
            ),
            ("[[callers]]\nname = \"core\"\nroles = []\nkey_sha256 = \"00\"", "a.toml:4:"),
        ];
        for (text, expected) in rows {
            let mistakes = read(text).err().unwrap_or_default();
            assert!(mistakes.iter().any(|m| m.starts_with(expected)), "{text}: {mistakes:?}");
        }
        let sound = "listen = \"0.0.0.0:1\"\nplain_http_beyond_loopback = \"proxy\"";
        assert!(
            read(&format!("[server]\n{sound}\n[server.metrics]\nlisten = \"[::1]:2\"")).is_ok()
        );
        let tls = "[server]\nlisten = \"0.0.0.0:1\"\n[server.tls]\ncertificate = \"env:C\"\n";
        assert!(read(&format!("{tls}key = \"env:K\"")).is_ok(), "no word is needed with TLS");
        let wrong = read("[server]\nlisten = \"localhost\"").err().unwrap_or_default();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        let half = read(tls).err().unwrap_or_default();
        assert_eq!(half.len(), 1, "TLS is meant, and one thing is missing: {half:?}");
    }

    #[test]
    fn what_needs_two_people_needs_two_operators() {
        let rows = [
            ("[four_eyes]\nremedies = true", "a.toml:2: four_eyes.remedies: needs a second person"),
            (
                "[four_eyes.refunds_above]\nRMB = 1",
                "a.toml:2: four_eyes.refunds_above.RMB: is no currency",
            ),
            ("[four_eyes.resolves_above]\nCNY = -1", "a.toml:2: four_eyes.resolves_above.CNY"),
            ("[four_eyes]\nchannel_switch = \"off\"", "a.toml:2: four_eyes.channel_switch"),
        ];
        for (text, expected) in rows {
            let mistakes = read(text).err().unwrap_or_default();
            assert!(mistakes.iter().any(|m| m.starts_with(expected)), "{text}: {mistakes:?}");
        }
        let key = |name: &str, of: &str, digit: &str| {
            let (named, hash) = (format!("name = \"{name}\"\n{of}"), digit.repeat(64));
            format!("[[callers]]\n{named}roles = [\"operator\"]\nkey_sha256 = \"{hash}\"\n")
        };
        let held = "[four_eyes]\nchannel_switch = \"on\"\n";
        let (ann, bo) = (key("ann", "", "a"), key("bo", "", "b"));
        let second = key("ann-console", "person = \"ann\"\n", "c");
        assert!(read(&format!("{held}{ann}{bo}")).is_ok(), "two people");
        let alone = read(&format!("{held}{ann}{second}")).err().unwrap_or_default();
        assert!(alone[0].contains("fewer than two people are operators"), "two keys: {alone:?}");
    }
}
