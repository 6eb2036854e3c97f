//! The `switchyard` program: parses its arguments, calls one function, maps errors to exit codes.

use std::process::ExitCode;

fn main() -> ExitCode {
    switchyard::cli::main()
}
