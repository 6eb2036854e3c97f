//! The BIN table's life outside `domain`: read, check, compare, keep versions, swap.
//!
//! `read` turns bytes of any known format into a table or tells all bad lines; `diff` compares two;
//! `versions` keeps them on the disk; `live` is what the rest of the program holds. Routes, stores
//! and channels are not known here. Upholds I-11 as `check` and `fetch` say.

mod check;
mod diff;
mod fetch;
mod history;
mod issuers;
mod live;
mod read;
mod refresh;
mod shared;
mod sheet;
mod sheet_bounds;
mod text;
mod versions;
mod view;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use crate::domain::bin::{BinTable, StatedDate};

pub use check::{BinLineProblem, FAULTS_KEPT_MAX, Fault, TableFaults};
pub use diff::{
    BinRowChange, DiffCounts, NameChange, NameChangeKind, RowChangeKind, RowKey, TableDiff,
    name_changes, row_changes,
};
pub use fetch::{FETCH_TIMEOUT_S, TableFetchError, fetch_table, is_url, public_source};
pub use history::VersionInfo;
pub use live::{
    ActiveTable, KeptTable, LiveBinTable, RefreshReport, RollbackRefusal, RollbackReport,
    RollbackTarget, UnreadableVersion,
};
pub use read::{
    ReadOptions, ReadSource, ReadTable, SOURCE_BYTES_MAX, TableFormat, UnreadableTable,
    read_source, read_table, write_csv,
};
pub use refresh::{Occasion, RefreshOptions, RefreshRefusal};
pub use shared::{PublishedTable, PublishedTableError};
pub use text::TextEncoding;
pub use versions::{SHIPPED_VERSION, VersionAction, VersionError, VersionProblem, VersionRecord};
pub use view::{DatedTable, IssuerNameView, NameChangeView, RowChangeView, RowView, StatedText};

/// The source of the table that is compiled in.
pub const SHIPPED_SOURCE: &str = "shipped";

static SHIPPED: LazyLock<Arc<BinTable>> = LazyLock::new(|| {
    // One after the other, as a kept version has them.
    let text = concat!(
        include_str!("../../../bin-tables/unionpay.csv"),
        include_str!("../../../bin-tables/issuer-changes.csv")
    );
    let read = read_table(text.as_bytes(), ReadOptions::default());
    Arc::new(read.expect("a test reads the very bytes that are compiled in").table)
});

/// The date of the shipped facts that state no other: the state of the scheme's own file that they
/// come from.
pub fn shipped_as_of() -> StatedDate {
    StatedDate::parse("2018-06").expect("a month")
}

/// The table that is compiled in. Built at the first call and kept.
pub fn shipped_table() -> Arc<BinTable> {
    Arc::clone(&SHIPPED)
}
