//! Changes of a difference by a batch, by time, and by a person. Each gives the row as it then is,
//! and the vouchers that bring the books from the money that was held to the money that is held now
//! (I-7).
//!
//! A balanced difference is never touched again by any batch (S28). The writer counts versions: a
//! row may be changed several times before it is written once.

use crate::domain::books::accounting::{
    AccountChange, AccountNames, AccountingRequest, BookingEvent, RequestId, SourceDocument,
    VoucherHead, voucher_of,
};
use crate::domain::books::difference::{
    Difference, DifferenceEvent, DifferenceState, Gap, HISTORY_MAX, LineSide, RecordSide, Remedy,
    gap,
};
use crate::domain::books::reconcile::{Class, MatchKey, Status};
use crate::domain::ids::{BatchId, ChannelId, DifferenceId, MerchantId, OrderId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, DueWindow, Timestamp};

/// Where the money of a contradicted record goes, which suspense has held since the channel
/// reported the success (I-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContradictedMoney {
    /// Our order has succeeded: nothing is claimed against our books.
    Nothing,
    /// This order takes it back.
    Undone { by: OrderId },
    /// The money stays in suspense until a person decides.
    Held,
}

/// A batch's finding about a line, a record, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub class: Class,
    pub key: MatchKey,
    pub line: Option<LineSide>,
    pub record: Option<RecordSide>,
    pub claimed: ContradictedMoney,
    /// The date whose statement has matched the number of the line.
    pub elsewhere: Option<BusinessDate>,
}

/// When, and under which terms, something happens to a difference.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub now: Timestamp,
    /// The day that vouchers are booked on.
    pub business_date: BusinessDate,
    pub names: &'a AccountNames,
}

/// The batch that has found it, and until when what it found is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub batch: BatchId,
    pub due_at: Timestamp,
}

/// A row as it then is, and what must be booked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub difference: Difference,
    pub accounting: Vec<AccountingRequest>,
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancing {
    pub remedy: Remedy,
    /// The owner of the money, where the record does not name one.
    pub merchant_id: Option<MerchantId>,
    pub actor: String,
    /// The second person, where one had to approve it.
    pub approver: Option<String>,
    pub reason: String,
}

/// Why a difference is not balanced. The difference is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BalanceRefusal {
    #[error("the difference is balanced already")]
    Balanced,
    #[error("the difference has cleared: nothing is left to balance")]
    Cleared,
    #[error("a reason is needed")]
    NoReason,
    #[error("the difference moves no money: acknowledge it")]
    NoMoney,
    #[error("the difference moves money: the remedy must say where the money goes")]
    Money,
    #[error("a merchant is needed: the books do not know the money's owner")]
    NoMerchant,
    #[error("the order belongs to merchant {merchant_id}")]
    OtherMerchant { merchant_id: MerchantId },
    #[error("the difference has as many accounting requests as a chain can have")]
    Exhausted,
}

impl BalanceRefusal {
    /// One word for the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Balanced => "already_balanced",
            Self::Cleared => "cleared",
            Self::NoReason => "no_reason",
            Self::NoMoney => "no_money",
            Self::Money => "money_held",
            Self::NoMerchant => "no_merchant",
            Self::OtherMerchant { .. } => "other_merchant",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Requests that one change may add: two for each currency of a pair.
const REQUESTS_MAX: u16 = 8;

/// Where a finding brings a difference.
struct DifferenceTarget {
    state: DifferenceState,
    held: Vec<Gap>,
    what: String,
}

impl Finding {
    /// The money that suspense has held for the record since the channel reported the success.
    fn base(&self) -> Vec<Gap> {
        base(self.record.as_ref(), self.claimed)
    }

    /// The gaps between statement and records, by this finding.
    pub fn gaps(&self) -> Vec<Gap> {
        let line = self.line.as_ref().and_then(|line| line.item.as_ref());
        gap::gaps(self.class, line, self.record.as_ref().map(|record| &record.item))
    }

    fn target(&self, current: Option<DifferenceState>) -> DifferenceTarget {
        let class = self.class.name();
        let cleared =
            |what: String| DifferenceTarget { state: DifferenceState::Cleared, held: vec![], what };
        if let Some(date) = self.elsewhere {
            // The line moves no money, yet a person should know of it: the file may be another
            // day's.
            let state = match current {
                Some(DifferenceState::Suspended) => DifferenceState::Suspended,
                Some(_) | None => DifferenceState::Carried,
            };
            let what = format!("{class}: the statement of {date} has matched its number");
            return DifferenceTarget { state, held: Vec::new(), what };
        }
        if gap::settles(self.class) {
            return cleared(class.to_owned());
        }
        let line = self.line.as_ref().and_then(|line| line.item.as_ref());
        let failed = line.is_some_and(|item| item.status == Status::Failed);
        if failed && self.record.is_none() {
            return cleared(format!("{class}: it failed there, and moved no money"));
        }
        let gaps = self.gaps();
        let is_claim = self.class == Class::StatusDiffers && !failed && gaps.is_empty();
        match self.claimed {
            ContradictedMoney::Undone { by } if is_claim => {
                cleared(format!("{class}: order {by} undoes it"))
            }
            ContradictedMoney::Held if is_claim => DifferenceTarget {
                state: DifferenceState::Suspended,
                held: self.base(),
                what: format!(
                    "{class}: its money is in suspense since the channel reported the \
                 success"
                ),
            },
            ContradictedMoney::Nothing
            | ContradictedMoney::Undone { .. }
            | ContradictedMoney::Held => {
                let suspended = current == Some(DifferenceState::Suspended);
                let held = gap::sum(gaps.into_iter().chain(self.base()));
                DifferenceTarget {
                    state: if suspended {
                        DifferenceState::Suspended
                    } else {
                        DifferenceState::Carried
                    },
                    held: if suspended { held } else { Vec::new() },
                    what: class.to_owned(),
                }
            }
        }
    }
}

fn base(record: Option<&RecordSide>, claimed: ContradictedMoney) -> Vec<Gap> {
    match (claimed, record) {
        (ContradictedMoney::Held, Some(record)) => vec![Gap {
            currency: record.item.currency,
            principal_minor: record.item.amount_minor,
            fee_minor: 0,
        }],
        (ContradictedMoney::Held, None)
        | (ContradictedMoney::Nothing | ContradictedMoney::Undone { .. }, _) => Vec::new(),
    }
}

impl Difference {
    /// A difference that no batch has seen before.
    pub fn open(
        id: DifferenceId,
        channel: &ChannelId,
        finding: &Finding,
        run: Run,
        moment: &Moment<'_>,
    ) -> Change {
        let new = Self {
            id,
            version: 0,
            channel: channel.clone(),
            class: finding.class,
            key: finding.key,
            line: finding.line.clone(),
            record: finding.record.clone(),
            // The difference counts as cleared before it was seen.
            state: DifferenceState::Cleared,
            found_by: run.batch,
            changed_by: run.batch,
            opened_at: moment.now,
            due_at: None,
            held: Vec::new(),
            accounting_sequence: 0,
            remedy: None,
            history: Vec::new(),
        };
        new.apply_finding(finding, run, moment)
    }

    /// A batch has found it again; `None` if it found what the row says already.
    pub fn with_finding(&self, finding: &Finding, run: Run, moment: &Moment<'_>) -> Option<Change> {
        if self.state == DifferenceState::Balanced || self.is_exhausted() {
            return None;
        }
        let target = finding.target(Some(self.state));
        let is_same = self.class == finding.class
            && self.key == finding.key
            && self.line == finding.line
            && self.record == finding.record
            && self.state == target.state
            && self.held == target.held;
        (!is_same).then(|| self.apply_finding(finding, run, moment))
    }

    fn apply_finding(&self, finding: &Finding, run: Run, moment: &Moment<'_>) -> Change {
        assert!(finding.line.is_some() || finding.record.is_some(), "I-10: it is about something");
        if let Some(old) = &self.record {
            let new = finding.record.as_ref().map(|new| (new.date, new.channel_order_no));
            assert_eq!(new, Some((old.date, old.channel_order_no)), "a row keeps its record");
        }
        let target = finding.target(Some(self.state));
        let moved = target.state != self.state || self.class != finding.class;
        let mut row = self.clone();
        row.class = finding.class;
        row.key = finding.key;
        row.line.clone_from(&finding.line);
        row.record.clone_from(&finding.record);
        row.changed_by = run.batch;
        row.due_at = (target.state == DifferenceState::Carried).then_some(run.due_at);
        if moved || self.history.is_empty() {
            row.note(moment.now, target.what.clone());
        }
        row.settle(self, target.state, target.held, &finding.base(), moment)
    }

    /// The batch of its date finds the difference no more: it matched, or its line is gone.
    pub fn without_finding(
        &self,
        batch: BatchId,
        what: &str,
        moment: &Moment<'_>,
    ) -> Option<Change> {
        if !self.state.is_open() || self.is_exhausted() {
            return None;
        }
        let mut row = self.clone();
        row.changed_by = batch;
        row.due_at = None;
        row.note(moment.now, what.to_owned());
        Some(row.settle(self, DifferenceState::Cleared, Vec::new(), &[], moment))
    }

    /// The row's line belongs to another row, or is gone; the finding about its record alone
    /// follows in the same batch. A row without a record has cleared by it, or had.
    ///
    /// A balanced row keeps its line for good.
    pub fn without_line(&self, batch: BatchId, moment: &Moment<'_>) -> Option<Change> {
        let stays = self.state == DifferenceState::Balanced || self.is_exhausted();
        if stays || self.line.is_none() {
            return None;
        }
        let mut row = self.clone();
        row.changed_by = batch;
        row.line = None;
        if row.record.is_some() {
            row.class = Class::OnlyOurs;
            return Some(Change { difference: row, accounting: Vec::new() });
        }
        row.due_at = None;
        let is_netted = row.class == Class::Netted;
        let what = if is_netted { "its line is gone" } else { "its line has found a record" };
        row.note(moment.now, what.to_owned());
        Some(row.settle(self, DifferenceState::Cleared, Vec::new(), &[], moment))
    }

    /// Puts it in suspense if its time is over, or was read off a wrong clock.
    pub fn expire(
        &self,
        claimed: ContradictedMoney,
        due: DueWindow,
        moment: &Moment<'_>,
    ) -> Option<Change> {
        let is_due = self.due_at.is_some_and(|due_at| due.is_due(due_at));
        if self.state != DifferenceState::Carried || !is_due || self.is_exhausted() {
            return None;
        }
        Some(self.suspend(claimed, moment))
    }

    fn suspend(&self, claimed: ContradictedMoney, moment: &Moment<'_>) -> Change {
        let base = base(self.record.as_ref(), claimed);
        let held = gap::sum(self.gaps().into_iter().chain(base.iter().copied()));
        let mut row = self.clone();
        row.due_at = None;
        row.note(moment.now, "suspended".to_owned());
        row.settle(self, DifferenceState::Suspended, held, &base, moment)
    }

    /// The gaps between the row's line and its record.
    pub fn gaps(&self) -> Vec<Gap> {
        let line = self.line.as_ref().and_then(|line| line.item.as_ref());
        gap::gaps(self.class, line, self.record.as_ref().map(|record| &record.item))
    }

    /// A person decides where its money belongs. One that is still carried is suspended and
    /// balanced at once. `owner`: the merchant of the record's order.
    pub fn balance(
        &self,
        asked: &Balancing,
        owner: Option<&MerchantId>,
        claimed: ContradictedMoney,
        moment: &Moment<'_>,
    ) -> Result<Change, BalanceRefusal> {
        match self.state {
            DifferenceState::Balanced => return Err(BalanceRefusal::Balanced),
            DifferenceState::Cleared => return Err(BalanceRefusal::Cleared),
            DifferenceState::Carried | DifferenceState::Suspended => {}
        }
        if asked.reason.trim().is_empty() {
            return Err(BalanceRefusal::NoReason);
        }
        if self.is_exhausted() {
            return Err(BalanceRefusal::Exhausted);
        }
        let merchant_id = merchant_of(asked, owner)?;
        let Change { difference: mut row, mut accounting } = match self.state {
            DifferenceState::Carried => self.suspend(claimed, moment),
            DifferenceState::Suspended | DifferenceState::Balanced | DifferenceState::Cleared => {
                Change { difference: self.clone(), accounting: Vec::new() }
            }
        };
        match (asked.remedy, row.held.is_empty()) {
            (Remedy::Acknowledge, false) => return Err(BalanceRefusal::Money),
            (Remedy::Acknowledge, true) => {}
            (_, true) => return Err(BalanceRefusal::NoMoney),
            (_, false) => {}
        }
        for held in std::mem::take(&mut row.held) {
            let postings = gap::release(&held, asked.remedy);
            let event = BookingEvent::DifferenceBalanced;
            let booked = row.book(event, held.currency, &postings, merchant_id.as_ref(), moment);
            accounting.extend(booked);
        }
        row.state = DifferenceState::Balanced;
        row.due_at = None;
        row.remedy = Some((asked.remedy, asked.reason.clone()));
        let (remedy, actor, reason) = (asked.remedy.name(), &asked.actor, &asked.reason);
        row.note(moment.now, format!("balanced ({remedy}) by {actor}: {reason}"));
        Ok(Change { difference: row, accounting })
    }

    /// Brings suspense from what `before` held to what is held now. `base` is what suspense has for
    /// the record by itself: a row takes it over when it is suspended, and gives it back after.
    fn settle(
        mut self,
        before: &Self,
        state: DifferenceState,
        held: Vec<Gap>,
        base: &[Gap],
        moment: &Moment<'_>,
    ) -> Change {
        let suspended = |state| state == DifferenceState::Suspended;
        assert!(suspended(state) || held.is_empty(), "I-7: only suspense holds money");
        assert!(
            suspended(before.state) || before.held.is_empty(),
            "I-7: only suspense holds money"
        );
        // A line that was suspended alone has not taken over what came with its record.
        let from = match (suspended(before.state), &before.record) {
            (true, Some(_)) => before.held.clone(),
            (true, None) => gap::sum(before.held.iter().chain(base).copied()),
            (false, _) => base.to_vec(),
        };
        let to = if suspended(state) { &held[..] } else { base };
        let mut accounting = Vec::new();
        for currency in Currency::ALL {
            let postings = gap::change(&gap::of(&from, currency), &gap::of(to, currency));
            let event = BookingEvent::DifferenceSuspended;
            accounting.extend(self.book(event, currency, &postings, None, moment));
        }
        self.state = state;
        self.held = held;
        Change { difference: self, accounting }
    }

    /// The next voucher of its chain, if there is anything to book.
    fn book(
        &mut self,
        event: BookingEvent,
        currency: Currency,
        postings: &[AccountChange],
        merchant_id: Option<&MerchantId>,
        moment: &Moment<'_>,
    ) -> Option<AccountingRequest> {
        let sequence = self.accounting_sequence + 1;
        let source =
            SourceDocument::Difference { difference: self.id, merchant_id: merchant_id.cloned() };
        let head = VoucherHead {
            id: RequestId { chain: self.id.chain(), sequence },
            event,
            channel: &self.channel,
            source,
            currency,
            business_date: moment.business_date,
            names: moment.names,
            now: moment.now,
        };
        let request = voucher_of(head, postings)?;
        self.accounting_sequence = sequence;
        Some(request)
    }

    pub fn is_balanced(&self) -> bool {
        self.state == DifferenceState::Balanced
    }

    /// Whether its chain of requests could not take another change: a person must look.
    pub const fn is_exhausted(&self) -> bool {
        self.accounting_sequence > u16::MAX - REQUESTS_MAX
    }

    fn note(&mut self, at: Timestamp, what: String) {
        if self.history.len() >= HISTORY_MAX {
            // The first half tells how it began, the rest how it stands.
            self.history.remove(HISTORY_MAX / 2);
        }
        self.history.push(DifferenceEvent { at, what });
    }
}

fn merchant_of(
    asked: &Balancing,
    owner: Option<&MerchantId>,
) -> Result<Option<MerchantId>, BalanceRefusal> {
    let merchants = asked.remedy == Remedy::Merchant;
    match (owner, &asked.merchant_id) {
        (Some(owner), Some(named)) if owner != named => {
            Err(BalanceRefusal::OtherMerchant { merchant_id: owner.clone() })
        }
        (None, None) if merchants => Err(BalanceRefusal::NoMerchant),
        (Some(known), _) | (None, Some(known)) => Ok(merchants.then(|| known.clone())),
        (None, None) => Ok(None),
    }
}
