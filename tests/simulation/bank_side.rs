//! The channels as the engine calls them: what happens to a request on its way there and back.

use std::sync::Arc;
use std::time::Duration;

use switchyard::channel::{AttemptFacts, ChannelFuture, ChannelRequest, Channels, ReplyMeaning};
use switchyard::clock::{Clock, Timekeeper};
use switchyard::domain::attempt::{Attempt, AttemptState, Operation, VolumeKind};
use switchyard::domain::cluster::{Incarnation, NodePart};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo};
use switchyard::domain::instrument::Instrument;
use switchyard::domain::money::AmountMinor;
use switchyard::domain::order::Order;
use switchyard::domain::outcome::{NotSentCause, Outcome, UnknownCause};
use switchyard::domain::payee_account::PayeeAccount;
use switchyard::domain::reversal::Phase;
use switchyard::domain::terms::Terms;
use switchyard::domain::time::{Present, Timestamp};

use crate::core_side;
use crate::hostile::Pulse;
use crate::limits::NodeLimits;
use crate::terms;
use crate::world::{Event, World};

/// How long before a "no such order" is final the last stray request has arrived.
pub const MARGIN: Duration = Duration::from_secs(60);

pub struct Bank {
    pub world: World,
    pub pulse: Pulse,
    pub clock: Clock,
    /// The process's clock, which is asked for the lease before the first byte leaves.
    pub keeper: Timekeeper,
    /// Whose requests these are, where there are several nodes.
    pub node: Option<Incarnation>,
    /// This node's part of the limits.
    pub limits: Option<Arc<NodeLimits>>,
}

/// What happens to a request on its way.
pub enum Way {
    NotSent,
    LostBefore,
    Late,
    Through,
}

impl Bank {
    fn tick(&self) {
        self.world.state().now = self.clock.now();
    }

    pub async fn pause(&self, range: std::ops::Range<u64>) {
        let pause = self.world.state().millis(range);
        tokio::time::sleep(pause).await;
        self.pulse.step(&self.world).await;
        self.tick();
    }

    pub fn way(&self) -> Way {
        let mut state = self.world.state();
        match state.random.u8(0..100) {
            _ if state.calm => Way::Through,
            0..=6 => {
                state.tally.not_sent += 1;
                Way::NotSent
            }
            7..=13 => {
                state.tally.lost_before += 1;
                Way::LostBefore
            }
            14..=21 => {
                state.tally.late += 1;
                Way::Late
            }
            _ => Way::Through,
        }
    }

    /// The answer as it arrives, or does not.
    pub async fn answer(&self, outcome: Outcome) -> Outcome {
        let (draw, calm) = {
            let mut state = self.world.state();
            (state.random.u8(0..100), state.calm)
        };
        match draw {
            _ if calm => outcome,
            0..=9 => {
                self.world.state().tally.lost_after += 1;
                self.pause(1_000..8_000).await;
                Outcome::Unknown(UnknownCause::ConnectionLost)
            }
            10..=14 => {
                let mut state = self.world.state();
                state.tally.garbled += 1;
                let causes = [
                    UnknownCause::Garbled,
                    UnknownCause::BadSignature,
                    UnknownCause::UnlistedCode,
                    UnknownCause::HttpStatus,
                ];
                Outcome::Unknown(causes[state.random.usize(0..causes.len())])
            }
            15..=18 => {
                // Slower than `call_ends_after`: recovery has been there before.
                self.pause(15_000..45_000).await;
                outcome
            }
            _ => outcome,
        }
    }

    fn check_sending(&self, channel: &ChannelId, facts: &AttemptFacts) {
        let number = facts.channel_order_no;
        let mut state = self.world.state();
        let attempt =
            state.rows.orders.get(&number.order).and_then(|order| order.attempt(number.attempt));
        let durable = attempt.is_some_and(|attempt| {
            attempt.state == AttemptState::Sending
                && &attempt.channel == channel
                && attempt.operation == facts.operation
                && attempt.sent_at == facts.sent_at
        });
        if !durable {
            let text = format!("I-1: {number} left for {channel} as {attempt:?}");
            state.violate(text);
        }
    }

    async fn carry_out(
        &self,
        channel: &ChannelId,
        facts: &AttemptFacts,
        (original, binding): (Option<ChannelOrderNo>, Option<ChannelOrderNo>),
    ) -> Outcome {
        let number = facts.channel_order_no;
        self.check_sending(channel, facts);
        {
            let mut state = self.world.state();
            state.register(facts, channel);
            let record = state.record(number);
            (record.original, record.binding) = (original, binding);
        }
        let way = self.way();
        self.pause(5..800).await;
        match way {
            Way::NotSent => Outcome::NotSent(NotSentCause::NoConnection),
            Way::LostBefore => {
                self.pause(1_000..8_000).await;
                Outcome::Unknown(UnknownCause::TimedOut)
            }
            Way::Late => {
                let bound = terms::terms(channel.as_str()).not_found_final_after - MARGIN;
                {
                    let mut state = self.world.state();
                    let sent_at = state.record(number).sent_at;
                    let after = state.lateness(sent_at, bound);
                    state.record(number).coming = true;
                    state.later(after, Event::Arrive { number });
                }
                self.pause(1_000..8_000).await;
                Outcome::Unknown(UnknownCause::TimedOut)
            }
            Way::Through => {
                let outcome = {
                    let mut state = self.world.state();
                    state.arrive(number, true);
                    let outcome = state.word(number);
                    state.tally.pending += u64::from(matches!(outcome, Outcome::Pending { .. }));
                    outcome
                };
                self.answer(outcome).await
            }
        }
    }

    async fn inquire(&self, channel: &ChannelId, facts: &AttemptFacts) -> Outcome {
        let number = facts.channel_order_no;
        let terms = terms::terms(channel.as_str());
        if terms.inquire.is_empty() {
            self.world.state().violate(format!("{channel} was asked about {number}"));
        }
        self.pause(5..500).await;
        let mut state = self.world.state();
        // What has never left cannot come late.
        let sent_at = state.ledger.records.get(&number).map_or(state.now, |record| record.sent_at);
        let lag = state.now.since(sent_at) + MARGIN < terms.not_found_final_after;
        let word = state.word(number);
        let outcome = match state.random.u8(0..100) {
            _ if state.calm => word,
            0..=9 => Outcome::Unknown(UnknownCause::TimedOut),
            10..=14 => Outcome::NotSent(NotSentCause::NoRateLeft),
            15..=19 => Outcome::Unknown(UnknownCause::ChannelUnsure),
            20..=31 if lag => Outcome::NotFound { code: "34".to_owned() },
            _ => word,
        };
        state.tally.not_found += u64::from(matches!(outcome, Outcome::NotFound { .. }));
        outcome
    }

    async fn reverse(&self, channel: &ChannelId, facts: &AttemptFacts) -> Outcome {
        let number = facts.channel_order_no;
        {
            let mut state = self.world.state();
            let entry = state.rows.entries.get(&number.order);
            let durable = entry.is_some_and(|entry| {
                entry.reversals_unanswered > 0 && entry.attempt == number.attempt
            });
            let phase = entry.map(|entry| entry.phase);
            // Evidence may have ended it between the commit and this call, nothing else.
            let ended = state.rows.orders.get(&number.order).is_some_and(|o| o.status.is_final());
            if !durable && !ended && phase != Some(Phase::Inquiring) {
                state.violate(format!("I-1: the reversal of {number} left, and is not durable"));
            }
            if terms::terms(channel.as_str()).reverse.is_empty() {
                state.violate(format!("{channel} was asked to reverse {number}"));
            }
            if !terms::terms(channel.as_str()).can_reverse(facts.operation) {
                state.violate(format!("{number} was to be reversed, which was not agreed"));
            }
            state.tally.follow_up_reversals += u64::from(!facts.operation.begins_with_card());
        }
        let way = self.way();
        self.pause(5..500).await;
        match way {
            Way::NotSent => Outcome::NotSent(NotSentCause::NoConnection),
            Way::LostBefore => Outcome::Unknown(UnknownCause::TimedOut),
            Way::Late => {
                let mut state = self.world.state();
                let terms = terms::terms(channel.as_str());
                let open = terms.reversal_window_open(facts.sent_at, &Present::certain(state.now));
                // Received before the cut-off, it may be carried out long after.
                if open && state.ledger.records.contains_key(&number) {
                    state.tally.late_reversals += 1;
                    let longest = terms.not_found_final_after - MARGIN;
                    let longest = u64::try_from(longest.as_millis()).expect("minutes");
                    let after = state.millis(1_000..longest);
                    state.record(number).reversals_coming += 1;
                    state.later(after, Event::Reverse { number });
                }
                Outcome::Unknown(UnknownCause::TimedOut)
            }
            Way::Through => {
                let outcome = self.world.state().reverse(number);
                self.answer(outcome).await
            }
        }
    }
}

impl Channels for Bank {
    fn ids(&self) -> Vec<ChannelId> {
        terms::ALL.iter().map(|name| ChannelId::from_stored(name)).collect()
    }

    fn terms(&self, channel: &ChannelId) -> Option<Arc<Terms>> {
        Some(terms::terms(channel.as_str()))
    }

    fn terms_at(&self, channel: &ChannelId, _at: Timestamp) -> Option<Arc<Terms>> {
        self.terms(channel)
    }

    fn longest_wait(&self, channel: &ChannelId) -> Duration {
        terms::terms(channel.as_str()).longest_wait()
    }

    fn count_sample(&self, _: &Order, _: &Attempt) {}

    fn give_back(&self, attempt: &Attempt, amount: AmountMinor) {
        if let (Some(limits), Some(kind)) = (&self.limits, VolumeKind::of(attempt.operation)) {
            limits.gives_back(&attempt.channel, kind, attempt.sent_at, amount.get());
        }
    }

    fn share(&self, part: NodePart) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.share(part))
    }

    fn nodes_max(&self, channel: &ChannelId) -> u32 {
        self.limits.as_ref().map_or(u32::MAX, |limits| limits.nodes_max(channel))
    }

    fn call<'a>(
        &'a self,
        channel: &'a ChannelId,
        request: ChannelRequest,
    ) -> ChannelFuture<'a, ReplyMeaning> {
        Box::pin(async move {
            let mut turn = None;
            if let Some(limits) = &self.limits {
                turn = limits.pace(channel).turn().await;
                if turn.is_none() {
                    self.world.state().nodes.tally.no_room += 1;
                    return not_sent(NotSentCause::NoRateLeft);
                }
                if let ChannelRequest::Charge { facts, .. } = &request
                    && let Some(kind) = VolumeKind::of(facts.operation)
                    && !limits.takes_volume(channel, kind, facts.amount.get()).await
                {
                    return not_sent(NotSentCause::DailyLimit);
                }
                // Between the commit and the first byte the process may stand still.
                self.pulse.step(&self.world).await;
            }
            self.tick();
            if !self.keeper.may_act() {
                self.world.state().nodes.tally.not_sent += 1;
                return not_sent(NotSentCause::LeaseEnded);
            }
            self.check_node(channel);
            let on_its_way = self.limits.as_ref().map(|limits| limits.leaves(channel));
            let mut issued = None;
            let outcome = match &request {
                ChannelRequest::Charge { facts, instrument } => {
                    self.check_payout(facts, instrument);
                    let binding = self.check_payer(channel, facts.channel_order_no, instrument);
                    self.carry_out(channel, facts, (None, binding)).await
                }
                ChannelRequest::FollowUp { facts, original, pan } => {
                    self.check_follow_up(channel, facts, original, pan.is_some());
                    let original = original.channel_order_no;
                    self.carry_out(channel, facts, (Some(original), None)).await
                }
                ChannelRequest::Inquiry { facts, pan, .. } => {
                    self.check_pan(facts, pan.is_some());
                    self.inquire(channel, facts).await
                }
                ChannelRequest::Reversal { facts, original, pan, .. } => {
                    self.check_pan(facts, pan.is_some());
                    self.check_original(facts, original.as_ref().map(|one| one.operation));
                    self.reverse(channel, facts).await
                }
                ChannelRequest::Service { facts, subject } => {
                    let heard = self.serve(channel, facts, subject).await;
                    issued = heard.1;
                    heard.0
                }
            };
            self.pulse.step(&self.world).await;
            drop((on_its_way, turn));
            if let (ChannelRequest::Charge { facts, .. }, Outcome::NotSent(_), Some(limits)) =
                (&request, &outcome, &self.limits)
                && let Some(kind) = VolumeKind::of(facts.operation)
            {
                limits.gives_back(channel, kind, facts.sent_at, facts.amount.get());
            }
            let transcript = format!("{} {}", request.name(), outcome.name());
            ReplyMeaning { issued, ..ReplyMeaning::new(outcome, transcript) }
        })
    }
}

fn not_sent(cause: NotSentCause) -> ReplyMeaning {
    ReplyMeaning::new(Outcome::NotSent(cause), String::new())
}

impl Bank {
    /// No channel hears of a node that is fenced.
    fn check_node(&self, channel: &ChannelId) {
        let mut state = self.world.state();
        if let Some(node) = self.node.filter(|node| state.nodes.fenced.contains(node)) {
            state.violate(format!("{node}, which is fenced, asked {channel}"));
        }
    }

    /// A payout left only when accounting had booked it, and for the payee that the core named.
    fn check_payout(&self, facts: &AttemptFacts, payee: &Instrument) {
        if facts.operation != Operation::Payout {
            return;
        }
        let number = facts.channel_order_no;
        let mut state = self.world.state();
        if !state.booked.values().any(|order| *order == number.order) {
            state.violate(format!("{number} left before it was booked"));
        }
        let is_named = match payee {
            Instrument::Card { card, .. } => card.pan == core_side::card().pan,
            Instrument::Account(account) => {
                state.tally.sent_to_accounts += 1;
                *account == core_side::account()
            }
            Instrument::Agreement { .. } | Instrument::Code(_) => false,
        };
        if !is_named || facts.payee_kind != payee.account().map(PayeeAccount::kind) {
            state.violate(format!("{number} pays somebody else"));
        }
    }

    /// A follow-up is about a success of this channel, has its card where that was agreed, and left
    /// only when accounting had booked what it gives back.
    fn check_follow_up(
        &self,
        channel: &ChannelId,
        facts: &AttemptFacts,
        original: &AttemptFacts,
        has_card: bool,
    ) {
        let number = facts.channel_order_no;
        let mut state = self.world.state();
        let first = state.ledger.records.get(&original.channel_order_no).cloned();
        if first.as_ref().is_none_or(|record| record.channel != *channel) {
            state.violate(format!("I-4: {number} went to another channel than its original"));
        }
        if facts.operation == Operation::Undo {
            return;
        }
        let needed = terms::terms(channel.as_str()).follow_up_needs_card;
        if needed && !has_card {
            state.violate(format!("{number} lacks the card that {channel} needs"));
        }
        let back = matches!(facts.operation, Operation::Refund | Operation::Void);
        let money = first.is_some_and(|record| record.operation != Operation::Preauth);
        if back && money && !state.booked.values().any(|order| *order == number.order) {
            state.violate(format!("{number} left before it was booked"));
        }
    }

    /// A reversal says what the attempt followed up, and nothing where it followed nothing up.
    fn check_original(&self, facts: &AttemptFacts, given: Option<Operation>) {
        let number = facts.channel_order_no;
        let mut state = self.world.state();
        let orders = &state.rows.orders;
        let of = orders.get(&number.order).and_then(|order| order.instruction.kind.original());
        let original = of.and_then(|of| orders.get(&of)).and_then(|original| original.approved());
        if original.map(|attempt| attempt.operation) != given {
            state.violate(format!("{number} is reversed as a follow-up of {given:?}"));
        }
    }

    /// A channel that needs the card number again gets it, and no other.
    fn check_pan(&self, facts: &AttemptFacts, given: bool) {
        let number = facts.channel_order_no;
        let mut state = self.world.state();
        let attempt =
            state.rows.orders.get(&number.order).and_then(|order| order.attempt(number.attempt));
        let sealed = attempt.is_some_and(|attempt| attempt.sealed_pan.is_some());
        let open = attempt.is_some_and(|attempt| attempt.state.is_unresolved());
        if open && sealed != given {
            state.violate(format!("I-11: {number} is asked about with a number: {given}"));
        }
    }
}
