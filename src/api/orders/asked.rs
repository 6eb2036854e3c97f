//! The questions about orders, read from a query or a body: the same fields in both, but for the
//! whole card number, which has no place in a URL (I-11).

use std::borrow::Cow;

use http::Uri;

use crate::api::ApiState;
use crate::api::auth::Seat;
use crate::api::error::ApiError;
use crate::api::input::forms::ISSUER_CODE_LENGTH_MAX;
use crate::api::input::json::{Json, JsonFields};
use crate::api::input::order;
use crate::api::input::query::Query;
use crate::domain::card::CardInput;
use crate::domain::card::words::CardEcho;
use crate::domain::ids::{CallerId, ChannelId, MerchantId, OrderId};
use crate::domain::money::Currency;
use crate::domain::order::{OrderKind, OrderStatus};
use crate::domain::order_filter::OrderFilter;
use crate::domain::outcome::Reason;
use crate::domain::time::Timestamp;

use super::shown_caller;

/// What is looked for, and which page of it.
pub struct OrderQuestion {
    pub filter: OrderFilter,
    /// The `next` of the page before.
    pub after: Option<OrderId>,
    pub limit: usize,
}

/// One field's value as text, and the refusal of it.
pub trait GivenFields {
    fn take(&mut self, name: &'static str) -> Result<Option<Cow<'_, str>>, ApiError>;

    fn refuse(&self, name: &'static str, detail: &'static str) -> ApiError;

    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let value = self.take(name)?.map(|text| parse(&text));
        value.map(|read| read.ok_or_else(|| self.refuse(name, expected))).transpose()
    }
}

impl GivenFields for Query<'_> {
    fn take(&mut self, name: &'static str) -> Result<Option<Cow<'_, str>>, ApiError> {
        Ok(self.text(name))
    }

    fn refuse(&self, name: &'static str, detail: &'static str) -> ApiError {
        Query::invalid(name, detail)
    }
}

impl GivenFields for JsonFields<'_> {
    /// A whole number is as good as its digits.
    fn take(&mut self, name: &'static str) -> Result<Option<Cow<'_, str>>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(Json::Integer(number)) => Ok(Some(number.to_string().into())),
            Some(_) => Err(self.invalid(name, "a string or a whole number is expected")),
        }
    }

    fn refuse(&self, name: &'static str, detail: &'static str) -> ApiError {
        self.invalid(name, detail)
    }
}

impl OrderQuestion {
    /// Of `GET /v1/orders`.
    pub fn of_query(state: &ApiState, seat: &Seat, uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri);
        let filter = filter(state, seat, &mut query)?;
        let (after, limit) = query.page(ORDER_ID, OrderId::parse)?;
        Ok(Self { filter, after, limit })
    }

    /// Of `GET /v1/orders/find`, whose number has been taken.
    pub fn of_find(state: &ApiState, seat: &Seat, mut query: Query<'_>) -> Result<Self, ApiError> {
        let (from, to) = times(&mut query)?;
        let caller = asked_caller(state, seat, &mut query)?;
        let (after, limit) = query.page(ORDER_ID, OrderId::parse)?;
        Ok(Self { filter: OrderFilter { from, to, caller, ..Default::default() }, after, limit })
    }

    /// Of `POST /v1/orders/search`.
    pub fn of_body(state: &ApiState, seat: &Seat, body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = JsonFields::parse(body)?;
        let mut filter = filter(state, seat, &mut fields)?;
        if let Some(mut card) = fields.optional_object("card", "card.")? {
            let pan = order::pan(&mut card, &state.settings.luhn_waiver)?;
            card.finish()?;
            let digests = state.engine.vault().digests(&CardInput::of_number(pan));
            filter.pan_digest = Some(digests.pan);
        }
        if let Some(mut payee) = fields.optional_object("payee", "payee.")? {
            let id = payee.required_text("account")?;
            filter.account_digest = Some(state.engine.vault().account_digest(&id));
            payee.finish()?;
        }
        let after = fields.read("after", ORDER_ID, OrderId::parse)?;
        let limit = fields.read("limit", Query::LIMIT, Query::parse_limit)?;
        fields.finish()?;
        Ok(Self { filter, after, limit: limit.unwrap_or(Query::LIMIT_DEFAULT) })
    }
}

const ORDER_ID: &str = "the `next` of a page, 19 digits";
const MOMENT: &str = "a time as 2026-11-22T08:00:00Z, or a date, whose beginning in UTC it is";
const STATUS: &str = "accepted, processing, unknown, succeeded, failed or reversed";
const AMOUNT: &str = "a whole number of minor units";

fn filter(
    state: &ApiState,
    seat: &Seat,
    asked: &mut impl GivenFields,
) -> Result<OrderFilter, ApiError> {
    let (from, to) = times(asked)?;
    let caller = asked_caller(state, seat, asked)?;
    let exact = asked.read("amount", AMOUNT, minor)?;
    let amount_from = asked.read("amount_from", AMOUNT, minor)?;
    let amount_to = asked.read("amount_to", AMOUNT, minor)?;
    if exact.is_some() && (amount_from.is_some() || amount_to.is_some()) {
        return Err(asked.refuse("amount", "it is exact: leave `amount_from` and `amount_to` out"));
    }
    Ok(OrderFilter {
        from,
        to,
        caller,
        status: asked.read("status", STATUS, OrderStatus::parse)?,
        kind: asked.read("kind", "a kind of order", kind)?,
        channel: asked.read("channel", "the id of a channel", plain(state, parse_channel))?,
        merchant_id: asked.read(
            "merchant_id",
            "1 to 64 letters, digits and . _ : -",
            plain(state, |text| MerchantId::parse(text).ok()),
        )?,
        amount_from: amount_from.or(exact),
        amount_to: amount_to.or(exact),
        currency: asked.read("currency", "a currency's three letters", Currency::parse)?,
        issuer_code: asked.read("issuer_code", "an issuer's code", plain(state, issuer_code))?,
        first_six: asked.read("first_six", "a card's first six digits", digits::<6>)?,
        last_four: asked.read("last_four", "a card's last four digits", digits::<4>)?,
        pan_digest: None,
        account_digest: None,
        reason: asked.read("reason", "a reason of an order's end", Reason::parse)?,
        number: None,
    })
}

fn times(asked: &mut impl GivenFields) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    Ok((asked.read("from", MOMENT, Timestamp::parse)?, asked.read("to", MOMENT, Timestamp::parse)?))
}

/// Whose rows are asked for; `None` where everybody's are.
pub fn asked_caller(
    state: &ApiState,
    seat: &Seat,
    asked: &mut impl GivenFields,
) -> Result<Option<CallerId>, ApiError> {
    let parse = plain(state, |text| CallerId::parse(text).ok());
    shown_caller(seat, asked.read("caller", "the name of a caller", parse)?)
}

/// A text in which no card number stands: URLs come to rest in logs of others.
pub fn plain<'s, T>(
    state: &'s ApiState,
    parse: impl Fn(&str) -> Option<T> + 's,
) -> impl Fn(&str) -> Option<T> + 's {
    move |text| {
        state.refuse_card_number("", text, CardEcho::NONE).ok()?;
        parse(text)
    }
}

fn minor(text: &str) -> Option<i64> {
    text.parse().ok().filter(|minor| *minor >= 0)
}

fn kind(text: &str) -> Option<&'static str> {
    OrderKind::NAMES.into_iter().find(|name| *name == text)
}

fn parse_channel(text: &str) -> Option<ChannelId> {
    ChannelId::parse(text).ok()
}

fn issuer_code(text: &str) -> Option<String> {
    let fits = (1..=ISSUER_CODE_LENGTH_MAX).contains(&text.chars().count());
    (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Exactly so many digits.
pub fn digits<const COUNT: usize>(text: &str) -> Option<String> {
    let fits = text.len() == COUNT && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.to_owned())
}
