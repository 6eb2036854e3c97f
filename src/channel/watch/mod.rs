//! What a person is told of a channel before or while it fails: certificates that end, and messages
//! that prove nothing. Decides nothing, and keeps nothing that matters.

pub mod certificates;
pub mod changes;
pub mod objections;
