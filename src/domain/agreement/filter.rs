//! What agreements are looked for by.

use crate::domain::agreement::Agreement;
use crate::domain::ids::{CallerId, MerchantId};

/// What agreements are looked for by; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgreementFilter {
    /// Who has asked for it.
    pub caller: Option<CallerId>,
    pub merchant_id: Option<MerchantId>,
    /// The first six digits of its card.
    pub first_six: Option<String>,
    /// The last four digits of its card.
    pub last_four: Option<String>,
    /// The digest of its whole card number.
    pub pan_digest: Option<u128>,
}

impl AgreementFilter {
    /// Whether an agreement is one that is looked for.
    pub fn takes(&self, agreement: &Agreement) -> bool {
        let asked = &agreement.asked;
        let masked = asked.card.masked.as_str();
        self.caller.as_ref().is_none_or(|caller| asked.caller == *caller)
            && self.merchant_id.as_ref().is_none_or(|merchant| asked.merchant_id == *merchant)
            && self.first_six.as_ref().is_none_or(|digits| masked.starts_with(digits.as_str()))
            && self.last_four.as_ref().is_none_or(|digits| masked.ends_with(digits.as_str()))
            && self.pan_digest.is_none_or(|digest| asked.card.digests.pan == digest)
    }
}
