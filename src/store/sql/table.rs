//! A table's columns, and the statements that follow from them.

use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::sql::value::{FromColumn, JsonMoment, SqlJson, SqlType, ToColumn};

/// Which columns of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum ColumnPart {
    /// Those that name the row.
    Key,
    /// Those that its first version states.
    Fixed,
    /// Those that each version states anew.
    Changing,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct SqlColumn {
    pub name: &'static str,
    pub sql: SqlType,
    pub part: ColumnPart,
}

/// A table in SQL: its columns, by `sql_columns!`, and how a row reads back from them.
pub(in crate::store) trait SqlTable {
    /// What is written as a row.
    type Written<'a>: Copy;
    type Row;

    /// As the schema names it.
    const SQL_NAME: &'static str;
    /// In the order of their parts.
    const COLUMNS: &'static [SqlColumn];
    /// What a row that is replaced must be besides of the version before; `t` is it, `u` the new.
    const UPDATE_IF: &'static str = "";

    fn put(row: Self::Written<'_>, part: ColumnPart, out: &mut Vec<u8>);

    fn read(row: &SqlFields<'_>) -> Result<Self::Row, StoreError>;

    /// What is selected of the table `t` for a whole row, its columns first.
    fn selected() -> String {
        names(Self::COLUMNS, "t.")
    }

    /// A whole row of what [`Self::selected`] names.
    fn read_selected(values: Vec<Option<&[u8]>>) -> Result<Self::Row, StoreError> {
        Self::read(&SqlFields { table: Self::SQL_NAME, columns: Self::COLUMNS, values })
    }
}

/// The type of a column that is filled so.
pub(in crate::store) const fn sql_type<R, T: ToColumn>(_: fn(R) -> T) -> SqlType {
    T::TYPE
}

/// Declares the columns of a [`SqlTable`], each with its value of a row.
macro_rules! sql_columns {
    (
        $row:ident: $name:literal;
        key { $($key:ident: $key_value:expr,)+ }
        $(fixed { $($fixed:ident: $fixed_value:expr,)+ })?
        $(changing { $($changing:ident: $changing_value:expr,)+ })?
    ) => {
        const SQL_NAME: &'static str = $name;
        const COLUMNS: &'static [$crate::store::sql::table::SqlColumn] = &[
            $($crate::store::sql::table::sql_columns!(@column $row Key $key $key_value),)+
            $($($crate::store::sql::table::sql_columns!(@column $row Fixed $fixed $fixed_value),)+)?
            $($($crate::store::sql::table::sql_columns!(
                @column $row Changing $changing $changing_value
            ),)+)?
        ];

        fn put(
            $row: Self::Written<'_>,
            part: $crate::store::sql::table::ColumnPart,
            out: &mut Vec<u8>,
        ) {
            use $crate::store::sql::table::ColumnPart;
            use $crate::store::sql::value::ToColumn;
            match part {
                ColumnPart::Key => { $(ToColumn::field(&$key_value, out);)+ }
                ColumnPart::Fixed => { $($(ToColumn::field(&$fixed_value, out);)+)? }
                ColumnPart::Changing => { $($(ToColumn::field(&$changing_value, out);)+)? }
            }
        }
    };
    (@column $row:ident $part:ident $column:ident $value:expr) => {
        $crate::store::sql::table::SqlColumn {
            name: stringify!($column),
            sql: $crate::store::sql::table::sql_type(|$row: Self::Written<'static>| $value),
            part: $crate::store::sql::table::ColumnPart::$part,
        }
    };
}

pub(in crate::store) use sql_columns;

/// A row as it was read: its columns by name.
pub(in crate::store) struct SqlFields<'a> {
    pub table: &'static str,
    pub columns: &'static [SqlColumn],
    /// In the order of the columns.
    pub values: Vec<Option<&'a [u8]>>,
}

impl<'a> SqlFields<'a> {
    pub(in crate::store) fn get<T: FromColumn>(&self, name: &str) -> Result<T, StoreError> {
        let place = self.columns.iter().position(|column| column.name == name);
        let field = place.and_then(|place| self.values.get(place));
        field.and_then(|field| T::take_field(*field)).ok_or_else(|| self.damaged(name))
    }

    /// The fields that lie in `bytes` as in a composite value: how many, then of each its type, how
    /// many bytes it has, and those.
    pub(in crate::store) fn of_composite<T: SqlTable>(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let mut fields = Self { table: T::SQL_NAME, columns: T::COLUMNS, values: Vec::new() };
        let mut rest = Rest(bytes);
        let read = (|| {
            for _ in 0..rest.number()? {
                rest.number()?;
                fields.values.push(rest.field()?);
            }
            Some(())
        })();
        read.ok_or_else(|| fields.damaged("its fields"))?;
        Ok(fields)
    }

    pub(in crate::store) fn damaged(&self, name: &str) -> StoreError {
        let detail = format!("`{name}` has no such value");
        StoreError::Damaged { table: self.table, detail }
    }
}

/// What is left to read of a value of several parts.
pub(in crate::store) struct Rest<'a>(pub &'a [u8]);

impl<'a> Rest<'a> {
    pub(in crate::store) fn number(&mut self) -> Option<i32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*number))
    }

    /// A length and so many bytes; a negative one says that there is no value.
    pub(in crate::store) fn field(&mut self) -> Option<Option<&'a [u8]>> {
        let Ok(length) = usize::try_from(self.number()?) else { return Some(None) };
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(value))
    }
}

/// The rows of an array of composite values.
pub(in crate::store) fn composites(array: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = Rest(array);
    let dimensions = rest.number()?;
    rest.number()?;
    rest.number()?;
    let mut count = 0;
    for _ in 0..dimensions {
        count = rest.number()?;
        rest.number()?;
    }
    (0..count).map(|_| rest.field().flatten()).collect()
}

/// The names of columns, each behind `prefix`, with commas between them.
pub(in crate::store) fn names<'a>(
    columns: impl IntoIterator<Item = &'a SqlColumn>,
    prefix: &str,
) -> String {
    let names: Vec<String> =
        columns.into_iter().map(|column| format!("{prefix}{}", column.name)).collect();
    names.join(", ")
}

/// The lines of a history, oldest first.
pub(in crate::store) fn history<'a>(
    lines: impl Iterator<Item = (Timestamp, &'a str)>,
) -> SqlJson<Vec<(JsonMoment, &'a str)>> {
    SqlJson(lines.map(|(at, what)| (JsonMoment(at), what)).collect())
}

/// The lines of a row's history.
pub(in crate::store) fn read_history(
    row: &SqlFields<'_>,
) -> Result<Vec<(Timestamp, String)>, StoreError> {
    let SqlJson(lines): SqlJson<Vec<(JsonMoment, String)>> = row.get("history")?;
    Ok(lines.into_iter().map(|(JsonMoment(at), what)| (at, what)).collect())
}
