//! The books on PostgreSQL, shown on servers that the tests start, kill and pause themselves.
//!
//! Where PostgreSQL's server is missing they are left out, as the last test program says;
//! `.ci/run` demands it.

mod nodes;
mod server;
#[path = "../support/mod.rs"]
mod support;
