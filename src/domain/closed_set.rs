//! Closed sets: enums whose values have a stable name each.
//!
//! The name is what the API, channel files, logs and metrics call a value. The store has a number.
//! Neither is ever given to another value, and one that is no longer written still reads back.

/// A value that is stored by a number of its own, or by its name where people read along. Zero is
/// left free, so that a blank byte is damage and not a value.
pub trait StoredNumber: Sized + Copy {
    fn number(self) -> u8;

    /// `None` if no value has this number: the stored number is damaged or of a newer version.
    fn from_number(number: u8) -> Option<Self>;

    fn stored_name(self) -> &'static str;

    /// `None` if no value has this name.
    fn from_stored_name(name: &str) -> Option<Self>;
}

/// A set of values with a stable name each.
pub trait ClosedSet {
    /// The names, in the order of the values.
    const NAMES: &'static [&'static str];
}

/// Declares an enum with `ALL` of its values, `name`, `parse` and [`Display`](std::fmt::Display).
///
/// ```text
/// closed_set! {
///     /// Where the light stands.
///     #[derive(Debug, Clone, Copy, PartialEq, Eq)]
///     pub enum Light: (u32) {
///         Red = 1 => "red" (30),
///         Green = 2 => "green" (20),
///     }
/// }
/// ```
///
/// The numbers, all or none, make the values [`StoredNumber`]s. The types behind the name, if
/// any, are those of the facts behind each value, which `facts` gives as a tuple. Two values of one
/// name or number are an unreachable pattern, which the compiler complains of.
macro_rules! closed_set {
    (
        $(#[$meta:meta])*
        $vis:vis enum $set:ident $(: $types:tt)? {
            $(
                $(#[$doc:meta])*
                $value:ident $(= $number:literal)? => $name:literal $(($($fact:expr),+))?,
            )+
        }
    ) => {
        $(#[$meta])*
        $vis enum $set { $($(#[$doc])* $value,)+ }

        #[allow(dead_code, reason = "a set has all of its parts, used or not")]
        impl $set {
            $vis const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            /// The stable name.
            $vis const fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }

            /// The value of a stable name.
            $vis fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$value),)+ _ => None }
            }
        }

        impl $crate::domain::closed_set::ClosedSet for $set {
            const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl std::fmt::Display for $set {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.name())
            }
        }

        $crate::domain::closed_set! { @numbers $set $($value $(= $number)?,)+ }
        $crate::domain::closed_set! { @facts $set $($types)?; $($value $(($($fact),+))?,)+ }
    };
    (@numbers $set:ident $($value:ident,)+) => {};
    (@numbers $set:ident $($value:ident = $number:literal,)+) => {
        const _: () = assert!($($number != 0)&&+, "zero is left free");

        impl $crate::domain::closed_set::StoredNumber for $set {
            fn number(self) -> u8 {
                match self { $(Self::$value => $number,)+ }
            }

            fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$value),)+ _ => None }
            }

            fn stored_name(self) -> &'static str {
                self.name()
            }

            fn from_stored_name(name: &str) -> Option<Self> {
                Self::parse(name)
            }
        }
    };
    (@facts $set:ident; $($value:ident,)+) => {};
    (@facts $set:ident ($($type:ty),+); $($value:ident ($($fact:expr),+),)+) => {
        impl $set {
            const fn facts(self) -> ($($type,)+) {
                match self { $(Self::$value => ($($fact,)+),)+ }
            }
        }
    };
}

pub(crate) use closed_set;

#[cfg(test)]
mod tests {
    use super::StoredNumber;

    closed_set! {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Light: (u32) {
            Red = 1 => "red" (30),
            Green = 3 => "green" (20),
        }
    }

    #[test]
    fn every_value_reads_back_by_its_name_and_its_number() {
        assert_eq!(Light::ALL, [Light::Red, Light::Green]);
        for light in Light::ALL {
            assert_eq!(Light::parse(light.name()), Some(light));
            assert_eq!(Light::from_number(light.number()), Some(light));
        }
        assert_eq!((Light::parse("blue"), Light::from_number(2)), (None, None));
        assert_eq!(format!("{:<6}|", Light::Red), "red   |");
        assert_eq!(Light::Green.facts(), (20,));
    }
}
