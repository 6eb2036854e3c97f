//! Checks one channel file beyond its form: which credentials are missing, what its golden samples
//! show, and what no sample shows. Reads the files and the credentials, sends nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::golden::{Golden, Medium, Players, STATEMENT};
use crate::channel::certificates::{CertificateState, CertificateTerm, longest};
use crate::channel::file::ChannelFile;
use crate::channel::file::whole::WholeFile;
use crate::channel::protocol::ProtocolAdapter;
use crate::channel::{protocol, registry};
use crate::config::credential::{CredentialResolver, CredentialSource};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::config::section::KeyValue;
use crate::domain::ids::ChannelId;
use crate::domain::route::channel::ChannelState;
use crate::domain::terms::CommonTerms;
use crate::domain::time::Timestamp;

/// The findings of a check, beside the mistakes that make a file useless.
pub struct SampleReport {
    pub state: ChannelState,
    /// The names of the samples that were played, in their order.
    pub played: Vec<String>,
    /// Where the adapter does not do what a sample says.
    pub failed: Vec<Mistake>,
    /// Certificates that have ended with no other one of their use: the channel cannot work.
    pub ended: Vec<Mistake>,
    /// Certificates that end soon, or have ended while another one of their use holds.
    pub ending: Vec<Mistake>,
    /// Credentials that are not there yet, abilities without a sample, codes that no sample brings.
    pub missing: Vec<Mistake>,
}

/// How the reader of settings ends what it says of a hidden value.
const NOT_SHOWN: &str = "(the value is not shown)";

/// The samples of a channel's file: `samples/<id>.toml` beside it.
pub fn samples_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.parent().unwrap_or(Path::new(".")).join("samples").join(name)
}

/// Checks the file with the credentials that its references lead to, and plays its samples.
/// `stand_in` gives made-up credentials, with which samples are played where the real ones are
/// absent; nothing else ever sees them.
pub fn check(
    path: &Path,
    stand_in: &CredentialResolver<'_>,
    now: Timestamp,
) -> Result<SampleReport, Vec<Mistake>> {
    // Connecting needs more than the adapter, for instance roots of TLS.
    let (_, terms) = registry::check_file(path)?;
    let source = CredentialSource::new(path.parent().unwrap_or(Path::new(".")));
    let mut report = check_with(path, &|reference| source.resolve(reference), stand_in)?;
    report.judge(&path.display().to_string(), &terms, now);
    Ok(report)
}

impl SampleReport {
    /// What the certificates of a connected channel are like: where none of a use holds any more,
    /// the channel cannot work.
    fn judge(&mut self, name: &str, terms: &[CertificateTerm], now: Timestamp) {
        let counted = longest(terms);
        for term in terms {
            let Some(complaint) = term.complaint(now) else { continue };
            let key = format!("certificate {}", term.usage.name());
            let found = Mistake::new(name, 0, &key, &complaint, "put its successor in place");
            let holds = matches!(term.standing(now), CertificateState::EndsSoon { .. });
            if holds || !counted.contains(&term) {
                self.ending.push(found);
            } else {
                self.ended.push(found);
            }
        }
    }
}

/// The same with credentials from elsewhere.
pub fn check_with(
    path: &Path,
    resolve: &CredentialResolver<'_>,
    stand_in: &CredentialResolver<'_>,
) -> Result<SampleReport, Vec<Mistake>> {
    let name = path.display().to_string();
    let about = |problem: String, advice: &str| vec![Mistake::new(&name, 0, "", &problem, advice)];
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let id = ChannelId::parse(stem).map_err(|error| {
        about(format!("the file's name is not a channel id: {error}"), "rename the file")
    })?;
    let whole = WholeFile::read(path)?;
    let document = &whole.document;
    let source = ChannelSource { whole: &whole, id: &id };
    let (file, _, mut missing) = read_adapter(&source, resolve, false)?;
    let medium = match protocol::is_linked(&file.protocol) {
        true => Medium::Links,
        false => Medium::Http,
    };
    let (given, samples) = read_samples(&samples_of(path), medium)?;
    // A sample's digests were made with the credential that it gives, never with the real one.
    let playing = |reference: &str| match given.iter().find(|entry| entry.key == reference) {
        Some(entry) => Ok(entry.text.clone()),
        None => resolve(reference).or_else(|_| stand_in(reference)),
    };
    let (_, adapter, _) = read_adapter(&source, &playing, false)?;
    let (_, unverified, _) = read_adapter(&source, &playing, true)?;
    let players = match (&adapter, &unverified) {
        (Some(ProtocolAdapter::Http(adapter)), Some(ProtocolAdapter::Http(unverified))) => {
            let (adapter, unverified) = (adapter.as_ref(), unverified.as_ref());
            Some(Players::Http { adapter, unverified })
        }
        (Some(ProtocolAdapter::Links(read)), Some(ProtocolAdapter::Links(unread))) => {
            Some(Players::Links { adapter: &read.adapter, unverified: &unread.adapter })
        }
        (Some(ProtocolAdapter::Http(_)), Some(ProtocolAdapter::Links(_)) | None)
        | (Some(ProtocolAdapter::Links(_)), Some(ProtocolAdapter::Http(_)) | None)
        | (None, _) => None,
    };
    let mut report = SampleReport {
        state: file.state,
        played: Vec::new(),
        failed: Vec::new(),
        ended: Vec::new(),
        ending: Vec::new(),
        missing: Vec::new(),
    };
    for (samples_name, sample) in samples.iter().filter(|_| players.is_some()) {
        report.played.push(sample.name.clone());
        let problems = players.as_ref().map(|players| sample.play(players)).unwrap_or_default();
        report.failed.extend(problems.iter().map(|problem| {
            let advice = "correct the channel's file or the sample";
            Mistake::new(samples_name, sample.line, &sample.name, problem, advice)
        }));
    }
    let shown = || samples.iter().map(|(_, sample)| sample);
    missing.extend(codes_without_sample(document, &file, shown()));
    let offers_statements = match &adapter {
        Some(ProtocolAdapter::Http(adapter)) => adapter.statements().is_some(),
        Some(ProtocolAdapter::Links(_)) | None => false,
    };
    if offers_statements && !shown().any(|sample| sample.covers == STATEMENT) {
        let (problem, advice) = ("no sample asks for one", "add a [[sample]] that does");
        missing.push(document.root(&Mistakes::new()).remark(STATEMENT, problem, advice));
    }
    report.missing = missing;
    Ok(report)
}

fn read_text(path: &Path) -> Result<String, Vec<Mistake>> {
    std::fs::read_to_string(path).map_err(|error| {
        let problem = format!("cannot be read: {error}");
        vec![Mistake::new(&path.display().to_string(), 0, "", &problem, "check the path")]
    })
}

/// A channel's file and its name.
struct ChannelSource<'f> {
    whole: &'f WholeFile,
    id: &'f ChannelId,
}

/// What was read, an adapter unless credentials are missing, and those that are.
type ReadAdapter = (ChannelFile, Option<ProtocolAdapter>, Vec<Mistake>);

/// A credential that a connected channel lacks is a mistake; of any other it is only missing.
fn read_adapter(
    source: &ChannelSource<'_>,
    resolve: &CredentialResolver<'_>,
    unverified: bool,
) -> Result<ReadAdapter, Vec<Mistake>> {
    let absent = RefCell::new(Vec::new());
    let recording = |reference: &str| {
        resolve(reference).inspect_err(|problem| {
            absent.borrow_mut().push((reference.to_owned(), problem.clone()));
        })
    };
    let mistakes = Mistakes::new();
    let root = source.whole.document.root(&mistakes);
    let file = ChannelFile::read(&root, source.id.clone(), &CommonTerms::default());
    let adapter = if unverified {
        protocol::read_unverified(&root, &file, &recording)
    } else {
        protocol::read(&root, &file, &recording)
    };
    root.finish();
    let found = mistakes.into_result().err().unwrap_or_default();
    let absent = absent.into_inner();
    // The reader shows nothing that a key named `key` holds, not even why it is refused.
    let is_lack = |mistake: &Mistake| {
        let told = |(_, problem): &(String, String)| *problem == mistake.problem;
        mistake.problem.ends_with(NOT_SHOWN) || absent.iter().any(told)
    };
    let lacks = found.iter().filter(|mistake| is_lack(mistake)).count();
    // With more of them than credentials are absent, one is there and wrong.
    let may_lack = !file.state.is_connected() && lacks <= absent.len();
    let wrong: Vec<Mistake> =
        found.into_iter().filter(|mistake| !(may_lack && is_lack(mistake))).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // One may be wanted in several places of a file; it is missing once.
    let mut told = BTreeSet::new();
    let absent = absent.iter().filter(|(reference, _)| told.insert(reference));
    let missing = absent.map(|(reference, problem)| {
        let problem = format!("the credential `{reference}` is missing: {problem}");
        let advice = "put it in place before the channel goes live";
        let (name, line) = place_of(source.whole, reference);
        Mistake::new(name, line, "", &problem, advice)
    });
    let missing = missing.collect();
    Ok((file, adapter, missing))
}

/// The file and the 1-based line where a reference stands; line 0 if on none.
fn place_of<'f>(whole: &'f WholeFile, reference: &str) -> (&'f str, usize) {
    let quoted = format!("\"{reference}\"");
    let found = whole.sources.iter().find_map(|(name, text)| {
        let line = text.lines().position(|line| line.contains(&quoted))?;
        Some((name.as_str(), line + 1))
    });
    found.unwrap_or((&whole.name, 0))
}

/// The credentials that samples are played with, and the samples with their file's name.
type ReadSamples = (Vec<KeyValue>, Vec<(String, Golden)>);

/// Nothing where there is no file.
fn read_samples(path: &Path, medium: Medium) -> Result<ReadSamples, Vec<Mistake>> {
    if !path.exists() {
        return Ok((Vec::new(), Vec::new()));
    }
    let name = path.display().to_string();
    let document = Document::parse(&name, &read_text(path)?)?;
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let given = root.map("credentials");
    let samples = Golden::read_all(root, medium);
    mistakes.into_result()?;
    Ok((given, samples.into_iter().map(|sample| (name.clone(), sample)).collect()))
}

fn codes_without_sample<'g>(
    document: &Document,
    file: &ChannelFile,
    samples: impl Iterator<Item = &'g Golden> + Clone,
) -> Vec<Mistake> {
    let unheard = Mistakes::new();
    let root = document.root(&unheard);
    let mut missing = Vec::new();
    let abilities = root.section("abilities");
    for ability in &file.abilities.operations {
        if !samples.clone().any(|sample| sample.covers == ability.name()) {
            let problem = format!("no sample shows `{}`", ability.name());
            missing.push(abilities.remark("operations", &problem, "add a [[sample]]"));
        }
    }
    for (section, table) in protocol::code_tables(&file.protocol) {
        let holder =
            if section.is_empty() { document.root(&unheard) } else { root.section(section) };
        let Some(codes) = holder.optional_section(table) else { continue };
        for (code, _) in codes.keys() {
            if !samples.clone().any(|sample| sample.brings(code)) {
                let problem = "no sample's reply brings this code";
                missing.push(codes.remark(code, problem, "add a [[sample]]"));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sample_keys::{merchant_key, other_key};

    /// What stands in for keys that the shipped samples do not give themselves.
    fn made(reference: &str) -> Result<String, String> {
        match reference {
            "file:keys/canyon-pay-merchant.pem"
            | "file:keys/wechat-pay-merchant.pem"
            | "file:keys/alipay-app.pem" => Ok(merchant_key().serialize_pem()),
            "file:keys/canyon-pay-platform.pem" => Ok(other_key().public_key_pem()),
            _ => none(reference),
        }
    }

    fn none(reference: &str) -> Result<String, String> {
        Err(format!("there is no {reference}"))
    }

    fn shipped(id: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("channels").join(format!("{id}.toml"))
    }

    #[test]
    fn the_shipped_samples_show_every_ability_and_code_and_are_kept() {
        let banks = ["harbour-bank", "meadow-bank", "canyon-pay", "quarry-bank"];
        let others = ["adyen", "alipay", "lakeside-acquirer", "stripe", "wechat-pay"];
        for id in banks.into_iter().chain(others) {
            let report = check_with(&shipped(id), &none, &made).expect("a right file");
            assert!(!report.played.is_empty(), "{id}");
            let lacks = |found: &&Mistake| !found.problem.contains("` is missing: ");
            for found in report.failed.iter().chain(report.missing.iter().filter(lacks)) {
                assert_eq!(found.to_string(), "", "{id}");
            }
        }
    }

    #[test]
    fn a_certificate_that_ends_is_told_and_one_that_has_ended_fails() {
        const DAY_S: i64 = 24 * 60 * 60;
        let now = Timestamp::from_millis(1_800_000_000_000);
        let term = |usage, days: i64| CertificateTerm {
            usage,
            serial: days.to_string(),
            valid_from_s: 0,
            valid_until_s: 1_800_000_000 + days * DAY_S,
        };
        use crate::channel::certificates::CertificateUse::{Encryption, Root, Signing, Tls};
        let terms = [
            term(Signing, -9),
            term(Signing, 900),
            term(Encryption, 5),
            term(Root, -1),
            term(Tls, 31),
        ];
        let mut report = check_with(&shipped("unionpay"), &none, &none).expect("a right file");
        assert!(report.failed.is_empty());
        report.judge("a.toml", &terms, now);
        let told = |found: &[Mistake]| -> Vec<String> {
            found.iter().map(|one| one.key.clone()).collect()
        };
        assert_eq!(told(&report.ending), ["certificate signing", "certificate encryption"]);
        assert_eq!(told(&report.ended), ["certificate root"]);
        assert!(report.failed.is_empty(), "no sample has failed");
    }

    #[test]
    fn a_contracted_channel_may_lack_its_credentials_and_is_told_which() {
        let report = check_with(&shipped("canyon-pay"), &none, &none).expect("a right file");
        assert_eq!(report.played.len(), 0);
        let texts: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
        let lacks = |part: &str| texts.iter().any(|text| text.contains(part));
        assert!(lacks("`file:keys/canyon-pay-merchant.pem` is missing"), "{texts:?}");
        assert!(lacks("`env:CANYON_PAY_NOTICE_KEY` is missing"), "{texts:?}");
        // The platform's key seals requests and proves replies: it is asked for once.
        let credentials = texts.iter().filter(|text| text.contains("the credential"));
        assert_eq!(credentials.count(), 3, "{texts:?}");
    }

    /// The samples of links, changed: what is said of them.
    fn failures(from: &str, to: &str) -> Vec<String> {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path();
        std::fs::create_dir_all(folder.join("samples")).expect("a folder");
        let file = folder.join("lakeside-acquirer.toml");
        std::fs::copy(shipped("lakeside-acquirer"), &file).expect("a copy");
        let samples = std::fs::read_to_string(samples_of(&shipped("lakeside-acquirer")));
        let changed = samples.expect("samples").replacen(from, to, 1);
        std::fs::write(samples_of(&file), changed).expect("a copy");
        let found = match check_with(&file, &none, &none) {
            Ok(report) => report.failed,
            Err(mistakes) => mistakes,
        };
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_differs_in_a_link_s_message_is_named() {
        for (from, to, expected) in [
            ("3 = \"030000\"", "3 = \"000000\"", "field 3 is `030000`"),
            ("message = \"0200\"", "message = \"0220\"", "the message is 0200, not 0220"),
            ("14 = \"3012\"\n", "", "field 14 is not in the sample"),
            ("25 = \"06\"\n", "25 = \"06\"\n26 = \"12\"\n", "field 26 is missing"),
            ("0003303120\"\"\"", "0003303121\"\"\"", "the frame differs"),
            ("64 = \"85C460CB\"", "64 = \"85C460CC\"", "`unknown`, not `approved`"),
            ("11 = \"000001\", 39", "11 = \"000002\", 39", "`unknown`, not `refused"),
            ("ask = \"line_test\"", "ask = \"inquiry\"", "sample[2].ask"),
        ] {
            let found = failures(from, to);
            assert!(found.iter().any(|line| line.contains(expected)), "{to}: {found:?}");
            assert!(!found.iter().any(|line| line.contains("4111111111111111")), "{found:?}");
        }
        // Without its sign-in nothing can be sealed.
        let found = failures("ask = \"sign_on\"", "ask = \"line_test\"");
        assert!(found.iter().any(|line| line.contains("no MAC key yet")), "{found:?}");
    }

    /// A shipped file and its samples, these changed: what the check makes of them.
    fn report_of(id: &str, change: impl Fn(String) -> String) -> SampleReport {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path();
        std::fs::create_dir_all(folder.join("samples")).expect("a folder");
        let file = folder.join(format!("{id}.toml"));
        std::fs::copy(shipped(id), &file).expect("a copy");
        let samples = std::fs::read_to_string(samples_of(&shipped(id))).expect("samples");
        std::fs::write(samples_of(&file), change(samples)).expect("a copy");
        check_with(&file, &none, &made).expect("a right file")
    }

    #[test]
    fn what_offers_statements_wants_a_sample_that_asks_for_one() {
        for id in ["harbour-bank", "meadow-bank", "canyon-pay", "quarry-bank"] {
            let without = |text: String| {
                let at = text.find("\n[[sample]]\nname = \"the statement of a day\"");
                let at = at.or(text.find("\n[[sample]]\nname = \"the address of a day's"));
                text[..at.expect("the samples of statements are the last")].to_owned()
            };
            let report = report_of(id, without);
            let lines: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
            let wanted = "statement: no sample asks for one";
            assert!(lines.iter().any(|line| line.contains(wanted)), "{id}: {lines:?}");
        }
    }

    #[test]
    fn a_statement_s_sample_is_played() {
        for (id, from, to, expected) in [
            ("harbour-bank", "/v1/statements", "/v1/bills", "the url differs"),
            ("harbour-bank", "\"files\"", "\"empty\"", "the reply is `files`, not `empty`"),
            ("meadow-bank", "settle_date=20261121&file", "settle_date=1&file", "another date"),
            ("canyon-pay", "\"elsewhere\"", "\"files\"", "the reply is `elsewhere`"),
            ("quarry-bank", "<date>2026-11-21</date></body>", "</body>", "lacks contains[0]"),
        ] {
            let report = report_of(id, |text| {
                assert!(text.contains(from), "{from}");
                text.replacen(from, to, 1)
            });
            let lines: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
            assert!(lines.iter().any(|line| line.contains(expected)), "{id}: {lines:?}");
        }
    }

    #[test]
    fn a_code_of_a_protocol_s_own_table_wants_its_sample_too() {
        for (id, table) in [
            ("unionpay", "unionpay_acp.undo_codes"),
            ("lakeside-acquirer", "iso8583.reversal_codes"),
        ] {
            let scratch = tempfile::tempdir().expect("a folder");
            let folder = scratch.path();
            let file = folder.join(format!("{id}.toml"));
            let text = std::fs::read_to_string(shipped(id)).expect("a file");
            let own = format!("[{table}]");
            let text =
                text.replace(&format!("{own}\n"), "") + &format!("\n{own}\n\"9Z\" = \"unknown\"\n");
            std::fs::write(&file, text).expect("a copy");
            let report = check_with(&file, &none, &none).expect("a right file");
            let lines: Vec<String> = report.missing.iter().map(ToString::to_string).collect();
            let wanted = format!("{table}.9Z: no sample's reply brings this code");
            assert!(lines.iter().any(|line| line.contains(&wanted)), "{lines:?}");
        }
    }
}
