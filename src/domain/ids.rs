//! Identifiers as distinct types, so that one cannot stand where another belongs.

use std::fmt;
use std::sync::Arc;

/// Digits of an [`OrderId`] and of the number it is written with.
pub const ORDER_ID_DIGITS: usize = 19;
/// The most orders that a node takes in a second, over a day: a day's sequence has room for them.
pub const ORDERS_PER_SECOND_MAX: u32 = 100_000;
/// The longest order id that a caller may choose, in characters.
pub const CALLER_ORDER_ID_LENGTH_MAX: usize = 64;
/// The longest name of a caller, in characters.
pub const CALLER_ID_LENGTH_MAX: usize = 32;
/// The longest id of a merchant, in characters.
pub const MERCHANT_ID_LENGTH_MAX: usize = 64;
/// The longest id of a channel, in characters.
pub const CHANNEL_ID_LENGTH_MAX: usize = 32;
/// The most attempts one order can have: the channel order number keeps two digits for it.
pub const ATTEMPTS_MAX: u8 = 99;

/// Our number of an order: 19 digits `YYMMDD NNN SSSSSSSSSS` (date, node, sequence).
///
/// Sortable by age, digits only, unique across nodes and restarts because sequences come from
/// leased segments (requirements S31, S32). The number fits in 64 bits until the year 2092.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u64);

impl OrderId {
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// `yymmdd` 0 to 999999, `node` 0 to 999, `sequence` 0 to 9,999,999,999.
    pub const fn compose(yymmdd: u32, node: u16, sequence: u64) -> Self {
        assert!(yymmdd <= 999_999 && node <= 999 && sequence <= 9_999_999_999);
        Self((yymmdd as u64 * 1_000 + node as u64) * 10_000_000_000 + sequence)
    }

    /// The date that it was made of, 0 to 999999.
    pub const fn yymmdd(self) -> u32 {
        (self.0 / 10_000_000_000_000 % 1_000_000) as u32
    }

    /// The node that made it, 0 to 999.
    pub const fn node(self) -> u16 {
        (self.0 / 10_000_000_000 % 1_000) as u16
    }

    /// Its place in the day and node's sequence.
    pub const fn sequence(self) -> u64 {
        self.0 % 10_000_000_000
    }

    /// Reads exactly 19 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == ORDER_ID_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        put_digits::<ORDER_ID_DIGITS>(formatter, self.0)
    }
}

/// The number under which a channel knows one attempt: the order id and two digits of the attempt.
///
/// 21 digits; UnionPay takes 8 to 40 letters and digits. Since it is made of the order id, a notice
/// or a statement line finds its order without an index, and both ways of the mapping (requirement
/// S34) last as long as the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelOrderNo {
    pub order: OrderId,
    /// 1 to 99.
    pub attempt: u8,
}

impl ChannelOrderNo {
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != ORDER_ID_DIGITS + 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let order = OrderId::parse(&text[..ORDER_ID_DIGITS])?;
        let attempt = text[ORDER_ID_DIGITS..].parse().ok()?;
        (1..=ATTEMPTS_MAX).contains(&attempt).then_some(Self { order, attempt })
    }
}

impl fmt::Display for ChannelOrderNo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.order.fmt(formatter)?;
        put_digits::<2>(formatter, self.attempt.into())
    }
}

/// Writes a number with zeros before it where it has fewer digits; every answer and every request
/// has several of them, and the ways of `std::fmt` to fill a number up are many.
fn put_digits<const N: usize>(formatter: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    let mut digits = [b'0'; N];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    match std::str::from_utf8(&digits) {
        Ok(text) if rest == 0 => formatter.write_str(text),
        // It has more digits.
        _ => write!(formatter, "{number}"),
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 19 digits of the sequence that orders have theirs from, so that no two documents that
        /// accounting hears of share a number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(OrderId);

        impl $name {
            /// Makes it of a number that no order has.
            pub const fn of(number: OrderId) -> Self {
                Self(number)
            }

            /// The number as the root of a chain of accounting requests.
            pub const fn chain(self) -> OrderId {
                self.0
            }

            pub const fn from_u64(value: u64) -> Self {
                Self(OrderId::from_u64(value))
            }

            pub const fn as_u64(self) -> u64 {
                self.0.as_u64()
            }

            /// Reads exactly 19 digits.
            pub fn parse(text: &str) -> Option<Self> {
                OrderId::parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number_id!(
    /// The number of a reconciliation batch (对账批次).
    BatchId
);
number_id!(
    /// The number of a difference (差错).
    DifferenceId
);
number_id!(
    /// The number of a channel's settlement.
    SettlementId
);
number_id!(
    /// The number of a card verification.
    VerificationId
);
number_id!(
    /// The number of an agreement (协议).
    AgreementId
);
number_id!(
    /// The number of a request for a second person (复核申请).
    ApprovalId
);

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {max} characters")]
    TooLong { max: usize },
    #[error("only letters, digits and . _ : - are allowed")]
    Character,
}

fn check(text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong { max });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if text.bytes().all(allowed) { Ok(()) } else { Err(IdError::Character) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text, $max)?;
                Ok(Self(text.into()))
            }

            /// Takes back what `parse` once accepted and the store kept.
            pub fn from_stored(text: &str) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The name of an API key's owner in the settings. At most 32 characters.
    CallerId,
    CALLER_ID_LENGTH_MAX
);
text_id!(
    /// The caller's own number of an order, unique for that caller. At most 64 characters.
    CallerOrderId,
    CALLER_ORDER_ID_LENGTH_MAX
);
text_id!(
    /// The merchant that the payment is for, in the core's words. At most 64 characters.
    MerchantId,
    MERCHANT_ID_LENGTH_MAX
);
text_id!(
    /// The name of a channel: its file's name without `.toml`. At most 32 characters.
    ChannelId,
    CHANNEL_ID_LENGTH_MAX
);

/// Each queue of due rows has so many shards. More nodes than that share no queue.
pub const SHARDS: u8 = 64;

/// A set of a queue's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shards(u64);

impl Shards {
    pub const EVERY: Self = Self(u64::MAX);
    pub const NONE: Self = Self(0);

    /// The shard of an order, or of another number of that sequence. Sequences count up, so that
    /// orders fall evenly on all shards.
    pub const fn of(id: OrderId) -> u8 {
        (id.as_u64() % SHARDS as u64) as u8
    }

    /// The set with this shard, 0 to 63, in it.
    #[must_use]
    pub const fn with(self, shard: u8) -> Self {
        Self(self.0 | 1 << (shard % SHARDS))
    }

    pub const fn has(self, id: OrderId) -> bool {
        self.0 >> Self::of(id) & 1 == 1
    }

    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..SHARDS).filter(move |shard| self.0 >> shard & 1 == 1)
    }
}

/// A merchant's category: the four digits of ISO 18245 (MCC), for instance 5411 for groceries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MerchantCategory(u16);

impl MerchantCategory {
    /// Reads exactly four digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse().ok().map(Self)).flatten()
    }

    /// Takes back what [`Self::number`] gave; `None` above 9999.
    pub const fn from_number(number: u16) -> Option<Self> {
        if number <= 9_999 { Some(Self(number)) } else { None }
    }

    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for MerchantCategory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_category_is_four_digits() {
        let hospital = MerchantCategory::parse("0742").expect("four digits");
        assert_eq!((hospital.number(), hospital.to_string().as_str()), (742, "0742"));
        assert_eq!(MerchantCategory::from_number(742), Some(hospital));
        assert_eq!(MerchantCategory::from_number(10_000), None);
        for text in ["", "742", "07420", "+742", "074x", "\u{664}742"] {
            assert_eq!(MerchantCategory::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_order_id_is_sortable_digits() {
        let first = OrderId::compose(261_122, 1, 9);
        let second = OrderId::compose(261_122, 1, 10);
        assert_eq!(first.to_string(), "2611220010000000009");
        assert!(first < second && first.to_string() < second.to_string());
        assert_eq!(OrderId::parse(&first.to_string()), Some(first));
        assert_eq!(OrderId::parse("261122001000000000"), None);
        assert_eq!(OrderId::parse("+611220010000000009"), None);
        let far = OrderId::compose(921_231, 999, 9_999_999_999);
        assert_eq!(OrderId::parse(&far.to_string()), Some(far));
    }

    #[test]
    fn a_channel_order_number_maps_both_ways() {
        let number = ChannelOrderNo { order: OrderId::compose(10_203, 0, 7), attempt: 2 };
        assert_eq!(number.to_string(), "010203000000000000702");
        assert_eq!(ChannelOrderNo::parse("010203000000000000702"), Some(number));
        assert_eq!(ChannelOrderNo::parse("010203000000000000700"), None);
        assert_eq!(ChannelOrderNo::parse("01020300000000000070x"), None);
        assert_eq!(ChannelOrderNo::parse(""), None);
    }

    #[test]
    fn a_caller_order_id_is_short_and_plain() {
        assert!(CallerOrderId::parse("A-1_b.c:9").is_ok());
        assert_eq!(CallerOrderId::parse(""), Err(IdError::Empty));
        assert_eq!(CallerOrderId::parse("a b"), Err(IdError::Character));
        assert_eq!(CallerOrderId::parse("订单"), Err(IdError::Character));
        assert_eq!(CallerOrderId::parse(&"x".repeat(65)), Err(IdError::TooLong { max: 64 }));
    }

    #[test]
    fn every_order_is_in_one_shard() {
        let (even, odd) = (0..SHARDS).fold((Shards::NONE, Shards::NONE), |(even, odd), shard| {
            if shard % 2 == 0 { (even.with(shard), odd) } else { (even, odd.with(shard)) }
        });
        assert_eq!((even.iter().count(), odd.iter().count()), (32, 32));
        let mut of_even = 0;
        for sequence in 1..=6_400 {
            let id = OrderId::compose(261_129, 7, sequence);
            assert!(even.has(id) != odd.has(id) && Shards::EVERY.has(id) && !Shards::NONE.has(id));
            of_even += usize::from(even.has(id));
        }
        assert_eq!(of_even, 3_200);
        assert_eq!(Shards::EVERY.iter().count(), 64);
    }
}
