//! What a table of the books is in SQL, for the store that has tables of its own.
//!
//! A table says its columns once ([`SqlTable`]), and the statements follow from them. Rows are
//! encoded where a commit is asked for; a writer then only gathers them into arrays, one statement
//! for each table and change (`step`).

pub(in crate::store) mod read;
pub(in crate::store) mod step;
pub(in crate::store) mod table;
pub(in crate::store) mod value;

pub use read::Tables;
