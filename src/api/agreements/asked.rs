//! The questions about agreements: by merchant and by card, whose whole number has no place in a
//! URL (I-11).

use crate::api::ApiState;
use crate::api::auth::Seat;
use crate::api::error::ApiError;
use crate::api::input::json::JsonFields;
use crate::api::input::order;
use crate::api::input::query::Query;
use crate::api::orders::asked::{GivenFields, asked_caller, digits, plain};
use crate::domain::agreement::AgreementFilter;
use crate::domain::card::CardInput;
use crate::domain::ids::{AgreementId, MerchantId};

/// What is looked for, and which page of it.
pub struct AgreementQuestion {
    pub filter: AgreementFilter,
    /// The `next` of the page before.
    pub after: Option<AgreementId>,
    pub limit: usize,
}

const AGREEMENT_ID: &str = "the `next` of a page, 19 digits";

impl AgreementQuestion {
    /// Of `GET /v1/agreements`, unless it names nothing to list by: then it is about one, and the
    /// query is given back.
    pub fn of_query<'uri>(
        state: &ApiState,
        seat: &Seat,
        mut query: Query<'uri>,
    ) -> Result<Result<Self, Query<'uri>>, ApiError> {
        let filter = filter(state, &mut query)?;
        if filter == AgreementFilter::default() {
            return Ok(Err(query));
        }
        let caller = asked_caller(state, seat, &mut query)?;
        let (after, limit) = query.page(AGREEMENT_ID, AgreementId::parse)?;
        Ok(Ok(Self { filter: AgreementFilter { caller, ..filter }, after, limit }))
    }

    /// Of `POST /v1/agreements/search`.
    pub fn of_body(state: &ApiState, seat: &Seat, body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = JsonFields::parse(body)?;
        let mut filter = filter(state, &mut fields)?;
        filter.caller = asked_caller(state, seat, &mut fields)?;
        if let Some(mut card) = fields.optional_object("card", "card.")? {
            let pan = order::pan(&mut card, &state.settings.luhn_waiver)?;
            card.finish()?;
            let digests = state.engine.vault().digests(&CardInput::of_number(pan));
            filter.pan_digest = Some(digests.pan);
        }
        let after = fields.read("after", AGREEMENT_ID, AgreementId::parse)?;
        let limit = fields.read("limit", Query::LIMIT, Query::parse_limit)?;
        fields.finish()?;
        Ok(Self { filter, after, limit: limit.unwrap_or(Query::LIMIT_DEFAULT) })
    }
}

fn filter(state: &ApiState, asked: &mut impl GivenFields) -> Result<AgreementFilter, ApiError> {
    let merchant = plain(state, |text| MerchantId::parse(text).ok());
    Ok(AgreementFilter {
        caller: None,
        merchant_id: asked.read("merchant_id", "the core's id of a merchant", merchant)?,
        first_six: asked.read("first_six", "a card's first six digits", digits::<6>)?,
        last_four: asked.read("last_four", "a card's last four digits", digits::<4>)?,
        pan_digest: None,
    })
}
