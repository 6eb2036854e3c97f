//! The changes of issuers' names as a file has them: read, checked line by line, written.

use csv::StringRecord;

use super::check::{BinLineProblem, Checker, is_issuer_code, is_name};
use crate::domain::bin::{
    ISSUER_CHANGES_MAX, IssuerChange, IssuerChangeError, IssuerChanges, StatedDate,
};

/// The columns that are read. Others, such as `kind` and `note`, may stand beside them.
pub(super) const COLUMNS: [(&str, bool); 5] = [
    ("issuer_code", true),
    ("old_name", true),
    ("new_name", true),
    ("date", true),
    ("source", true),
];
/// The longest source, in characters: an address.
const SOURCE_LENGTH_MAX: usize = 300;

/// Whether a line begins a list of changes.
pub(super) fn is_heading(record: &StringRecord) -> bool {
    let has = |wanted: &str| record.iter().any(|name| name.trim() == wanted);
    has("old_name") || has("new_name")
}

/// Collects changes with their lines.
#[derive(Default)]
pub(super) struct IssuerReader {
    changes: Vec<IssuerChange>,
    /// Of each change.
    lines: Vec<usize>,
}

impl IssuerReader {
    /// Checks one line, whose fields `field` gives by the names of their columns.
    pub(super) fn take<'text>(
        &mut self,
        line: usize,
        field: impl Fn(&'static str) -> &'text str,
        checker: &mut Checker,
    ) {
        let faults_before = checker.fault_count();
        let [issuer_code, old_name, new_name, date, source] = COLUMNS.map(|(name, _)| field(name));
        if !is_issuer_code(issuer_code) {
            checker.fault(line, BinLineProblem::IssuerCode);
        }
        if old_name.is_empty() || new_name.is_empty() {
            checker.fault(line, BinLineProblem::IssuerNameMissing);
        }
        if !is_name(old_name) || !is_name(new_name) {
            checker.fault(line, BinLineProblem::Name);
        }
        let is_long = source.chars().count() > SOURCE_LENGTH_MAX;
        if source.is_empty() || is_long || source.chars().any(char::is_control) {
            checker.fault(line, BinLineProblem::Source);
        }
        let Some(date) = StatedDate::parse(date) else {
            return checker.fault(line, BinLineProblem::Date("date"));
        };
        if checker.fault_count() > faults_before {
            return;
        }
        let [issuer_code, old_name, new_name, source] =
            [issuer_code, old_name, new_name, source].map(str::to_owned);
        self.changes.push(IssuerChange { issuer_code, old_name, new_name, date, source });
        self.lines.push(line);
    }

    /// All changes; none, and faults, where they contradict one another.
    pub(super) fn finish(self, checker: &mut Checker) -> IssuerChanges {
        let line_of = |place: usize| self.lines.get(place).copied().unwrap_or_default();
        let faults = match IssuerChanges::of(self.changes) {
            Ok(changes) => return changes,
            Err(faults) => faults,
        };
        for (place, error) in faults {
            let problem = match error {
                IssuerChangeError::Twice { first_place } => {
                    BinLineProblem::ChangesTwice { first_line: line_of(first_place) }
                }
                IssuerChangeError::Circle => BinLineProblem::Circle,
                IssuerChangeError::Order => BinLineProblem::DateOrder,
                IssuerChangeError::TooMany => BinLineProblem::TooManyChanges(ISSUER_CHANGES_MAX),
            };
            checker.fault(line_of(place), problem);
        }
        IssuerChanges::default()
    }
}

/// Appends the changes with their heading; equal changes give equal bytes.
pub(super) fn write_csv(changes: &IssuerChanges, bytes: &mut Vec<u8>) {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(bytes);
    let mut write = |fields: [&str; 5]| writer.write_record(fields).expect("memory takes any row");
    write(COLUMNS.map(|(name, _)| name));
    for IssuerChange { issuer_code, old_name, new_name, date, source } in changes.all() {
        write([issuer_code, old_name, new_name, &date.to_string(), source]);
    }
    writer.flush().expect("memory takes any row");
}
