//! `ai-tracing`: a gateway that traces LLM traffic.

mod admin;
mod calls;
mod cli;
mod db;
mod demo;
mod entity;
mod live;
mod logging;
mod plugin;
mod proxy;
mod status;
mod term;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
