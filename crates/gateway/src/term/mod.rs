//! Output for people: what the terminal can do, colours, columns.
//!
//! Everything is written through a [`Write`](std::io::Write) that the caller passes in. Text that came from traffic is
//! written only after [`text::line`] or [`text::block`] has made it harmless.

pub mod format;
pub mod progress;
pub mod table;
pub mod text;

use std::env;
use std::fmt;
use std::io::{IsTerminal, stderr, stdout};

/// What the output may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether a terminal reads the output.
    pub is_terminal: bool,
    /// Columns to fit; `None` where the output is no terminal: nothing is cut then.
    pub width: Option<usize>,
    /// Whether colours may be used.
    pub colour: bool,
}

impl Terminal {
    /// What standard output is: colours only on a terminal, and not where `NO_COLOR` is set (<https://no-color.org>)
    /// or the terminal is `dumb`.
    pub fn stdout() -> Self {
        if !stdout().is_terminal() {
            return Self::default();
        }
        Self::of(terminal_size::terminal_size())
    }

    /// What standard error is, by the same rules.
    pub fn stderr() -> Self {
        if !stderr().is_terminal() {
            return Self::default();
        }
        Self::of(terminal_size::terminal_size_of(stderr()))
    }

    fn of(size: Option<(terminal_size::Width, terminal_size::Height)>) -> Self {
        let width = size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0);
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        Self { is_terminal: true, width, colour: !set("NO_COLOR") && !is_dumb() }
    }

    /// `text` in a style, where colours may be used.
    pub fn paint<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.colour { style } else { Style::Plain }, text }
    }
}

/// Whether the terminal can do nothing but print lines.
pub fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// The few styles in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Of less weight.
    Dim,
    /// Failed.
    Red,
    /// Worth a look.
    Yellow,
    /// Well.
    Green,
}

impl Style {
    /// The SGR parameter.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Yellow => "33",
            Self::Green => "32",
        }
    }
}

/// A text with its style.
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Style::Plain => self.text.fmt(f),
            style => write!(f, "\u{1b}[{}m{}\u{1b}[0m", style.code(), self.text),
        }
    }
}
