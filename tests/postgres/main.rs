//! The books on PostgreSQL, shown on servers that the tests start, kill and pause themselves.
//!
//! Where PostgreSQL's server is missing they are left out, as the last test program says;
//! `.ci/run` demands it.

mod books;
mod check;
mod cuts;
mod deploy;
mod daemon;
mod failures;
mod invariants;
mod limits;
mod manual;
mod nodes;
mod opening;
mod plans;
#[path = "../store/rows.rs"]
#[allow(dead_code, reason = "the manual's test uses a part of it")]
mod rows;
mod server;
mod together;
mod settings;
#[path = "../support/mod.rs"]
mod support;
