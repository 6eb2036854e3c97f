//! Which section of the channel file a request belongs to.
//!
//! An operation has a section of its name. Inquiries and reversals of several operations may share
//! `inquiry` and `reversal`, which say in `of` whom they serve: an inquiry that a bank answers for
//! payments only would say "no such order" of a refund that was carried out, so no operation is
//! asked about by a section that does not name it.

use crate::channel::ChannelRequest;
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;

/// The purpose of a section's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begins with an instrument.
    Charge,
    /// Refers to an attempt that was approved.
    FollowUp,
    Inquiry,
    Reversal,
    /// Is about a card, and no attempt.
    Service,
    /// Is about a clearing date, and no attempt.
    Statement,
    /// Gets a credential, and is about nothing.
    Credential,
}

/// A section of `[http]` that describes one kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKind {
    /// The section's name.
    pub name: &'static str,
    pub action: Action,
    /// Serves the operations that its `of` lists.
    pub is_shared: bool,
}

const fn own(name: &'static str, action: Action) -> RequestKind {
    RequestKind { name, action, is_shared: false }
}

const fn shared(name: &'static str, action: Action) -> RequestKind {
    RequestKind { name, action, is_shared: true }
}

impl RequestKind {
    /// Asks for the statement of a clearing date; it is described apart from the others.
    pub const STATEMENT: Self = own("statement", Action::Statement);

    /// Gets the credential that other requests carry; it is described apart too.
    pub const TOKEN: Self = own("token", Action::Credential);

    /// Those that ask about an attempt, or for one.
    pub const ALL: [Self; 28] = [
        own("payment", Action::Charge),
        own("preauth", Action::Charge),
        own("payout", Action::Charge),
        own("capture", Action::FollowUp),
        own("void", Action::FollowUp),
        own("preauth_void", Action::FollowUp),
        own("capture_void", Action::FollowUp),
        own("refund", Action::FollowUp),
        own("undo", Action::FollowUp),
        shared("inquiry", Action::Inquiry),
        own("payment_inquiry", Action::Inquiry),
        own("preauth_inquiry", Action::Inquiry),
        own("capture_inquiry", Action::Inquiry),
        own("void_inquiry", Action::Inquiry),
        own("refund_inquiry", Action::Inquiry),
        own("undo_inquiry", Action::Inquiry),
        own("payout_inquiry", Action::Inquiry),
        shared("reversal", Action::Reversal),
        own("preauth_reversal", Action::Reversal),
        own("capture_reversal", Action::Reversal),
        own("void_reversal", Action::Reversal),
        own("refund_reversal", Action::Reversal),
        own("verification", Action::Service),
        own("agreement_code", Action::Service),
        own("agreement_confirmation", Action::Service),
        own("agreement_inquiry", Action::Inquiry),
        own("agreement_end", Action::Service),
        own("payment_code", Action::Service),
    ];

    /// Whether a request of this kind may follow up another attempt, or be about one that does. An
    /// undo's own follows up what our books do not have: only its request names that.
    pub fn has_original(&self) -> bool {
        const FOLLOW_UPS: [&str; 3] = ["capture", "void", "refund"];
        match self.action {
            Action::FollowUp => true,
            Action::Inquiry | Action::Reversal => {
                let operation = self.name.split_once('_').map(|(operation, _)| operation);
                operation.is_none_or(|operation| FOLLOW_UPS.contains(&operation))
            }
            Action::Charge | Action::Service | Action::Statement | Action::Credential => false,
        }
    }

    /// Whether a request of this kind may pay out, or ask about a payout.
    pub fn may_be_of_payout(self) -> bool {
        match self.action {
            Action::Charge => true,
            Action::Inquiry => matches!(self.name, "inquiry" | "payout_inquiry"),
            Action::FollowUp
            | Action::Reversal
            | Action::Service
            | Action::Statement
            | Action::Credential => false,
        }
    }

    /// The service that it describes, where it is one.
    pub fn service(self) -> Option<CardService> {
        CardService::parse(self.name)
    }

    /// Whether its reply may bring a token for a card.
    pub fn brings_token(self) -> bool {
        matches!(
            self.service(),
            Some(CardService::AgreementConfirmation | CardService::AgreementInquiry)
        )
    }

    /// The names of the sections that may describe a request: the closest one, then the wider one.
    pub const fn names_for(request: &ChannelRequest) -> (&'static str, &'static str) {
        match request {
            ChannelRequest::Charge { facts, .. } => (facts.operation.name(), ""),
            ChannelRequest::FollowUp { facts, original, .. } => {
                match (facts.operation, original.operation) {
                    (Operation::Void, Operation::Preauth) => ("preauth_void", "void"),
                    (Operation::Void, Operation::Capture) => ("capture_void", "void"),
                    (operation, _) => (operation.name(), ""),
                }
            }
            ChannelRequest::Inquiry { facts, .. } => (own_inquiry(facts.operation), "inquiry"),
            ChannelRequest::Reversal { facts, .. } => (own_reversal(facts.operation), "reversal"),
            ChannelRequest::Service { facts, .. } => (facts.service.name(), ""),
        }
    }
}

const fn own_inquiry(operation: Operation) -> &'static str {
    match operation {
        Operation::Payment => "payment_inquiry",
        Operation::Preauth => "preauth_inquiry",
        Operation::Capture => "capture_inquiry",
        Operation::Void => "void_inquiry",
        Operation::Refund => "refund_inquiry",
        Operation::Undo => "undo_inquiry",
        Operation::Payout => "payout_inquiry",
    }
}

const fn own_reversal(operation: Operation) -> &'static str {
    match operation {
        Operation::Payment | Operation::Undo | Operation::Payout => "",
        Operation::Preauth => "preauth_reversal",
        Operation::Capture => "capture_reversal",
        Operation::Void => "void_reversal",
        Operation::Refund => "refund_reversal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_a_request_looks_for_is_a_section() {
        for operation in Operation::ALL {
            for name in [own_inquiry(operation), own_reversal(operation), operation.name()] {
                let known = RequestKind::ALL.iter().any(|kind| kind.name == name);
                assert!(known || name.is_empty(), "{name}");
            }
        }
        for service in CardService::ALL {
            let own = RequestKind::ALL.iter().find(|kind| kind.name == service.name());
            let action = if service.is_inquiry() { Action::Inquiry } else { Action::Service };
            assert_eq!(own.map(|kind| kind.action), Some(action), "{service}");
        }
        for (index, kind) in RequestKind::ALL.iter().enumerate() {
            assert!(
                RequestKind::ALL[..index].iter().all(|one| one.name != kind.name),
                "{}",
                kind.name
            );
        }
    }
}
