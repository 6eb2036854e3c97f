//! The money of a difference, and how suspense holds it.

use crate::domain::books::accounting::{Account, AccountChange};
use crate::domain::books::difference::{Gap, Remedy};
use crate::domain::books::reconcile::{Class, Item};
use crate::domain::money::Currency;

/// The gaps between statement and records: the line less the record, one for each currency that is
/// not even. Agreement has none: a tolerated fee is no gap.
///
/// A record counts whatever its state: a contradicted one was booked against suspense when the
/// claim came, and the channel's pending clearing has it.
pub fn gaps(class: Class, line: Option<&Item>, record: Option<&Item>) -> Vec<Gap> {
    if settles(class) {
        return Vec::new();
    }
    let line = line.map(Item::as_reported);
    let gap = |item: &Item, sign: i64, fee_minor: Option<i64>| Gap {
        currency: item.currency,
        principal_minor: sign * item.amount_minor,
        fee_minor: sign * fee_minor.unwrap_or(0),
    };
    // A fee that one side of a pair does not say is not compared.
    let has_fee = |item: &Item| item.fee_minor.is_some();
    let compared = match (&line, record) {
        (Some(line), Some(record)) => has_fee(line) && has_fee(record),
        (Some(_) | None, Some(_) | None) => true,
    };
    let fee = |item: &Item| item.fee_minor.filter(|_| compared);
    let theirs = line.iter().map(|line| gap(line, 1, fee(line)));
    let ours = record.iter().map(|record| gap(record, -1, fee(record)));
    sum(theirs.chain(ours))
}

/// Whether the class says that no money is between both sides: they have the same, now or in the
/// next days, or lines of the statement come to nothing.
pub const fn settles(class: Class) -> bool {
    class.is_agreement()
        || matches!(class, Class::Shifted | Class::Netted | Class::DuplicateElsewhere)
}

/// The sum by currency, in the order of [`Currency::ALL`]; even ones are left out.
pub fn sum(gaps: impl Iterator<Item = Gap>) -> Vec<Gap> {
    let mut all = [(0_i64, 0_i64); Currency::ALL.len()];
    for gap in gaps {
        let cell = &mut all[gap.currency as usize];
        cell.0 += gap.principal_minor;
        cell.1 += gap.fee_minor;
    }
    let rows = Currency::ALL.into_iter().zip(all);
    rows.filter(|(_, cell)| *cell != (0, 0))
        .map(|(currency, (principal_minor, fee_minor))| Gap {
            currency,
            principal_minor,
            fee_minor,
        })
        .collect()
}

/// The gap of a currency, even if there is none.
pub fn of(gaps: &[Gap], currency: Currency) -> Gap {
    let even = Gap { currency, principal_minor: 0, fee_minor: 0 };
    gaps.iter().find(|gap| gap.currency == currency).copied().unwrap_or(even)
}

/// The sides of suspense for a gap: surplus money is payable, missing money is receivable, and so
/// is a fee that is too high.
const fn in_suspense(gap: &Gap) -> (i64, i64) {
    let (principal, fee) = (gap.principal_minor, gap.fee_minor);
    let receivable = (if principal < 0 { -principal } else { 0 }) + (if fee > 0 { fee } else { 0 });
    let payable = (if principal > 0 { principal } else { 0 }) - (if fee < 0 { fee } else { 0 });
    (receivable, payable)
}

/// The postings that move what is held from one gap to another; empty accounts are left out later.
pub fn change(from: &Gap, to: &Gap) -> [AccountChange; 4] {
    assert_eq!(from.currency, to.currency, "I-7: a voucher has one currency");
    let (old_receivable, old_payable) = in_suspense(from);
    let (receivable, payable) = in_suspense(to);
    let posting = |account, minor| AccountChange { account, minor };
    [
        posting(Account::ChannelPendingClearing, to.principal_minor - from.principal_minor),
        posting(Account::SuspenseReceivable, receivable - old_receivable),
        posting(Account::SuspensePayable, old_payable - payable),
        posting(Account::ChannelFeeCost, from.fee_minor - to.fee_minor),
    ]
}

/// The postings that empty what is held into where a person says that it belongs.
pub fn release(held: &Gap, remedy: Remedy) -> Vec<AccountChange> {
    let even = Gap { currency: held.currency, principal_minor: 0, fee_minor: 0 };
    let back = change(held, &even);
    let account = match remedy {
        Remedy::Channel => return back.to_vec(),
        Remedy::Merchant => Account::MerchantPendingClearing,
        Remedy::FeeCost => Account::ChannelFeeCost,
        Remedy::ProfitOrLoss => Account::DifferenceProfitOrLoss,
        Remedy::Acknowledge => unreachable!("I-7: nothing is held where there is no money"),
    };
    let suspense = |posting: &&AccountChange| match posting.account {
        Account::SuspenseReceivable | Account::SuspensePayable => true,
        Account::ChannelPendingClearing
        | Account::MerchantPendingClearing
        | Account::CompanyTransitional
        | Account::BankReserve
        | Account::ChannelFeeCost
        | Account::DifferenceProfitOrLoss => false,
    };
    let mut postings: Vec<AccountChange> = back.iter().filter(suspense).copied().collect();
    let emptied: i64 = postings.iter().map(|posting| posting.minor).sum();
    postings.push(AccountChange { account, minor: -emptied });
    postings
}
