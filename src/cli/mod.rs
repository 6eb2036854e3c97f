//! The command line: one file for each sub-command, which parses, calls and prints.

pub mod bin;
