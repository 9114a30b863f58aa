//! `ai-tracing spool`: what waits on disk for its destinations, and what they refused.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use ai_tracing_core::time::At;
use ai_tracing_export::spool::operate::{self, Dead, Waiting};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::term::format::{UNKNOWN, bytes, time};
use crate::term::table::{Cell, Column, Table, column};
use crate::term::{Style, Terminal};
use ai_tracing_export::clock::now;

const WAITING: &[Column] = &[
    column("DESTINATION", 30).shrinks_to(16).needed(),
    column("WAITING", 8).right().needed(),
    column("SIZE", 9).right().need(2),
    column("OLDEST", 11).need(3),
    column("PROCESS", 7).need(1),
];

const DEAD: &[Column] = &[
    column("DESTINATION", 30).shrinks_to(16).needed(),
    column("REFUSED", 8).right().needed(),
    column("SIZE", 9).right().need(2),
    column("OLDEST", 11).need(3),
    column("REASON", 40).shrinks_to(16).needed(),
];

/// Shows and clears what waits for destinations, and what they refused.
///
/// Works while the gateway runs and when it does not.
#[derive(Args, Debug)]
pub struct Spool {
    #[command(subcommand)]
    command: Command,
    /// Directory of the gateway's data.
    #[arg(long, global = true, env = "AI_TRACING_DATA_DIR", default_value_os_t = super::default_data_dir(), value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Shows how many traces wait for each destination, and how many it refused and why.
    List {
        /// `table` for people; `jsonl`: one line a row, with `kind` `waiting` or `refused`.
        #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
        format: Format,
    },
    /// Sends refused traces again: a gateway that runs takes them within seconds, else the next one does.
    Retry {
        /// Only those of this destination, as `list` names it.
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
    },
    /// Deletes refused traces for good.
    Purge {
        /// Only those of this destination, as `list` names it.
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
        /// Also what waits in directories that no process works in.
        #[arg(long)]
        waiting: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Jsonl,
}

/// A line of `list --format jsonl`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Waiting(&'a Waiting),
    Refused(&'a Dead),
}

impl Spool {
    /// Runs the command.
    ///
    /// # Errors
    /// No data directory, a file that cannot be read or written, or an output that cannot be.
    pub fn run(self, out: &mut dyn Write, terminal: Terminal) -> Result<()> {
        if !self.data_dir.is_dir() {
            bail!("there is no data directory {}", self.data_dir.display());
        }
        let spool = self.data_dir.join("spool");
        let place = || format!("the spool {}", spool.display());
        match self.command {
            Command::List { format } => list(&spool, format, out, now(), terminal).with_context(place)?,
            Command::Retry { destination } => {
                let count = operate::retry(&spool, destination.as_deref(), now()).with_context(place)?;
                writeln!(out, "{} to be sent again", traces(count))?;
            }
            Command::Purge { destination, waiting } => {
                let count = operate::purge_dead(&spool, destination.as_deref()).with_context(place)?;
                writeln!(out, "{} deleted that had been refused", traces(count))?;
                if waiting {
                    let count = operate::purge_waiting(&spool, destination.as_deref()).with_context(place)?;
                    writeln!(out, "{} deleted that waited", traces(count))?;
                }
            }
        }
        Ok(out.flush()?)
    }
}

fn traces(count: u64) -> String {
    if count == 1 { "1 trace".to_owned() } else { format!("{count} traces") }
}

fn list(spool: &Path, format: Format, out: &mut dyn Write, now: At, terminal: Terminal) -> Result<()> {
    let waiting = operate::waiting(spool)?;
    let (refused, unreadable) = operate::dead(spool)?;
    if format == Format::Jsonl {
        let lines = waiting.iter().map(Line::Waiting).chain(refused.iter().map(Line::Refused));
        for line in lines {
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        }
        return Ok(());
    }
    let rows: Vec<_> = waiting.iter().map(|it| waiting_row(it, now)).collect();
    write_table(WAITING, &rows, "nothing waits", out, terminal)?;
    if !refused.is_empty() {
        writeln!(out)?;
        let rows: Vec<_> = refused.iter().map(|it| dead_row(it, now)).collect();
        write_table(DEAD, &rows, "", out, terminal)?;
    }
    if unreadable > 0 {
        let note = format!("unreadable lines under {}: {unreadable}", spool.join("dead").display());
        writeln!(out, "{}", terminal.paint(Style::Yellow, note))?;
    }
    Ok(())
}

fn write_table(
    columns: &[Column],
    rows: &[Vec<Cell>],
    empty: &str,
    out: &mut dyn Write,
    terminal: Terminal,
) -> Result<()> {
    if rows.is_empty() {
        writeln!(out, "{}", terminal.paint(Style::Dim, empty))?;
        return Ok(());
    }
    let table = Table::new(columns, rows, false, terminal);
    table.write_head(out)?;
    for row in rows {
        table.write_row(out, row)?;
    }
    Ok(())
}

fn waiting_row(waiting: &Waiting, now: At) -> Vec<Cell> {
    let process = if waiting.lives { Cell::styled("runs", Style::Green) } else { Cell::styled("ended", Style::Yellow) };
    vec![
        Cell::new(&waiting.destination),
        Cell::new(&waiting.records.to_string()),
        Cell::new(&bytes(waiting.bytes)),
        Cell::new(&waiting.oldest.map_or_else(|| UNKNOWN.to_owned(), |at| time(at, now))),
        process,
    ]
}

fn dead_row(dead: &Dead, now: At) -> Vec<Cell> {
    vec![
        Cell::new(&dead.destination),
        Cell::styled(&dead.records.to_string(), Style::Red),
        Cell::new(&bytes(dead.bytes)),
        Cell::new(&time(dead.oldest, now)),
        Cell::new(&dead.reason),
    ]
}
