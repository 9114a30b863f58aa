//! The engine's log lines on their way to Kong's log.
//!
//! Any thread writes; the worker's timer takes. Bounded: what does not fit is counted, and the count becomes a line.
//! What the log would not show is not even formatted: with each look the timer says which level that is now.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ai_tracing_export::CALLS;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// Lines that may wait.
const MAX_LINES: usize = 1000;
/// Longest line in bytes: nginx cuts its lines at 4096, with what it puts before them.
pub const MAX_LINE: usize = 3900;

/// Log lines that wait for the worker's timer.
#[derive(Debug)]
pub struct LogRing {
    waiting: Mutex<Waiting>,
    /// nginx's number of the least important level that is shown.
    shown: AtomicU8,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Line>,
    dropped: u64,
}

/// One line for nginx's error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// nginx's number of its level: 4 error, 5 warn, 7 info, 8 debug.
    pub level: u8,
    /// The text; it contains `AI Tracing`.
    pub text: String,
}

impl LogRing {
    /// An empty ring; everything is wanted.
    pub const fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting { lines: VecDeque::new(), dropped: 0 }),
            shown: AtomicU8::new(number(Level::DEBUG)),
        }
    }

    /// Which levels are wanted from now on: those up to nginx's number `level`.
    pub fn show(&self, level: u8) {
        self.shown.store(level, Ordering::Relaxed);
    }

    /// The oldest line.
    pub fn take(&self) -> Option<Line> {
        let mut waiting = self.waiting();
        waiting.lines.pop_front().or_else(|| match std::mem::take(&mut waiting.dropped) {
            0 => None,
            count => Some(Line { level: number(Level::WARN), text: format!("AI Tracing: {count} log lines dropped") }),
        })
    }

    fn push(&self, line: Line) {
        let mut waiting = self.waiting();
        if waiting.lines.len() < MAX_LINES {
            waiting.lines.push_back(line);
        } else {
            waiting.dropped += 1;
        }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        // Libraries speak only where something is wrong.
        let ours = metadata.target().starts_with("ai_tracing") || metadata.target() == CALLS;
        number(level) <= self.shown.load(Ordering::Relaxed) && (ours || level <= Level::WARN)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// nginx's number of a level.
const fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 4,
        Level::WARN => 5,
        Level::INFO => 7,
        _ => 8,
    }
}

/// Writes what is logged anywhere in the process's library into a ring.
pub struct ToRing(pub &'static LogRing);

impl Subscriber for ToRing {
    /// What is wanted changes at run time.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.wants(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = number(*event.metadata().level());
        self.0.push(Line { level, text: text.finish(event.metadata().target()) });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// `message name=value name="other value"`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(self, target: &str) -> String {
        let mut text = self.message;
        // People look for it.
        if !text.starts_with("AI Tracing") {
            text = format!("AI Tracing: {target}: {text}");
        }
        text.push_str(&self.fields);
        if text.len() > MAX_LINE {
            text.truncate(text.floor_char_boundary(MAX_LINE - 3));
            text.push('…');
        }
        text
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    /// What comes from outside must not look like a line of its own: anything but plain words is quoted.
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" && !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
            let _ = write!(self.fields, " {}={value}", field.name());
        } else {
            self.record_debug(field, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(shown: u8, log: impl FnOnce()) -> Vec<(u8, String)> {
        let ring: &'static LogRing = Box::leak(Box::new(LogRing::new()));
        ring.show(shown);
        tracing::subscriber::with_default(ToRing(ring), log);
        std::iter::from_fn(|| ring.take()).map(|line| (line.level, line.text)).collect()
    }

    #[test]
    fn a_line_has_its_level_and_its_fields() {
        let model: Option<&str> = None;
        let found = lines(8, || {
            tracing::info!(target: "ai_tracing::calls", name = "/v1", user_id = "a\nb c", model, cost = 0.5, "AI Tracing");
            tracing::warn!(target: "hyper", "odd {}", 1);
        });
        let expected = [
            (7, r#"AI Tracing name=/v1 user_id="a\nb c" cost=0.5"#.to_owned()),
            (5, "AI Tracing: hyper: odd 1".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_shown_is_not_made_and_libraries_are_quiet() {
        let found = lines(5, || {
            tracing::info!(target: "ai_tracing_export", "AI Tracing: no");
            tracing::error!(target: "ai_tracing_export", "AI Tracing: yes");
        });
        assert_eq!(found, [(4, "AI Tracing: yes".to_owned())]);
        assert!(lines(8, || tracing::info!(target: "hyper", "hello")).is_empty());
    }

    #[test]
    fn long_lines_are_cut_and_too_many_are_counted() {
        let found = lines(8, || (0..MAX_LINES + 7).for_each(|_| tracing::info!("{}", "ä".repeat(5000))));
        assert!(found.iter().all(|(_, text)| text.len() <= MAX_LINE), "{:?}", found.first());
        assert_eq!(found.len(), MAX_LINES + 1);
        assert_eq!(found.last().unwrap(), &(5, "AI Tracing: 7 log lines dropped".to_owned()));
    }
}
