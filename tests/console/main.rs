//! The operator's console over HTTP, as a browser without scripts meets it.
//!
//! The daemon runs in this process with its simulated channels; `browser` is a client that keeps
//! cookies and follows nothing by itself.

mod acts;
mod approvals;
mod browser;
mod proposals;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod town;

mod pages;
mod sessions;
