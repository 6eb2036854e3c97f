//! The accounts that vouchers speak of, and their names in the accounting system.

use crate::domain::closed_set;
use crate::domain::ids::{ChannelId, MerchantId};
use crate::domain::money::Currency;

closed_set! {
    /// The accounts that requests speak of; the settings give their names.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Account {
        ChannelPendingClearing => "channel_pending_clearing",
        MerchantPendingClearing => "merchant_pending_clearing",
        CompanyTransitional => "company_transitional",
        /// Money that we gave, or that a statement lacks, and a channel has not paid: someone owes
        /// it to us.
        SuspenseReceivable => "suspense_receivable",
        /// Money that a channel has paid and that has no owner yet.
        SuspensePayable => "suspense_payable",
        /// 备付金: the money that the bank has really received (S19).
        BankReserve => "bank_reserve",
        /// The fees that channels keep.
        ChannelFeeCost => "channel_fee_cost",
        /// Losses and gains from differences.
        DifferenceProfitOrLoss => "difference_profit_or_loss",
    }
}

impl Account {
    /// Whether every voucher that touches it is about a merchant, so that its name may say whose.
    pub const fn has_merchant(self) -> bool {
        match self {
            Self::MerchantPendingClearing | Self::CompanyTransitional => true,
            Self::ChannelPendingClearing
            | Self::SuspenseReceivable
            | Self::SuspensePayable
            | Self::BankReserve
            | Self::ChannelFeeCost
            | Self::DifferenceProfitOrLoss => false,
        }
    }

    const fn needs_merchant(self) -> bool {
        matches!(self, Self::MerchantPendingClearing)
    }
}

/// The words that are filled in in names of accounts.
const CHANNEL_WORD: &str = "{channel}";
const MERCHANT_WORD: &str = "{merchant}";
const CURRENCY_WORD: &str = "{currency}";
/// Room for a usual name.
const USUAL_NAME_BYTES: usize = 48;

/// Names of the accounts in the accounting system; `{channel}`, `{merchant}` and `{currency}` are
/// filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNames {
    pub channel_pending_clearing: String,
    pub merchant_pending_clearing: String,
    pub company_transitional: String,
    pub suspense_receivable: String,
    pub suspense_payable: String,
    pub bank_reserve: String,
    pub channel_fee_cost: String,
    pub difference_profit_or_loss: String,
}

impl Default for AccountNames {
    fn default() -> Self {
        Self {
            channel_pending_clearing: "channel:{channel}:pending_clearing".to_owned(),
            merchant_pending_clearing: "merchant:{merchant}:pending_clearing".to_owned(),
            company_transitional: "company:transitional".to_owned(),
            suspense_receivable: "company:suspense_receivable:{channel}".to_owned(),
            suspense_payable: "company:suspense_payable:{channel}".to_owned(),
            bank_reserve: "company:bank_reserve:{channel}".to_owned(),
            channel_fee_cost: "company:channel_fee_cost:{channel}".to_owned(),
            difference_profit_or_loss: "company:difference_profit_or_loss:{channel}".to_owned(),
        }
    }
}

impl AccountNames {
    /// The template of an account's name.
    pub fn template(&self, account: Account) -> &str {
        match account {
            Account::ChannelPendingClearing => &self.channel_pending_clearing,
            Account::MerchantPendingClearing => &self.merchant_pending_clearing,
            Account::CompanyTransitional => &self.company_transitional,
            Account::SuspenseReceivable => &self.suspense_receivable,
            Account::SuspensePayable => &self.suspense_payable,
            Account::BankReserve => &self.bank_reserve,
            Account::ChannelFeeCost => &self.channel_fee_cost,
            Account::DifferenceProfitOrLoss => &self.difference_profit_or_loss,
        }
    }

    /// The name of an account. A merchant is needed where [`Account::has_merchant`].
    pub fn name(
        &self,
        account: Account,
        channel: &ChannelId,
        merchant: Option<&MerchantId>,
        currency: Currency,
    ) -> String {
        assert!(merchant.is_some() || !account.needs_merchant(), "I-7: whose account it is");
        let merchant = merchant.map_or("", MerchantId::as_str);
        let mut name = String::with_capacity(USUAL_NAME_BYTES);
        let mut rest = self.template(account);
        // Filled in from left to right in one go: words that were filled in are not looked at
        // again.
        while let Some(at) = rest.find('{') {
            name.push_str(&rest[..at]);
            rest = &rest[at..];
            let words = [
                (CHANNEL_WORD, channel.as_str()),
                (MERCHANT_WORD, merchant),
                (CURRENCY_WORD, currency.name()),
            ];
            let word = words.into_iter().find(|(word, _)| rest.starts_with(word));
            let (word, value) = word.unwrap_or(("{", "{"));
            name.push_str(value);
            rest = &rest[word.len()..];
        }
        name.push_str(rest);
        name
    }
}

/// The first word in braces that no name knows, or a brace that stands alone; as it stands there.
pub fn unknown_word(template: &str) -> Option<&str> {
    let mut rest = template;
    // Ends with the text: each round goes past one brace.
    while let Some(at) = rest.find(['{', '}']) {
        rest = &rest[at..];
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        let word = &rest[..end];
        if ![CHANNEL_WORD, MERCHANT_WORD, CURRENCY_WORD].contains(&word) {
            return Some(word);
        }
        rest = &rest[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_once_and_unknown_words_are_found() {
        let names = AccountNames {
            merchant_pending_clearing: "{currency}/{merchant}@{channel}/{currency}".to_owned(),
            ..AccountNames::default()
        };
        let channel = ChannelId::from_stored("bank");
        let name = |account, merchant: Option<&str>| {
            let merchant = merchant.map(MerchantId::from_stored);
            names.name(account, &channel, merchant.as_ref(), Currency::Hkd)
        };
        assert_eq!(name(Account::MerchantPendingClearing, Some("m-1")), "HKD/m-1@bank/HKD");
        // A merchant is called what the core calls it.
        let odd = name(Account::MerchantPendingClearing, Some("{channel}"));
        assert_eq!(odd, "HKD/{channel}@bank/HKD");
        assert_eq!(name(Account::BankReserve, None), "company:bank_reserve:bank");
        for account in Account::ALL {
            assert_eq!(unknown_word(AccountNames::default().template(account)), None);
        }
        for (template, word) in [
            ("a:{shop}:{channel}", Some("{shop}")),
            ("a:{channel", Some("{channel")),
            ("a}:{channel}", Some("}")),
            ("{{channel}}", Some("{{channel}")),
            ("{channel}{merchant}{currency}", None),
            ("plain", None),
        ] {
            assert_eq!(unknown_word(template), word, "{template}");
        }
    }
}
