//! `decide` as tables, and every order of a handful of events.

#[path = "../support/auditor.rs"]
mod auditor;

mod belief;
mod build;
mod codes;
mod contradictions;
mod events;
mod evidence;
mod fees;
mod follow_ups;
mod interleavings;
mod operator;
mod payouts;
mod releases;
mod schedule;
mod tables;
mod undo;
