//! A table that fits the terminal: aligned by display width, narrowed and, where that is not enough, with the least
//! needed columns left out.

use std::io::{self, Write};

use super::text::{clip, clip_start, line, width};
use super::{Style, Terminal};

/// Space between two columns.
const GAP: usize = 2;

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// Aligned to the right.
    pub right: bool,
    /// Columns below which it is not narrowed; `None`: its content is never cut.
    pub shrinks_to: Option<usize>,
    /// Columns to keep ready for rows that come later.
    pub usual: usize,
    /// What is left out first, where the terminal is too narrow, has the lowest number; `u8::MAX` stays.
    pub need: u8,
    /// Where it is cut, the beginning goes and the end stays.
    pub keeps_end: bool,
}

/// A column that is never cut and is the first to be left out; the methods say otherwise.
pub const fn column(title: &'static str, usual: usize) -> Column {
    Column { title, right: false, shrinks_to: None, usual, need: 0, keeps_end: false }
}

impl Column {
    /// Aligned to the right.
    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// May be narrowed to so many columns.
    pub const fn shrinks_to(self, least: usize) -> Self {
        Self { shrinks_to: Some(least), ..self }
    }

    /// See [`Self::need`].
    pub const fn need(self, need: u8) -> Self {
        Self { need, ..self }
    }

    /// Stays, however narrow the terminal is.
    pub const fn needed(self) -> Self {
        self.need(u8::MAX)
    }

    /// See [`Self::keeps_end`].
    pub const fn keeps_end(self) -> Self {
        Self { keeps_end: true, ..self }
    }
}

/// A cell: its text, made harmless, and its style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell of any text.
    pub fn new(text: &str) -> Self {
        Self::styled(text, Style::Plain)
    }

    /// A cell of any text in a style.
    pub fn styled(text: &str, style: Style) -> Self {
        Self { text: line(text).into_owned(), style }
    }
}

/// A table whose columns have been laid out.
#[derive(Clone, Debug)]
pub struct Table {
    terminal: Terminal,
    /// Column, its index in a row, its width.
    columns: Vec<(Column, usize, usize)>,
}

impl Table {
    /// Lays the columns out for these rows. Rows that come later are fitted into the same columns.
    pub fn new(columns: &[Column], rows: &[Vec<Cell>], follows: bool, terminal: Terminal) -> Self {
        let widest = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|cell| width(&cell.text)).max();
        let mut columns: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let usual = if follows { column.usual } else { 0 };
                (*column, index, widest(index).unwrap_or(0).max(width(column.title)).max(usual))
            })
            .collect();
        if let Some(limit) = terminal.width {
            leave_out(&mut columns, limit);
            narrow(&mut columns, limit);
        }
        Self { terminal, columns }
    }

    /// Writes the headings.
    pub fn write_head(&self, out: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<_> = self.columns.iter().map(|(column, ..)| Cell::styled(column.title, Style::Dim)).collect();
        self.write_cells(out, titles.iter())
    }

    /// Writes one row; cells of columns that were left out are skipped.
    pub fn write_row(&self, out: &mut dyn Write, row: &[Cell]) -> io::Result<()> {
        let empty = Cell::default();
        let cells: Vec<_> = self.columns.iter().map(|(_, index, _)| row.get(*index).unwrap_or(&empty)).collect();
        self.write_cells(out, cells.into_iter())
    }

    /// Headings of `all` that were left out.
    pub fn left_out(&self, all: &[Column]) -> Vec<&'static str> {
        let kept = |column: &&Column| !self.columns.iter().any(|(kept, ..)| kept == *column);
        all.iter().filter(kept).map(|column| column.title).collect()
    }

    fn write_cells<'a>(&self, out: &mut dyn Write, cells: impl Iterator<Item = &'a Cell>) -> io::Result<()> {
        let mut gap = 0;
        for ((column, _, columns), cell) in self.columns.iter().zip(cells) {
            // A pipe gets everything, aligned or not.
            let cut = column.shrinks_to.is_some() && self.terminal.width.is_some();
            let text = match column.keeps_end {
                _ if !cut => cell.text.as_str().into(),
                true => clip_start(&cell.text, *columns),
                false => clip(&cell.text, *columns),
            };
            let padding = columns.saturating_sub(width(&text));
            let painted = self.terminal.paint(cell.style, &text);
            if column.right {
                write!(out, "{:gap$}{:padding$}{painted}", "", "")?;
                gap = GAP;
            } else {
                write!(out, "{:gap$}{painted}", "")?;
                // Padding waits for the next column: no row ends in spaces.
                gap = GAP + padding;
            }
        }
        writeln!(out)
    }
}

fn leave_out(columns: &mut Vec<(Column, usize, usize)>, limit: usize) {
    let least = |columns: &[(Column, usize, usize)]| -> usize {
        let widths = columns.iter().map(|(column, _, width)| column.shrinks_to.unwrap_or(*width).min(*width));
        widths.sum::<usize>() + GAP * columns.len().saturating_sub(1)
    };
    while least(columns) > limit {
        let dispensable = columns.iter().map(|(column, ..)| column.need).filter(|need| *need != u8::MAX).min();
        let Some(need) = dispensable else { return };
        columns.retain(|(column, ..)| column.need != need);
    }
}

/// Takes from the widest of the columns that may be narrowed, one by one, until all fit.
fn narrow(columns: &mut [(Column, usize, usize)], limit: usize) {
    let total = |columns: &[(Column, usize, usize)]| -> usize {
        columns.iter().map(|(.., width)| width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
    };
    while total(columns) > limit {
        let widest = columns
            .iter_mut()
            .filter(|(column, _, width)| column.shrinks_to.is_some_and(|least| *width > least))
            .max_by_key(|(.., width)| *width);
        let Some((.., width)) = widest else { return };
        *width -= 1;
    }
}
