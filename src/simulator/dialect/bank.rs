//! The banks of the examples that are neither Harbour Bank nor UnionPay: one ledger's answers, told
//! in the tongue of Meadow Bank (forms, MD5) or Quarry Bank (XML, SM2).
//!
//! What a bank does is the same in every tongue: it charges a number once, takes back what stands,
//! and never lets refunds and captures exceed their original. A tongue reads and proves a request
//! and writes a signed reply; both are written by hand from the banks' own point of view and share
//! no table with the adapter.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::domain::card::{Expiry, MaskedPan, Pan};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;

use super::super::ledger::{Entered, EntryState, Facts, Instruction, Reversed, Undone, Verdict};
use super::super::running::Running;
use super::super::settings::BankSettings;
use super::super::statement::NoStatement;
use super::bank_tongue::Tongue;
use super::{AnswerCodes, Dialect, Dress, Received, Reply, decide, statement};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum What {
    Payment,
    Preauth,
    Capture,
    /// A void or an undo: takes the whole original back.
    Cancel,
    Refund,
    Inquiry,
    Reversal,
    Statement,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Payment => "charge",
            Self::Preauth => "preauth",
            Self::Capture => "capture",
            Self::Cancel => "undo",
            Self::Refund => "refund",
            Self::Inquiry => "query",
            Self::Reversal => "reverse",
            Self::Statement => "statement",
        }
    }
}

/// One proven request.
pub(in crate::simulator) struct Ask {
    pub what: What,
    /// For a statement, its date, `YYYY-MM-DD`.
    pub order_no: String,
    pub original_no: String,
    pub sent_at: String,
    pub amount: Option<AmountMinor>,
    pub card: Option<AskedCard>,
}

/// The card as it was sent; only its mask is kept.
pub(in crate::simulator) struct AskedCard {
    mask: MaskedPan,
    is_valid: bool,
    /// `YYMM`.
    expiry: Option<String>,
}

impl AskedCard {
    pub fn new(number: &str, expiry: Option<String>) -> Self {
        let is_valid = Pan::parse(number).is_ok();
        Self { mask: MaskedPan::from_stored(number), is_valid, expiry }
    }
}

/// A bank's codes.
pub(in crate::simulator) struct Codes {
    pub approved: &'static str,
    pub pending: &'static str,
    pub busy: &'static str,
    pub not_found: &'static str,
    pub refused: &'static str,
    pub format: &'static str,
    pub bad_signature: &'static str,
    pub invalid_card: &'static str,
    pub expired: &'static str,
    pub limit: &'static str,
    pub dead: &'static str,
    /// Nothing happened on the date of a statement.
    pub empty: &'static str,
    /// The date of a statement is not over.
    pub later: &'static str,
    pub answers: AnswerCodes,
}

/// The request's own code, and the entry that the reply tells of.
pub(in crate::simulator) struct Draft {
    pub code: &'static str,
    pub facts: Option<Facts>,
    /// The original's code, in the reply to an inquiry.
    pub result: Option<&'static str>,
    /// A statement.
    pub file: Option<Vec<u8>>,
}

impl Draft {
    const fn code(code: &'static str) -> Self {
        Self { code, facts: None, result: None, file: None }
    }

    const fn of(code: &'static str, facts: Facts) -> Self {
        Self { code, facts: Some(facts), result: None, file: None }
    }
}

/// See the head of this file.
pub(in crate::simulator) struct Bank {
    tongue: Tongue,
}

impl Bank {
    pub fn new(settings: &BankSettings) -> Self {
        Self { tongue: Tongue::new(settings) }
    }

    const fn codes(&self) -> &'static Codes {
        self.tongue.codes()
    }

    fn begin(&self, running: &Running, ask: &Ask) -> Draft {
        let codes = self.codes();
        let (Some(amount), Some(card)) = (ask.amount, &ask.card) else {
            return Draft::code(codes.format);
        };
        let verdict = match self.card_problem(running, card, amount) {
            Some(code) => Verdict { approves: false, code, working: Duration::ZERO },
            None => {
                let verdict = decide(running, &ask.order_no, &codes.answers);
                Verdict { working: Duration::ZERO, ..verdict }
            }
        };
        let instruction = instruction(ask, amount, Some(card.mask.clone()));
        let (ledger, now) = (&running.ledger, running.now());
        let entered = match ask.what {
            What::Preauth => ledger.preauthorise(now, instruction, verdict, codes.dead),
            What::Payment
            | What::Capture
            | What::Cancel
            | What::Refund
            | What::Inquiry
            | What::Reversal
            | What::Statement => ledger.charge(now, instruction, verdict, codes.dead),
        };
        self.told(entered)
    }

    /// Why the card data alone decline a charge, whatever the issuer would say.
    fn card_problem(
        &self,
        running: &Running,
        card: &AskedCard,
        amount: AmountMinor,
    ) -> Option<&'static str> {
        let today = running.ledger.today(running.now());
        let lives = |text: &str| {
            Expiry::parse_yymm(text).is_some_and(|one| !one.is_before(today.year(), today.month()))
        };
        if !card.is_valid {
            return Some(self.codes().invalid_card);
        }
        if card.expiry.as_deref().is_some_and(|text| !lives(text)) {
            return Some(self.codes().expired);
        }
        let too_large = amount.get() > running.settings.per_order_max_minor;
        too_large.then_some(self.codes().limit)
    }

    fn follow(&self, running: &Running, ask: &Ask) -> Draft {
        let codes = self.codes();
        let Some(amount) = ask.amount else { return Draft::code(codes.format) };
        let (ledger, now) = (&running.ledger, running.now());
        let Some(original) = ledger.look(now, &ask.original_no) else {
            return Draft::code(codes.refused);
        };
        let verdict = Verdict { approves: true, code: codes.approved, working: Duration::ZERO };
        let asked = instruction(ask, amount, original.card);
        let undone = match ask.what {
            What::Refund => ledger.refund(now, asked, &ask.original_no, verdict, codes.dead),
            What::Capture => ledger.capture(now, asked, &ask.original_no, verdict, codes.dead),
            What::Payment
            | What::Preauth
            | What::Cancel
            | What::Inquiry
            | What::Reversal
            | What::Statement => ledger.undo(now, asked, &ask.original_no, verdict, codes.dead),
        };
        match undone {
            Undone::Entered(entered) => self.told(entered),
            Undone::Already | Undone::Refused | Undone::NotFound | Undone::Differs => {
                Draft::code(codes.refused)
            }
        }
    }

    /// The code of an entry's standing: what its request is answered, and answered again.
    fn told(&self, entered: Entered) -> Draft {
        let codes = self.codes();
        let facts = match entered {
            Entered::New(facts) | Entered::Known { facts, same: true } => facts,
            Entered::Known { facts: _, same: false } => return Draft::code(codes.format),
        };
        Draft::of(self.standing(&facts), facts)
    }

    const fn standing(&self, facts: &Facts) -> &'static str {
        match facts.state {
            EntryState::Working => self.codes().pending,
            EntryState::Approved | EntryState::Undone => self.codes().approved,
            EntryState::Declined => facts.code,
            EntryState::Reversed => self.codes().refused,
        }
    }

    fn inquire(&self, running: &Running, order_no: &str) -> Draft {
        let Some(found) = running.ledger.look(running.now(), order_no) else {
            return Draft::code(self.codes().not_found);
        };
        let result = Some(self.standing(&found.facts));
        Draft { result, ..Draft::of(self.codes().approved, found.facts) }
    }

    fn reverse(&self, running: &Running, order_no: &str) -> Draft {
        let codes = self.codes();
        match running.ledger.reverse(running.now(), order_no, None) {
            Reversed::Done(facts) | Reversed::Already(facts) | Reversed::Undone(facts) => {
                Draft::of(codes.approved, facts)
            }
            Reversed::Refused(_) => Draft::code(codes.refused),
            Reversed::NotFound => Draft::code(codes.not_found),
        }
    }

    fn statement(&self, running: &Running, date: &str) -> Draft {
        let date = BusinessDate::parse(date).ok_or(NoStatement::Nothing);
        match date.and_then(|date| running.closed_statement(date)) {
            Ok(found) => {
                let paper = statement::write(&running.settings.dialect, &found);
                Draft { file: Some(paper.bytes), ..Draft::code(self.codes().approved) }
            }
            Err(NoStatement::NotYet) => Draft::code(self.codes().later),
            Err(NoStatement::Nothing) => Draft::code(self.codes().empty),
        }
    }

    fn reply(&self, ask: Option<&Ask>, draft: &Draft, dress: Dress) -> Reply {
        let body = self.tongue.write(ask, draft, dress);
        let kind = HeaderValue::from_static(self.tongue.content_type());
        Reply {
            status: StatusCode::OK,
            headers: vec![(CONTENT_TYPE, kind)],
            body: Bytes::from(body),
        }
    }
}

fn instruction(ask: &Ask, amount: AmountMinor, card: Option<MaskedPan>) -> Instruction<'_> {
    Instruction {
        order_no: &ask.order_no,
        sent_at: &ask.sent_at,
        amount,
        currency: Currency::Cny,
        card,
    }
}

impl Dialect for Bank {
    type Call = Ask;
    type Draft = Draft;

    fn read(&self, _running: &Running, received: &Received) -> Result<Ask, Reply> {
        let refuse = |code| self.reply(None, &Draft::code(code), Dress::Honest);
        let proven = self.tongue.prove(received).ok_or(());
        let proven = proven.map_err(|()| refuse(self.codes().bad_signature))?;
        self.tongue.read(&proven).ok_or_else(|| refuse(self.codes().format))
    }

    fn name<'call>(&self, call: &'call Ask) -> (&'static str, &'call str) {
        (call.what.name(), &call.order_no)
    }

    fn carry_out(&self, running: &Arc<Running>, call: &Ask) -> Draft {
        match call.what {
            What::Payment | What::Preauth => self.begin(running, call),
            What::Capture | What::Cancel | What::Refund => self.follow(running, call),
            What::Inquiry => self.inquire(running, &call.order_no),
            What::Reversal => self.reverse(running, &call.order_no),
            What::Statement => self.statement(running, &call.order_no),
        }
    }

    fn write(&self, _running: &Running, call: &Ask, draft: &Draft, dress: Dress) -> Reply {
        match dress {
            Dress::Unclear(_) => {
                self.reply(Some(call), &Draft::code(self.codes().busy), Dress::Honest)
            }
            Dress::Honest | Dress::BadSignature(_) => self.reply(Some(call), draft, dress),
        }
    }
}
