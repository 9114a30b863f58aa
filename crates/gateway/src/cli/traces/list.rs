//! Calls as rows of a table.

use std::io::{self, Write};

use ai_tracing_core::time::At;

use crate::calls::query::Summary;
use crate::term::format::{UNKNOWN, dollars, duration, or_unknown, time};
use crate::term::table::{Cell, Column, Table, column};
use crate::term::{Style, Terminal};

/// Digits of the trace id that a table shows: enough for `traces show`, which takes any beginning.
const TRACE_DIGITS: usize = 8;

/// The table's columns.
pub const COLUMNS: &[Column] = &[
    column("TRACE", TRACE_DIGITS).needed(),
    column("TIME", 8).needed(),
    column("ROUTE", 22).shrinks_to(10).needed(),
    column("MODEL", 20).shrinks_to(12).needed(),
    column("USER", 12).shrinks_to(10).need(3),
    column("TOKENS", 14).right().need(5),
    column("TTFT", 6).right().need(1),
    column("DURATION", 8).right().need(4),
    column("COST", 9).right().need(2),
    column("STATUS", 6).shrinks_to(9).needed(),
];

/// A table of calls, laid out.
#[derive(Clone, Debug)]
pub struct Listing {
    table: Table,
    empty: bool,
    terminal: Terminal,
}

impl Listing {
    /// Lays out the table for these calls; with `follows`, there is room for what usually comes.
    pub fn new(calls: &[Summary], now: At, follows: bool, terminal: Terminal) -> Self {
        let rows: Vec<_> = calls.iter().map(|call| row(call, now)).collect();
        let table = Table::new(COLUMNS, &rows, follows, terminal);
        Self { table, empty: calls.is_empty() && !follows, terminal }
    }

    /// Writes the headings.
    pub fn write_head(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table.write_head(out)
    }

    /// Writes one call.
    pub fn write_call(&self, out: &mut dyn Write, call: &Summary, now: At) -> io::Result<()> {
        self.table.write_row(out, &row(call, now))
    }

    /// Writes what the reader should know besides, on a terminal.
    pub fn write_foot(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.terminal.is_terminal {
            return Ok(());
        }
        if self.empty {
            return writeln!(out, "{}", self.terminal.paint(Style::Dim, "no calls"));
        }
        let left_out = self.table.left_out(COLUMNS);
        if left_out.is_empty() {
            return Ok(());
        }
        let note = format!("no room for {}: widen the terminal, or pipe into less -S", left_out.join(", "));
        writeln!(out, "{}", self.terminal.paint(Style::Dim, note))
    }
}

fn row(call: &Summary, now: At) -> Vec<Cell> {
    let trace: String = call.trace_id.chars().take(TRACE_DIGITS).collect();
    vec![
        Cell::styled(&trace, Style::Dim),
        Cell::new(&time(call.started_at, now)),
        Cell::new(call.route.as_deref().unwrap_or(&call.name)),
        Cell::new(call.model.as_deref().unwrap_or(UNKNOWN)),
        Cell::new(call.user_id.as_deref().unwrap_or(UNKNOWN)),
        Cell::new(&tokens(call)),
        Cell::new(&or_unknown(call.ttft_ms, duration)),
        Cell::new(&duration(call.duration_ms)),
        Cell::new(&or_unknown(call.cost, dollars)),
        status(call),
    ]
}

/// `in/cached/out`; one `-` where all three are unknown.
fn tokens(call: &Summary) -> String {
    let counts = [call.tokens_in, call.tokens_cached, call.tokens_out];
    if counts.iter().all(Option::is_none) {
        return UNKNOWN.into();
    }
    let estimated = if call.estimated { "~" } else { "" };
    estimated.to_owned() + &counts.map(|count| or_unknown(count, |count| count.to_string())).join("/")
}

/// The HTTP status, and what it does not say: an early end, or an error inside a good answer.
fn status(call: &Summary) -> Cell {
    let mut text = or_unknown(call.status, |status| status.to_string());
    let good = call.status.is_some_and(|status| status < 400);
    if call.end != "complete" {
        text = format!("{text} {}", call.end);
    } else if good && call.has_error {
        text.push_str(" error");
    }
    let style = match call.status {
        _ if !call.is_error => Style::Green,
        Some(400..500) => Style::Yellow,
        _ if call.end == "client_gone" => Style::Yellow,
        _ => Style::Red,
    };
    Cell::styled(&text, style)
}
