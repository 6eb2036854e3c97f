//! Names of issuers that have changed: by a renaming, or because another bank has taken the issuer
//! over.
//!
//! A table of BINs goes on naming an issuer as it was when the row was written. The changes lead
//! from that name to the one of today, and back to those of yesterday. They are kept for each
//! issuer code and exact name, because a code may have several names that are no changes of one
//! another. The way is never a circle, so that it ends.

use crate::domain::bin::stated_date::StatedDate;

/// The most changes there may be: an issuer code has some twenty rows of its own at most.
pub const ISSUER_CHANGES_MAX: usize = 20_000;

/// A name that an issuer had, and the one that came after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerChange {
    /// The institution code of the rows that have the old name.
    pub issuer_code: String,
    pub old_name: String,
    pub new_name: String,
    /// When the new name came into force.
    pub date: StatedDate,
    /// Who says so: an address or a publication.
    pub source: String,
}

impl IssuerChange {
    /// What there is one change of: an issuer code and an exact name.
    pub fn key(&self) -> (&str, &str) {
        (&self.issuer_code, &self.old_name)
    }
}

/// What is wrong with one of several changes; places count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerChangeError {
    #[error("this name of this issuer changes twice")]
    Twice { first_place: usize },
    #[error("this issuer's names lead in a circle")]
    Circle,
    #[error("this name ends before it has begun, by the dates")]
    Order,
    #[error("there are more changes than the {ISSUER_CHANGES_MAX} that are kept")]
    TooMany,
}

/// All changes of issuers' names: none twice, none in a circle, each after the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerChanges {
    /// By issuer code, then by old name.
    changes: Vec<IssuerChange>,
}

impl IssuerChanges {
    /// Checks them all; what is wrong is told with the place of each change that is.
    pub fn of(changes: Vec<IssuerChange>) -> Result<Self, Vec<(usize, IssuerChangeError)>> {
        if changes.len() > ISSUER_CHANGES_MAX {
            return Err(vec![(ISSUER_CHANGES_MAX, IssuerChangeError::TooMany)]);
        }
        let mut placed: Vec<(usize, IssuerChange)> = changes.into_iter().enumerate().collect();
        placed.sort_by(|(_, one), (_, two)| one.key().cmp(&two.key()));
        let mut faults: Vec<(usize, IssuerChangeError)> = Vec::new();
        for pair in placed.windows(2).filter(|pair| pair[0].1.key() == pair[1].1.key()) {
            faults.push((pair[1].0, IssuerChangeError::Twice { first_place: pair[0].0 }));
        }
        let (places, changes): (Vec<usize>, Vec<IssuerChange>) = placed.into_iter().unzip();
        let this = Self { changes };
        for (change, place) in this.changes.iter().zip(places) {
            let next = this.find(&change.issuer_code, &change.new_name);
            if this.leads_back(change) {
                faults.push((place, IssuerChangeError::Circle));
            } else if next.is_some_and(|next| change.date.is_after(next.date)) {
                faults.push((place, IssuerChangeError::Order));
            }
        }
        faults.sort_by_key(|(place, _)| *place);
        if faults.is_empty() { Ok(this) } else { Err(faults) }
    }

    /// All of them, by issuer code and old name.
    pub fn all(&self) -> &[IssuerChange] {
        &self.changes
    }

    /// Today's name of an issuer that had this one: the same name where nothing has changed it.
    pub fn today<'a>(&'a self, issuer_code: &str, name: &'a str) -> &'a str {
        let mut today = name;
        while let Some(change) = self.find(issuer_code, today) {
            today = &change.new_name;
        }
        today
    }

    /// The names that have led to this one of today, by their text; none where it never changed.
    pub fn former<'a>(&'a self, issuer_code: &str, today: &str) -> Vec<&'a str> {
        let leading = |change: &&IssuerChange| self.today(issuer_code, &change.old_name) == today;
        self.of_issuer(issuer_code).iter().filter(leading).map(|one| &*one.old_name).collect()
    }

    fn of_issuer(&self, issuer_code: &str) -> &[IssuerChange] {
        let first = self.changes.partition_point(|one| one.issuer_code.as_str() < issuer_code);
        let count = self.changes[first..].partition_point(|one| one.issuer_code == issuer_code);
        &self.changes[first..first + count]
    }

    fn find(&self, issuer_code: &str, old_name: &str) -> Option<&IssuerChange> {
        let place =
            self.changes.binary_search_by(|one| one.key().cmp(&(issuer_code, old_name))).ok()?;
        self.changes.get(place)
    }

    /// Whether the way from a change comes back to it.
    fn leads_back(&self, change: &IssuerChange) -> bool {
        let mut name = &change.new_name;
        for _ in self.of_issuer(&change.issuer_code) {
            if *name == change.old_name {
                return true;
            }
            let Some(next) = self.find(&change.issuer_code, name) else { return false };
            name = &next.new_name;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(issuer_code: &str, old_name: &str, new_name: &str, date: &str) -> IssuerChange {
        IssuerChange {
            issuer_code: issuer_code.to_owned(),
            old_name: old_name.to_owned(),
            new_name: new_name.to_owned(),
            date: StatedDate::parse(date).expect("a date"),
            source: "a gazette".to_owned(),
        }
    }

    #[test]
    fn a_name_leads_to_that_of_today_and_back_to_those_of_yesterday() {
        let changes = IssuerChanges::of(vec![
            change("04791920", "b", "c", "2023"),
            change("04791920", "a", "b", "2020-04-30"),
            change("04791920", "x", "c", "2023-02"),
            change("04791921", "a", "z", "2020"),
        ])
        .expect("good changes");
        for (name, today) in [("a", "c"), ("b", "c"), ("c", "c"), ("x", "c"), ("q", "q")] {
            assert_eq!(changes.today("04791920", name), today, "{name}");
        }
        assert_eq!(changes.today("04791921", "a"), "z");
        assert_eq!(changes.today("01020000", "a"), "a");
        assert_eq!(changes.former("04791920", "c"), ["a", "b", "x"]);
        assert_eq!(changes.former("04791921", "z"), ["a"]);
        assert!(changes.former("04791921", "c").is_empty());
        assert!(changes.former("01020000", "a").is_empty());
    }

    #[test]
    fn changes_that_lead_nowhere_are_told_with_their_places() {
        let faults = |changes: Vec<IssuerChange>| IssuerChanges::of(changes).expect_err("bad");
        let circle = vec![
            change("1", "x", "a", "2019"),
            change("1", "a", "b", "2020"),
            change("1", "b", "c", "2020"),
            change("1", "c", "a", "2020"),
            change("2", "b", "a", "2021"),
        ];
        let told = [1, 2, 3].map(|place| (place, IssuerChangeError::Circle));
        assert_eq!(faults(circle), told);
        let twice = vec![change("1", "a", "b", "2020"), change("1", "a", "c", "2020")];
        assert_eq!(faults(twice), [(1, IssuerChangeError::Twice { first_place: 0 })]);
        let same = vec![change("1", "a", "a", "2020")];
        assert_eq!(faults(same), [(0, IssuerChangeError::Circle)]);
        let late = vec![change("1", "a", "b", "2021-03"), change("1", "b", "c", "2021-02-28")];
        assert_eq!(faults(late), [(0, IssuerChangeError::Order)]);
    }
}
