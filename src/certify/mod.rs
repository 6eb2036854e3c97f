//! Flight check: every case of a channel file, played with the real engine before there is a slot
//! with the bank, and a report that a team can hand over.
//!
//! Each case has an engine of its own on a store in memory and a clock that is moved by hand. The
//! other side is made from the file itself (`channel`), so any file of the protocol `http` has one;
//! its golden samples, which the file did not make, are played beside it. Its statements are
//! written by its layout, whatever the protocol (`statements`). Must not know the command line.

mod case;
mod cases;
mod channel;
mod desk;
mod exchange;
mod host;
mod keys;
mod only;
mod report;
mod samples;
mod stage;
mod statements;

use std::path::Path;
use std::sync::Arc;

use crate::channel::file::ChannelFile;
use crate::channel::file::codes::CodeTable;
use crate::channel::file::whole::WholeFile;
use crate::channel::protocol::declarative::far_side::FarSide;
use crate::channel::protocol::declarative::{self, Declarative};
use crate::channel::transport::http::HttpTransport;
use crate::channel::transport::tls;
use crate::clock::{Clock, Timekeeper};
use crate::config::credential::CredentialSource;
use crate::config::editor::overlay;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::domain::ids::{ChannelId, MerchantId};
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::terms::CommonTerms;
use crate::domain::time::Timestamp;

pub use case::CaseReport;
pub use report::{CertifyReport, LeftOut};
pub use samples::stand_ins;

use channel::HostLine;
use desk::CaseSubject;
use keys::RehearsalKeys;

/// The amount of every order, in minor units, unless the file's limits leave no room for it. Digits
/// of the sample card's expiry would be masked.
const AMOUNT_MINOR: i64 = 2_580;

/// A channel file that can be rehearsed.
pub struct Rehearsal {
    pub file: ChannelFile,
    name: String,
    document: Document,
    keys: RehearsalKeys,
    adapter: Arc<Declarative>,
    merchant: MerchantId,
}

impl Rehearsal {
    /// Reads a file with made-up credentials, or with its real ones for a host, at whose address
    /// the calls go then; `Ok(None)` where its protocol has no far side here.
    fn read(path: &Path, host: Option<&str>) -> Result<Option<Self>, Vec<Mistake>> {
        let name = path.display().to_string();
        let about =
            |problem: String, advice: &str| vec![Mistake::new(&name, 0, "", &problem, advice)];
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let id = ChannelId::parse(stem).map_err(|error| {
            about(format!("the file's name is not a channel id: {error}"), "rename the file")
        })?;
        let WholeFile { text, document, .. } = WholeFile::read(path)?;
        let document = match host {
            Some(url) => {
                let over = format!("http.base_url = {}", serde_json::Value::from(url));
                let text = overlay(&text, &over);
                let text = text.map_err(|error| about(error.to_string(), "mend it"))?;
                Document::parse(&name, &text)?
            }
            None => document,
        };
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        // Money is given back only where an accounting system books it first.
        let common = CommonTerms { has_accounting: true, ..CommonTerms::default() };
        let file = ChannelFile::read(&root, id, &common);
        if file.protocol != "http" {
            return Ok(None);
        }
        let keys = {
            let unheard = Mistakes::new();
            let keys = RehearsalKeys::of_http(&document.root(&unheard).section("http"));
            keys.map_err(|problem| about(problem, "check the algorithms of the file"))?
        };
        let codes = CodeTable::new(file.codes.clone());
        let source = CredentialSource::new(path.parent().unwrap_or(Path::new(".")));
        let resolve = |reference: &str| match host {
            Some(_) => source.resolve(reference),
            None => keys.ours(reference),
        };
        let adapter = declarative::read(root.section("http"), &codes, &resolve);
        let merchant = {
            let merchants = root.section("http").optional_section("merchants");
            let first = merchants.and_then(|all| Some(all.keys().first()?.0.to_owned()));
            MerchantId::from_stored(first.as_deref().unwrap_or("merchant"))
        };
        root.finish();
        mistakes.into_result()?;
        let adapter = adapter.map(Arc::new);
        let adapter = adapter.ok_or_else(|| {
            about("has an [http] that cannot be read".to_owned(), "run `switchyard channel check`")
        })?;
        Ok(Some(Self { file, name, document, keys, adapter, merchant }))
    }

    fn subject(&self) -> CaseSubject {
        subject_of(&self.file, self.merchant.clone())
    }

    fn far_side(&self) -> FarSide {
        let unheard = Mistakes::new();
        let root = self.document.root(&unheard);
        let far = declarative::read_far_keys(
            &root.section("http"),
            &|one| self.keys.ours(one),
            &|one| self.keys.channel(one),
            &|one| self.keys.stranger(one),
        );
        FarSide::new(Arc::clone(&self.adapter), far)
    }

    /// The way to a host, over the TLS that the file describes.
    fn line(&self, source: &CredentialSource) -> Result<HostLine, String> {
        let roots: Result<Vec<String>, String> =
            self.file.tls_roots.iter().map(|reference| source.resolve(reference)).collect();
        let identity = self.file.tls_identity.as_ref();
        let identity = identity.map(|reference| source.resolve(reference)).transpose()?;
        let tls = tls::client_config_as(identity.as_deref(), &roots?)?;
        let mut secrets = Vec::new();
        for reference in self.keys.references() {
            let text = source.resolve(reference).unwrap_or_default();
            secrets.push(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec());
        }
        let clock: Timekeeper = Clock::System.into();
        let transport = HttpTransport::new(self.file.timeouts, tls).heard_by(clock.clone());
        Ok(HostLine { transport, clock, secrets })
    }

    async fn play(&self) -> CertifyReport {
        cases::play_all(self).await
    }
}

/// What orders are about: within the file's limits.
fn subject_of(file: &ChannelFile, merchant: MerchantId) -> CaseSubject {
    let limits = &file.limits;
    let minor = AMOUNT_MINOR.clamp(limits.per_order_min_minor, limits.per_order_max_minor);
    CaseSubject {
        merchant,
        amount: AmountMinor::new(minor).expect("the limits are amounts"),
        currency: file.abilities.currencies.first().copied().unwrap_or(Currency::Cny),
        by_code: !file.abilities.instruments.contains(&InstrumentKind::Card),
    }
}

/// The part of a file that every protocol shares; `None` where it has mistakes.
fn shared_part(path: &Path) -> Option<ChannelFile> {
    let WholeFile { document, .. } = WholeFile::read(path).ok()?;
    let id = ChannelId::parse(path.file_stem()?.to_str()?).ok()?;
    let common = CommonTerms { has_accounting: true, ..CommonTerms::default() };
    Some(ChannelFile::read(&document.root(&Mistakes::new()), id, &common))
}

/// Plays at a bank's test host, `url`, what needs no control of the other side, with the file's
/// real credentials. The error is every mistake that makes the file useless.
pub async fn certify_at(path: &Path, url: &str) -> Result<CertifyReport, Vec<Mistake>> {
    let Some(rehearsal) = Rehearsal::read(path, Some(url))? else {
        let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let mut report = CertifyReport::new(id, &path.display().to_string());
        let why = "a host is asked by files of the protocol `http`";
        report.fail("at the host", "every case", why.to_owned());
        return Ok(report);
    };
    let source = CredentialSource::new(path.parent().unwrap_or(Path::new(".")));
    Ok(host::play_host(&rehearsal, url, || rehearsal.line(&source)).await)
}

/// Plays every case of a channel file and its golden samples, which are sent at `now`.
///
/// The error is every mistake that makes the file useless. Runs on a runtime with timers.
pub async fn certify(path: &Path, now: Timestamp) -> Result<CertifyReport, Vec<Mistake>> {
    let samples = samples::play(path, now)?;
    let mut report = match Rehearsal::read(path, None)? {
        Some(rehearsal) => rehearsal.play().await,
        None => {
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let mut report = CertifyReport::new(id, &path.display().to_string());
            let why = "a far side is made from files of the protocol `http`; statements and golden \
                       samples show the others";
            report.leave_out(LeftOut::new("every operation", "every case", why));
            report
        }
    };
    if let Some(file) = shared_part(path) {
        let subject = subject_of(&file, MerchantId::from_stored("merchant"));
        statements::play(&file, &subject, &mut report).await;
    }
    report.cases.extend(samples);
    Ok(report)
}
