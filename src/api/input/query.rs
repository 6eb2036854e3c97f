//! A request's query, read key by key: unknown, repeated and unreadable ones are refused.
//!
//! Upholds I-11: a refusal names the key and repeats no value.

use std::borrow::Cow;

use http::{HeaderMap, Uri};

use crate::api::error::{ApiError, ProblemCode, display_name};
use crate::api::language::Language;
use crate::domain::ids::{CallerId, CallerOrderId};
use crate::domain::time::BusinessDate;
use crate::store::PAGE_MAX;

/// The form of a date.
const DATE: &str = "a date YYYY-MM-DD";

/// The pairs of a query that nobody has taken yet.
pub struct Query<'uri> {
    left: Vec<(Cow<'uri, str>, Cow<'uri, str>)>,
}

impl<'uri> Query<'uri> {
    pub fn of(uri: &'uri Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self { left: form_urlencoded::parse(query.as_bytes()).collect() }
    }

    pub fn invalid(name: &str, detail: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::of_field(ProblemCode::InvalidQuery, name.to_owned(), detail)
    }

    /// The value of a key, as it stands.
    pub fn text(&mut self, name: &str) -> Option<Cow<'uri, str>> {
        let place = self.left.iter().position(|(other, _)| other == name)?;
        Some(self.left.remove(place).1)
    }

    /// The value of a key, read by `parse`; `expected` says what it should have been.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Self::invalid(name, expected))
    }

    /// `language`: the one that is named, or else that of the headers.
    pub fn language(&mut self, headers: &HeaderMap) -> Result<Language, ApiError> {
        let named = self.parsed("language", "en or zh", Language::parse)?;
        Ok(named.unwrap_or_else(|| Language::of(headers)))
    }

    /// `order_id`, by which a caller names what it asked for, and `caller`, where it is another
    /// one's. There is nothing else; `needed` says what must be there.
    pub fn callers_id(
        mut self,
        needed: &'static str,
    ) -> Result<(CallerOrderId, Option<CallerId>), ApiError> {
        let parse = |text: &str| CallerOrderId::parse(text).ok();
        let id = self.parsed("order_id", "1 to 64 letters, digits and . _ : -", parse)?;
        let parse = |text: &str| CallerId::parse(text).ok();
        let caller = self.parsed("caller", "the name of a caller", parse)?;
        self.finish()?;
        Ok((id.ok_or_else(|| Self::invalid("order_id", needed))?, caller))
    }

    /// `date`, which must be there.
    pub fn date(&mut self) -> Result<BusinessDate, ApiError> {
        self.optional_date()?.ok_or_else(|| Self::invalid("date", DATE))
    }

    /// `date`, if it is there.
    pub fn optional_date(&mut self) -> Result<Option<BusinessDate>, ApiError> {
        // A text of ten bytes may still hold a character of several, which the domain need not see.
        let parse = |text: &str| text.is_ascii().then(|| BusinessDate::parse(text)).flatten();
        self.parsed("date", DATE, parse)
    }

    /// Rows of a page when the caller names no limit.
    pub const LIMIT_DEFAULT: usize = 100;
    /// The form of a limit.
    pub const LIMIT: &'static str = "a number of 1 to 1000";

    /// A limit: 1 to 1,000 rows.
    pub fn parse_limit(text: &str) -> Option<usize> {
        text.parse().ok().filter(|rows| (1..=PAGE_MAX).contains(rows))
    }

    /// `limit`: 1 to 1,000 rows, 100 if it is not said.
    pub fn limit(&mut self) -> Result<usize, ApiError> {
        let limit = self.parsed("limit", Self::LIMIT, Self::parse_limit)?;
        Ok(limit.unwrap_or(Self::LIMIT_DEFAULT))
    }

    /// The last two keys of a listing: `after`, behind which the page begins, and `limit`.
    pub fn page<T>(
        mut self,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<(Option<T>, usize), ApiError> {
        let page = (self.parsed("after", expected, parse)?, self.limit()?);
        self.finish()?;
        Ok(page)
    }

    /// Refuses what nobody has asked for, and what stands twice.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Self::invalid(&display_name(name), "the key is unknown here, or given twice"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(query: &'static str) -> Result<usize, ProblemCode> {
        let uri = Uri::from_static(query);
        let mut query = Query::of(&uri);
        let limit = query.limit().map_err(|error| error.code())?;
        query.finish().map_err(|error| error.code())?;
        Ok(limit)
    }

    #[test]
    fn a_limit_is_bounded_and_unknown_keys_are_refused() {
        assert_eq!(limit("/x"), Ok(Query::LIMIT_DEFAULT));
        assert_eq!(limit("/x?limit=7"), Ok(7));
        for query in ["/x?limit=0", "/x?limit=1001", "/x?limit=-1", "/x?limit=7&limit=8", "/x?l=1"]
        {
            assert_eq!(limit(query), Err(ProblemCode::InvalidQuery), "{query}");
        }
    }
}
