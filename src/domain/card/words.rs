//! Card data in words that others wrote: found, in whatever spelling, and masked.
//!
//! Upholds I-11 for everything that comes to rest and was not written by us: transcripts of every
//! protocol, lines of statements, names and texts that a refusal repeats. Three ways to see it:
//!
//! - **by value**: what this request knew of its card, also where it comes back in groups, escaped
//!   (JSON, URL, XML), in full-width digits, in base64 or hexadecimal, or in pieces;
//! - **by name**: the value behind a name of [`SECRET_NAMES`], whoever's card it is;
//! - **by look**: 12 to 19 digits, in one run or in groups with the same joint, whatever their
//!   check digit, unless their look or the one who asks says that they are something else.
//!
//! What is known to be none, by its look: numbers that begin with zero once their zeros are gone,
//! moments (`20261120123000`, also with milliseconds, without seconds or century, or since 1970),
//! dates among groups, decimals of two groups, IPv4 addresses, and runs of 20 digits and more.

mod echo;
mod looks;
mod names;
mod spelling;

use std::ops::Range;

use super::{Expiry, luhn_fits};
use crate::domain::bin::{PAN_LENGTH_MAX, PAN_LENGTH_MIN};
pub use echo::CardEcho;
use looks::{is_date, is_moment};
use names::{SECRET_NAME_LENGTH_MAX, is_secret, may_begin_secret_name};
pub use names::{SECRET_NAMES, is_secret_name};
use spelling::{
    PlainText, Spelling, base64_inside, base64_inside_length, find, hexadecimal, is_base64_letter,
    is_digit, joint, runs_of, same, stretches, units_of,
};

/// Leading and trailing digits of a card number that may stay in clear.
const CLEAR_LEADING: usize = 6;
const CLEAR_TRAILING: usize = 4;
/// The most characters between two groups of one number.
const JOINT_LENGTH_MAX: usize = 3;
/// A shorter text of a card's owner is not looked for: every second word would hold it.
const TEXT_LENGTH_MIN: usize = 2;
/// The same in base64 and hexadecimal.
const ENCODED_LENGTH_MIN: usize = 6;
/// The shortest piece of a card number that is known as one: its beginning, its end, its middle.
const PIECE_LENGTHS_MIN: (usize, usize, usize) = (CLEAR_LEADING + 1, CLEAR_TRAILING + 1, 6);
/// The most characters that are hidden behind a name.
const NAMED_LENGTH_MAX: usize = 128;

/// Masks what looks like card data.
pub fn mask_cards(text: &str) -> String {
    mask_echo(text, CardEcho::NONE, &[])
}

/// Masks what looks like card data, and every echo of one card. `known` are numbers that are no
/// card numbers although they look so: they stay, unless they are the card's.
///
/// Control characters become blanks, so that what is kept is one line.
pub fn mask_echo(text: &str, echo: CardEcho<'_>, known: &[&str]) -> String {
    match PlainText::of(text) {
        Some(plain) => CardWords::of(text, plain).masked(echo, known),
        None => CardWords::of(text, units_of(text)).masked(echo, known),
    }
}

/// Masks every echo of one card and nothing else: for words that have been looked at already.
pub fn mask_values(text: &str, echo: CardEcho<'_>) -> String {
    let mut words = CardWords::of(text, units_of(text));
    words.hide_values(echo);
    words.write()
}

/// Whether a text holds a number that `is_card` says is one. The function gets every run of 12 to
/// 19 digits and every chain of groups that could be a card number.
pub fn holds_card_number(text: &str, is_card: impl Fn(&[u8]) -> bool) -> bool {
    if !may_hold_number(text) {
        return false;
    }
    let words = CardWords::of(text, units_of(text));
    let runs = &words.runs;
    let digits = |places: &[Range<usize>]| -> Vec<u8> {
        let characters = places.iter().flat_map(|run| words.characters(run));
        characters.map(|character| u8::try_from(character).unwrap_or(b'x')).collect()
    };
    let alone = runs.iter().any(|run| {
        (PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&run.len())
            && is_card(&digits(std::slice::from_ref(run)))
    });
    let grouped = |chain: &Range<usize>| {
        words.windows(runs, chain).iter().any(|window| is_card(&digits(&runs[window.clone()])))
    };
    alone || words.chains(runs).iter().any(grouped)
}

/// Whether there are digits enough, however they are written.
fn may_hold_number(text: &str) -> bool {
    if text.len() < PAN_LENGTH_MIN {
        return false;
    }
    text.chars().filter(|character| character.is_numeric()).nth(PAN_LENGTH_MIN - 1).is_some()
}

/// A text taken apart, and which of its characters are to be hidden.
struct CardWords<'t, S> {
    text: &'t str,
    /// The characters that the text means.
    units: S,
    /// Runs of digits that nothing parts.
    runs: Vec<Range<usize>>,
    hidden: Vec<bool>,
}

impl<'t, S: Spelling> CardWords<'t, S> {
    fn of(text: &'t str, units: S) -> Self {
        Self { text, runs: runs_of(&units), hidden: vec![false; units.len()], units }
    }

    fn has_number(mut self, pan: &str) -> bool {
        self.hide_number(pan);
        self.hidden.contains(&true)
    }

    fn has_text(mut self, secret: &str) -> bool {
        self.hide_text(secret);
        self.hidden.contains(&true)
    }

    fn masked(mut self, echo: CardEcho<'_>, known: &[&str]) -> String {
        self.hide_values(echo);
        self.hide_named();
        self.hide_looks(known);
        self.write()
    }

    /// The characters of a range of places.
    fn characters(&self, places: &Range<usize>) -> impl Iterator<Item = char> + Clone {
        places.clone().map(|at| self.units.character(at))
    }

    fn character(&self, at: usize) -> Option<char> {
        (at < self.units.len()).then(|| self.units.character(at))
    }

    /// Hides every value that only this card's owner and issuer know.
    fn hide_values(&mut self, echo: CardEcho<'_>) {
        if let Some(pan) = echo.pan {
            self.hide_number(pan);
            self.hide_pieces(pan);
            self.hide_encoded(pan);
        }
        for secret in echo.owner.into_iter().chain([echo.account]).flatten() {
            self.hide_text(secret);
            self.hide_encoded(secret);
        }
        for code in echo.codes.into_iter().flatten() {
            self.hide_runs(&[code.len()], |run| run == code);
        }
        if let Some(expiry) = echo.expiry {
            self.hide_expiry(expiry);
        }
    }

    fn text_of(&self, run: &Range<usize>) -> String {
        self.characters(run).collect()
    }

    /// The joint between two runs, if they may be groups of one number.
    fn joint_between(&self, left: &Range<usize>, right: &Range<usize>) -> Option<Vec<char>> {
        let between = left.end..right.start;
        if between.len() > JOINT_LENGTH_MAX {
            return None;
        }
        self.characters(&between).map(joint).collect()
    }

    /// The card's number, in one run, inside a longer one, or over any joints.
    fn hide_number(&mut self, pan: &str) {
        let mut digits = Vec::with_capacity(pan.len());
        digits.extend(pan.chars());
        let pan = digits;
        let mut places = Vec::with_capacity(pan.len());
        for run in 0..self.runs.len() {
            for start in self.runs[run].clone() {
                if self.units.character(start) == pan[0]
                    && self.match_at(start, &pan, true, &mut places)
                {
                    self.hide_middle(&places);
                }
            }
        }
    }

    /// Where a secret may begin: the one pass over the whole text that each secret costs.
    fn places_of(&self, first: char) -> Vec<usize> {
        let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
        let plain = first.is_ascii() && first != ' ';
        let fits = |found: char| {
            found == lower || found == upper || (!(plain && found.is_ascii()) && same(found, first))
        };
        (0..self.units.len()).filter(|at| fits(self.units.character(*at))).collect()
    }

    /// Whether `secret` stands at `start`; joints may stand between its characters, whose places
    /// are put into `places`.
    fn match_at(
        &self,
        start: usize,
        secret: &[char],
        joined: bool,
        places: &mut Vec<usize>,
    ) -> bool {
        places.clear();
        let mut skipped = 0;
        for at in start..self.units.len() {
            let character = self.units.character(at);
            if same(character, secret[places.len()]) {
                places.push(at);
                skipped = 0;
                if places.len() == secret.len() {
                    return true;
                }
            } else if joined && skipped < JOINT_LENGTH_MAX && joint(character).is_some() {
                skipped += 1;
            } else {
                return false;
            }
        }
        false
    }

    /// Hides all but the first six and last four of these digits.
    fn hide_middle(&mut self, places: &[usize]) {
        let end = places.len().saturating_sub(CLEAR_TRAILING);
        for place in places.iter().take(end).skip(CLEAR_LEADING) {
            self.hidden[*place] = true;
        }
    }

    /// A run that is a part of the card's number shows what the whole would show of it.
    fn hide_pieces(&mut self, pan: &str) {
        let (leading, trailing, middle) = PIECE_LENGTHS_MIN;
        for run in self.runs.clone() {
            if run.len() >= pan.len() || run.len() < trailing {
                continue;
            }
            let stands_at = |offset: &usize| {
                let piece = self.characters(&run);
                piece.eq(pan.bytes().skip(*offset).take(run.len()).map(char::from))
            };
            let last = pan.len() - run.len();
            let offset = if run.len() >= leading && stands_at(&0) {
                Some(0)
            } else if stands_at(&last) {
                Some(last)
            } else {
                (0..last).find(stands_at).filter(|_| run.len() >= middle)
            };
            let Some(offset) = offset else { continue };
            for (place, unit) in run.enumerate() {
                let digit = offset + place;
                self.hidden[unit] |= digit >= CLEAR_LEADING && digit + CLEAR_TRAILING < pan.len();
            }
        }
    }

    /// A text of the card's owner, all but its first character. One of digits may be in groups.
    fn hide_text(&mut self, secret: &str) {
        let of_digits = secret.chars().filter(char::is_ascii_digit).count() >= ENCODED_LENGTH_MIN;
        let characters: Vec<char> = secret
            .chars()
            .filter(|character| !(of_digits && matches!(character, '+' | '-' | ' ')))
            .flat_map(char::to_lowercase)
            .collect();
        if characters.len() < TEXT_LENGTH_MIN {
            return;
        }
        // A phone number comes back without its country too.
        let without_country = (secret.starts_with('+') && characters.len() > 11)
            .then(|| characters[characters.len() - 11..].to_vec());
        let mut places = Vec::new();
        for secret in [Some(characters), without_country].into_iter().flatten() {
            for start in self.places_of(secret[0]) {
                if self.match_at(start, &secret, of_digits, &mut places)
                    && self.stands_alone(&places)
                {
                    for place in &places[1..] {
                        self.hidden[*place] = true;
                    }
                }
            }
        }
    }

    /// A name of Latin letters is no part of a longer word: a short one would be in many.
    fn stands_alone(&self, places: &[usize]) -> bool {
        let letter = |at: usize| self.character(at).is_some_and(|one| one.is_ascii_alphabetic());
        let (first, last) = (places[0], places[places.len() - 1]);
        let goes_on = letter(last) && letter(last + 1);
        !(goes_on || letter(first) && first > 0 && letter(first - 1))
    }

    /// A secret in base64 (at any place of a longer text) or in hexadecimal.
    fn hide_encoded(&mut self, secret: &str) {
        if secret.len() < ENCODED_LENGTH_MIN {
            return;
        }
        let stretches = stretches(self.text, base64_inside_length(secret.len()));
        if stretches.is_empty() {
            return;
        }
        let hexadecimal = hexadecimal(secret);
        let base64: [Vec<u8>; 3] = std::array::from_fn(|offset| base64_inside(secret, offset));
        for stretch in stretches {
            let bytes = &self.text.as_bytes()[stretch.clone()];
            let mut found = Vec::new();
            find(bytes, &hexadecimal, u8::eq_ignore_ascii_case, &mut found);
            for needle in &base64 {
                find(bytes, needle, is_base64_letter, &mut found);
            }
            for place in found {
                let (start, end) = (stretch.start + place.start, stretch.start + place.end);
                self.hidden[self.units.over(start..end)].fill(true);
            }
        }
    }

    /// Whole runs of so many digits, beside which no decimal point stands.
    fn hide_runs(&mut self, lengths: &[usize], is_secret: impl Fn(&str) -> bool) {
        for run in &self.runs {
            if !lengths.contains(&run.len()) {
                continue;
            }
            let digit = |at: usize| self.character(at).is_some_and(is_digit);
            let point = |at: usize| self.character(at) == Some('.');
            let decimal = (point(run.end) && digit(run.end + 1))
                || (run.start >= 2 && point(run.start - 1) && digit(run.start - 2));
            if !decimal && is_secret(&self.text_of(run)) {
                self.hidden[run.clone()].fill(true);
            }
        }
    }

    /// The expiry in the orders and groupings in use, where no third group makes it a date.
    fn hide_expiry(&mut self, expiry: Expiry) {
        let month = format!("{:02}", expiry.month);
        let (year, century) = (format!("{:02}", expiry.year % 100), expiry.year.to_string());
        let forms = [
            (year.as_str(), month.as_str()),
            (&month, &year),
            (&century, &month),
            (&month, &century),
        ];
        self.hide_runs(&[4, 6], |run| {
            forms
                .iter()
                .any(|(first, second)| run.strip_prefix(first).is_some_and(|rest| rest == *second))
        });
        let runs = &self.runs;
        for at in 1..runs.len() {
            let joined = |left: usize, right: usize| {
                runs.get(right).is_some_and(|run| self.joint_between(&runs[left], run).is_some())
            };
            let is_longer = joined(at, at + 1) || at >= 2 && joined(at - 2, at - 1);
            let short = runs[at - 1].len() <= 4 && runs[at].len() <= 4;
            if !short || is_longer || !joined(at - 1, at) {
                continue;
            }
            let pair = (self.text_of(&runs[at - 1]), self.text_of(&runs[at]));
            if forms.iter().any(|(first, second)| pair.0 == *first && pair.1 == *second) {
                self.hidden[runs[at - 1].clone()].fill(true);
                self.hidden[runs[at].clone()].fill(true);
            }
        }
    }

    /// The value behind a name that says that it is never kept.
    fn hide_named(&mut self) {
        let letter = |at: usize| match self.units.character(at) {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => true,
            other => !other.is_ascii() && other.is_alphanumeric(),
        };
        let mut at = 0;
        while at < self.units.len() {
            let start = at;
            while at < self.units.len() && letter(at) {
                at += 1;
            }
            let name = start..at;
            at = at.max(start + 1);
            let may_be = !name.is_empty()
                && name.len() <= SECRET_NAME_LENGTH_MAX
                && may_begin_secret_name(self.units.character(name.start))
                && !(name.start > 0 && self.units.character(name.start - 1) == '/');
            let Some(value) = may_be.then(|| self.value_behind(name.end)).flatten() else {
                continue;
            };
            if is_secret(self.characters(&name)) {
                self.hidden[value].fill(true);
            }
        }
    }

    /// The value that a name's end is followed by, in JSON, a form or XML.
    fn value_behind(&self, name_end: usize) -> Option<Range<usize>> {
        let character = |at: usize| self.character(at);
        let quote = |at: usize| matches!(character(at), Some('"' | '\'' | '\\' | ' ' | '\n'));
        let mut start = name_end;
        while quote(start) {
            start += 1;
        }
        if !matches!(character(start), Some(':' | '=' | '>')) {
            return None;
        }
        start += 1;
        while matches!(character(start), Some('\\' | ' ' | '\n')) {
            start += 1;
        }
        let quoted = matches!(character(start), Some('"' | '\''));
        start += usize::from(quoted);
        let ends = |character: char| match character {
            '"' | '\'' | '\\' | '<' => true,
            ',' | '&' | '}' | ']' | ';' | '|' | ')' | '{' | '[' => !quoted,
            blank => !quoted && blank.is_whitespace(),
        };
        let rest = start..self.units.len().min(start.saturating_add(NAMED_LENGTH_MAX));
        let length = self.characters(&rest).take_while(|one| !ends(*one)).count();
        (length > 0).then_some(start..start + length)
    }

    /// Hides every text that looks like a card number and is none of `known`.
    fn hide_looks(&mut self, known: &[&str]) {
        let mut runs = self.runs.clone();
        for run in &runs {
            let zeros = self.characters(run).take_while(|character| *character == '0').count();
            if !(PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&(run.len() - zeros)) {
                continue;
            }
            let digits = self.text_of(run);
            if !is_moment(&digits) && !known.contains(&digits.as_str()) {
                let places: Vec<usize> = (run.start + zeros..run.end).collect();
                self.hide_middle(&places);
            }
        }
        // Runs that are masked already, or too long, belong to no chain.
        runs.retain(|run| run.len() < PAN_LENGTH_MIN && !self.hidden[run.clone()].contains(&true));
        for chain in self.chains(&runs) {
            let windows = self.windows(&runs, &chain);
            let fitting: Vec<&Range<usize>> = windows
                .iter()
                .filter(|window| self.fits_check_digit(&runs[window.start..window.end]))
                .collect();
            if chain_length(&runs[chain.clone()]) <= PAN_LENGTH_MAX {
                self.hide_groups(&runs[chain]);
            } else if fitting.is_empty() {
                // The place of the number in the chain is unknown.
                self.hide_groups(&runs[chain]);
            } else {
                for window in fitting {
                    self.hide_groups(&runs[window.clone()]);
                }
            }
        }
    }

    fn hide_groups(&mut self, groups: &[Range<usize>]) {
        let places: Vec<usize> = groups.iter().cloned().flatten().collect();
        self.hide_middle(&places);
    }

    fn fits_check_digit(&self, groups: &[Range<usize>]) -> bool {
        let digits: String = groups.iter().map(|run| self.text_of(run)).collect();
        digits.is_ascii() && luhn_fits(digits.as_bytes())
    }

    /// Groups of digits that the same joint holds together, twelve digits and more, as places in
    /// `runs`; without dates before them, and without zeros that no card number begins with.
    fn chains(&self, runs: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut chains = Vec::new();
        let mut first = 0;
        while first < runs.len() {
            let mut end = first + 1;
            let mut joint = None;
            while end < runs.len() {
                let Some(between) = self.joint_between(&runs[end - 1], &runs[end]) else { break };
                if *joint.get_or_insert_with(|| between.clone()) != between {
                    break;
                }
                end += 1;
            }
            if end == first + 1 {
                first = end;
                continue;
            }
            let is_other = |run: &Range<usize>| {
                self.units.character(run.start) == '0' || is_date(&self.text_of(run))
            };
            let others = runs[first..end].iter().take_while(|run| is_other(run)).count();
            let chain = first + others..end;
            let groups = &runs[chain.clone()];
            let joint = joint.unwrap_or_default();
            if groups.len() > 1
                && chain_length(groups) >= PAN_LENGTH_MIN
                && !is_other_chain(groups, &joint)
            {
                chains.push(chain);
            }
            // The last group may begin a chain with another joint.
            first = end - 1;
        }
        chains
    }

    /// Parts of a chain that have as many digits as a card number.
    fn windows(&self, runs: &[Range<usize>], chain: &Range<usize>) -> Vec<Range<usize>> {
        let mut windows = Vec::new();
        for first in chain.clone() {
            for end in first + 2..=chain.end {
                let length = chain_length(&runs[first..end]);
                if length > PAN_LENGTH_MAX {
                    break;
                }
                if length >= PAN_LENGTH_MIN {
                    windows.push(first..end);
                }
            }
        }
        windows
    }

    fn write(&self) -> String {
        // All but ASCII's control characters, and those beyond it.
        let is_shown = |byte: u8| (b' '..0x7f).contains(&byte);
        let all_shown = self.text.bytes().fold(true, |all, byte| all & is_shown(byte));
        let is_plain = all_shown || !self.text.contains(char::is_control);
        if is_plain && !self.hidden.contains(&true) {
            return self.text.to_owned();
        }
        let mut out = String::with_capacity(self.text.len());
        for (at, hidden) in self.hidden.iter().enumerate() {
            let source = &self.text[self.units.place(at)];
            if *hidden {
                out.push('*');
            } else if source.contains(char::is_control) {
                out.push(' ');
            } else {
                out.push_str(source);
            }
        }
        out
    }
}

fn chain_length(groups: &[Range<usize>]) -> usize {
    groups.iter().map(ExactSizeIterator::len).sum()
}

/// A decimal of two groups, or an IPv4 address.
fn is_other_chain(groups: &[Range<usize>], joint: &[char]) -> bool {
    let by_points = joint == ['.'];
    let short = |group: &Range<usize>| group.len() <= 3;
    by_points && (groups.len() == 2 || (groups.len() == 4 && groups.iter().all(short)))
}

#[cfg(test)]
mod tests;
