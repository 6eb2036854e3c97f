//! Reading settings: the main configuration, the routes and the channel files, all in TOML.
//!
//! `raw` turns texts and environment variables into one tree in which each value knows where it
//! was written; `section` reads that tree key by key, `value` reads each value, and `mistake` is
//! what they say about it. Reading goes on after a mistake, so that one run reports every mistake.

pub mod mistake;
pub mod raw;
pub mod section;
pub mod value;
