//! Changes of the BIN table that the books teach: proposals to a person, each with its evidence.
//!
//! A proposal is about one row and one fact, and there is one of each. It is opened by evidence
//! from several orders and grows with more. A person accepts it, which makes a new version of the
//! table, or refuses it, and then the same fact is never proposed again. Nothing here changes the
//! live table.
//!
//! Upholds I-11: of a card no more is kept than the table's own BIN.

use std::fmt;

use crate::domain::bin::{
    Bin, BinRow, BinTable, BinTableError, CardType, PAN_LENGTH_MAX, PAN_LENGTH_MIN, StatedDate,
};
use crate::domain::closed_set;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::time::Timestamp;

/// The evidence that a proposal keeps: the newest.
pub const EVIDENCE_MAX: usize = 8;
/// The longest of its sentences, in characters.
pub const TOLD_CHARACTERS_MAX: usize = 200;

closed_set! {
    /// What evidence says of the cards of a row.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum BinFact: (Option<CardType>) {
        Debit = 1 => "debit" (Some(CardType::Debit)),
        Credit = 2 => "credit" (Some(CardType::Credit)),
        QuasiCredit = 3 => "quasi_credit" (Some(CardType::QuasiCredit)),
        Prepaid = 4 => "prepaid" (Some(CardType::Prepaid)),
        /// No such card is taken any more.
        Retired = 5 => "retired" (None),
    }
}

impl BinFact {
    pub const fn of_card_type(card_type: CardType) -> Self {
        match card_type {
            CardType::Debit => Self::Debit,
            CardType::Credit => Self::Credit,
            CardType::QuasiCredit => Self::QuasiCredit,
            CardType::Prepaid => Self::Prepaid,
        }
    }

    /// The card type that it states, where it is about that.
    pub const fn card_type(self) -> Option<CardType> {
        self.facts().0
    }
}

closed_set! {
    /// Where evidence about a BIN came from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum BinEvidenceSource {
        /// A statement charges another fee than was agreed for the table's card type, and exactly
        /// the one that was agreed for another.
        Fee = 1 => "fee",
        /// A channel has refused the card as one that there is not.
        Refusal = 2 => "refusal",
        /// A channel's reply, notice or answer to an inquiry names another card type.
        Message = 3 => "message",
        /// A line of a statement names another card type.
        Statement = 4 => "statement",
    }
}

closed_set! {
    /// Where a proposal stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum BinProposalState {
        /// A person decides.
        Open = 1 => "open",
        /// A person has accepted it: the table has it.
        Accepted = 2 => "accepted",
        /// A person has refused it, for good.
        Refused = 3 => "refused",
        /// The table says it by now, or has the row no more, without anybody's word here.
        Overtaken = 4 => "overtaken",
    }
}

/// What a proposal is about: a row of the table, and the fact. One proposal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BinProposalId {
    pub bin: Bin,
    pub fact: BinFact,
    pub pan_length: u8,
}

impl BinProposalId {
    pub fn of(row: &BinRow, fact: BinFact) -> Self {
        let (bin, pan_length) = row.key();
        Self { bin, pan_length, fact }
    }

    /// Reads `621626-19-credit`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let bin = Bin::parse(parts.next()?).ok()?;
        let length = parts.next()?;
        let pan_length = length.parse::<u8>().ok().filter(|_| length.len() == 2)?;
        let is_known = (PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&usize::from(pan_length));
        let fact = BinFact::parse(parts.next()?).filter(|_| is_known)?;
        Some(Self { bin, pan_length, fact })
    }

    /// Whether the table says it already, or has no such row: there is nothing to propose then.
    pub fn is_settled_by(&self, table: &BinTable) -> bool {
        let Some(row) = table.row(self.bin, self.pan_length) else { return true };
        match self.fact.card_type() {
            Some(card_type) => row.card_type == card_type,
            None => table.marks(row).retired.is_some(),
        }
    }
}

impl fmt::Display for BinProposalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.bin, self.pan_length, self.fact.name())
    }
}

/// What one order teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinEvidence {
    pub source: BinEvidenceSource,
    pub order: OrderId,
    pub channel: ChannelId,
    /// When the channel said it.
    pub at: Timestamp,
    /// For people, at most [`TOLD_CHARACTERS_MAX`].
    pub told: String,
}

/// A person's word on a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinProposalDecision {
    /// The name of the API key's owner.
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    /// The version of the table that has it, where it was accepted.
    pub bin_table: Option<u32>,
}

/// A change of the table that a person is to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinProposal {
    pub id: BinProposalId,
    /// Counts the writes of the row, from 1.
    pub version: u32,
    pub state: BinProposalState,
    /// What the table said when it was opened, and which version.
    pub table_says: CardType,
    pub bin_table: u32,
    /// The newest last, at most [`EVIDENCE_MAX`].
    pub evidence: Vec<BinEvidence>,
    /// The orders that teach it, those included whose evidence is not kept any more.
    pub orders: u32,
    /// The newest order that was counted.
    pub newest: OrderId,
    pub opened_at: Timestamp,
    pub changed_at: Timestamp,
    pub decision: Option<BinProposalDecision>,
}

impl BinProposal {
    /// A proposal from the evidence of several orders, over the table's row.
    pub fn open(
        (fact, row, bin_table): (BinFact, &BinRow, u32),
        evidence: Vec<BinEvidence>,
        now: Timestamp,
    ) -> Self {
        let opened = Self {
            id: BinProposalId::of(row, fact),
            version: 1,
            state: BinProposalState::Open,
            table_says: row.card_type,
            bin_table,
            evidence: Vec::new(),
            orders: 0,
            newest: OrderId::from_u64(0),
            opened_at: now,
            changed_at: now,
            decision: None,
        };
        opened.joined(evidence, now)
    }

    pub fn is_open(&self) -> bool {
        self.state == BinProposalState::Open
    }

    fn joined(mut self, mut evidence: Vec<BinEvidence>, now: Timestamp) -> Self {
        evidence.retain(|one| one.order > self.newest);
        evidence.sort_by_key(|one| one.order);
        evidence.dedup_by_key(|one| one.order);
        if let Some(last) = evidence.last() {
            self.newest = last.order;
        }
        let more = u32::try_from(evidence.len()).unwrap_or(u32::MAX);
        self.orders = self.orders.saturating_add(more);
        self.evidence.append(&mut evidence);
        let old = self.evidence.len().saturating_sub(EVIDENCE_MAX);
        self.evidence.drain(..old);
        self.changed_at = now;
        self
    }

    /// The row with more evidence, of orders that are newer than those that it has counted; `None`
    /// where there is none, or a person has refused it. One that was accepted or overtaken opens
    /// again: the table has gone back to what it said, as the caller has seen.
    pub fn learn(
        &self,
        evidence: Vec<BinEvidence>,
        bin_table: u32,
        now: Timestamp,
    ) -> Option<Self> {
        let is_news = evidence.iter().any(|one| one.order > self.newest);
        if self.state == BinProposalState::Refused || !is_news {
            return None;
        }
        let next = Self { version: self.version + 1, ..self.clone() }.joined(evidence, now);
        Some(match self.state {
            BinProposalState::Open => next,
            BinProposalState::Accepted
            | BinProposalState::Refused
            | BinProposalState::Overtaken => {
                Self { state: BinProposalState::Open, bin_table, decision: None, ..next }
            }
        })
    }

    /// The row where the table has settled it without a word here; `None` if it is not open.
    pub fn overtaken(&self, now: Timestamp) -> Option<Self> {
        self.ended(BinProposalState::Overtaken, None, now)
    }

    /// The row with a person's yes, which has made this version of the table; `None` if it is not
    /// open.
    pub fn accepted(&self, decision: BinProposalDecision) -> Option<Self> {
        let at = decision.at;
        self.ended(BinProposalState::Accepted, Some(decision), at)
    }

    /// The row with a person's no; `None` if it is not open.
    pub fn refused(&self, decision: BinProposalDecision) -> Option<Self> {
        let at = decision.at;
        self.ended(BinProposalState::Refused, Some(decision), at)
    }

    fn ended(
        &self,
        state: BinProposalState,
        decision: Option<BinProposalDecision>,
        now: Timestamp,
    ) -> Option<Self> {
        self.is_open().then(|| Self {
            version: self.version + 1,
            state,
            changed_at: now,
            decision,
            ..self.clone()
        })
    }
}

impl BinProposalId {
    /// The table with the fact in its row, stated on this day; all else as it was. `None` where it
    /// has no such row.
    pub fn put_right(
        &self,
        table: &BinTable,
        today: StatedDate,
    ) -> Option<Result<BinTable, BinTableError>> {
        table.row(self.bin, self.pan_length)?;
        let rows = table.rows().iter().map(|row| {
            let (mut row, mut marks) = (BinRow::clone(row), table.marks(row));
            row.issuer_name = table.stated_name(&row).to_owned();
            if row.key() == (self.bin, self.pan_length) {
                match self.fact.card_type() {
                    Some(card_type) => row.card_type = card_type,
                    None => marks.retired = Some(today),
                }
                marks.as_of = Some(today);
            }
            (row, marks)
        });
        Some(BinTable::build(rows.collect(), table.issuers().clone()))
    }
}
