//! The protocol's part of an exchange: read a request, carry it out, write the reply. Sending,
//! delays and faults are added around it.

pub mod acp_card;
pub mod acp_operation;
pub mod acp_reply;
pub mod bank;
pub mod banks;
pub mod iso8583;
pub mod statement;
pub mod unionpay_acp;

use std::sync::Arc;
use std::time::Duration;

use super::chance::Chance;
use super::ledger::IssuerDecision;
use super::message::{HttpReply, HttpRequest};
use super::state::SimulatorState;

/// The form in which a reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum ReplyForm {
    Honest,
    /// The number chooses among the ways to spoil a signature.
    BadSignature(u64),
    /// The number chooses among the codes of an unclear result.
    Unclear(u64),
}

/// A protocol's side of the channel. No default bodies: each protocol defines everything.
pub(in crate::simulator) trait Dialect: Send + Sync + 'static {
    /// A request that was parsed and verified.
    type Call: Send + Sync + 'static;
    /// The content of its answer.
    type Draft: Send + Sync + 'static;

    /// Parses and verifies a request, or answers it at once.
    fn read(
        &self,
        running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<Self::Call, HttpReply>;

    /// The operation and the order number, by which faults are drawn.
    fn name<'call>(&self, call: &'call Self::Call) -> (&'static str, &'call str);

    /// Changes the ledger and schedules what follows.
    fn carry_out(&self, running: &Arc<SimulatorState>, call: &Self::Call) -> Self::Draft;

    /// Writes the signed reply.
    fn write(
        &self,
        running: &SimulatorState,
        call: &Self::Call,
        draft: &Self::Draft,
        form: ReplyForm,
    ) -> HttpReply;
}

/// A dialect's codes for its cards' answers.
pub(in crate::simulator) struct AnswerCodes {
    pub approved: &'static str,
    /// Declines with their weights, and whether the channel knows at once.
    pub declines: &'static [(DeclineCode, u32)],
}

/// One way to decline a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct DeclineCode {
    pub code: &'static str,
    /// Known when the request comes in: the channel is closed or does not serve this card.
    pub at_once: bool,
}

impl DeclineCode {
    pub const fn at_once(code: &'static str) -> Self {
        Self { code, at_once: true }
    }

    pub const fn later(code: &'static str) -> Self {
        Self { code, at_once: false }
    }
}

/// The issuer's decision about an order: it depends on the seed and the order number alone.
pub(in crate::simulator) fn decide(
    running: &SimulatorState,
    order_no: &str,
    codes: &AnswerCodes,
) -> IssuerDecision {
    let settings = &running.settings;
    let mut chance = Chance::of(settings.seed, "card", order_no, 0);
    let declines = chance.hits(u16::from(settings.declines_percent) * 100);
    let decline = chance.weighted(codes.declines);
    let working = chance.between(settings.working);
    if !declines {
        return IssuerDecision { approves: true, code: codes.approved, working };
    }
    let working = if decline.at_once { Duration::ZERO } else { working };
    IssuerDecision { approves: false, code: decline.code, working }
}
