//! Values that stand in JSON as the text that they show: ids, dates and moments.

use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::domain::books::accounting::RequestId;
use crate::domain::closed_set::ClosedSet;
use crate::domain::ids::{
    AgreementId, ApprovalId, BatchId, ChannelOrderNo, DifferenceId, MerchantCategory, OrderId,
    SettlementId, VerificationId,
};
use crate::domain::time::{BusinessDate, Timestamp};

/// A value that is written as the text it displays.
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A moment, as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy)]
pub struct MomentText(pub Timestamp);

impl Serialize for MomentText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.rfc3339_bytes();
        serializer.serialize_str(std::str::from_utf8(&text).map_err(S::Error::custom)?)
    }
}

/// What the text of a value looks like.
pub trait TextForm {
    /// The member of a JSON Schema that says so, and its value.
    const FORM: (&'static str, &'static str);
    const EXAMPLE: &'static str;
}

macro_rules! text_forms {
    ($($type:ty: $member:literal $form:literal $example:literal;)+) => {$(
        impl TextForm for $type {
            const FORM: (&'static str, &'static str) = ($member, $form);
            const EXAMPLE: &'static str = $example;
        }
    )+};
}

text_forms! {
    OrderId: "pattern" "^[0-9]{19}$" "2611220000000000017";
    AgreementId: "pattern" "^[0-9]{19}$" "2611220000000000031";
    ApprovalId: "pattern" "^[0-9]{19}$" "2611220000000000035";
    BatchId: "pattern" "^[0-9]{19}$" "2611220000000000031";
    DifferenceId: "pattern" "^[0-9]{19}$" "2611220000000000032";
    SettlementId: "pattern" "^[0-9]{19}$" "2611220000000000033";
    VerificationId: "pattern" "^[0-9]{19}$" "2611220000000000021";
    ChannelOrderNo: "pattern" "^[0-9]{21}$" "261122000000000001701";
    RequestId: "pattern" "^[0-9]{19}-[0-9]{1,5}$" "2611220000000000017-1";
    MerchantCategory: "pattern" "^[0-9]{4}$" "5411";
    BusinessDate: "format" "date" "2026-11-22";
}

impl<T: TextForm> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (member, form) = T::FORM;
        json_schema!({ "type": "string", member: form, "examples": [T::EXAMPLE] })
    }
}

impl JsonSchema for MomentText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "date-time", "examples": ["2026-11-22T08:00:00.210Z"],
        })
    }
}

/// The form of a field that has the name of one of these values.
pub struct WordForm<S>(PhantomData<S>);

impl<S: ClosedSet> JsonSchema for WordForm<S> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": S::NAMES })
    }
}
