//! Tables that are refreshed without a restart: read, checked, kept in versions, swapped whole.

pub mod bin;
pub mod routes;
