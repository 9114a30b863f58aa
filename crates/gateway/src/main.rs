//! `ai-tracing`: a gateway that traces LLM traffic.

mod admin;
mod calls;
mod cli;
mod console;
mod db;
mod demo;
mod entity;
mod har;
mod live;
mod logging;
mod metrics;
mod plugin;
mod proxy;
mod status;
mod term;
mod tls;

use std::process::ExitCode;

/// Half of what tracing a call costs is memory that comes and goes; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
