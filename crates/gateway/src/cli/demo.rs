//! `ai-tracing demo`.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;

use crate::demo;
use crate::term::Terminal;

/// Shows everything at work: starts the gateway with a simulated LLM behind it, sends calls and shows their traces.
///
/// Everything listens on free ports of 127.0.0.1 and keeps its data in a temporary directory. No keys and no network
/// are needed. Fails when a trace is missing or tells something else than what happened.
#[derive(Args, Debug)]
pub struct Demo {
    /// Leave everything running until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Runs the demo.
    ///
    /// # Errors
    /// Something does not start or answer, or a trace is missing or wrong.
    pub fn run(self, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot start the demo's runtime")?.block_on(demo::run(self.keep, out, terminal))
    }
}
