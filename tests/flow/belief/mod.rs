//! When a channel's word is believed, and how far: what waits, what is kept, what is not taken.

mod acknowledged;
mod clearing_dates;
mod late_reversals;
