//! `ai-tracing inspect`: the LLM calls in recorded traffic, as a table, as JSON lines, and to Langfuse.

mod screen;
mod setup;
mod source;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use ai_tracing_core::record::CallRecord;
use ai_tracing_core::settings::Settings;
use ai_tracing_export::Courier;
use ai_tracing_export::clock::now;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::har::{self, Entry, Har};
use crate::term::Terminal;
use crate::term::progress::{Done, Progress};
use screen::Screen;
use source::Source;
use table::{Listing, Totals};

/// Shows the LLM calls in recorded traffic: HAR files, as browsers and proxies save them.
///
/// Reads entry by entry, so files may be of any size. `-` is unknown, `~` before token counts says that they are
/// estimated; tokens are input/cached/output/reasoning. On a narrow terminal the least needed columns are left out and
/// named below the table; a pipe gets them all. What cannot be read is named on standard error, and the exit code is 1
/// then.
#[derive(Args, Debug)]
pub struct Inspect {
    /// HAR files, plain or gzip; directories, for all *.har and *.har.gz below; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// `table` for people; `jsonl`: one line for each entry, the record as docs/record.md describes it, or
    /// `{"id": ..., "detected": false}`.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
    /// Show entries that are no LLM traffic in the table, too.
    #[arg(long)]
    all: bool,
    /// Say of each entry which rules decided, and what of it could not be read.
    #[arg(long)]
    explain: bool,
    /// Estimate token counts that the provider did not report; they are flagged.
    #[arg(long)]
    estimate: bool,
    /// Declarative configuration file whose ai-tracing plugin says what is detected, priced, redacted and exported.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Send the records to Langfuse, and wait until they have arrived; the keys come from LANGFUSE_PUBLIC_KEY and
    /// LANGFUSE_SECRET_KEY, or from --config.
    #[arg(long)]
    export: bool,
    /// Address of Langfuse; default: LANGFUSE_HOST or LANGFUSE_BASE_URL, what --config says, or Langfuse's cloud.
    #[arg(long, value_name = "URL", requires = "export")]
    langfuse_endpoint: Option<String>,
    /// Show no progress.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Jsonl,
}

impl Inspect {
    /// Runs the command. Problems with files are told on `err`, and the rest is read all the same. A reader of the
    /// output that goes away early (`| head`) is no error.
    ///
    /// # Errors
    /// The configuration, or an output that cannot be written.
    pub fn run(
        self,
        out: &mut dyn Write,
        err: &mut dyn Write,
        terminal: Terminal,
        err_terminal: Terminal,
    ) -> Result<ExitCode> {
        let environment = |name: &str| std::env::var(name).ok();
        let setup = setup::Setup::new(&self, &environment)?;
        let (sources, problems) = source::find(&self.files);
        let draws = err_terminal.is_terminal && !self.quiet && !crate::term::is_dumb();
        let total = source::size(&sources);
        let progress = draws.then(|| Progress::new(total, err_terminal.width.unwrap_or(80), Instant::now()));
        let listing = (self.format == Format::Table).then(|| Listing::new(self.all || self.explain, now(), terminal));
        let mut run = Run {
            screen: Screen::new(out, err, progress),
            settings: setup.settings,
            courier: setup.courier,
            listing,
            explain: self.explain,
            terminal,
            totals: Totals { files: sources.len() as u64 + problems.len() as u64, ..Totals::default() },
            read: source::Counter::default(),
        };
        for problem in problems {
            run.broken(&problem)?;
        }
        for source in &sources {
            run.file(source)?;
            // With nobody to read what is printed, there is nothing left to do but to send.
            if run.screen.is_gone() && run.courier.is_none() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        run.finish()
    }
}

/// One entry as a line of JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Call {
        #[serde(flatten)]
        record: &'a CallRecord,
        #[serde(skip_serializing_if = "Option::is_none")]
        explain: Option<&'a str>,
    },
    Other {
        id: &'a str,
        detected: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        explain: Option<&'a str>,
    },
}

/// The command at work.
struct Run<'a> {
    screen: Screen<'a>,
    settings: Arc<Settings>,
    courier: Option<Courier>,
    /// `None`: JSON lines.
    listing: Option<Listing>,
    explain: bool,
    terminal: Terminal,
    totals: Totals,
    read: source::Counter,
}

impl Run<'_> {
    /// Reads a file as far as it can be read.
    fn file(&mut self, source: &Source) -> Result<()> {
        if let Err(problem) = self.entries(source)? {
            self.broken(&format!("{source}: {problem}"))?;
        }
        if let Some(listing) = &mut self.listing {
            listing.file_ended(self.screen.buffer())?;
        }
        self.screen.flush()
    }

    /// The inner result is the file's, the outer one the output's.
    fn entries(&mut self, source: &Source) -> Result<Result<(), String>> {
        let mut har = match source.open(&self.read).map_err(|why| why.to_string()) {
            Ok(input) => match Har::new(input) {
                Ok(har) => har,
                Err(problem) => return Ok(Err(problem.to_string())),
            },
            Err(problem) => return Ok(Err(problem)),
        };
        for index in 0.. {
            match har.next_entry() {
                Ok(Some(entry)) => self.entry(source, index, &entry)?,
                Ok(None) => break,
                Err(problem) => return Ok(Err(problem.to_string())),
            }
            if self.screen.is_gone() && self.courier.is_none() {
                break;
            }
        }
        Ok(Ok(()))
    }

    fn entry(&mut self, source: &Source, index: u64, entry: &Entry) -> Result<()> {
        let id = entry.id.clone().unwrap_or_else(|| format!("{source}#{index}"));
        let replayed = har::replay(&self.settings, entry, index, &id, self.explain);
        self.totals.entries += 1;
        if replayed.defect {
            self.broken(&format!("{source}: entry {index} could not be read: a defect of ai-tracing"))?;
        }
        let why = replayed.why.as_deref();
        match &mut self.listing {
            Some(listing) => listing.add(self.screen.buffer(), entry, replayed.record.as_ref(), &id, why)?,
            None => {
                let line = match &replayed.record {
                    Some(record) => Line::Call { record, explain: why },
                    None => Line::Other { id: &id, detected: false, explain: why },
                };
                let json = serde_json::to_string(&line)?;
                writeln!(self.screen.buffer(), "{}", super::shown_json(&json, self.terminal))?;
            }
        }
        if let Some(record) = replayed.record {
            self.totals.calls += 1;
            if let Some(courier) = &mut self.courier {
                courier.send(record);
            }
        }
        let done = Done { bytes: self.read.get(), entries: self.totals.entries };
        self.screen.passed(done, Instant::now())
    }

    fn broken(&mut self, problem: &str) -> Result<()> {
        self.totals.broken += 1;
        self.screen.say(problem)
    }

    fn finish(mut self) -> Result<ExitCode> {
        if let Some(listing) = &mut self.listing {
            listing.finish(self.screen.buffer(), &self.totals)?;
        }
        self.screen.flush()?;
        let mut failed = self.totals.broken > 0;
        if let Some(courier) = self.courier.take() {
            let done = Done { bytes: self.read.get(), entries: self.totals.entries };
            let report = courier.finish(&mut |_| _ = self.screen.passed(done, Instant::now()));
            let (delivered, lost) = (report.delivered, report.failed());
            let why = report.why.filter(|_| lost > 0).map(|why| format!(": {why}")).unwrap_or_default();
            self.screen.say(&format!("Langfuse: {delivered} sent, {lost} failed{why}"))?;
            failed |= lost > 0;
        }
        self.screen.close()?;
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
