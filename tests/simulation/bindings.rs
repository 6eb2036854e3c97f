//! The channels' own books of bound cards: what they have bound under each request, and what they
//! then say of it.

use std::time::Duration;

use switchyard::channel::{IssuedToken, ServiceFacts};
use switchyard::domain::card::CardToken;
use switchyard::domain::ids::{ChannelId, ChannelOrderNo};
use switchyard::domain::outcome::{Approval, Outcome, Reason};
use switchyard::domain::time::Timestamp;

use crate::bank::declined;
use crate::world::{Event, State};

/// What became of a confirmation at its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingFate {
    /// Never heard of: lost, or still on its way.
    Absent,
    Bound,
    Refused(Reason),
    /// It was bound, and its token is void.
    Unbound,
}

#[derive(Debug, Clone)]
pub struct Binding {
    pub channel: ChannelId,
    /// When its confirmation truly was sent, whatever our clock showed.
    pub sent_at: Timestamp,
    pub fate: BindingFate,
    /// The confirmation is on its way and will arrive.
    pub coming: bool,
    /// When the channel lets it end by itself.
    pub ends_at: Option<Timestamp>,
}

/// What a channel calls the binding of a confirmation.
pub fn token_text(number: ChannelOrderNo) -> String {
    format!("token-{number}")
}

impl State {
    /// A confirmation leaves.
    pub fn begin_binding(&mut self, facts: &ServiceFacts, channel: &ChannelId) {
        let number = facts.channel_order_no;
        let binding = Binding {
            channel: channel.clone(),
            sent_at: self.now,
            fate: BindingFate::Absent,
            coming: false,
            ends_at: None,
        };
        let may_bind = |(other, one): (&ChannelOrderNo, &Binding)| {
            let is_open =
                one.coming || matches!(one.fate, BindingFate::Bound | BindingFate::Unbound);
            other.order == number.order && is_open
        };
        if self.bindings.iter().any(may_bind) {
            self.violate(format!("{number} was sent while another confirmation may have bound"));
        }
        if self.bindings.insert(number, binding).is_some() {
            self.violate(format!("I-1: the confirmation {number} was sent twice"));
        }
    }

    pub fn binding(&mut self, number: ChannelOrderNo) -> &mut Binding {
        self.bindings.get_mut(&number).expect("it was registered when it was sent")
    }

    /// The confirmation that a token is of.
    pub fn binding_of(&self, token: &CardToken) -> Option<ChannelOrderNo> {
        let is_its = |number: &&ChannelOrderNo| token_text(**number) == token.expose();
        self.bindings.keys().find(is_its).copied()
    }

    /// The confirmation reaches its channel.
    pub fn bind(&mut self, number: ChannelOrderNo) {
        if self.binding(number).fate != BindingFate::Absent {
            self.violate(format!("I-1: the confirmation {number} arrived twice"));
        }
        let fate = match self.random.u8(0..100) {
            0..=77 => BindingFate::Bound,
            78..=86 => BindingFate::Refused(Reason::WrongSmsCode),
            87..=91 => BindingFate::Refused(Reason::SmsCodeExpired),
            _ => BindingFate::Refused(Reason::CardRestricted),
        };
        let lasts = (fate == BindingFate::Bound && self.chance(40))
            .then(|| self.millis(200_000..3_000_000));
        let ends_at = lasts.map(|lasts| self.now.plus(lasts));
        let binding = self.binding(number);
        (binding.coming, binding.fate, binding.ends_at) = (false, fate, ends_at);
        self.tally.bound += u64::from(fate == BindingFate::Bound);
        self.tally.not_bound += u64::from(fate != BindingFate::Bound);
        if fate == BindingFate::Bound && self.mischief(15) {
            let after = self.millis(30_000..1_800_000);
            self.later(after, Event::Unbind { number, by_holder: true });
        }
    }

    /// The token is made void at its channel.
    pub fn unbind(&mut self, number: ChannelOrderNo, by_holder: bool) {
        let binding = self.binding(number);
        if binding.fate == BindingFate::Bound {
            binding.fate = BindingFate::Unbound;
            self.tally.unbound += u64::from(!by_holder);
            self.tally.unbound_by_holder += u64::from(by_holder);
        }
    }

    /// Whether a payment can be made by the binding now.
    pub fn pays(&self, number: ChannelOrderNo) -> bool {
        self.bindings.get(&number).is_some_and(|binding| {
            binding.fate == BindingFate::Bound
                && binding.ends_at.is_none_or(|ends_at| self.now < ends_at)
        })
    }

    /// What the channel truthfully says of a confirmation.
    pub fn word_of_binding(&self, number: ChannelOrderNo) -> (Outcome, Option<IssuedToken>) {
        let binding = self.bindings.get(&number);
        match binding.map_or(BindingFate::Absent, |binding| binding.fate) {
            BindingFate::Absent => (Outcome::NotFound { code: "34".to_owned() }, None),
            BindingFate::Bound => {
                let token = CardToken::parse(&token_text(number), "").expect("visible signs");
                let ends_at = binding.and_then(|binding| binding.ends_at);
                (yes(number), Some(IssuedToken { token, ends_at }))
            }
            BindingFate::Refused(reason) => (declined(reason, "B1"), None),
            BindingFate::Unbound => (declined(Reason::NotEnrolled, "B2"), None),
        }
    }

    /// A request to make a token void reaches its channel; gives the channel's answer.
    pub fn end_binding(&mut self, number: ChannelOrderNo) -> Outcome {
        let fate = self.binding(number).fate;
        match fate {
            BindingFate::Bound if self.chance(10) => declined(Reason::ChannelFailure, "B9"),
            BindingFate::Bound => {
                self.unbind(number, false);
                yes(number)
            }
            BindingFate::Absent | BindingFate::Refused(_) | BindingFate::Unbound => {
                declined(Reason::NotEnrolled, "B2")
            }
        }
    }

    /// How long a request that is late may still be on its way, within a bound.
    pub fn lateness(&mut self, sent_at: Timestamp, bound: Duration) -> Duration {
        let left = bound.saturating_sub(self.now.since(sent_at));
        self.millis(1_000..400_000).min(left)
    }
}

pub fn yes(number: ChannelOrderNo) -> Outcome {
    Outcome::Approved(Approval {
        channel_reference: Some(format!("q{number}")),
        code: "00".to_owned(),
        settle_mmdd: None,
        card_type: None,
    })
}
