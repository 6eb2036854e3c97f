//! The `switchyard` program: parses its arguments, calls one function, maps errors to exit codes.

use std::process::ExitCode;

/// What one thread allocates, another often frees: a request is read by one, written by the store's
/// and answered by a third. The system's allocator spends its time on locks then.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    switchyard::cli::main()
}
