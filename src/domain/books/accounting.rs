//! Accounting requests: bookings for the accounting system, complete in themselves and balanced.

mod names;

use crate::domain::books::Transaction;
use crate::domain::closed_set;
use crate::domain::ids::{
    ChannelId, ChannelOrderNo, DifferenceId, MerchantId, OrderId, SettlementId,
};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};

pub use names::{Account, AccountNames, unknown_word};

closed_set! {
    /// The event behind a booking: the finer code under the coarse voucher type (S10).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum BookingEvent {
        InstantPayment = 1 => "instant_payment",
        EscrowPayment = 2 => "escrow_payment",
        EscrowRelease = 3 => "escrow_release",
        /// A channel claims a success that our order does not have; the money waits in suspense.
        SuspenseOpened = 4 => "suspense_opened",
        /// The claimed success was undone; the suspense is balanced.
        SuspenseBalanced = 5 => "suspense_balanced",
        /// Money goes back to the card. Booked before the channel is asked.
        Refund = 6 => "refund",
        /// The refund did not come about: red letter (红字), the same postings with negative amounts.
        RefundTakenBack = 7 => "refund_taken_back",
        /// A payment or capture is cancelled on its clearing day. Booked before the channel is
        /// asked.
        Void = 8 => "void",
        /// The void did not come about: red letter.
        VoidTakenBack = 9 => "void_taken_back",
        /// A channel claims to have given money away by a refund, void or payout that our books had
        /// ended; the money is in suspense, as a receivable, until a person knows more.
        SuspenseReceivable = 10 => "suspense_receivable",
        /// A difference between a statement and our records goes into suspense (挂账), or its amount
        /// there changes by a later statement.
        DifferenceSuspended = 11 => "difference_suspended",
        /// A person has decided where the money of a difference belongs (平账).
        DifferenceBalanced = 12 => "difference_balanced",
        /// The bank has received what the channel's statement says: pending clearing becomes
        /// reserve and fee cost.
        ChannelSettles = 13 => "channel_settles",
        /// Money is paid out to a card for a merchant. Booked before the channel is asked.
        Payout = 14 => "payout",
        /// The payout did not come about: red letter.
        PayoutTakenBack = 15 => "payout_taken_back",
    }
}

impl BookingEvent {
    /// Whether an order waits for this request to be acknowledged before it leaves.
    pub const fn is_booked_first(self) -> bool {
        matches!(self, Self::Refund | Self::Void | Self::Payout)
    }

    /// Whether it takes an earlier request back: its amounts are negative.
    pub const fn is_red_letter(self) -> bool {
        matches!(self, Self::RefundTakenBack | Self::VoidTakenBack | Self::PayoutTakenBack)
    }

    /// The type of its voucher (S10).
    pub const fn voucher(self) -> VoucherType {
        match self {
            Self::InstantPayment | Self::EscrowPayment | Self::ChannelSettles => {
                VoucherType::Receipt
            }
            Self::Refund
            | Self::RefundTakenBack
            | Self::Void
            | Self::VoidTakenBack
            | Self::Payout
            | Self::PayoutTakenBack => VoucherType::Payment,
            Self::EscrowRelease
            | Self::SuspenseOpened
            | Self::SuspenseBalanced
            | Self::SuspenseReceivable
            | Self::DifferenceSuspended
            | Self::DifferenceBalanced => VoucherType::Transfer,
        }
    }

    /// The posting rule of what an order's success books: account to debit, account to credit (S11,
    /// S16). `None` where the postings depend on more than an amount: see [`voucher_of`].
    pub const fn rule(self) -> Option<(Account, Account)> {
        use Account::{
            ChannelPendingClearing, CompanyTransitional, MerchantPendingClearing, SuspensePayable,
            SuspenseReceivable,
        };
        match self {
            Self::InstantPayment => Some((ChannelPendingClearing, MerchantPendingClearing)),
            Self::EscrowPayment => Some((ChannelPendingClearing, CompanyTransitional)),
            Self::EscrowRelease => Some((CompanyTransitional, MerchantPendingClearing)),
            Self::SuspenseOpened => Some((ChannelPendingClearing, SuspensePayable)),
            Self::SuspenseBalanced => Some((SuspensePayable, ChannelPendingClearing)),
            Self::SuspenseReceivable => Some((SuspenseReceivable, ChannelPendingClearing)),
            Self::Refund
            | Self::RefundTakenBack
            | Self::Void
            | Self::VoidTakenBack
            | Self::Payout
            | Self::PayoutTakenBack => Some((MerchantPendingClearing, ChannelPendingClearing)),
            Self::DifferenceSuspended | Self::DifferenceBalanced | Self::ChannelSettles => None,
        }
    }
}

closed_set! {
    /// 收, 付, 转: receipt, payment, transfer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum VoucherType {
        Receipt = 1 => "receipt",
        Payment = 2 => "payment",
        Transfer = 3 => "transfer",
    }
}

closed_set! {
    /// Debit or credit.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum PostingSide {
        Debit = 1 => "debit",
        Credit = 2 => "credit",
    }
}

/// One posting of a voucher: a debit or a credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub side: PostingSide,
    pub account: String,
    /// Never zero; negative in a red-letter voucher, which takes an earlier one back.
    pub amount_minor: i64,
}

closed_set! {
    /// Where an accounting request stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum DeliveryStatus {
        /// Not acknowledged yet; a worker sends it when it is due.
        Owed = 1 => "owed",
        Acknowledged = 2 => "acknowledged",
        /// Refused by the receiver; an operator must look.
        Parked = 3 => "parked",
        /// Refused by the receiver, and given up by an operator with the order that waited for it.
        /// If a try of it is unanswered, its red letter is owed.
        Withdrawn = 4 => "withdrawn",
    }
}

impl DeliveryStatus {
    /// Whether later requests of the chain may go.
    pub const fn lets_others_pass(self) -> bool {
        match self {
            Self::Acknowledged | Self::Withdrawn => true,
            Self::Owed | Self::Parked => false,
        }
    }
}

/// How far the delivery of something owed to another system has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub due_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    /// The receiver's last answer, shortened; for operators.
    pub last_error: Option<String>,
    /// A try may have left whose end is not known: the receiver may have taken it, whatever it
    /// answers to a later one. A request that must be booked first is marked before it leaves.
    pub unanswered: bool,
    /// Counts the writes of its row, from 1.
    pub version: u32,
}

impl Delivery {
    pub fn owed(now: Timestamp) -> Self {
        Self {
            status: DeliveryStatus::Owed,
            tries: 0,
            due_at: now,
            acknowledged_at: None,
            last_error: None,
            unanswered: false,
            version: 1,
        }
    }

    /// Makes the delivery owed again and due now, whatever its state was.
    pub fn retry(&mut self, now: Timestamp) {
        self.status = DeliveryStatus::Owed;
        self.acknowledged_at = None;
        self.due_at = now;
        self.version += 1;
    }
}

/// Names an accounting request: the document at the root of its chain (a payment, a difference, a
/// settlement: their numbers come from one sequence), and a number within it.
///
/// Requests of one chain are delivered in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub chain: OrderId,
    /// From 1.
    pub sequence: u16,
}

impl RequestId {
    /// Reads `<19 digits>-<sequence>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (chain, sequence) = text.split_once('-')?;
        let fits = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = fits.then(|| sequence.parse().ok()).flatten()?;
        Some(Self { chain: OrderId::parse(chain)?, sequence })
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.chain, self.sequence)
    }
}

/// The source document (原始凭证) that a voucher names (S8, S9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceDocument {
    /// A channel's success, by our number there and by the channel's own.
    Order {
        /// The order whose success or release is booked.
        order: OrderId,
        channel_order_no: ChannelOrderNo,
        channel_reference: Option<String>,
        merchant_id: MerchantId,
    },
    /// A difference between a channel's statement and our records.
    Difference {
        difference: DifferenceId,
        /// The owner of the money, once known.
        merchant_id: Option<MerchantId>,
    },
    /// Money that the bank has received from a channel.
    Settlement { settlement: SettlementId, bank_reference: String },
}

/// One booking for accounting: a voucher with its source document and its postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountingRequest {
    pub id: RequestId,
    pub event: BookingEvent,
    pub voucher: VoucherType,
    pub channel: ChannelId,
    pub source: SourceDocument,
    pub currency: Currency,
    pub postings: Vec<Posting>,
    pub business_date: BusinessDate,
    pub created_at: Timestamp,
    pub delivery: Delivery,
}

/// The facts of a request beside its source document.
pub struct Booking<'a> {
    pub id: RequestId,
    pub order: OrderId,
    pub event: BookingEvent,
    pub amount: AmountMinor,
    /// The part of a refund or void that the company's transitional account bears, since it was
    /// still in escrow; zero for every other event.
    pub from_escrow_minor: i64,
    pub names: &'a AccountNames,
    pub now: Timestamp,
}

/// What the voucher of an order's booking names.
pub struct BookedOrder<'a> {
    pub channel: &'a ChannelId,
    pub channel_order_no: ChannelOrderNo,
    pub channel_reference: Option<&'a String>,
    pub merchant_id: &'a MerchantId,
    /// What it carries: a booking is of the whole or a part.
    pub amount: AmountMinor,
    pub currency: Currency,
    pub business_date: BusinessDate,
}

impl<'a> From<&'a Transaction> for BookedOrder<'a> {
    fn from(of: &'a Transaction) -> Self {
        Self {
            channel: &of.channel,
            channel_order_no: of.channel_order_no,
            channel_reference: of.channel_reference.as_ref(),
            merchant_id: &of.merchant_id,
            amount: of.amount,
            currency: of.currency,
            business_date: of.clearing_date,
        }
    }
}

/// The balanced request for one event of a transaction, or of an order that is booked before it has
/// one (I-7).
pub fn request<'a>(booking: &Booking<'_>, source: impl Into<BookedOrder<'a>>) -> AccountingRequest {
    let source = source.into();
    assert!(booking.amount <= source.amount, "I-8: never more is booked than the source carries");
    let (debit, credit) = booking.event.rule().expect("I-7: an order's event has its rule");
    assert!(debit != credit, "I-7: a voucher moves something between two accounts");
    let sign = if booking.event.is_red_letter() { -1 } else { 1 };
    let merchant = Some(source.merchant_id);
    let posting = |side, account, minor: i64| Posting {
        side,
        account: booking.names.name(account, source.channel, merchant, source.currency),
        amount_minor: sign * minor,
    };
    let (whole, escrow) = (booking.amount.get(), booking.from_escrow_minor);
    assert!((0..=whole).contains(&escrow), "I-8: a part comes out of escrow");
    let lines = [
        posting(PostingSide::Debit, debit, whole - escrow),
        posting(PostingSide::Debit, Account::CompanyTransitional, escrow),
        posting(PostingSide::Credit, credit, whole),
    ];
    AccountingRequest {
        id: booking.id,
        event: booking.event,
        voucher: booking.event.voucher(),
        channel: source.channel.clone(),
        source: SourceDocument::Order {
            order: booking.order,
            channel_order_no: source.channel_order_no,
            channel_reference: source.channel_reference.cloned(),
            merchant_id: source.merchant_id.clone(),
        },
        currency: source.currency,
        postings: lines.into_iter().filter(|line| line.amount_minor != 0).collect(),
        business_date: source.business_date,
        created_at: booking.now,
        delivery: Delivery::owed(booking.now),
    }
}

/// A posting of a voucher that no order's rule gives: positive minor units are a debit, negative
/// ones a credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountChange {
    pub account: Account,
    pub minor: i64,
}

/// The facts of a voucher about a difference or a settlement beside its postings.
pub struct VoucherHead<'a> {
    pub id: RequestId,
    pub event: BookingEvent,
    pub channel: &'a ChannelId,
    pub source: SourceDocument,
    pub currency: Currency,
    pub business_date: BusinessDate,
    pub names: &'a AccountNames,
    pub now: Timestamp,
}

/// The request that books changes of accounts, which must balance (I-7); empty changes are left
/// out. `None` if nothing is left to book.
pub fn voucher_of(head: VoucherHead<'_>, changes: &[AccountChange]) -> Option<AccountingRequest> {
    let sum: i64 = changes.iter().map(|change| change.minor).sum();
    assert_eq!(sum, 0, "I-7: a voucher balances");
    let merchant = match &head.source {
        SourceDocument::Order { merchant_id, .. } => Some(merchant_id),
        SourceDocument::Difference { merchant_id, .. } => merchant_id.as_ref(),
        SourceDocument::Settlement { .. } => None,
    };
    let posting = |change: &AccountChange| Posting {
        side: if change.minor > 0 { PostingSide::Debit } else { PostingSide::Credit },
        account: head.names.name(change.account, head.channel, merchant, head.currency),
        amount_minor: change.minor.abs(),
    };
    let postings: Vec<Posting> =
        changes.iter().filter(|change| change.minor != 0).map(posting).collect();
    (!postings.is_empty()).then(|| AccountingRequest {
        id: head.id,
        event: head.event,
        voucher: head.event.voucher(),
        channel: head.channel.clone(),
        source: head.source,
        currency: head.currency,
        postings,
        business_date: head.business_date,
        created_at: head.now,
        delivery: Delivery::owed(head.now),
    })
}

impl AccountingRequest {
    /// The order whose success or release it books, if it is about one.
    pub const fn order(&self) -> Option<OrderId> {
        match &self.source {
            SourceDocument::Order { order, .. } => Some(*order),
            SourceDocument::Difference { .. } | SourceDocument::Settlement { .. } => None,
        }
    }

    /// The merchant that it concerns, if it concerns one.
    pub const fn merchant_id(&self) -> Option<&MerchantId> {
        match &self.source {
            SourceDocument::Order { merchant_id, .. } => Some(merchant_id),
            SourceDocument::Difference { merchant_id, .. } => merchant_id.as_ref(),
            SourceDocument::Settlement { .. } => None,
        }
    }

    /// Debits less credits, which a request in the books has at zero (I-7).
    pub fn imbalance_minor(&self) -> i64 {
        let signed = |posting: &Posting| match posting.side {
            PostingSide::Debit => posting.amount_minor,
            PostingSide::Credit => -posting.amount_minor,
        };
        self.postings.iter().map(signed).sum()
    }
}
