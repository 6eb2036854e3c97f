//! A group of commits as statements: for each step the rows of all its write sets, sorted by key.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};

use crate::store::sql::read::DynError;
use crate::store::sql::step::{Answer, SqlPlan, Step, StepRow};
use crate::store::sql::value::SqlType;

/// One statement with its rows.
pub(super) struct GroupStep<'a> {
    pub step: usize,
    pub parameters: Vec<ColumnArray>,
    /// Each row with the place of its write set.
    rows: Vec<(usize, &'a StepRow)>,
}

/// A column of several rows, as an array in the form of the protocol.
#[derive(Debug)]
pub(super) struct ColumnArray {
    sql: SqlType,
    count: i32,
    has_null: bool,
    fields: Vec<u8>,
}

impl ToSql for ColumnArray {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, DynError> {
        let (dimensions, lower_bound) = (1_i32, 1_i32);
        out.extend_from_slice(&dimensions.to_be_bytes());
        out.extend_from_slice(&i32::from(self.has_null).to_be_bytes());
        out.extend_from_slice(&self.sql.oid().to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&lower_bound.to_be_bytes());
        out.extend_from_slice(&self.fields);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, sql: &Type, out: &mut BytesMut) -> Result<IsNull, DynError> {
        self.to_sql(sql, out)
    }
}

/// The statements of a group, in their order.
pub(super) fn gather<'a>(steps: &[Step], plans: &[&'a SqlPlan]) -> Vec<GroupStep<'a>> {
    let mut by_step: BTreeMap<usize, Vec<(usize, &StepRow)>> = BTreeMap::new();
    for (place, plan) in plans.iter().enumerate() {
        for row in &plan.rows {
            by_step.entry(row.step).or_default().push((place, row));
        }
    }
    let group = by_step.into_iter().map(|(step, mut rows)| {
        // All writers lock rows in one order. Rows without a key keep that of their write sets.
        rows.sort_by(|(_, one), (_, other)| one.key().cmp(other.key()));
        let columns = &steps[step].parameters;
        GroupStep { step, parameters: arrays(columns, &rows), rows }
    });
    group.collect()
}

/// Turns rows into columns.
fn arrays(columns: &[SqlType], rows: &[(usize, &StepRow)]) -> Vec<ColumnArray> {
    let count = i32::try_from(rows.len()).expect("a group has at most some thousand rows");
    let empty = |sql: &SqlType| ColumnArray { sql: *sql, count, has_null: false, fields: vec![] };
    let mut arrays: Vec<ColumnArray> = columns.iter().map(empty).collect();
    for (_, row) in rows {
        let mut rest = row.fields.as_slice();
        for array in &mut arrays {
            let (length, _) = rest.split_first_chunk::<4>().expect("a row has all of its columns");
            let length = i32::from_be_bytes(*length);
            array.has_null |= length < 0;
            let (field, others) = rest.split_at(4 + usize::try_from(length).unwrap_or(0));
            array.fields.extend_from_slice(field);
            rest = others;
        }
        assert!(rest.is_empty(), "a row has the columns of its step");
    }
    arrays
}

impl GroupStep<'_> {
    /// How many rows it has.
    pub(super) const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Adds the write sets whose guards do not hold by the keys that the statement returned.
    pub(super) fn judge(&self, answer: Answer, returned: &[Vec<u8>], failed: &mut BTreeSet<usize>) {
        let all_held = answer == Answer::Held && returned.len() == self.rows.len();
        let none_refused = answer == Answer::Refused && returned.is_empty();
        if answer == Answer::Nothing || all_held || none_refused {
            return;
        }
        let returned: BTreeSet<&[u8]> = returned.iter().map(Vec::as_slice).collect();
        let fails = |row: &StepRow| returned.contains(row.key()) != (answer == Answer::Held);
        failed.extend(self.rows.iter().filter(|(_, row)| fails(row)).map(|(place, _)| *place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::step::Field;

    fn plan(rows: &[(u64, Option<&str>)]) -> SqlPlan {
        let mut plan = SqlPlan::default();
        for (key, value) in rows {
            plan.add(0, &[key as &dyn Field], &[value as &dyn Field]);
        }
        plan
    }

    fn step() -> Step {
        let columns = [("key", SqlType::Bigint), ("value", SqlType::Text)];
        Step::own("SELECT u.key FROM {rows}", &columns, Answer::Held)
    }

    #[test]
    fn rows_of_all_write_sets_are_columns_in_the_order_of_their_keys() {
        assert_eq!(
            step().sql,
            "SELECT u.key FROM unnest($1::bigint[], $2::text[]) AS u(key, value)"
        );
        let plans = [plan(&[(300, Some("c")), (1, None)]), plan(&[(2, Some("b"))])];
        let group = gather(&[step()], &[&plans[0], &plans[1]]);
        let [only] = group.as_slice() else { panic!("one statement") };
        let places: Vec<usize> = only.rows.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [0, 1, 0]);
        let [keys, values] = only.parameters.as_slice() else { panic!("two columns") };
        assert_eq!((keys.count, keys.has_null, values.has_null), (3, false, true));
        let of = |key: u64| [&8_i32.to_be_bytes()[..], &key.to_be_bytes()].concat();
        assert_eq!(keys.fields, [of(1), of(2), of(300)].concat());
        let texts = [&(-1_i32).to_be_bytes()[..], &[0, 0, 0, 1, b'b'], &[0, 0, 0, 1, b'c']];
        assert_eq!(values.fields, texts.concat());
    }

    #[test]
    fn a_write_set_fails_by_the_keys_that_did_not_come_back_or_did() {
        let plans = [plan(&[(1, None), (2, None)]), plan(&[(3, None)])];
        let group = gather(&[step()], &[&plans[0], &plans[1]]);
        let key = |key: u64| [&8_i32.to_be_bytes()[..], &key.to_be_bytes()].concat();
        let failed = |answer, returned: &[u64]| {
            let mut failed = BTreeSet::new();
            let returned: Vec<Vec<u8>> = returned.iter().map(|one| key(*one)).collect();
            group[0].judge(answer, &returned, &mut failed);
            failed.into_iter().collect::<Vec<_>>()
        };
        assert!(failed(Answer::Held, &[3, 1, 2]).is_empty());
        assert_eq!(failed(Answer::Held, &[1, 3]), [0]);
        assert_eq!(failed(Answer::Held, &[]), [0, 1]);
        assert!(failed(Answer::Refused, &[]).is_empty());
        assert_eq!(failed(Answer::Refused, &[3]), [1]);
        assert!(failed(Answer::Nothing, &[]).is_empty());
    }
}
