//! Values that stand in JSON as the text that they show: ids, dates and moments.

use std::fmt::Display;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::domain::time::Timestamp;

/// A value that is written as the text it displays.
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A moment, as RFC 3339 in UTC.
pub struct MomentText(pub Timestamp);

impl Serialize for MomentText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.rfc3339_bytes();
        serializer.serialize_str(std::str::from_utf8(&text).map_err(S::Error::custom)?)
    }
}
