//! Switchyard: a channel gateway between a payment core and card channels.
//!
//! Read from the bottom up: `domain` decides and knows nothing of the world; `codec` turns values
//! into bytes; `channel`, `store` and `tables` touch the world behind traits; `engine` runs
//! load ▸ decide ▸ commit ▸ perform; `reconciliation` holds a channel's statement against our
//! records and brings it into the books; `api` and `workers` give both their work; `console` shows
//! people what `api` answers; `certify` plays a channel file's cases on a desk; `app` builds it
//! all.
//! Imports point down this list only, and a test reads them.

pub mod domain;

pub mod codec;

pub mod clock;
pub mod entropy;
pub mod telemetry;

pub mod channel;
pub mod config;
pub mod store;
pub mod tables;

pub mod engine;

pub mod reconciliation;

pub mod api;
pub mod console;
pub mod simulator;
pub mod workers;

pub mod certify;

pub mod app;
pub mod cli;
