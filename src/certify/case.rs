//! One case: what happens at the channel, what the invariants make of it, and what the books say.
//!
//! What is right is told by the channel's ledger and the invariants alone: a proven yes is a
//! transaction, a proven no is a failure, and whatever proves nothing is neither until evidence
//! comes (I-2, I-3); a final order agrees with what truly happened (I-5); an open one has its row
//! in the temp reversal table (I-6); a success leaves what its kind leaves (I-7).

use serde_json::{Value as Json, json};

use crate::certify::channel::Fact;
use crate::certify::exchange::CaseExchange;
use crate::certify::far_side::FarAnswer;
use crate::certify::stage::RehearsalStage;
use crate::channel::protocol::said::{Saying, ToldMeaning};
use crate::domain::agreement::{Agreement, AgreementState};
use crate::domain::attempt::Operation;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::reversal::Phase;
use crate::domain::verification::VerificationVerdict;
use crate::engine::EngineError;

/// What the books have of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksSeen {
    pub status: OrderStatus,
    pub transactions: usize,
    pub clearing: usize,
    /// The stage of its row in the temp reversal table; `None` where it has none.
    pub entry: Option<Phase>,
}

impl BooksSeen {
    pub async fn of(stage: &RehearsalStage, order: &Order) -> Result<Self, EngineError> {
        let entry = stage.entry(order.id).await?.map(|entry| entry.phase);
        let rows = stage.rows();
        let transactions = rows.transactions.iter().filter(|one| **one == order.id).count();
        let clearing = rows.clearing.iter().filter(|one| one.order == order.id).count();
        Ok(Self { status: order.status, transactions, clearing, entry })
    }

    fn words(&self) -> String {
        let entry = self.entry.map_or("none".to_owned(), |phase| phase.name().to_owned());
        format!(
            "order {}, {} transaction(s), {} clearing record(s), temp reversal row: {entry}",
            self.status.name(),
            self.transactions,
            self.clearing
        )
    }

    fn json(&self) -> Json {
        json!({
            "status": self.status.name(), "transactions": self.transactions,
            "clearing_records": self.clearing, "reversal_entry": self.entry.map(Phase::name),
        })
    }
}

/// What the books have of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreementSeen {
    pub state: AgreementState,
    /// Whether the channel's token is kept, sealed.
    pub has_token: bool,
}

impl AgreementSeen {
    pub const fn of(row: &Agreement) -> Self {
        Self { state: row.state, has_token: row.token.is_some() }
    }
}

/// What the books have of what a case is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseBooks {
    Order(BooksSeen),
    Agreement(AgreementSeen),
    Verification(VerificationVerdict),
}

impl From<BooksSeen> for CaseBooks {
    fn from(seen: BooksSeen) -> Self {
        Self::Order(seen)
    }
}

impl From<AgreementSeen> for CaseBooks {
    fn from(seen: AgreementSeen) -> Self {
        Self::Agreement(seen)
    }
}

impl CaseBooks {
    /// As a sentence for people.
    pub fn words(&self) -> String {
        match self {
            Self::Order(seen) => seen.words(),
            Self::Agreement(seen) => {
                let token = if seen.has_token { "a sealed token" } else { "no token" };
                format!("agreement {}, {token}", seen.state.name())
            }
            Self::Verification(verdict) => format!("verification: {}", verdict.name()),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Order(seen) => seen.json(),
            Self::Agreement(seen) => {
                json!({ "status": seen.state.name(), "token": seen.has_token })
            }
            Self::Verification(verdict) => json!({ "status": verdict.name() }),
        }
    }
}

/// What must be in the books right after the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstTruth {
    Succeeded,
    Failed,
    /// Nothing final: the money may have moved.
    Open,
}

impl FirstTruth {
    /// What one answer proves.
    pub fn of(first: &FarAnswer, operation: Operation) -> Self {
        match first {
            FarAnswer::Said(saying) => Self::of_word(saying, operation),
            FarAnswer::LostBefore
            | FarAnswer::LostAfter
            | FarAnswer::Status(_)
            | FarAnswer::Forged(_) => Self::Open,
        }
    }

    /// What a believed word proves when it comes. An undo is owed until it is done: a no does not
    /// end it. "No such order" is believed of what is old enough alone (I-3).
    pub fn of_word(saying: &Saying, operation: Operation) -> Self {
        match saying.means {
            ToldMeaning::Approved => Self::Succeeded,
            ToldMeaning::Declined(_) | ToldMeaning::TakenBack if operation != Operation::Undo => {
                Self::Failed
            }
            ToldMeaning::Declined(_)
            | ToldMeaning::TakenBack
            | ToldMeaning::Pending
            | ToldMeaning::Unclear
            | ToldMeaning::NotFound => Self::Open,
        }
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded at once",
            Self::Failed => "failed at once",
            Self::Open => "open, because nothing is proven",
        }
    }
}

/// Everything in which the books are not what the first answer makes of them.
pub fn judge_first(books: &BooksSeen, expected: FirstTruth) -> Vec<String> {
    let is = match books.status {
        OrderStatus::Succeeded => FirstTruth::Succeeded,
        OrderStatus::Failed | OrderStatus::Reversed => FirstTruth::Failed,
        OrderStatus::Accepted | OrderStatus::Processing | OrderStatus::Unknown => FirstTruth::Open,
    };
    let mut wrong = Vec::new();
    if is != expected {
        wrong.push(format!(
            "after the first answer the order must be {}, and it is {}",
            expected.words(),
            books.status.name()
        ));
    }
    wrong
}

/// Everything in which the books at the end do not agree with what truly happened. `can_end`: the
/// file gives a way to learn the end.
pub fn judge_end(
    books: &BooksSeen,
    fact: Fact,
    operation: Operation,
    can_end: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    match (books.status, fact) {
        (OrderStatus::Succeeded, Fact::Done) => {}
        (OrderStatus::Succeeded, other) => {
            wrong.push(format!("the books have a success of what is {}", other.words()));
        }
        (OrderStatus::Failed | OrderStatus::Reversed, Fact::Done | Fact::Working) => {
            wrong.push("the order has failed, and the channel has carried it out".to_owned());
        }
        (OrderStatus::Failed | OrderStatus::Reversed, _) => {}
        (OrderStatus::Accepted | OrderStatus::Processing | OrderStatus::Unknown, _) => {
            if books.entry.is_none() {
                wrong.push("it is open without a row in the temp reversal table".to_owned());
            }
            if can_end {
                wrong.push("it stays open, and the file has a way to learn its end".to_owned());
            }
        }
    }
    wrong.extend(judge_books(books, operation, operation.sign() != 0));
    wrong
}

/// Everything in which an order's rows do not fit each other. `is_cleared`: its success moves
/// money, which the void of a pre-authorisation does not.
pub fn judge_books(books: &BooksSeen, operation: Operation, is_cleared: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let succeeded = books.status == OrderStatus::Succeeded;
    if books.status.is_final() && books.entry.is_some() {
        wrong.push("it is final and still has a row in the temp reversal table".to_owned());
    }
    if books.transactions != usize::from(succeeded) {
        wrong.push(format!("it has {} transactions", books.transactions));
    }
    let cleared = usize::from(succeeded && is_cleared);
    // An undo's records net to zero with those of what it takes back, under both orders.
    if operation != Operation::Undo && books.clearing != cleared {
        wrong.push(format!("it has {} clearing records, not {cleared}", books.clearing));
    }
    wrong
}

/// A case that was played.
#[derive(Debug)]
pub struct CaseReport {
    /// The operation or subject that it belongs to.
    pub group: String,
    pub name: String,
    /// What must be in the books.
    pub expected: String,
    pub books: Option<CaseBooks>,
    /// Why it failed; empty where it passed.
    pub wrong: Vec<String>,
    /// What a reader should know of a case that passed.
    pub notes: Vec<String>,
    pub exchanges: Vec<CaseExchange>,
}

impl CaseReport {
    /// A case that has no exchanges: it fails for these reasons, or passes without any.
    pub fn unplayed(group: &str, name: &str, wrong: Vec<String>) -> Self {
        Self {
            group: group.to_owned(),
            name: name.to_owned(),
            expected: "what the file itself says".to_owned(),
            books: None,
            wrong,
            notes: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    pub fn is_passed(&self) -> bool {
        self.wrong.is_empty()
    }

    pub const fn verdict(&self) -> &'static str {
        if self.wrong.is_empty() { "pass" } else { "fail" }
    }

    pub fn json(&self) -> Json {
        let exchanges: Vec<Json> = self.exchanges.iter().map(CaseExchange::json).collect();
        json!({
            "group": self.group, "case": self.name, "expected": self.expected,
            "verdict": self.verdict(), "why": self.wrong, "notes": self.notes,
            "books": self.books.as_ref().map(CaseBooks::json), "exchanges": exchanges,
        })
    }
}
