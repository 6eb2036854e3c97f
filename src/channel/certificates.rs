//! The certificates that channels and listeners work with, and how long each still holds: told
//! before a payment finds out.

use crate::codec::certificate::Certificate;
use crate::domain::closed_set;
use crate::domain::time::Timestamp;

/// From so many days before its end on, a certificate is warned of.
pub const WARNED_OF_DAYS: i64 = 30;
const DAY_S: i64 = 24 * 60 * 60;

closed_set! {
    /// The use of a certificate. A closed set: it is a label of the metric.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum CertificateUse {
        /// Ours, with which requests are signed.
        Signing => "signing",
        /// Theirs, for which card data is encrypted.
        Encryption => "encryption",
        /// The top of the chain under which they sign.
        Root => "root",
        /// Between the root and the signer.
        Intermediate => "intermediate",
        /// A signer of theirs that was believed; it holds as long as the whole chain above it does.
        Signer => "signer",
        /// A root that their TLS certificate must chain to (`tls_roots`).
        Tls => "tls",
        /// Ours, which a channel asks to see (`tls_identity`).
        Client => "client",
        /// Ours, which a listener shows; it holds as long as the whole chain does.
        Server => "server",
        /// An authority that callers' certificates must lead to.
        ClientRoot => "client_root",
    }
}

/// One certificate, and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateTerm {
    pub usage: CertificateUse,
    /// In decimal, as UnionPay's `certId` has it.
    pub serial: String,
    /// The first and the last second of validity, since 1970 (UTC).
    pub valid_from_s: i64,
    pub valid_until_s: i64,
}

/// How a certificate stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    Holds,
    /// The certificate ends within [`WARNED_OF_DAYS`].
    EndsSoon {
        days: i64,
    },
    Ended,
    NotYet,
}

impl CertificateState {
    /// The stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::EndsSoon { .. } => "ends_soon",
            Self::Ended => "ended",
            Self::NotYet => "not_yet",
        }
    }
}

impl CertificateTerm {
    pub fn of(usage: CertificateUse, certificate: &Certificate) -> Self {
        Self {
            usage,
            serial: certificate.serial_decimal().to_owned(),
            valid_from_s: certificate.valid_from_s(),
            valid_until_s: certificate.valid_until_s(),
        }
    }

    /// Whole days until its end; negative after it.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.valid_until_s - now.as_millis() / 1_000).div_euclid(DAY_S)
    }

    pub fn standing(&self, now: Timestamp) -> CertificateState {
        let now_s = now.as_millis() / 1_000;
        match self.days_left(now) {
            _ if now_s > self.valid_until_s => CertificateState::Ended,
            _ if now_s < self.valid_from_s => CertificateState::NotYet,
            days if days < WARNED_OF_DAYS => CertificateState::EndsSoon { days },
            _ => CertificateState::Holds,
        }
    }

    /// The warning for a person; `None` while the certificate holds.
    pub fn complaint(&self, now: Timestamp) -> Option<String> {
        let (usage, serial) = (self.usage.name(), &self.serial);
        let until = Timestamp::from_millis(self.valid_until_s.saturating_mul(1_000));
        let date = until.civil(&jiff::tz::TimeZone::UTC).date();
        match self.standing(now) {
            CertificateState::Holds => None,
            CertificateState::EndsSoon { days } => Some(format!(
                "the {usage} certificate with serial number {serial} ends in {days} days, on {date}"
            )),
            CertificateState::Ended => {
                Some(format!("the {usage} certificate with serial number {serial} ended on {date}"))
            }
            CertificateState::NotYet => Some(format!(
                "the {usage} certificate with serial number {serial} is not valid yet"
            )),
        }
    }
}

/// The configured roots of a channel's TLS. What cannot be read is told by whoever builds with it.
pub fn tls_roots(pems: &[String]) -> Vec<CertificateTerm> {
    let certificates = pems.iter().filter_map(|pem| Certificate::all_from_pem(pem).ok());
    certificates.flatten().map(|one| CertificateTerm::of(CertificateUse::Tls, &one)).collect()
}

/// The certificate that we show a channel; the first of its text, above which its chain stands.
pub fn tls_client(pem: &str) -> Option<CertificateTerm> {
    let all = Certificate::all_from_pem(pem).ok()?;
    all.first().map(|one| CertificateTerm::of(CertificateUse::Client, one))
}

/// For each use, the certificate that holds longest: certificates overlap while one replaces
/// another, and what counts is when the last of them is over.
pub fn longest(terms: &[CertificateTerm]) -> Vec<&CertificateTerm> {
    let of = |usage| terms.iter().filter(move |term| term.usage == usage);
    let last = |usage| of(usage).max_by_key(|term| term.valid_until_s);
    CertificateUse::ALL.into_iter().filter_map(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn term(usage: CertificateUse, from_s: i64, until_s: i64) -> CertificateTerm {
        let serial = until_s.to_string();
        CertificateTerm { usage, serial, valid_from_s: from_s, valid_until_s: until_s }
    }

    #[test]
    fn a_certificate_is_warned_of_some_weeks_before_its_end() {
        let now = Timestamp::from_millis(NOW * 1_000);
        let rows = [
            (NOW - 9, NOW + WARNED_OF_DAYS * DAY_S, WARNED_OF_DAYS, None),
            (
                NOW - 9,
                NOW + WARNED_OF_DAYS * DAY_S - 1,
                WARNED_OF_DAYS - 1,
                Some("ends in 29 days"),
            ),
            (NOW - 9, NOW, 0, Some("ends in 0 days")),
            (NOW - 9, NOW - 1, -1, Some("ended on 2027-01-15")),
            (NOW + 9, NOW + 900 * DAY_S, 900, Some("not valid yet")),
        ];
        for (from_s, until_s, days, words) in rows {
            let term = term(CertificateUse::Signing, from_s, until_s);
            assert_eq!(term.days_left(now), days);
            let complaint = term.complaint(now);
            assert_eq!(complaint.is_some(), words.is_some(), "{complaint:?}");
            let told = complaint.unwrap_or_default();
            assert!(told.contains(words.unwrap_or_default()), "{told}");
        }
    }

    #[test]
    fn of_each_use_the_one_that_holds_longest_counts() {
        let terms = [
            term(CertificateUse::Signing, 0, 5),
            term(CertificateUse::Signing, 0, 9),
            term(CertificateUse::Root, 0, 7),
        ];
        let found: Vec<i64> = longest(&terms).iter().map(|term| term.valid_until_s).collect();
        assert_eq!(found, [9, 7]);
    }
}
