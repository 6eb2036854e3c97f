//! What orders are looked for by, and which orders that takes.
//!
//! A store looks at rows by the thousand, so the facts that pass most of them over are read without
//! the rest of the order ([`OrderFacts`]); what is left is decided on the whole.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::domain::ids::{CallerId, ChannelId, MerchantId, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::Currency;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::outcome::Reason;
use crate::domain::time::Timestamp;

/// How far the date of an order's number may lie from the moment in its row: a day, since it never
/// goes back and never goes more than a day beyond what is borne out.
const DATE_MARGIN: Duration = Duration::from_secs(24 * 60 * 60);
/// The years whose orders have numbers of 63 bits.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2091;

/// What orders are looked for by; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Created at this moment or later.
    pub from: Option<Timestamp>,
    /// Created before this moment.
    pub to: Option<Timestamp>,
    pub caller: Option<CallerId>,
    pub status: Option<OrderStatus>,
    /// One of [`OrderKind::NAMES`](crate::domain::order::OrderKind::NAMES).
    pub kind: Option<&'static str>,
    /// A channel that has an attempt of it.
    pub channel: Option<ChannelId>,
    pub merchant_id: Option<MerchantId>,
    /// The least amount, in minor units.
    pub amount_from: Option<i64>,
    /// The greatest amount, in minor units.
    pub amount_to: Option<i64>,
    pub currency: Option<Currency>,
    pub issuer_code: Option<String>,
    /// The first six digits of its card.
    pub first_six: Option<String>,
    /// The last four digits of its card.
    pub last_four: Option<String>,
    /// The digest of its whole card number.
    pub pan_digest: Option<u128>,
    /// The digest of the id of its payee's account.
    pub account_digest: Option<u128>,
    pub reason: Option<Reason>,
    /// A number that somebody else has given it.
    pub number: Option<ForeignNumber>,
}

/// A number that a caller or a channel has given an order: letters, digits and `. _ : / -`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignNumber(String);

/// The fewest characters of a number that is looked for in a channel's words.
pub const FOREIGN_NUMBER_LENGTH_MIN: usize = 4;
/// The most characters of a number that is looked for.
pub const FOREIGN_NUMBER_LENGTH_MAX: usize = 64;

impl ForeignNumber {
    /// `None` where the text is shorter or longer, or has another character.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        let fits = (FOREIGN_NUMBER_LENGTH_MIN..=FOREIGN_NUMBER_LENGTH_MAX).contains(&text.len());
        (fits && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a channel's words have it, with neither a letter nor a digit beside it.
    pub fn is_in(&self, words: &str) -> bool {
        let is_part = |beside: Option<&u8>| beside.is_some_and(u8::is_ascii_alphanumeric);
        words.match_indices(&self.0).any(|(at, found)| {
            let before = at.checked_sub(1).and_then(|at| words.as_bytes().get(at));
            !is_part(before) && !is_part(words.as_bytes().get(at + found.len()))
        })
    }
}

/// The facts of an order that most orders are passed over by.
#[derive(Debug, Clone, Copy)]
pub struct OrderFacts<'order> {
    pub created_at: Timestamp,
    pub status: OrderStatus,
    pub caller: &'order str,
    /// As [`OrderKind::name`](crate::domain::order::OrderKind::name) has it.
    pub kind: &'static str,
    pub merchant_id: &'order str,
    pub amount_minor: i64,
    pub currency: Currency,
    pub masked: Option<&'order str>,
    pub pan_digest: Option<u128>,
    pub account_digest: Option<u128>,
    pub issuer_code: Option<&'order str>,
}

impl<'order> From<&'order Order> for OrderFacts<'order> {
    fn from(order: &'order Order) -> Self {
        let asked = &order.instruction;
        let card = asked.card();
        let account = asked.instrument.as_ref().and_then(InstrumentFacts::account);
        Self {
            created_at: order.created_at,
            status: order.status,
            caller: asked.caller.as_str(),
            kind: asked.kind.name(),
            merchant_id: asked.merchant_id.as_str(),
            amount_minor: asked.amount.get(),
            currency: asked.currency,
            masked: card.map(|card| card.masked.as_str()),
            pan_digest: card.map(|card| card.digests.pan),
            account_digest: account.map(|account| account.digests.id),
            issuer_code: card.and_then(|card| card.row.as_deref()).map(|row| &*row.issuer_code),
        }
    }
}

impl OrderFilter {
    /// Whether the facts of an order are those that are looked for.
    pub fn takes_facts(&self, facts: &OrderFacts<'_>) -> bool {
        fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        let card = |digits: &Option<String>, has: fn(&str, &str) -> bool| {
            let has = |digits: &String| facts.masked.is_some_and(|masked| has(masked, digits));
            digits.as_ref().is_none_or(has)
        };
        self.from.is_none_or(|from| facts.created_at >= from)
            && self.to.is_none_or(|to| facts.created_at < to)
            && is(self.status.as_ref(), Some(&facts.status))
            && is(self.kind, Some(facts.kind))
            && self.amount_from.is_none_or(|least| facts.amount_minor >= least)
            && self.amount_to.is_none_or(|greatest| facts.amount_minor <= greatest)
            && is(self.currency.as_ref(), Some(&facts.currency))
            && is(self.caller.as_ref().map(CallerId::as_str), Some(facts.caller))
            && is(self.merchant_id.as_ref().map(MerchantId::as_str), Some(facts.merchant_id))
            && is(self.pan_digest.as_ref(), facts.pan_digest.as_ref())
            && is(self.account_digest.as_ref(), facts.account_digest.as_ref())
            && is(self.issuer_code.as_deref(), facts.issuer_code)
            && card(&self.first_six, |masked, digits| masked.starts_with(digits))
            && card(&self.last_four, |masked, digits| masked.ends_with(digits))
    }

    /// Whether an order is one that is looked for, as far as it can be told without its
    /// transaction: see [`ForeignNumber::is_in`].
    pub fn takes(&self, order: &Order) -> bool {
        let tried = |channel: &ChannelId| order.attempts.iter().any(|one| one.channel == *channel);
        self.takes_facts(&OrderFacts::from(order))
            && self.reason.is_none_or(|reason| order.reason == Some(reason))
            && self.channel.as_ref().is_none_or(tried)
            && self.number.as_ref().is_none_or(|number| number.names(order))
    }

    /// The numbers among which all of these orders are: the first, and the one behind the last.
    ///
    /// An order that a wrong clock has dated by more than a day may lie outside.
    pub fn id_range(&self) -> (OrderId, OrderId) {
        let from = self.from.map_or(0, |from| first_of_day(from.minus(DATE_MARGIN)));
        let to = self.to.map(|to| first_of_day(to.plus(DATE_MARGIN * 2)));
        (OrderId::from_u64(from), OrderId::from_u64(to.unwrap_or(i64::MAX as u64)))
    }
}

impl ForeignNumber {
    /// Whether its caller, or a channel of an attempt, calls the order so.
    fn names(&self, order: &Order) -> bool {
        let mut attempts = order.attempts.iter();
        order.instruction.caller_order_id.as_str() == self.0
            || attempts.any(|attempt| attempt.channel_reference.as_ref() == Some(&self.0))
    }
}

/// The first number of a day in UTC.
fn first_of_day(moment: Timestamp) -> u64 {
    let date = moment.civil(&TimeZone::UTC).date();
    if date.year() < *YEARS.start() {
        return 0;
    }
    if date.year() > *YEARS.end() {
        return i64::MAX as u64;
    }
    let part = |number: i8| u32::try_from(number).unwrap_or(0);
    let year = u32::try_from(date.year() % 100).unwrap_or(0);
    let yymmdd = year * 10_000 + part(date.month()) * 100 + part(date.day());
    OrderId::compose(yymmdd, 0, 0).as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_whole_in_a_channels_words() {
        let number = |text: &str| ForeignNumber::parse(text).expect("a number");
        assert!(number("1234").is_in("queryId=1234&x=1"));
        assert!(number("1234").is_in("1234"));
        assert!(number("1234").is_in("91234,1234"));
        for words in ["queryId=12345", "a1234", "", "123"] {
            assert!(!number("1234").is_in(words), "{words}");
        }
        for text in ["", "123", "12 34", "订单号码", &"1".repeat(65)] {
            assert_eq!(ForeignNumber::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_bounds_the_numbers_with_a_day_on_both_sides() {
        let at = |text: &str| {
            let moment: jiff::Timestamp = text.parse().expect("a time");
            Some(Timestamp::from_millis(moment.as_millisecond()))
        };
        let range = |from, to| OrderFilter { from, to, ..OrderFilter::default() }.id_range();
        let first = |yymmdd| OrderId::compose(yymmdd, 0, 0);
        let (from, to) = range(at("2026-11-22T08:00:00Z"), at("2026-11-22T09:00:00Z"));
        assert_eq!((from, to), (first(261_121), first(261_124)));
        let last = OrderId::from_u64(i64::MAX as u64);
        assert_eq!(range(None, None), (OrderId::from_u64(0), last));
        assert_eq!(range(at("1970-01-01T00:00:00Z"), at("1999-06-01T00:00:00Z")).1.as_u64(), 0);
        assert_eq!(range(at("2095-01-01T00:00:00Z"), at("9000-01-01T00:00:00Z")), (last, last));
    }
}
