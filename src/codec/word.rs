//! The words that answers are made of: for each closed set, the form of a field that has one of its
//! names.

use super::texts::WordForm;

pub type AccountKindWord = WordForm<crate::domain::payee_account::AccountKind>;
pub type AgeWord = WordForm<crate::domain::report::Age>;
pub type ApprovalStateWord = WordForm<crate::domain::approval::ApprovalState>;
pub type AttemptStateWord = WordForm<crate::domain::attempt::AttemptState>;
pub type BatchStateWord = WordForm<crate::domain::books::reconciliation::BatchState>;
pub type BinEvidenceSourceWord = WordForm<crate::domain::bin::proposal::BinEvidenceSource>;
pub type BinFactWord = WordForm<crate::domain::bin::proposal::BinFact>;
pub type BinProposalStateWord = WordForm<crate::domain::bin::proposal::BinProposalState>;
pub type BookingEventWord = WordForm<crate::domain::books::accounting::BookingEvent>;
pub type BrandWord = WordForm<crate::domain::bin::Brand>;
pub type CardTypeWord = WordForm<crate::domain::bin::CardType>;
pub type ChannelStateWord = WordForm<crate::domain::route::channel::ChannelState>;
pub type ClassWord = WordForm<crate::domain::books::reconcile::Class>;
pub type ClearingStateWord = WordForm<crate::domain::books::clearing::ClearingState>;
pub type CodedKindWord = WordForm<crate::domain::payment_code::CodedKind>;
pub type CurrencyWord = WordForm<crate::domain::money::Currency>;
pub type DeliveryStatusWord = WordForm<crate::domain::books::accounting::DeliveryStatus>;
pub type DifferenceStateWord = WordForm<crate::domain::books::difference::DifferenceState>;
pub type HeldKindWord = WordForm<crate::domain::approval::HeldKind>;
pub type MatchKeyWord = WordForm<crate::domain::books::reconcile::MatchKey>;
pub type MemberStateWord = WordForm<crate::domain::cluster::MemberState>;
pub type OperationWord = WordForm<crate::domain::attempt::Operation>;
pub type OrderKindWord = WordForm<crate::domain::order::OrderKind>;
pub type OrderStatusWord = WordForm<crate::domain::order::OrderStatus>;
pub type PhaseWord = WordForm<crate::domain::reversal::Phase>;
pub type PostingSideWord = WordForm<crate::domain::books::accounting::PostingSide>;
pub type RateScopeWord = WordForm<crate::domain::route::rates::RateScope>;
pub type ReasonWord = WordForm<crate::domain::outcome::Reason>;
pub type RemedyWord = WordForm<crate::domain::books::difference::Remedy>;
pub type ReportedEndWord = WordForm<crate::domain::write_set::ReportedEnd>;
pub type RuleVerdictWord = WordForm<crate::domain::route::explain::RuleVerdict>;
pub type SettlementModeWord = WordForm<crate::domain::order::SettlementMode>;
pub type SettlementStateWord = WordForm<crate::domain::books::settlement::SettlementState>;
pub type SourceWord = WordForm<crate::domain::attempt::Source>;
pub type StandingWord = WordForm<crate::domain::report::SettlementStanding>;
pub type StatusWord = WordForm<crate::domain::books::reconcile::Status>;
pub type StrategyWord = WordForm<crate::domain::route::Strategy>;
pub type UnknownCauseWord = WordForm<crate::domain::outcome::UnknownCause>;
pub type VerdictWord = WordForm<crate::domain::verification::VerificationVerdict>;
pub type VoucherTypeWord = WordForm<crate::domain::books::accounting::VoucherType>;
