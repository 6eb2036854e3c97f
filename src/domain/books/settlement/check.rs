//! The rules: the expected money, whether the receipts equal it, why not, and the booking that
//! follows.

use crate::domain::books::accounting::{
    Account, AccountChange, AccountNames, AccountingRequest, BookingEvent, RequestId,
    SourceDocument, VoucherHead, voucher_of,
};
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::time::{BusinessDate, Timestamp};

use super::{
    BankReceipt, ChannelSettlement, DATES_MAX, RECEIPTS_MAX, RECEIVED_MINOR_MAX, SettledAmounts,
    SettledDate, SettlementState,
};

/// The facts about one clearing date, in the settlement's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFacts {
    pub date: BusinessDate,
    /// The money of the date's statement; `None` while none has been reconciled.
    pub stated: Option<SettledAmounts>,
    /// The part that has been settled.
    pub settled: Option<SettledDate>,
    /// Problems of the statement as a whole, one word each.
    pub problems: Vec<String>,
}

/// A receipt with what it is for, as it was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptSubmission {
    pub channel: ChannelId,
    pub from: BusinessDate,
    pub to: BusinessDate,
    pub currency: Currency,
    pub receipt: BankReceipt,
}

/// Why a receipt is not taken. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettlementRefusal {
    #[error("`to` is before `from`")]
    EndsBeforeItBegins,
    #[error("a settlement has at most {DATES_MAX} clearing dates")]
    TooManyDates,
    #[error("a settlement has at most {RECEIPTS_MAX} receipts")]
    TooManyReceipts,
    #[error("a receipt has at most 15 digits")]
    TooLarge,
    #[error("this bank reference was used before with another `{field}`")]
    Differs { field: &'static str },
}

/// The changes of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementChange {
    /// One version on.
    pub settlement: ChannelSettlement,
    /// The dates that are settled by it, each one version on.
    pub settled: Vec<SettledDate>,
    /// *Channel settles*, if anything moves.
    pub accounting: Option<AccountingRequest>,
}

impl ReceiptSubmission {
    /// The clearing dates that it is for, in order.
    pub fn dates(&self) -> Result<Vec<BusinessDate>, SettlementRefusal> {
        if self.receipt.received_minor.unsigned_abs() > RECEIVED_MINOR_MAX.unsigned_abs() {
            return Err(SettlementRefusal::TooLarge);
        }
        dates(self.from, self.to)
    }
}

impl ChannelSettlement {
    /// The money that the bank has received, over all receipts.
    pub fn received_minor(&self) -> i64 {
        // A hundred of fifteen digits fit in 64 bits.
        self.receipts.iter().map(|receipt| receipt.received_minor).sum()
    }

    /// The clearing dates that it settles, in order.
    pub fn dates(&self) -> Vec<BusinessDate> {
        dates(self.from, self.to).expect("a settlement was opened for a span that fits")
    }

    /// Whether a further receipt for the same dates and currency is added to it.
    pub fn takes(&self, received: &ReceiptSubmission) -> bool {
        self.state == SettlementState::Differs
            && (self.from, self.to, self.currency)
                == (received.from, received.to, received.currency)
    }

    /// Whether both speak of a date and currency that are the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.currency == other.currency && self.from <= other.to && other.from <= self.to
    }
}

fn dates(from: BusinessDate, to: BusinessDate) -> Result<Vec<BusinessDate>, SettlementRefusal> {
    if to < from {
        return Err(SettlementRefusal::EndsBeforeItBegins);
    }
    let mut dates = Vec::new();
    // Bounded by the most dates that are allowed.
    for date in from.civil().series(jiff::Span::new().days(1)) {
        if BusinessDate::new(date) > to {
            break;
        }
        if dates.len() == DATES_MAX {
            return Err(SettlementRefusal::TooManyDates);
        }
        dates.push(BusinessDate::new(date));
    }
    Ok(dates)
}

/// Holds a receipt that came again against what was kept of it: the first field that differs.
pub fn same_content(
    kept: &ChannelSettlement,
    received: &ReceiptSubmission,
) -> Result<(), SettlementRefusal> {
    let reference = &received.receipt.bank_reference;
    let known = kept.receipts.iter().find(|receipt| receipt.bank_reference == *reference);
    let known = known.expect("the settlement was found by this reference");
    let same = |field, same: bool| {
        if same { Ok(()) } else { Err(SettlementRefusal::Differs { field }) }
    };
    same("from", kept.from == received.from)?;
    same("to", kept.to == received.to)?;
    same("currency", kept.currency == received.currency)?;
    same("amount", known.received_minor == received.receipt.received_minor)?;
    same("received_on", known.received_on == received.receipt.received_on)
}

/// The settlement of a first receipt: version 0, not checked yet.
pub fn open(id: SettlementId, received: ReceiptSubmission) -> ChannelSettlement {
    ChannelSettlement {
        id,
        version: 0,
        channel: received.channel,
        from: received.from,
        to: received.to,
        currency: received.currency,
        opened_at: received.receipt.at,
        receipts: vec![received.receipt],
        expected: SettledAmounts::default(),
        state: SettlementState::Differs,
        reasons: Vec::new(),
        agreed_at: None,
        accounting_sequence: 0,
    }
}

/// Adds a further receipt to a settlement that [`ChannelSettlement::takes`] it.
pub fn receive(
    mut settlement: ChannelSettlement,
    receipt: BankReceipt,
) -> Result<ChannelSettlement, SettlementRefusal> {
    assert_eq!(settlement.state, SettlementState::Differs, "what is booked takes no more receipts");
    if settlement.receipts.len() == RECEIPTS_MAX {
        return Err(SettlementRefusal::TooManyReceipts);
    }
    settlement.receipts.push(receipt);
    Ok(settlement)
}

/// The unsettled money of the statements. A date without a statement adds nothing. `None` beyond 64
/// bits.
pub fn expected(dates: &[DateFacts]) -> Option<SettledAmounts> {
    dates.iter().try_fold(SettledAmounts::default(), |sum, facts| sum.plus(remainder_of(facts)?))
}

fn remainder_of(facts: &DateFacts) -> Option<SettledAmounts> {
    let Some(stated) = facts.stated else { return Some(SettledAmounts::default()) };
    stated.less(facts.settled.as_ref().map(|row| row.settled).unwrap_or_default())
}

/// Holds the receipts against what is expected of `dates` now, which are those of the settlement.
///
/// Where both are equal, what is expected is booked and the dates are settled, in one commit with
/// the settlement. `others` are further settlements of the channel that are open: they are named
/// where the receipts do not fit, since their receipts may belong here.
pub fn check(
    mut settlement: ChannelSettlement,
    dates: &[DateFacts],
    others: &[ChannelSettlement],
    names: &AccountNames,
    now: Timestamp,
) -> SettlementChange {
    assert!(!settlement.receipts.is_empty(), "a settlement has a receipt");
    assert!(
        settlement.dates().iter().eq(dates.iter().map(|facts| &facts.date)),
        "a settlement is checked against its own dates"
    );
    settlement.version += 1;
    let Some(left) = expected(dates) else {
        settlement.reasons = vec!["the sums are beyond what can be booked".to_owned()];
        return SettlementChange { settlement, settled: Vec::new(), accounting: None };
    };
    let agreed = match settlement.state {
        SettlementState::Differs => {
            settlement.expected = left;
            let has_statement = dates.iter().any(|facts| facts.stated.is_some());
            has_statement && settlement.received_minor() == left.net_minor
        }
        // A revision that moves something between principal and fee needs no receipt.
        SettlementState::Agreed => left.net_minor == 0,
    };
    if !agreed {
        settlement.reasons = match settlement.state {
            SettlementState::Differs => reasons(&settlement, left, dates, others),
            SettlementState::Agreed => vec![revised(left)],
        };
        return SettlementChange { settlement, settled: Vec::new(), accounting: None };
    }
    if settlement.state == SettlementState::Agreed {
        settlement.expected = settlement.expected.plus(left).unwrap_or(settlement.expected);
    }
    settlement.state = SettlementState::Agreed;
    settlement.agreed_at = settlement.agreed_at.or(Some(now));
    settlement.reasons.clear();
    let accounting = book(&mut settlement, left, names, now);
    let settled = dates.iter().filter_map(|facts| settle(&settlement, facts)).collect();
    SettlementChange { settlement, settled, accounting }
}

/// The row of a date that this settlement settles; `None` if nothing of it is left.
fn settle(settlement: &ChannelSettlement, facts: &DateFacts) -> Option<SettledDate> {
    let stated = facts.stated?;
    let version = match &facts.settled {
        Some(row) if row.settled == stated => return None,
        Some(row) => row.version + 1,
        None => 1,
    };
    Some(SettledDate {
        version,
        channel: settlement.channel.clone(),
        date: facts.date,
        currency: settlement.currency,
        settled: stated,
        by: settlement.id,
    })
}

/// Pending clearing becomes reserve and fee cost (S19); the signs turn where we paid the channel.
fn book(
    settlement: &mut ChannelSettlement,
    left: SettledAmounts,
    names: &AccountNames,
    now: Timestamp,
) -> Option<AccountingRequest> {
    assert_eq!(left.net_minor, left.principal_minor - left.fee_minor, "I-7: a voucher balances");
    let postings = [
        AccountChange { account: Account::BankReserve, minor: left.net_minor },
        AccountChange { account: Account::ChannelFeeCost, minor: left.fee_minor },
        AccountChange { account: Account::ChannelPendingClearing, minor: -left.principal_minor },
    ];
    let last = settlement.receipts.last().expect("a settlement has a receipt");
    let received_on = settlement.receipts.iter().map(|receipt| receipt.received_on).max();
    let sequence = settlement.accounting_sequence + 1;
    let head = VoucherHead {
        id: RequestId { chain: settlement.id.chain(), sequence },
        event: BookingEvent::ChannelSettles,
        channel: &settlement.channel,
        source: SourceDocument::Settlement {
            settlement: settlement.id,
            bank_reference: last.bank_reference.clone(),
        },
        currency: settlement.currency,
        business_date: received_on.unwrap_or(settlement.to),
        names,
        now,
    };
    let request = voucher_of(head, &postings)?;
    settlement.accounting_sequence = sequence;
    Some(request)
}

fn revised(left: SettledAmounts) -> String {
    format!(
        "it is booked; the statements of its dates now say {} more than was settled, to be settled \
         with a receipt of its own",
        left.net_minor
    )
}

/// Why the receipts do not equal the statements, in words that help to find the cause.
fn reasons(
    settlement: &ChannelSettlement,
    left: SettledAmounts,
    dates: &[DateFacts],
    others: &[ChannelSettlement],
) -> Vec<String> {
    let mut reasons = Vec::new();
    let missing = dates.iter().filter(|facts| facts.stated.is_none());
    reasons.extend(missing.map(|facts| format!("no statement of {} is reconciled", facts.date)));
    for facts in dates {
        let problems = facts.problems.iter();
        reasons.extend(problems.map(|problem| {
            format!("the statement of {} has a problem as a whole: {problem}", facts.date)
        }));
    }
    let received = settlement.received_minor();
    let over = i128::from(received) - i128::from(left.net_minor);
    match over {
        0 => {}
        1.. => reasons.push(format!("the bank has received {over} more than is expected")),
        _ => reasons.push(format!("the bank has received {} less than is expected", -over)),
    }
    reasons.extend(cause_of(over, left, dates));
    let open = others.iter().filter(|other| {
        let another = other.id != settlement.id && other.state == SettlementState::Differs;
        another && other.overlaps(settlement)
    });
    reasons.extend(open.map(|other| format!("settlement {} is open for these dates", other.id)));
    reasons
}

/// The usual cause of a difference of this size.
fn cause_of(over: i128, left: SettledAmounts, dates: &[DateFacts]) -> Option<String> {
    if over == 0 {
        return None;
    }
    let fee = i128::from(left.fee_minor);
    if over == fee {
        return Some("the gap equals the fees: the channel may charge them apart".to_owned());
    }
    if over == -fee {
        return Some("the gap equals the fees: the channel may have kept them twice".to_owned());
    }
    let is_date = |facts: &&DateFacts| {
        remainder_of(facts).is_some_and(|left| i128::from(left.net_minor) == -over)
    };
    let date = dates.iter().filter(|_| dates.len() > 1).find(is_date)?;
    Some(format!("the gap equals the money of {}: it may come later", date.date))
}
