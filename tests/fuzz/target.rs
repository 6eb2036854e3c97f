//! The one fuzz target: feeds what libFuzzer makes up to the decoder that this binary is named
//! after. What must hold stands in `tests/decoders/`, which the ordinary tests use too.

#![no_main]

#[allow(dead_code, reason = "the ordinary tests use all of it")]
#[path = "../decoders/mod.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::check(env!("CARGO_BIN_NAME"), bytes));
