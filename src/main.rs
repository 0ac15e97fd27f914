//! The trunkline program.

use std::process::ExitCode;

/// Many small, short-lived buffers on several threads, and thousands of idle streams: what jemalloc is made for.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // A keeper is this program too, and must stay small and single-threaded: it is told apart before anything else.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "keeper") {
        return trunkline::platform::keeper::main();
    }
    trunkline::cli::main()
}
