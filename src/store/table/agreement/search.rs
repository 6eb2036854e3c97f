//! Agreements by what is asked of them, in the order of their ids: a page looks at a bounded number
//! of rows. A merchant's have an index of their own; a card has no key, so the rows are read.

use crate::domain::agreement::{Agreement, AgreementFilter};
use crate::domain::ids::{AgreementId, CallerId, MerchantId, OrderId};
use crate::store::key::order_key;
use crate::store::row::{Table as _, Versioned as _};
use crate::store::sorted::{Scan, SortedRows, StoreResult, onward};
use crate::store::sql::Tables;
use crate::store::sql::read::{Parameter, after_id, field, page_limit, parameter, parameters};
use crate::store::sql::table::SqlTable as _;
use crate::store::{PAGE_MAX, Store, StoreError, StoreRead};

use super::{Agreements, LETTER, merchant_prefix};

/// The most rows that a page looks at.
const LOOKED_MAX: usize = 10_000;

/// A page of agreements, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreementPage {
    pub agreements: Vec<Agreement>,
    /// Where the next page begins behind; `None` where all was looked at.
    pub next: Option<AgreementId>,
}

impl dyn Store + '_ {
    /// Agreements that a filter takes, by id, behind `after`. A page ends when it has `limit`
    /// agreements or has looked at ten thousand; it may be empty and not the last.
    pub fn search_agreements(
        &self,
        filter: AgreementFilter,
        after: Option<AgreementId>,
        limit: usize,
    ) -> StoreRead<'_, AgreementPage> {
        let (after, limit) = (after.map(AgreementId::chain), limit.clamp(1, PAGE_MAX));
        if let Some(tables) = self.tables() {
            return Box::pin(page_of_tables(tables, filter, after, limit));
        }
        self.list(move |rows| page_of(rows, &filter, after, limit))
    }
}

fn page_of(
    rows: SortedRows<'_>,
    filter: &AgreementFilter,
    after: Option<OrderId>,
    limit: usize,
) -> StoreResult<AgreementPage> {
    let prefix = match &filter.merchant_id {
        Some(merchant) => merchant_prefix(merchant.as_str()),
        None => vec![LETTER],
    };
    let last = after.map(|id| [&prefix[..], &order_key(LETTER, id)[1..]].concat());
    let (from, to) = onward(&prefix, last);
    let (mut agreements, mut next, mut looked) = (Vec::new(), None, 0);
    rows.scan(&from, &to, &mut |entry, value| {
        let key = [&[LETTER], entry.get(prefix.len()..).unwrap_or_default()].concat();
        let row = match &filter.merchant_id {
            None => Some(Agreements::decode(&key, value)?),
            Some(_) => match rows.get(&key)? {
                Some(row) if Agreements::head(&key, &row)?.entries.has(entry) => {
                    Some(Agreements::decode(&key, &row)?)
                }
                Some(_) | None => None,
            },
        };
        looked += 1;
        let id = row.as_ref().map(|row| row.id);
        agreements.extend(row.filter(|row| filter.takes(row)));
        let is_enough = agreements.len() >= limit || looked >= LOOKED_MAX;
        match id.filter(|_| is_enough) {
            None => Ok(Scan::On),
            found => {
                next = found;
                Ok(Scan::Enough)
            }
        }
    })?;
    Ok(AgreementPage { agreements, next })
}

/// What a filter asks of a row; `$1` to `$3` are the page's.
const WHICH: &str = "\
    ($4::text IS NULL OR t.merchant_id = $4) \
    AND ($5::text IS NULL OR t.caller = $5) \
    AND ($6::text IS NULL OR t.card_masked LIKE $6) \
    AND ($7::bytea IS NULL OR t.pan_digest = $7)";

fn which(filter: &AgreementFilter) -> Vec<Parameter> {
    let masked = (filter.first_six.is_some() || filter.last_four.is_some()).then(|| {
        let [first, last] = [&filter.first_six, &filter.last_four]
            .map(|digits| digits.as_deref().unwrap_or_default());
        format!("{first}%{last}")
    });
    parameters![
        filter.merchant_id.as_ref().map(MerchantId::as_str),
        filter.caller.as_ref().map(CallerId::as_str),
        masked,
        filter.pan_digest,
    ]
}

/// The same in SQL: one statement, along the ids' own index or the merchant's.
async fn page_of_tables(
    tables: &Tables,
    filter: AgreementFilter,
    after: Option<OrderId>,
    limit: usize,
) -> Result<AgreementPage, StoreError> {
    let sql = format!(
        "SELECT x.*, w.id FROM (SELECT 1) one \
         LEFT JOIN LATERAL (SELECT o.id FROM agreements o \
             WHERE o.id > $1 AND ($4::text IS NULL OR o.merchant_id = $4) \
             ORDER BY o.id OFFSET $3 LIMIT 1) w ON true \
         LEFT JOIN LATERAL (SELECT {} FROM agreements t \
             WHERE t.id > $1 AND (w.id IS NULL OR t.id <= w.id) AND {WHICH} \
             ORDER BY t.id LIMIT $2) x ON true \
         ORDER BY x.id",
        Agreements::selected(),
    );
    let last_looked = u64::try_from(LOOKED_MAX - 1).unwrap_or(u64::MAX);
    let mut all = vec![parameter(after_id(after)), page_limit(limit), parameter(last_looked)];
    all.extend(which(&filter));
    let read = |mut values: Vec<Option<&[u8]>>| {
        let end = values.split_off(values.len() - 1);
        let until: Option<OrderId> = field(&end, 0)?;
        let is_row = values.first().is_some_and(Option::is_some);
        let row = is_row.then(|| Agreements::read_selected(values)).transpose()?;
        Ok((row, until))
    };
    let rows = tables.query(&sql, all, read).await?;
    let until = rows.first().and_then(|(_, until)| *until);
    let agreements: Vec<Agreement> = rows.into_iter().filter_map(|(row, _)| row).collect();
    let last = agreements.last().filter(|_| agreements.len() == limit);
    let next = last.map(|row| row.id).or(until.map(AgreementId::of));
    Ok(AgreementPage { agreements, next })
}
