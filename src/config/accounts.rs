//! Reads the names of accounts in the accounting system, for all channels or for one.
//!
//! A name is a template. It upholds that none is filled in wrongly later: unknown words are
//! mistakes, and so is a merchant where a voucher need not have one.

use crate::config::section::Section;
use crate::domain::books::accounting::{Account, AccountNames, unknown_word};

/// Reads a section of account names; what is not said stays as `given`. The caller finishes it.
pub fn read(section: &Section<'_>, given: &AccountNames) -> AccountNames {
    let name = |account: Account| {
        let Some(template) = section.optional_text(account.name()) else {
            return given.template(account).to_owned();
        };
        check(section, account, &template);
        template
    };
    AccountNames {
        channel_pending_clearing: name(Account::ChannelPendingClearing),
        merchant_pending_clearing: name(Account::MerchantPendingClearing),
        company_transitional: name(Account::CompanyTransitional),
        suspense_receivable: name(Account::SuspenseReceivable),
        suspense_payable: name(Account::SuspensePayable),
        bank_reserve: name(Account::BankReserve),
        channel_fee_cost: name(Account::ChannelFeeCost),
        difference_profit_or_loss: name(Account::DifferenceProfitOrLoss),
    }
}

fn check(section: &Section<'_>, account: Account, template: &str) {
    let key = account.name();
    if template.trim().is_empty() {
        section.mistake(key, "an account has a name", "write it, or leave the key out");
    }
    if let Some(word) = unknown_word(template) {
        let problem = format!("has the unknown word {word}");
        section.mistake(key, &problem, "filled in are {channel}, {merchant} and {currency}");
    }
    if template.contains("{merchant}") && !account.has_merchant() {
        let problem = "has {merchant}, and not every voucher of this account has one";
        section.mistake(key, problem, "leave {merchant} out");
    }
}
