//! The golden samples of a file as cases: what the bank's manual says, against what the file does.

use std::cell::OnceCell;
use std::path::Path;

use crate::certify::case::CaseReport;
use crate::certify::keys::RehearsalKeys;
use crate::channel::file::whole::WholeFile;
use crate::channel::samples::check::check;
use crate::config::mistake::{Mistake, Mistakes};
use crate::domain::time::Timestamp;
use crate::simulator::{Counterpart, KeyTexts};

/// Made-up credentials for samples whose real ones are absent. They are made when the first is
/// requested.
pub fn stand_ins(file: &Path) -> impl Fn(&str) -> Result<String, String> {
    let (file, made) = (file.to_owned(), OnceCell::new());
    move |reference| {
        let made: &MadeCredentials = made.get_or_init(|| make(&file).unwrap_or_default());
        made.get(reference).ok_or_else(|| "there is no test credential for it".to_owned())
    }
}

#[derive(Default)]
struct MadeCredentials {
    of_http: RehearsalKeys,
    of_simulator: Vec<(String, String)>,
}

impl MadeCredentials {
    fn get(&self, reference: &str) -> Option<String> {
        let simulated = self.of_simulator.iter().find(|(name, _)| name == reference);
        let simulated = simulated.map(|(_, text)| text.clone());
        simulated.or_else(|| self.of_http.ours(reference).ok())
    }
}

fn make(file: &Path) -> Option<MadeCredentials> {
    let document = WholeFile::read(file).ok()?.document;
    let unheard = Mistakes::new();
    let root = document.root(&unheard);
    if root.optional_text("protocol").as_deref() == Some("http") {
        let of_http = RehearsalKeys::of_http(&root.section("http")).ok()?;
        return Some(MadeCredentials { of_http, ..MadeCredentials::default() });
    }
    let id = file.file_stem()?.to_str()?;
    let other = Counterpart::read(&document, id, &mut KeyTexts::new()).ok()?;
    let texts = other.credentials.iter().map(|one| (one.reference.clone(), one.text.to_string()));
    Some(MadeCredentials { of_simulator: texts.collect(), ..MadeCredentials::default() })
}

/// Plays a file's golden samples, each a case.
pub fn play(file: &Path, now: Timestamp) -> Result<Vec<CaseReport>, Vec<Mistake>> {
    let report = check(file, &stand_ins(file), now)?;
    let case = |name: &String| {
        let failed = report.failed.iter().filter(|one| one.key == *name);
        CaseReport::unplayed(
            "golden samples",
            name,
            failed.map(|one| one.problem.clone()).collect(),
        )
    };
    Ok(report.played.iter().map(case).collect())
}
