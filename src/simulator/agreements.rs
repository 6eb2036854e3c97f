//! The channel's own agreements: codes that it has sent, also for payments, and tokens that it has
//! given for cards.
//!
//! Independent of protocols and faults, as the ledger is. Of a card there are its masked number and
//! a hash of it (I-11).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::card::MaskedPan;
use crate::domain::time::Timestamp;

use super::chance::hash;
use super::ledger::EntryKind;

/// The code that every phone gets, as on the schemes' test systems.
pub const TEST_SMS_CODE: &str = "111111";
/// How long a code is good.
const CODE_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long a token is good: five years, as a card is.
const TOKEN_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);
/// How often a code may be wrong.
const WRONG_CODES_MAX: u32 = 3;

/// A card as the books of agreements know it.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct CardKnown {
    pub masked: MaskedPan,
    pub hash: u64,
}

impl CardKnown {
    pub fn of(number: &str) -> Self {
        Self { masked: MaskedPan::from_stored(number), hash: hash(0, "card", number) }
    }
}

/// What a code is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::simulator) enum CodePurpose {
    /// Opening this card.
    Opening(u64),
    Payment(CodedPayment),
}

/// The one payment or authorisation that a code is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::simulator) struct CodedPayment {
    pub kind: EntryKind,
    pub order_no: String,
    /// Empty where the channel does not go by it.
    pub sent_at: String,
    pub amount_minor: i64,
    pub payer: CodedPayer,
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::simulator) enum CodedPayer {
    Card(u64),
    Token(String),
}

struct SentCode {
    sent_at: Timestamp,
    wrong: u32,
}

/// What a channel says of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum CodeVerdict {
    Right,
    Wrong,
    Expired,
    /// It was wrong too often: another one has to be sent.
    UsedUp,
}

/// An agreement, by the number under which its confirmation came.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct OpenedAgreement {
    pub token: String,
    pub masked: MaskedPan,
    pub sent_at: String,
    pub begins_at: Timestamp,
    pub ends_at: Timestamp,
    pub has_ended: bool,
}

#[derive(Default)]
struct BookPages {
    codes: HashMap<CodePurpose, SentCode>,
    agreements: HashMap<String, OpenedAgreement>,
    /// Numbers of confirmations by token.
    tokens: HashMap<String, String>,
}

/// See the head of this file.
#[derive(Default)]
pub(in crate::simulator) struct AgreementBook {
    books: Mutex<BookPages>,
}

impl AgreementBook {
    fn books(&self) -> MutexGuard<'_, BookPages> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A code goes out; an earlier one for the same purpose is good no more.
    pub fn send_code(&self, now: Timestamp, purpose: CodePurpose) {
        self.books().codes.insert(purpose, SentCode { sent_at: now, wrong: 0 });
    }

    /// Holds a code against the one that was sent. A right one is used up by it.
    pub fn take_code(&self, now: Timestamp, purpose: &CodePurpose, code: &str) -> CodeVerdict {
        let mut books = self.books();
        let Some(sent) = books.codes.get_mut(purpose) else { return CodeVerdict::Wrong };
        if now.since(sent.sent_at) > CODE_LIFE {
            return CodeVerdict::Expired;
        }
        if sent.wrong >= WRONG_CODES_MAX {
            return CodeVerdict::UsedUp;
        }
        if code != TEST_SMS_CODE {
            sent.wrong += 1;
            return CodeVerdict::Wrong;
        }
        books.codes.remove(purpose);
        CodeVerdict::Right
    }

    /// Gives a token for a card, once for each number of a confirmation.
    pub fn open(
        &self,
        now: Timestamp,
        (order_no, sent_at): (&str, &str),
        card: &CardKnown,
    ) -> OpenedAgreement {
        let mut books = self.books();
        if let Some(known) = books.agreements.get(order_no) {
            return known.clone();
        }
        // Nineteen digits, which look like a card number, as real ones do.
        let token =
            format!("6235{:015}", hash(card.hash, "token", order_no) % 1_000_000_000_000_000);
        let record = OpenedAgreement {
            token: token.clone(),
            masked: card.masked.clone(),
            sent_at: sent_at.to_owned(),
            begins_at: now,
            ends_at: now.plus(TOKEN_LIFE),
            has_ended: false,
        };
        books.tokens.insert(token, order_no.to_owned());
        books.agreements.insert(order_no.to_owned(), record.clone());
        record
    }

    /// The agreement that a confirmation of this number has opened.
    pub fn opened_by(&self, order_no: &str) -> Option<OpenedAgreement> {
        self.books().agreements.get(order_no).cloned()
    }

    /// The agreement of a token that is good.
    pub fn of_token(&self, now: Timestamp, token: &str) -> Option<OpenedAgreement> {
        let books = self.books();
        let record = books.agreements.get(books.tokens.get(token)?)?;
        (!record.has_ended && now < record.ends_at).then(|| record.clone())
    }

    /// Makes a token void; whether it was good.
    pub fn end(&self, token: &str) -> bool {
        let mut books = self.books();
        let Some(order_no) = books.tokens.get(token).cloned() else { return false };
        let Some(record) = books.agreements.get_mut(&order_no) else { return false };
        !std::mem::replace(&mut record.has_ended, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_code_is_good_once_for_some_minutes_and_some_tries() {
        let book = AgreementBook::default();
        let purpose = CodePurpose::Opening(7);
        let take = |now, code: &str| book.take_code(at(now), &purpose, code);
        assert_eq!(take(0, TEST_SMS_CODE), CodeVerdict::Wrong, "none was sent");
        book.send_code(at(0), purpose.clone());
        assert_eq!(take(1, "000000"), CodeVerdict::Wrong);
        assert_eq!(take(601, TEST_SMS_CODE), CodeVerdict::Expired);
        assert_eq!(take(600, TEST_SMS_CODE), CodeVerdict::Right);
        assert_eq!(take(600, TEST_SMS_CODE), CodeVerdict::Wrong, "it was used");
        book.send_code(at(700), purpose.clone());
        for _ in 0..WRONG_CODES_MAX {
            assert_eq!(take(701, "000000"), CodeVerdict::Wrong);
        }
        assert_eq!(take(701, TEST_SMS_CODE), CodeVerdict::UsedUp);
    }

    #[test]
    fn a_token_is_good_until_it_is_ended() {
        let book = AgreementBook::default();
        let card = CardKnown::of("6216261000000000018");
        let opened = book.open(at(0), ("n1", "t1"), &card);
        assert_eq!(opened.token.len(), 19);
        assert_eq!(book.open(at(5), ("n1", "t1"), &card).token, opened.token, "a repeat");
        assert_ne!(book.open(at(5), ("n2", "t2"), &card).token, opened.token);
        assert_eq!(opened.masked.as_str(), "621626*********0018");
        assert!(book.of_token(at(9), &opened.token).is_some());
        assert!(book.of_token(at(9), "6235").is_none());
        assert!(book.end(&opened.token) && !book.end(&opened.token));
        assert!(book.of_token(at(9), &opened.token).is_none());
        assert!(book.opened_by("n1").is_some_and(|record| record.has_ended));
    }
}
