//! Whether a simulator plays what a channel file of the protocol `http` describes.
//!
//! Such a file describes a bank's messages, and the simulators know those of four banks: the
//! shipped files'. A file whose section `[http]` differs describes another bank, and its answers in
//! the wrong format would be taken for a channel's.

use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::{Document, Tree};
use crate::config::section::Section;

/// The files whose other side is played, with how each signs.
const BANKS: [(&str, &str, &str); 4] = [
    ("harbour-bank", "hmac-sha256", include_str!("../../../channels/harbour-bank.toml")),
    ("meadow-bank", "md5", include_str!("../../../channels/meadow-bank.toml")),
    ("quarry-bank", "sm2-sm3", include_str!("../../../channels/quarry-bank.toml")),
    ("canyon-pay", "rsa-sha256", include_str!("../../../channels/canyon-pay.toml")),
];

/// Keys that belong to the merchant, or to our reading of the bank's codes: they change no message.
const OWN: [&str; 11] = [
    "base_url",
    "values",
    "key",
    "keys",
    "of",
    "codes",
    "states",
    "card_types",
    "accept_statuses",
    "download_hosts",
    "notice_url",
];
/// Sections in which a missing key changes the meaning.
const WHOLE: [&str; 4] = ["sign", "verify", "encrypt", "decrypt"];

/// Every place where a file's `[http]` differs from the messages of the simulated banks. Files of
/// other protocols are played as they are.
pub fn playable(document: &Document) -> Result<(), Vec<Mistake>> {
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    if root.optional_text("protocol").as_deref() != Some("http") {
        return Ok(());
    }
    let http = root.section("http");
    // The first bank works without a signature too, for measurements of throughput.
    let bank = match http.optional_section("sign") {
        None => BANKS.first(),
        Some(sign) => {
            let algorithm = sign.optional_text("algorithm");
            BANKS.iter().find(|(_, signs, _)| Some(*signs) == algorithm.as_deref())
        }
    };
    match bank {
        None => {
            let banks = BANKS.map(|(name, ..)| name).join(", ");
            let advice = format!("the simulator plays files like {banks}; {OTHERWISE}");
            http.mistake("sign", "no simulated bank has this signature", &advice);
        }
        Some((name, _, text)) => {
            let unread = Mistakes::new();
            let known = Document::parse(name, text).expect("a shipped file reads");
            let known = known.root(&unread).section("http");
            let serials = [serial(&http), serial(&known)];
            compare(&FilePair { name, serials }, &http, &known);
        }
    }
    drop((http, root));
    let found = mistakes.into_result();
    found.map_err(|found| in_one(found, bank.map_or("", |(name, ..)| name)))
}

/// So many differences are slips of a file that means a simulated bank; more are another bank.
const SLIPS_MAX: usize = 5;

/// Advice for a file that no simulator plays.
const OTHERWISE: &str = "`switchyard channel certify` plays every case of any bank's file, and \
                         golden samples hold it against the bank's manual";

/// Another bank's file differs everywhere: that is told once.
fn in_one(found: Vec<Mistake>, bank: &str) -> Vec<Mistake> {
    let (count, Some(first)) = (found.len(), found.first()) else { return found };
    if count <= SLIPS_MAX {
        return found;
    }
    let problem = format!(
        "the simulator plays no such bank: {count} keys differ from {bank}.toml, the nearest that \
         it plays"
    );
    vec![Mistake::new(&first.file, first.line, "http", &problem, OTHERWISE)]
}

struct FilePair<'a> {
    /// The name of the shipped file.
    name: &'a str,
    /// The name that each file gives the bank's key.
    serials: [Option<String>; 2],
}

fn serial(http: &Section<'_>) -> Option<String> {
    http.optional_section("verify")?.map("keys").into_iter().next().map(|entry| entry.key)
}

/// Everything in the file must be in the shipped one too. The file may leave requests out, since
/// they need no answer then.
fn compare(pair: &FilePair<'_>, ours: &Section<'_>, known: &Section<'_>) {
    for (key, _) in ours.keys() {
        if OWN.contains(&key) {
            continue;
        }
        match ours.value(key) {
            Some(Tree::Table(_)) if known.has(key) => {
                compare(pair, &ours.section(key), &known.section(key));
            }
            value => {
                let [here, there] = &pair.serials;
                if words(value, here.as_deref()) != words(known.value(key), there.as_deref()) {
                    differs(pair, ours, key);
                }
            }
        }
    }
    let whole = WHOLE.iter().any(|name| ours.path().ends_with(name));
    for (key, _) in known.keys() {
        // A request without its path or method is another request, and so is a body of another
        // form.
        let needed = whole || ["format", "method", "path"].contains(&key);
        if needed && !OWN.contains(&key) && !ours.has(key) && !ours.has("like") {
            differs(pair, ours, key);
        }
    }
}

/// The value without the parts that differ from merchant to merchant.
fn words(value: Option<Tree>, serial: Option<&str>) -> Option<Tree> {
    let without = |text: String| {
        let text = text.trim_end_matches('?').to_owned();
        serial.map_or(text.clone(), |serial| text.replace(serial, "{serial}"))
    };
    value.map(|value| match value {
        Tree::Text(text) => Tree::Text(without(text)),
        Tree::List(list) => {
            Tree::List(list.into_iter().filter_map(|one| words(Some(one), serial)).collect())
        }
        other @ (Tree::Integer(_) | Tree::Boolean(_) | Tree::Table(_)) => other,
    })
}

fn differs(pair: &FilePair<'_>, section: &Section<'_>, key: &str) {
    let name = pair.name;
    let problem = format!("differs from {name}.toml, whose bank the simulator plays");
    let advice = format!("write it as {name}.toml does; {OTHERWISE}");
    section.mistake(key, &problem, &advice);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<(usize, String)> {
        let document = Document::parse("own.toml", text).expect("TOML");
        let found = playable(&document).err().unwrap_or_default();
        found.into_iter().map(|one| (one.line, one.key)).collect()
    }

    #[test]
    fn the_shipped_files_are_played_and_what_a_merchant_has_of_its_own_changes_nothing() {
        for (name, _, text) in BANKS {
            assert_eq!(refused(text), [], "{name}");
            let own = text
                .replace("https://", "https://uat.")
                .replace("M00012345", "M777")
                .replace("7132D72A03E93CDDF8C03BBD1F37EEDF", "AABB")
                .replace("\"1091\" = \"unknown\"\n", "\"1091\" = \"pending\"\n");
            assert_ne!(own, text);
            assert_eq!(refused(&own), [], "{name}");
        }
        for protocol in ["unionpay-acp", "iso8583"] {
            assert_eq!(refused(&format!("protocol = \"{protocol}\"\n")), []);
        }
    }

    #[test]
    fn a_bank_of_other_words_is_refused_where_it_says_them() {
        let (_, _, harbour) = BANKS[0];
        let line = |needle: &str| {
            harbour.lines().position(|line| line.contains(needle)).expect("it is there") + 1
        };
        let changed = |from: &str, to: &str| refused(&harbour.replace(from, to));
        let path = changed("path = \"/v1/charges\"\n", "path = \"/pay\"\n");
        assert_eq!(path, [(line("path = \"/v1/charges\""), "http.payment.path".to_owned())]);
        let reply = changed(
            "code = \"/code\", order_no = \"/orderNo\", amount",
            "code = \"/resp\", \
                             order_no = \"/orderNo\", amount",
        );
        assert_eq!(reply.len(), 1);
        assert_eq!(reply[0].1, "http.payment.reply.code");
        let body = changed("memo = ", "remark = ");
        assert_eq!(body, [(line("memo = "), "http.payment.body.remark".to_owned())]);
        assert_eq!(changed("memo = \"{{ description }}\"\n", ""), [], "it may say less");
        let over = changed("over = \"{{ timestamp }}\\n{{ body }}\"", "over = \"{{ body }}\"");
        assert_eq!(over, [(line("over = "), "http.sign.over".to_owned())]);
        let form = changed("[http]\n", "[http]\nformat = \"form\"\n");
        assert_eq!(form, [(line("[http]") + 1, "http.format".to_owned())]);
        let signs = changed("hmac-sha256", "hmac-sm3");
        assert_eq!(signs.len(), 1);
        assert_eq!(signs[0].1, "http.sign");
        assert_eq!(changed("[http.sign]\nalgorithm = \"hmac-sha256\"", "[http.other]").len(), 1);
    }

    #[test]
    fn another_banks_file_is_refused_once_with_what_plays_it() {
        let (_, _, harbour) = BANKS[0];
        let other = harbour.replace("\"/orderNo", "\"/head/no").replace("orderNo = ", "no = ");
        let document = Document::parse("own.toml", &other).expect("TOML");
        let found = playable(&document).expect_err("another bank");
        let [told] = &found[..] else { panic!("{found:?}") };
        assert!(told.problem.contains("harbour-bank.toml"), "{told}");
        assert!(told.advice.contains("certify"), "{told}");
    }

    #[test]
    fn a_file_that_signs_nothing_is_played_where_it_has_the_first_banks_words() {
        let unsigned = include_str!("../../../benches/gateway/channel.toml");
        assert_eq!(refused(unsigned), []);
        let other = unsigned.replace("/v1/charges/query", "/v1/query");
        assert_eq!(refused(&other).len(), 1);
    }
}
