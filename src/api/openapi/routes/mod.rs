//! Every route that there is, once: a new one is an entry here.

mod books;
mod channels;
mod operations;
mod orders;

use crate::api::error::ProblemCode as P;
use crate::api::openapi::Endpoint;

/// Whatever commits an order, or asks for one.
const ORDER: [P; 6] = [
    P::InvalidOrderId,
    P::CardNumberFound,
    P::OrderIdConflict,
    P::Stopping,
    P::InvalidAmount,
    P::NotFound,
];
/// What begins with a card.
const CARD: [P; 8] = [
    P::NoAgreement,
    P::AgreementNotActive,
    P::CardRequired,
    P::InvalidCardNumber,
    P::ExpiredCard,
    P::UnknownCurrency,
    P::NoRoute,
    P::AccountingNotConfigured,
];
/// What refers to an order.
const FOLLOW_UP: [P; 14] = [
    P::InvalidCardNumber,
    P::ExceedsLeft,
    P::OperationNotSupported,
    P::CardRequired,
    P::CardDiffers,
    P::WrongKind,
    P::WrongPhase,
    P::NotSucceeded,
    P::NotSameDay,
    P::RefundWindowClosed,
    P::PreauthExpired,
    P::NotEscrow,
    P::AccountingNotConfigured,
    P::ChannelUnknown,
];

/// Routes that belong together, with the name of their room and what it is about.
type TaggedRoutes = (&'static str, &'static str, Vec<Endpoint>);

/// All of them, by rooms.
pub(super) fn by_tag() -> Vec<TaggedRoutes> {
    vec![
        (
            "Orders",
            "Payments, and what refers to them. 200 means final, 202 not yet.",
            orders::payments(),
        ),
        ("Holds and payouts", "Pre-authorisations, and money out.", orders::preauths_and_payouts()),
        ("Agreements", "Cards that are bound once, by a code.", orders::agreements()),
        ("Payment codes", "Codes by SMS, sent before their payments.", orders::payment_codes()),
        ("Search", "Orders as operators look for them.", orders::search()),
        ("Verifications", "Whether a card is this person's.", orders::verifications()),
        ("Cards", "What is known of cards, and where orders would go.", orders::cards()),
        ("Channels", "Abilities and days of channels.", channels::channels_and_days()),
        ("Statements", "What channels say of a day.", channels::statements()),
        ("Reconciliation", "Statements against our records.", channels::reconciliations()),
        (
            "Settlement",
            "What the bank has received, and the day.",
            channels::settlements_and_report(),
        ),
        ("Unknowns", "The temp reversal table.", books::unknowns()),
        ("Books", "What was written once.", books::written()),
        ("Deliveries", "What is owed to the accounting system and the core.", books::owed()),
        ("Approvals", "What a second person decides.", operations::approvals()),
        ("Operations", "The process itself.", operations::for_operators()),
        ("Open doors", "What needs no key.", operations::without_a_key()),
    ]
}

pub(super) fn all() -> Vec<Endpoint> {
    by_tag().into_iter().flat_map(|(_, _, endpoints)| endpoints).collect()
}
