//! One line on standard error that says how far a long piece of work is. It appears only after a second: most work is
//! done before anybody wonders. Draws nothing by itself: it gives the line, and the time is passed in.

use std::time::{Duration, Instant};

use super::text::clip;

/// Work that takes less is not worth a line.
const QUIET: Duration = Duration::from_secs(1);
/// How often the line changes.
const EVERY: Duration = Duration::from_millis(100);
/// Returns to the line's beginning and empties it (ECMA-48, EL).
const CLEAR: &str = "\r\u{1b}[K";

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Bytes read.
    pub bytes: u64,
    /// Entries read.
    pub entries: u64,
}

/// The line.
#[derive(Debug)]
pub struct Progress {
    /// Bytes to read, where that is known.
    total: Option<u64>,
    width: usize,
    began: Instant,
    drawn: Option<Instant>,
    /// Whether the line stands on the screen.
    shown: bool,
}

impl Progress {
    /// Work on `total` bytes that begins `now`, for a terminal of so many columns.
    pub fn new(total: Option<u64>, width: usize, now: Instant) -> Self {
        Self { total, width, began: now, drawn: None, shown: false }
    }

    /// What to write, if it is time to.
    pub fn update(&mut self, done: Done, now: Instant) -> Option<String> {
        let since = self.drawn.map_or(QUIET, |_| EVERY);
        if now.saturating_duration_since(self.drawn.unwrap_or(self.began)) < since {
            return None;
        }
        (self.drawn, self.shown) = (Some(now), true);
        // The last column stays free: some terminals wrap once it is written to.
        let line = self.line(done, now);
        Some(format!("{CLEAR}{}", clip(&line, self.width.saturating_sub(1))))
    }

    /// What to write before anything else is.
    pub fn clear(&mut self) -> Option<&'static str> {
        std::mem::take(&mut self.shown).then_some(CLEAR)
    }

    fn line(&self, Done { bytes, entries }: Done, now: Instant) -> String {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        let rate = if seconds > 0.0 { entries as f64 / seconds } else { 0.0 };
        let read = match self.total.filter(|total| *total > 0) {
            Some(total) => {
                let percent = (bytes.min(total) as f64 / total as f64 * 100.0).floor();
                format!("{percent:3.0}%  {} of {}", megabytes(bytes), megabytes(total))
            }
            None => megabytes(bytes),
        };
        format!("{read}  {entries} entries  {rate:.0}/s")
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_comes_late_and_not_too_often() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut progress = Progress::new(Some(200_000_000), 80, start);
        let half = Done { bytes: 99_900_000, entries: 1500 };
        assert_eq!(progress.update(half, after(999)), None);
        assert_eq!(progress.clear(), None, "nothing stands there");
        let line = "\r\u{1b}[K 49%  99.9 MB of 200.0 MB  1500 entries  1500/s";
        assert_eq!(progress.update(half, after(1000)).as_deref(), Some(line));
        assert_eq!(progress.update(half, after(1099)), None);
        assert_eq!((progress.clear(), progress.clear()), (Some("\r\u{1b}[K"), None));
        assert!(progress.update(half, after(1100)).is_some());
    }

    #[test]
    fn it_fits_and_takes_what_is_not_known() {
        let start = Instant::now();
        let mut progress = Progress::new(None, 20, start);
        let line = progress.update(Done { bytes: 1_000_000, entries: 7 }, start + Duration::from_secs(2));
        assert_eq!(line.as_deref(), Some("\r\u{1b}[K1.0 MB  7 entries …"));
    }
}
