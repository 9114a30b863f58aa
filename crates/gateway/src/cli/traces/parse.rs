//! Reading the values of filter options.

use std::time::Duration;

use ai_tracing_core::time::At;

/// A moment as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long ago.
    Ago(Duration),
    /// At that time.
    At(At),
}

impl Moment {
    /// The moment as a time.
    pub fn at(self, now: At) -> At {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => At(now.0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX))),
        }
    }
}

/// `15m`, `2026-01-02`, or RFC 3339.
pub fn moment(text: &str) -> Result<Moment, String> {
    let midnight = format!("{text}T00:00:00Z");
    if let Some(at) = At::from_rfc3339(text).or_else(|| At::from_rfc3339(&midnight)) {
        return Ok(Moment::At(at));
    }
    let wanted = "neither a duration such as 90s, 15m, 1h or 7d, nor a date or an RFC 3339 time";
    duration(text).map(Moment::Ago).map_err(|_| wanted.to_owned())
}

/// `800ms`, `1.5s`, `15m`, `1h`, `7d`, `2w`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "not a duration such as 800ms, 2s, 15m, 1h or 7d".to_owned();
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wanted)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return Err(wanted()),
    };
    let number: f64 = number.parse().map_err(|_| wanted())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wanted())
}

/// `429`, `5xx`, `400-499`.
pub fn status(text: &str) -> Result<(u16, u16), String> {
    let wanted = || "not an HTTP status such as 429, 5xx or 400-499".to_owned();
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..1_000).contains(code));
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let class = class.parse::<u16>().ok().filter(|class| (1..10).contains(class)).ok_or_else(wanted)?;
        return Ok((class * 100, class * 100 + 99));
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    code(from).zip(code(to)).filter(|(from, to)| from <= to).ok_or_else(wanted)
}

/// What is asked for of deliveries: `failed` is all that there is.
///
/// # Errors
/// Says what would be right.
pub fn undelivered(text: &str) -> Result<bool, String> {
    if text == "failed" { Ok(true) } else { Err("not failed".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let read = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("800ms"), Ok(800));
        assert_eq!(read("1.5s"), Ok(1_500));
        assert_eq!(read("15m"), Ok(900_000));
        assert_eq!(read("2w"), Ok(1_209_600_000));
        for wrong in ["", "5", "s", "-1s", "1y", "NaNs", "infs", "1e300d", "½s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments() {
        let now = At::from_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let read = |text| moment(text).map(|moment| moment.at(now).to_rfc3339());
        assert_eq!(read("1h"), Ok("2026-01-02T02:04:05.000000Z".into()));
        assert_eq!(read("2026-01-01"), Ok("2026-01-01T00:00:00.000000Z".into()));
        assert_eq!(read("2026-01-01T01:00:00+01:00"), Ok("2026-01-01T00:00:00.000000Z".into()));
        assert_eq!(read("5000w"), Ok("1970-01-01T00:00:00.000000Z".into()));
        assert!(read("yesterday").is_err());
    }

    #[test]
    fn statuses() {
        assert_eq!(status("429"), Ok((429, 429)));
        assert_eq!(status("5xx"), Ok((500, 599)));
        assert_eq!(status("400-418"), Ok((400, 418)));
        for wrong in ["", "0", "xx", "99", "500-400", "200-", "0xx", "4x"] {
            assert!(status(wrong).is_err(), "{wrong}");
        }
    }
}
