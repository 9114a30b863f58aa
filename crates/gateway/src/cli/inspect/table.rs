//! The entries as rows of a table.
//!
//! Columns are laid out for the first rows; the others are fitted into them, so that a file of any length needs no more
//! memory than a short one.

use std::io::{self, Write};

use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::time::At;

use crate::har::Entry;
use crate::term::format::{UNKNOWN, or_unknown, time};
use crate::term::table::{Cell, Column, Table, column};
use crate::term::text::{line, wrap};
use crate::term::{Style, Terminal};

/// Rows that the columns are laid out for, at most.
const HELD: usize = 1000;
/// Rows that are enough for it, once a file has ended.
const ENOUGH: usize = 100;
/// Space before what is told below a row.
const INDENT: usize = 4;

/// The table's columns.
const COLUMNS: &[Column] = &[
    column("TIME", 11).need(4),
    column("PROVIDER", 9).shrinks_to(6).needed(),
    column("OPERATION", 10).shrinks_to(6).need(6),
    column("MODEL", 20).shrinks_to(10).needed(),
    column("STATUS", 6).shrinks_to(4).needed(),
    column("STREAM", 6).need(1),
    column("TOKENS", 12).right().needed(),
    column("FINISH", 8).shrinks_to(6).need(2),
    column("ERROR", 5).shrinks_to(10).need(3),
    column("ID", 12).shrinks_to(10).keeps_end().needed(),
];

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files, those that cannot be opened included.
    pub files: u64,
    /// Files, and what else could not be read.
    pub broken: u64,
    /// Entries.
    pub entries: u64,
    /// Entries that are LLM calls.
    pub calls: u64,
}

/// A row, and what is told below it.
type Item = (Vec<Cell>, Vec<(Style, String)>);

/// A table of entries.
#[derive(Debug)]
pub struct Listing {
    /// Whether entries that are no LLM calls have rows.
    all: bool,
    now: At,
    terminal: Terminal,
    held: Vec<Item>,
    table: Option<Table>,
}

impl Listing {
    /// A table without rows yet.
    pub fn new(all: bool, now: At, terminal: Terminal) -> Self {
        Self { all, now, terminal, held: Vec::new(), table: None }
    }

    /// Adds an entry; `why` is what is told of its detection.
    pub fn add(
        &mut self,
        out: &mut dyn Write,
        entry: &Entry,
        record: Option<&CallRecord>,
        id: &str,
        why: Option<&str>,
    ) -> io::Result<()> {
        let row = match record {
            Some(record) => row(record, self.now),
            None if self.all => other(entry, id, self.now),
            None => return Ok(()),
        };
        let mut below = Vec::new();
        if let Some(why) = why {
            below.push((Style::Dim, why.to_owned()));
            let issues = record.map_or([].as_slice(), |record| &record.issues);
            below.extend(issues.iter().map(|issue| (Style::Yellow, format!("issue: {issue}"))));
        }
        match &self.table {
            Some(table) => self.write(out, table, &(row, below)),
            None => {
                self.held.push((row, below));
                if self.held.len() >= HELD { self.lay_out(out, true) } else { Ok(()) }
            }
        }
    }

    /// A file has ended: what has been held back may be shown.
    pub fn file_ended(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.table.is_none() && self.held.len() >= ENOUGH { self.lay_out(out, true) } else { Ok(()) }
    }

    /// Writes what is left, and the summary.
    pub fn finish(&mut self, out: &mut dyn Write, totals: &Totals) -> io::Result<()> {
        if self.table.is_none() && !self.held.is_empty() {
            self.lay_out(out, false)?;
        }
        if let Some(table) = &self.table {
            let left_out = table.left_out(COLUMNS);
            if self.terminal.is_terminal && !left_out.is_empty() {
                let note = format!("no room for {}: widen the terminal, or pipe into less -S", left_out.join(", "));
                writeln!(out, "{}", self.terminal.paint(Style::Dim, note))?;
            }
            writeln!(out)?;
        }
        let Totals { files, broken, entries, calls } = *totals;
        let mut summary = vec![
            counted(entries, "entry", "entries") + " in " + &counted(files, "file", "files"),
            counted(calls, "LLM call", "LLM calls"),
            format!("{} not LLM", entries.saturating_sub(calls)),
        ];
        if broken > 0 {
            summary.push(counted(broken, "problem", "problems"));
        }
        writeln!(out, "{}", summary.join(", "))
    }

    fn lay_out(&mut self, out: &mut dyn Write, follows: bool) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let (rows, below): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let table = Table::new(COLUMNS, &rows, follows, self.terminal);
        table.write_head(out)?;
        for item in rows.into_iter().zip(below) {
            self.write(out, &table, &item)?;
        }
        self.table = Some(table);
        Ok(())
    }

    fn write(&self, out: &mut dyn Write, table: &Table, (row, below): &Item) -> io::Result<()> {
        table.write_row(out, row)?;
        let room = self.terminal.width.map(|width| width.saturating_sub(INDENT));
        for (style, text) in below {
            for text in wrap(&line(text), room) {
                writeln!(out, "{:INDENT$}{}", "", self.terminal.paint(*style, text))?;
            }
        }
        Ok(())
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn row(record: &CallRecord, now: At) -> Vec<Cell> {
    let (request, response) = (&record.request, &record.response);
    let model = request.model.as_deref().or(response.model.as_deref());
    vec![
        Cell::styled(&moment(record.timing.started_at, now), Style::Dim),
        Cell::new(&record.provider),
        Cell::new(record.operation.as_str()),
        Cell::new(model.unwrap_or(UNKNOWN)),
        status(record),
        Cell::new(if record.stream { "yes" } else { "no" }),
        Cell::new(&tokens(record)),
        Cell::new(&finish(record)),
        Cell::styled(&error(record), Style::Red),
        Cell::styled(&record.id, Style::Dim),
    ]
}

/// An entry that is no LLM call: what it asked for stands in the model's place.
fn other(entry: &Entry, id: &str, now: At) -> Vec<Cell> {
    let dim = |text: &str| Cell::styled(text, Style::Dim);
    let address = entry.request.url.split(['?', '#']).next().unwrap_or_default();
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    vec![
        dim(&entry.started.map_or_else(|| UNKNOWN.to_owned(), |at| moment(at, now))),
        dim(UNKNOWN),
        dim("not LLM"),
        dim(&format!("{} {address}", entry.request.method)),
        dim(&or_unknown(entry.response.status, |status| status.to_string())),
        dim(UNKNOWN),
        dim(UNKNOWN),
        dim(UNKNOWN),
        dim(UNKNOWN),
        dim(id),
    ]
}

/// A recording without a time begins with the epoch.
fn moment(at: At, now: At) -> String {
    if at == At::default() { UNKNOWN.to_owned() } else { time(at, now) }
}

/// `in/cached/out/reasoning`; one `-` where all four are unknown.
fn tokens(record: &CallRecord) -> String {
    let usage = &record.usage;
    let counts = [usage.input, usage.cache_read, usage.output, usage.reasoning];
    if counts.iter().all(Option::is_none) {
        return UNKNOWN.into();
    }
    let estimated = if record.tokens_estimated { "~" } else { "" };
    estimated.to_owned() + &counts.map(|count| or_unknown(count, |count| count.to_string())).join("/")
}

/// The finish reasons, each once.
fn finish(record: &CallRecord) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in &record.response.finish_reasons {
        if !reasons.contains(&reason.as_str()) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { UNKNOWN.to_owned() } else { reasons.join(",") }
}

/// The error's type, else its message.
fn error(record: &CallRecord) -> String {
    let Some(error) = &record.error else { return UNKNOWN.to_owned() };
    let told = error.kind.as_deref().or(error.message.as_deref()).filter(|text| !text.is_empty());
    told.unwrap_or("error").to_owned()
}

/// The HTTP status, and an early end.
fn status(record: &CallRecord) -> Cell {
    let mut text = or_unknown(record.status, |status| status.to_string());
    if record.end != End::Complete {
        text = format!("{text} {}", record.end);
    }
    let style = match record.status {
        _ if !record.is_error() => Style::Green,
        Some(400..500) => Style::Yellow,
        _ if record.end == End::ClientGone => Style::Yellow,
        _ => Style::Red,
    };
    Cell::styled(&text, style)
}
