//! The names of values that are never kept.

/// Names of values that are never kept: without case, `_` and `-`, and without `card` before them.
pub const SECRET_NAMES: [&str; 38] = [
    "cav",
    "cav2",
    "csc",
    "cvc",
    "cvc2",
    "cvn",
    "cvn2",
    "cvv",
    "cvv2",
    "exp",
    "expdate",
    "expired",
    "expiration",
    "expirationdate",
    "expire",
    "expiredate",
    "expires",
    "expiry",
    "expirydate",
    "expmonth",
    "expyear",
    "expirymonth",
    "expiryyear",
    "pin",
    "pinblock",
    "pindata",
    "securitycode",
    "smscode",
    "track",
    "track1",
    "track2",
    "track2data",
    "track3",
    "validdate",
    "validthru",
    "validthrough",
    "安全码",
    "有效期",
];

/// No name of these is longer, with `card` before it and a joint between each two letters.
pub(super) const SECRET_NAME_LENGTH_MAX: usize = 40;

/// Whether a name is that of a value that is never kept.
pub fn is_secret_name(name: &str) -> bool {
    is_secret(name.chars())
}

/// The same of a name whose characters are given.
pub(super) fn is_secret(name: impl Iterator<Item = char>) -> bool {
    let mut plain = String::with_capacity(SECRET_NAME_LENGTH_MAX);
    for letter in name {
        match letter {
            '_' | '-' => {}
            letter if letter.is_ascii() => plain.push(letter.to_ascii_lowercase()),
            letter => plain.extend(letter.to_lowercase()),
        }
    }
    let bare = plain.strip_prefix("card").or(plain.strip_prefix('卡')).unwrap_or(&plain);
    SECRET_NAMES.iter().any(|name| *name == plain || *name == bare)
}

/// Whether a word may be such a name, by its first character: most words of a reply are not, and
/// are not spelled out.
pub(super) const fn may_begin_secret_name(first: char) -> bool {
    matches!(
        first.to_ascii_lowercase(),
        '_' | '-' | 'c' | 'e' | 'p' | 's' | 't' | 'v' | '卡' | '安' | '有'
    )
}
