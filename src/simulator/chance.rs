//! Repeatable chance: every draw comes from a seed, a purpose and a name, never from a clock or the
//! system's randomness, so that one seed plays one history whatever the timing.
//!
//! It is for choosing faults and card answers. It protects nothing and must not make keys.

use std::time::Duration;

/// The unit of [`Chance::hits`]: one whole is ten thousand parts.
pub const PARTS_WHOLE: u16 = 10_000;

/// A span of time to draw from, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationRange {
    pub least: Duration,
    pub most: Duration,
}

impl DurationRange {
    pub const ZERO: Self = Self { least: Duration::ZERO, most: Duration::ZERO };

    /// `least_ms` to `most_ms` milliseconds.
    pub const fn millis(least_ms: u64, most_ms: u64) -> Self {
        Self { least: Duration::from_millis(least_ms), most: Duration::from_millis(most_ms) }
    }
}

/// A stream of draws (splitmix64, started from an FNV-1a hash of its purpose).
pub(super) struct Chance {
    state: u64,
}

impl Chance {
    /// The stream for the `nth` time that `purpose` concerns `name`.
    pub fn of(seed: u64, purpose: &str, name: &str, nth: u32) -> Self {
        Self {
            state: hash(seed, purpose, name) ^ u64::from(nth).wrapping_mul(0x9e6c_63d0_876a_3f6b),
        }
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(end);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits has 64")
    }

    /// Whether an event of `parts` in ten thousand happens.
    pub fn hits(&mut self, parts: u16) -> bool {
        self.below(u64::from(PARTS_WHOLE)) < u64::from(parts)
    }

    /// A duration of whole microseconds; the least one if the span is upside down.
    pub fn between(&mut self, span: DurationRange) -> Duration {
        let width = span.most.saturating_sub(span.least).as_micros();
        let width = u64::try_from(width).unwrap_or(u64::MAX - 1);
        span.least.saturating_add(Duration::from_micros(self.below(width.saturating_add(1))))
    }

    /// One of the choices by its weight. At least one has a weight above zero.
    pub fn weighted<T: Copy>(&mut self, choices: &[(T, u32)]) -> T {
        let whole = choices.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = self.below(whole);
        for (choice, weight) in choices {
            if left < u64::from(*weight) {
                return *choice;
            }
            left -= u64::from(*weight);
        }
        choices[choices.len() - 1].0
    }
}

/// FNV-1a over the seed and both texts, with a byte between them that neither contains.
pub(super) fn hash(seed: u64, purpose: &str, name: &str) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = seed.to_le_bytes();
    let pieces = [&bytes[..], purpose.as_bytes(), &[0xff], name.as_bytes()];
    for byte in pieces.into_iter().flatten() {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_draws_one_history_and_another_draws_its_own() {
        let draws = |seed, name, nth| {
            let mut chance = Chance::of(seed, "fault", name, nth);
            [chance.draw(), chance.draw(), chance.draw()]
        };
        assert_eq!(draws(7, "a", 0), draws(7, "a", 0));
        for other in [draws(8, "a", 0), draws(7, "b", 0), draws(7, "a", 1)] {
            assert_ne!(draws(7, "a", 0), other);
        }
    }

    #[test]
    fn parts_of_ten_thousand_are_kept_within_a_few_percent() {
        let hits = |parts| {
            (0..20_000_u32)
                .filter(|nth| Chance::of(1, "fault", &nth.to_string(), 0).hits(parts))
                .count()
        };
        assert_eq!(hits(0), 0);
        assert_eq!(hits(PARTS_WHOLE), 20_000);
        let five_percent = hits(500);
        assert!((900..1_100).contains(&five_percent), "{five_percent} of 20000");
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut chance = Chance::of(3, "range", "x", 0);
        for _ in 0..1_000 {
            let drawn = chance.between(DurationRange::millis(5, 9));
            assert!((5..=9).contains(&drawn.as_millis()), "{drawn:?}");
            assert!(chance.below(3) < 3);
            assert_eq!(chance.weighted(&[('a', 0), ('b', 4), ('c', 0)]), 'b');
        }
        assert_eq!(chance.below(0), 0);
        assert_eq!(chance.between(DurationRange::millis(9, 5)), Duration::from_millis(9));
    }
}
