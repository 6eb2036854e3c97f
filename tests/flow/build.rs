//! Builders: a desk with one payment on it, and the words that channels say.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use switchyard::domain::attempt::{Attempt, AttemptState, Evidence, Operation, Source};
use switchyard::domain::books::accounting::AccountNames;
use switchyard::domain::card::{CardDigests, CardFacts, MaskedPan, SealedPan};
use switchyard::domain::command::{
    CardInMemory, Command, Decider, Decision, OriginalView, Refusal, View,
};
use switchyard::domain::fee::FeeSchedule;
use switchyard::domain::flow::decide;
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::order::{
    Candidate, Instruction, Order, OrderKind, OrderStatus, SettlementMode,
};
use switchyard::domain::outcome::{
    Approval, Decline, NotSentCause, Objection, Outcome, Reason, UnknownCause,
};
use switchyard::domain::reversal::{Resolution, ReversalEntry};
use switchyard::domain::terms::{AfterInquiry, ReportedSuccessRule, ReverseUntil, Terms};
use switchyard::domain::time::{BusinessDate, ClearingCalendar, Present, Timestamp};
use switchyard::domain::write_set::Contradiction;

use crate::auditor::{Auditor, Rows};

/// 2026-11-22T08:00:00Z.
const START_MS: i64 = 1_795_334_400_000;
pub const AMOUNT: i64 = 12_345;

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Asks three times, then reverses three times; "no such order" counts after ten minutes.
pub fn terms() -> Terms {
    let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
    Terms {
        channel: ChannelId::from_stored("one"),
        inquire: vec![seconds(2), seconds(5), seconds(10)],
        then: AfterInquiry::Reverse,
        reverse: vec![seconds(0), seconds(30), seconds(120)],
        reverse_until: ReverseUntil::Always,
        not_found_final_after: seconds(600),
        not_found_final_after_of: Vec::new(),
        operations: Operation::ALL.to_vec(),
        reversible: vec![Operation::Payment, Operation::Preauth],
        partial_refund: true,
        refund_days: 180,
        preauth_days: 30,
        follow_up_needs_card: false,
        keeps_pan: true,
        sets_out_within: seconds(20),
        call_ends_after: seconds(40),
        statement_claims: ReportedSuccessRule::Undo,
        calendar: ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) },
        fees: FeeSchedule::default(),
        close_after: Duration::ZERO,
        accounts: AccountNames::default(),
        has_accounting: true,
        notice_url: None,
    }
}

pub fn approved() -> Outcome {
    Outcome::Approved(Approval {
        channel_reference: Some("q1".to_owned()),
        code: "00".to_owned(),
        settle_mmdd: None,
        card_type: None,
    })
}

pub fn declined() -> Outcome {
    decline(Reason::InsufficientFunds, false)
}

pub fn decline(reason: Reason, elsewhere: bool) -> Outcome {
    Outcome::Declined(Decline { reason, code: "51".to_owned(), elsewhere })
}

pub fn pending() -> Outcome {
    Outcome::Pending { code: "05".to_owned(), channel_reference: None }
}

/// What is told where no statement shows it.
pub fn absent() -> Outcome {
    Outcome::NotFound { code: "absent".to_owned() }
}

pub fn unknown() -> Outcome {
    Outcome::Unknown(UnknownCause::TimedOut)
}

pub fn not_sent() -> Outcome {
    Outcome::NotSent(NotSentCause::NoConnection)
}

pub fn not_found() -> Outcome {
    Outcome::NotFound { code: "34".to_owned() }
}

pub fn decider() -> Decider {
    Decider { actor: "ann".to_owned(), approver: None, reason: "the bank said so".to_owned() }
}

/// A payment as the engine gives it to `decide`.
pub fn payment(candidates: &[&str]) -> Order {
    let candidate =
        |name: &&str| Candidate { channel: ChannelId::from_stored(name), keeps_pan: true };
    let (kind, id) = (OrderKind::Payment, CallerOrderId::from_stored("c-1"));
    let (caller, merchant) = (CallerId::from_stored("core"), MerchantId::from_stored("m-1"));
    let amount = AmountMinor::new(AMOUNT).expect("an amount");
    let digests = CardDigests { pan: 1, expiry: 2, holder: 3, id_type: 4, id_number: 5, phone: 6 };
    let masked = MaskedPan::from_stored("621626*********0018");
    let instruction = Instruction {
        instrument: Some(CardFacts { masked, digests, row: None }.into()),
        description: Some("tea".to_owned()),
        notify_url: Some("https://core.example/notices".to_owned()),
        ..Instruction::new(caller, id, kind, merchant, amount, Currency::Cny)
    };
    let start = Timestamp::from_millis(START_MS);
    let mut order = Order::accepted(OrderId::compose(261_122, 1, 1), instruction, start);
    order.candidates = candidates.iter().map(candidate).collect();
    order
}

/// The same of another kind, or settled otherwise.
pub fn order(kind: OrderKind, settlement: SettlementMode, candidates: &[&str]) -> Order {
    let mut order = payment(candidates);
    order.instruction.kind = kind;
    order.instruction.settlement_mode = settlement;
    order
}

/// The card, while the call that brought it is still running.
pub fn card() -> CardInMemory {
    let sealed = SealedPan { key_id: "k1".to_owned(), nonce: [1; 12], bytes: vec![2; 32] };
    CardInMemory::Yes { sealed: Some(sealed) }
}

/// The decision on a new order, with no books.
pub fn decide_on(terms: &Terms, order: Order, command: Command) -> Result<Decision, Refusal> {
    let now = Timestamp::from_millis(START_MS);
    decide(&View::of(order), terms, Present::certain(now), command)
}

/// The books with one payment in them. Every decision is applied and audited.
#[derive(Clone)]
pub struct Desk {
    pub rows: Rows,
    pub terms: Terms,
    pub now: Timestamp,
    pub id: OrderId,
    /// The last clearing date that is closed.
    pub shut_through: Option<BusinessDate>,
    spare: u64,
    /// How much the desk's clock is ahead.
    pub ahead: Duration,
}

impl Desk {
    /// A payment that has just been accepted and is being sent to the first of `channels`.
    pub fn sending_to(terms: Terms, channels: &[&str]) -> Self {
        Self::sending_order(terms, payment(channels))
    }

    pub fn sending_order(terms: Terms, order: Order) -> Self {
        let claims_stay = terms.statement_claims == ReportedSuccessRule::Suspend;
        let mut rows = Rows { claims_stay, ..Rows::default() };
        for name in ["one", "two", "three"] {
            let channel = ChannelId::from_stored(name);
            rows.believed_after.insert(channel.clone(), terms.not_found_final_after);
            rows.reversals_end_after.insert(channel, terms.reversal_ends_after());
        }
        let now = Timestamp::from_millis(START_MS);
        let mut desk = Self {
            rows,
            terms,
            now,
            id: order.id,
            shut_through: None,
            spare: 1_000,
            ahead: Duration::ZERO,
        };
        desk.decide(View::of(order), Command::Accept { card: card(), code: None })
            .expect("it has a candidate");
        desk
    }

    pub fn sending() -> Self {
        Self::sending_to(terms(), &["one"])
    }

    /// A payment whose reply was lost.
    pub fn unknown() -> Self {
        Self::after(terms(), &[(Source::Reply, unknown())])
    }

    /// A payment of which this was learnt, all at once.
    pub fn after(terms: Terms, learnt: &[(Source, Outcome)]) -> Self {
        let mut desk = Self::sending_to(terms, &["one"]);
        for (source, outcome) in learnt {
            desk.learn(*source, outcome.clone());
        }
        desk
    }

    fn decide(&mut self, view: View, command: Command) -> Result<Decision, Refusal> {
        let decision = decide(&view, &self.terms, self.present(), command)?;
        let found = self.rows.apply(&decision.writes);
        assert!(found.is_empty(), "{found:#?}\nafter {:#?}", decision.writes);
        Ok(decision)
    }

    /// The desk's clock shows what it is, or as much more as `ahead` says, borne out by nothing.
    pub fn present(&self) -> Present {
        Present::new(self.now.plus(self.ahead), self.now, Duration::ZERO)
    }

    pub fn view(&self, id: OrderId) -> View {
        let order = self.rows.orders[&id].clone();
        let transaction =
            |id: &OrderId| self.rows.transactions.get(id).and_then(|all| all.first()).cloned();
        let original = order.instruction.kind.original().map(|of| OriginalView {
            order: self.rows.orders[&of].clone(),
            transaction: transaction(&of),
        });
        View {
            order,
            entry: self.rows.entries.get(&id).cloned(),
            contradictions: self.rows.contradictions.get(&id).cloned().unwrap_or_default(),
            transaction: transaction(&id),
            original,
            shut_through: self.shut_through,
        }
    }

    pub fn run(&mut self, command: Command) -> Result<Decision, Refusal> {
        self.run_on(self.id, command)
    }

    pub fn run_on(&mut self, id: OrderId, command: Command) -> Result<Decision, Refusal> {
        let view = self.view(id);
        self.decide(view, command)
    }

    pub fn learn(&mut self, source: Source, outcome: Outcome) -> Decision {
        let attempt = self.order().attempts.len() as u8;
        self.learn_of(self.id, attempt, source, outcome, CardInMemory::No)
    }

    /// Something that is true of another moment than this one.
    pub fn learn_as_of(&mut self, source: Source, outcome: Outcome, as_of: Timestamp) -> Decision {
        self.weigh(self.id, self.evidence(source, outcome, Some(as_of)), CardInMemory::No)
    }

    /// Something of which nobody knows how old it is.
    pub fn learn_undated(&mut self, source: Source, outcome: Outcome) -> Decision {
        self.weigh(self.id, self.evidence(source, outcome, None), CardInMemory::No)
    }

    fn evidence(&self, source: Source, outcome: Outcome, as_of: Option<Timestamp>) -> Evidence {
        let attempt = self.order().attempts.len() as u8;
        Evidence {
            source,
            attempt,
            outcome,
            objection: None,
            as_of,
            transcript: "words".to_owned(),
            sent: "asked".to_owned(),
        }
    }

    /// Inquiries and statements speak of now; nobody knows how old the words of others are.
    pub fn learn_of(
        &mut self,
        id: OrderId,
        attempt: u8,
        source: Source,
        outcome: Outcome,
        card: CardInMemory,
    ) -> Decision {
        self.learn_of_objectioned(id, attempt, source, (outcome, None), card)
    }

    /// The same about the last attempt, with what was wrong with the message.
    pub fn learn_objectioned(
        &mut self,
        source: Source,
        outcome: Outcome,
        objection: Option<Objection>,
    ) -> Decision {
        let attempt = self.order().attempts.len() as u8;
        self.learn_of_objectioned(self.id, attempt, source, (outcome, objection), CardInMemory::No)
    }

    fn learn_of_objectioned(
        &mut self,
        id: OrderId,
        attempt: u8,
        source: Source,
        (outcome, objection): (Outcome, Option<Objection>),
        card: CardInMemory,
    ) -> Decision {
        let as_of = match source {
            Source::Inquiry | Source::Statement => Some(self.present().now()),
            Source::Reply
            | Source::Reversal
            | Source::Notice
            | Source::Operator
            | Source::Recovery => None,
        };
        let (transcript, sent) = ("words".to_owned(), "asked".to_owned());
        let evidence = Evidence { source, attempt, outcome, objection, as_of, transcript, sent };
        self.weigh(id, evidence, card)
    }

    fn weigh(&mut self, id: OrderId, evidence: Evidence, card: CardInMemory) -> Decision {
        let attempt = evidence.attempt;
        let ended = self.rows.orders[&id]
            .attempt(attempt)
            .is_some_and(|attempt| !attempt.state.is_unresolved());
        let spare_id = ended.then(|| {
            self.spare += 1;
            OrderId::compose(261_122, 1, self.spare)
        });
        self.run_on(id, Command::Learn { evidence, card, spare_id }).expect("it has this attempt")
    }

    /// A reversal's answer about the last attempt.
    pub fn learn_reversal(&mut self, outcome: Outcome) -> Result<Decision, Refusal> {
        let attempt = self.order().attempts.len() as u8;
        self.learn_reversal_of(attempt, outcome)
    }

    pub fn learn_reversal_objectioned(
        &mut self,
        outcome: Outcome,
        objection: Option<Objection>,
    ) -> Result<Decision, Refusal> {
        let attempt = self.order().attempts.len() as u8;
        let transcript = String::new();
        let (asked_at, is_late) = (self.present().now(), false);
        self.run(Command::LearnReversal {
            attempt,
            outcome,
            objection,
            transcript,
            sent: "reverse".to_owned(),
            asked_at,
            is_late,
        })
    }

    pub fn learn_reversal_of(
        &mut self,
        attempt: u8,
        outcome: Outcome,
    ) -> Result<Decision, Refusal> {
        self.learn_reversal_asked(attempt, outcome, self.present().now(), false)
    }

    /// The answer of one that was asked earlier; late if its call had ended without it.
    pub fn learn_reversal_asked(
        &mut self,
        attempt: u8,
        outcome: Outcome,
        asked_at: Timestamp,
        is_late: bool,
    ) -> Result<Decision, Refusal> {
        let (objection, transcript) = (None, "words".to_owned());
        self.run(Command::LearnReversal {
            attempt,
            outcome,
            objection,
            transcript,
            sent: "reverse".to_owned(),
            asked_at,
            is_late,
        })
    }

    pub fn resolve(&mut self, resolution: Resolution) -> Result<Decision, Refusal> {
        self.run(Command::Resolve { resolution, decider: decider() })
    }

    pub fn retry(&mut self) -> Result<Decision, Refusal> {
        self.run(Command::Retry { decider: decider() })
    }

    pub fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
    }

    /// Waits until the entry is due, and tells how long that was.
    pub fn wait_until_due(&mut self) -> Duration {
        let due = self.entry().due_at.expect("the entry is due at some time");
        let waited = due.since(self.now);
        self.now = self.now.plus(waited);
        waited
    }

    pub fn order(&self) -> &Order {
        &self.rows.orders[&self.id]
    }

    pub fn attempt(&self) -> &Attempt {
        self.order().attempts.last().expect("it has been tried")
    }

    pub fn entry(&self) -> &ReversalEntry {
        &self.rows.entries[&self.id]
    }

    pub fn state(&self) -> (AttemptState, OrderStatus) {
        (self.attempt().state, self.order().status)
    }

    pub fn claims(&self) -> &[Contradiction] {
        self.rows.contradictions.get(&self.id).map_or(&[], Vec::as_slice)
    }

    /// The one undo that is owed.
    pub fn undo(&self) -> &Order {
        let undo = |order: &&Order| matches!(order.instruction.kind, OrderKind::Undo { .. });
        let mut undos = self.rows.orders.values().filter(undo);
        let first = undos.next().expect("an undo is owed");
        assert!(undos.next().is_none(), "I-5: one undo for one claim");
        first
    }
}
