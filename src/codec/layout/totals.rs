//! Totals that stand apart from the lines: in a text below them, or in a summary beside the file.
//!
//! They are held against what was read in our words, so they cost nothing for each line but its
//! adding up. Whether what they count is there is what makes a file whole: a file that was cut off
//! at a line's end looks like a short day.

use crate::codec::fixed::trim;
use crate::codec::layout::{Charset, StatementProblem, number};
use crate::domain::attempt::Operation;
use crate::domain::books::reconcile::Item;
use crate::domain::closed_set;
use crate::domain::money::Currency;

closed_set! {
    /// Which of our words a total is the sum of.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TotalSum {
        Amount => "amount",
        Fee => "fee",
        /// Amount less fee.
        Settlement => "settlement",
    }
}

/// Totals within a text: a number stands behind each mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTotals {
    /// How the line begins, in the file's bytes.
    pub begins: Vec<u8>,
    /// The operation whose lines it counts; `None`: all.
    pub operation: Option<Operation>,
    /// The mark before the number of lines.
    pub count: Option<Vec<u8>>,
    /// Marks before sums, which stand with or without a sign.
    pub sums: Vec<(Vec<u8>, TotalSum)>,
}

/// One sum of a summary: what is paid to us less what is taken from us, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummarySum {
    /// Places among the line's words, from 0.
    pub total: u16,
    pub less: Option<u16>,
    pub of: TotalSum,
}

/// The file with the totals that comes beside the statement: in the same archive, or the same
/// folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name, with `*`, `<YYMMDD>` and `<YYYYMMDD>` as in [`super::Layout::member`].
    pub member: String,
    pub encoding: Charset,
    /// How the line with the totals begins; the last such line has them. Blanks part its words.
    pub begins: Vec<u8>,
    /// The place of the number of lines.
    pub count: Option<u16>,
    /// In major units.
    pub sums: Vec<SummarySum>,
}

/// What was read, by operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineTotals {
    /// Rows of the file, those that cannot be read and those that are passed over included.
    pub rows: u64,
    lines: [u64; Operation::ALL.len()],
    amounts_minor: [i128; Operation::ALL.len()],
    fees_minor: [i128; Operation::ALL.len()],
}

impl LineTotals {
    pub fn add(&mut self, item: &Item) {
        let place = item.movement as usize;
        self.lines[place] += 1;
        self.amounts_minor[place] += i128::from(item.amount_minor);
        self.fees_minor[place] += i128::from(item.fee_minor.unwrap_or(0));
    }

    /// Whether every row was read: only then sums can be held against totals.
    pub fn is_all(&self) -> bool {
        self.lines.iter().sum::<u64>() == self.rows
    }

    fn of(&self, operation: Option<Operation>, sum: TotalSum) -> i128 {
        let total = |sums: &[i128; Operation::ALL.len()]| match operation {
            Some(movement) => sums[movement as usize],
            None => sums.iter().sum(),
        };
        match sum {
            TotalSum::Amount => total(&self.amounts_minor),
            TotalSum::Fee => total(&self.fees_minor),
            TotalSum::Settlement => total(&self.amounts_minor) - total(&self.fees_minor),
        }
    }

    fn count(&self, operation: Option<Operation>) -> u64 {
        match operation {
            Some(movement) => self.lines[movement as usize],
            None => self.rows,
        }
    }
}

impl TextTotals {
    /// Holds a line of the footer against what was read; `true` if it counts the lines of its
    /// operation and they are there. Where a row could not be read nothing is held against it.
    pub fn check(
        &self,
        text: &[u8],
        said: &LineTotals,
        currency: Currency,
    ) -> Result<bool, StatementProblem> {
        if !said.is_all() {
            return Ok(false);
        }
        let mut counts = false;
        if let Some(count) = self.count.as_ref().and_then(|mark| behind(text, mark)) {
            let told = whole(count).ok_or(StatementProblem::Footer)?;
            let found = said.count(self.operation);
            if told != found {
                return Err(StatementProblem::Count { said: told, found });
            }
            counts = true;
        }
        for (place, (mark, of)) in (1..).zip(&self.sums) {
            let Some(written) = behind(text, mark) else { continue };
            let told = minor(written, currency).ok_or(StatementProblem::Footer)?;
            if told.abs() != said.of(self.operation, *of).abs() {
                return Err(StatementProblem::Sum { place });
            }
        }
        Ok(counts)
    }
}

impl Summary {
    /// Holds the summary's text against what was read: what it says otherwise, and whether it
    /// counts the lines and they are there.
    pub fn check(
        &self,
        text: &[u8],
        said: &LineTotals,
        currency: Currency,
    ) -> (Vec<StatementProblem>, bool) {
        let mut lines = text.split(|byte| *byte == b'\n').map(trim_line);
        let Some(line) = lines.rfind(|line| line.starts_with(&self.begins)) else {
            return (vec![StatementProblem::Summary], false);
        };
        let words: Vec<&[u8]> = line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .collect();
        let word = |place: u16| words.get(usize::from(place)).copied();
        let (mut problems, mut counts) = (Vec::new(), false);
        if let Some(place) = self.count {
            match word(place).and_then(whole) {
                Some(told) if told == said.rows => counts = true,
                Some(told) => {
                    problems.push(StatementProblem::SummaryCount { said: told, found: said.rows });
                }
                None => problems.push(StatementProblem::Summary),
            }
        }
        // A row that cannot be read is told as such; no sum can have it.
        for sum in self.sums.iter().filter(|_| said.is_all()) {
            let place = |place: u16| word(place).and_then(|text| minor(text, currency));
            let less = sum.less.map_or(Some(0), place);
            let (Some(total), Some(less)) = (place(sum.total), less) else {
                problems.push(StatementProblem::Summary);
                continue;
            };
            let (told, found) = (total - less, said.of(None, sum.of));
            if told != found {
                problems.push(StatementProblem::SummarySum {
                    of: sum.of.name(),
                    said: told,
                    found,
                });
            }
        }
        let is_sound = problems.is_empty();
        (problems, counts && is_sound)
    }
}

fn trim_line(line: &[u8]) -> &[u8] {
    trim(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The number that stands right behind a mark.
fn behind<'text>(text: &'text [u8], mark: &[u8]) -> Option<&'text [u8]> {
    let at = memchr::memmem::find(text, mark)? + mark.len();
    let rest = trim(&text[at..]);
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b',');
    let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// A number without the commas between its thousands.
fn plain(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| *byte != b',').collect()
}

fn whole(text: &[u8]) -> Option<u64> {
    let (scaled, digits) = number::scaled(&plain(text))?;
    let whole = scaled / 10_i128.pow(number::SUM_DIGITS);
    u64::try_from(whole).ok().filter(|_| digits == 0)
}

/// An amount of major units, in minor units; a sum may be larger than any amount.
fn minor(text: &[u8], currency: Currency) -> Option<i128> {
    let (scaled, _) = number::scaled(&plain(text))?;
    let rest = 10_i128.pow(number::SUM_DIGITS - u32::from(currency.exponent()));
    (scaled % rest == 0).then_some(scaled / rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::books::reconcile::Status;

    fn said(rows: &[(Operation, i64, i64)]) -> LineTotals {
        let mut said = LineTotals { rows: rows.len() as u64, ..LineTotals::default() };
        for (movement, amount_minor, fee) in rows {
            said.add(&Item {
                movement: *movement,
                amount_minor: *amount_minor,
                fee_minor: Some(*fee),
                currency: Currency::Cny,
                status: Status::Succeeded,
                date: None,
            });
        }
        said
    }

    #[test]
    fn a_summary_is_held_against_the_lines() {
        let sum = |total, less, of| SummarySum { total, less: Some(less), of };
        let summary = Summary {
            member: "RD*".to_owned(),
            encoding: Charset::Utf8,
            begins: b"sum".to_vec(),
            count: Some(1),
            sums: vec![sum(3, 2, TotalSum::Amount), sum(4, 5, TotalSum::Fee)],
        };
        let lines = said(&[(Operation::Payment, 1_000_000, 60), (Operation::Refund, -250, -2)]);
        let check = |text: &str| summary.check(text.as_bytes(), &lines, Currency::Cny);
        let sound = "head\r\nsum 1 0 0 0 0\r\n  sum   2  2.50 10,000.00 0.60 0.02\r\nend\r\n";
        assert_eq!(check(sound), (Vec::new(), true));
        let count = check("sum 3 2.50 10000.00 0.60 0.02");
        assert_eq!(count, (vec![StatementProblem::SummaryCount { said: 3, found: 2 }], false));
        let amount = check("sum 2 2.50 10000.01 0.60 0.02").0;
        let of = |of, said, found| StatementProblem::SummarySum { of, said, found };
        assert_eq!(amount, [of("amount", 999_751, 999_750)]);
        let fee = check("sum 2 2.50 10000.00 0.60 0.00").0;
        assert_eq!(fee, [of("fee", 60, 58)]);
        for unread in ["", "sum", "total 2 2.50", "sum x 2.50 10000.00 0.60 0.02"] {
            let (problems, counts) = check(unread);
            assert!(
                problems.contains(&StatementProblem::Summary) && !counts,
                "{unread}: {problems:?}"
            );
        }
        // What was not read is in no sum, and in the count.
        let more = LineTotals { rows: 3, ..lines };
        let found = summary.check(b"sum 3 9 9 9 9", &more, Currency::Cny);
        assert_eq!(found, (Vec::new(), true));
    }

    #[test]
    fn totals_within_a_text_are_held_against_the_lines() {
        let spoken = TextTotals {
            begins: b"#paid".to_vec(),
            operation: Some(Operation::Refund),
            count: Some(b"times ".to_vec()),
            sums: vec![(b"sum ".to_vec(), TotalSum::Amount)],
        };
        let lines = said(&[(Operation::Payment, 7, 0), (Operation::Refund, -250, 0)]);
        let check = |text: &str| spoken.check(text.as_bytes(), &lines, Currency::Cny);
        assert_eq!(check("#paid times 1, sum -2.50x"), Ok(true));
        assert_eq!(check("#paid times 1, sum 2.50"), Ok(true));
        assert_eq!(check("#paid in other words"), Ok(false));
        assert_eq!(check("#paid times 2"), Err(StatementProblem::Count { said: 2, found: 1 }));
        assert_eq!(check("#paid times 1 sum 2.51"), Err(StatementProblem::Sum { place: 1 }));
        assert_eq!(check("#paid times 1.5"), Err(StatementProblem::Footer));
        let unread = LineTotals { rows: 3, ..lines };
        assert_eq!(spoken.check(b"#paid times 9", &unread, Currency::Cny), Ok(false));
    }
}
