//! Flight check: every case of a channel file, played with the real engine before there is a slot
//! with the bank, and a report that a team can hand over.
//!
//! Each case has an engine of its own on a store in memory and a clock that is moved by hand. The
//! other side is made from the file itself (`far_side`), so any file has one; its golden samples,
//! which the file did not make, are played beside it. Its statements are written by its layout,
//! whatever the protocol (`statements`). Must not know the command line.

mod case;
mod cases;
mod channel;
mod desk;
mod exchange;
mod far_side;
mod host;
mod keys;
mod only;
mod rehearsal;
mod report;
mod samples;
mod stage;
mod statements;

use std::path::Path;

use crate::channel::file::ChannelFile;
use crate::channel::file::whole::WholeFile;
use crate::channel::protocol::sample::{SAMPLE_MERCHANT, sample_token};
use crate::config::credential::CredentialSource;
use crate::config::mistake::{Mistake, Mistakes};
use crate::domain::ids::{ChannelId, MerchantId};
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::terms::CommonTerms;
use crate::domain::time::Timestamp;

pub use case::CaseReport;
pub use report::{CertifyReport, LeftOut};
pub use samples::stand_ins;

use desk::{CaseInstrument, CaseSubject};
use rehearsal::Rehearsal;

/// The amount of every order, in minor units, unless the file's limits leave no room for it. Digits
/// of the sample card's expiry would be masked.
const AMOUNT_MINOR: i64 = 2_580;

/// What orders are about: within the file's limits.
fn subject_of(file: &ChannelFile, merchant: MerchantId, node: u16) -> CaseSubject {
    let limits = &file.limits;
    let minor = AMOUNT_MINOR.clamp(limits.per_order_min_minor, limits.per_order_max_minor);
    let takes = |kind| file.abilities.instruments.contains(&kind);
    CaseSubject {
        merchant,
        amount: AmountMinor::new(minor).expect("the limits are amounts"),
        currency: file.abilities.currencies.first().copied().unwrap_or(Currency::Cny),
        instrument: if takes(InstrumentKind::Card) {
            CaseInstrument::Card
        } else if takes(InstrumentKind::Code) {
            CaseInstrument::Code
        } else {
            CaseInstrument::Agreement(sample_token())
        },
        payee_kind: if file.abilities.payees.contains(&InstrumentKind::Card) {
            None
        } else {
            file.abilities.account_kinds.first().copied()
        },
        node,
    }
}

/// What every protocol has of a file that is rehearsed: credits are booked first by an accounting
/// system, or no money would be given back.
fn common_terms() -> CommonTerms {
    CommonTerms { has_accounting: true, ..CommonTerms::default() }
}

/// The part of a file that every protocol shares; `None` where it has mistakes.
fn shared_part(path: &Path) -> Option<ChannelFile> {
    let WholeFile { document, .. } = WholeFile::read(path).ok()?;
    let id = ChannelId::parse(path.file_stem()?.to_str()?).ok()?;
    Some(ChannelFile::read(&document.root(&Mistakes::new()), id, &common_terms()))
}

/// Plays at a bank's test host, `url`, what needs no control of the other side, with the file's
/// real credentials. The error is every mistake that makes the file useless.
pub async fn certify_at(path: &Path, url: &str) -> Result<CertifyReport, Vec<Mistake>> {
    let rehearsal = Rehearsal::read(path, Some(url))?;
    let source = CredentialSource::new(path.parent().unwrap_or(Path::new(".")));
    Ok(host::play_host(&rehearsal, url, || rehearsal.line(&source)).await)
}

/// Plays every case of a channel file and its golden samples, which are sent at `now`.
///
/// The error is every mistake that makes the file useless. Runs on a runtime with timers.
pub async fn certify(path: &Path, now: Timestamp) -> Result<CertifyReport, Vec<Mistake>> {
    let samples = samples::play(path, now)?;
    let mut report = cases::play_all(&Rehearsal::read(path, None)?).await;
    if let Some(file) = shared_part(path) {
        let subject = subject_of(&file, MerchantId::from_stored(SAMPLE_MERCHANT), 1);
        statements::play(&file, &subject, &mut report).await;
    }
    report.cases.extend(samples);
    Ok(report)
}
