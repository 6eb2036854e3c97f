//! What an operator meets beside the API: the commands' output, and the manual.

mod alerts;
mod commands;
mod manual;
mod metrics;
mod pipes;
mod reading;
mod reload;
mod services;
mod shell;
#[path = "../support/mod.rs"]
mod support;
mod traces;
