//! Numbers and times for people. What is unknown is `-`, never 0.

use ai_tracing_core::time::At;

/// What stands for an unknown value.
pub const UNKNOWN: &str = "-";

/// A duration in milliseconds: `812ms`, `1.24s`, `2m05s`.
pub fn duration(ms: f64) -> String {
    if !ms.is_finite() || ms < 0.0 {
        return UNKNOWN.into();
    }
    // The bounds lie where rounding would show the next unit's number: 9.99 is 10ms, 999.5 is 1.00s.
    match ms {
        ms if ms < 0.995 => format!("{ms:.2}ms"),
        ms if ms < 9.95 => format!("{ms:.1}ms"),
        ms if ms < 999.5 => format!("{ms:.0}ms"),
        ms if ms < 9_995.0 => format!("{:.2}s", ms / 1e3),
        ms if ms < 59_950.0 => format!("{:.1}s", ms / 1e3),
        ms => {
            let seconds = (ms / 1e3).round() as u64;
            match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
                (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
            }
        }
    }
}

/// A cost in US dollars, with as many digits as it takes to see something.
pub fn dollars(cost: f64) -> String {
    match cost {
        cost if !cost.is_finite() => UNKNOWN.into(),
        0.0 => "$0".into(),
        cost if cost.abs() < 0.000_001 => "<$0.000001".into(),
        cost if cost.abs() < 0.01 => format!("${cost:.6}"),
        cost if cost.abs() < 100.0 => format!("${cost:.4}"),
        cost => format!("${cost:.2}"),
    }
}

/// A number of bytes: `812 B`, `4.0 KiB`, `1.3 GiB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB"] {
        // Where rounding would show 1024.
        if value < 1023.95 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

/// A time of day in UTC; where the day is not today, its date and the minute.
pub fn time(at: At, now: At) -> String {
    let (text, today) = (at.to_rfc3339(), now.to_rfc3339());
    let part = |range| text.get(range).unwrap_or_default();
    if part(0..10) == today.get(..10).unwrap_or_default() {
        return part(11..19).to_owned();
    }
    let this_year = part(0..4) == today.get(..4).unwrap_or_default();
    format!("{} {}", part(if this_year { 5..10 } else { 0..10 }), part(11..16))
}

/// A value, or `-`.
pub fn or_unknown<T>(value: Option<T>, format: impl Fn(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        let shown = [0.0, 0.21, 3.456, 9.99, 812.4, 999.7, 1234.5, 9_999.0, 59_940.0, 59_960.0, 125_000.0, 7_260_000.0];
        assert_eq!(
            shown.map(duration).join(" "),
            "0.00ms 0.21ms 3.5ms 10ms 812ms 1.00s 1.23s 10.0s 59.9s 1m00s 2m05s 2h01m"
        );
        assert_eq!(duration(f64::NAN), "-");
    }

    #[test]
    fn costs_show_their_first_digits() {
        let shown = [0.0, 0.000_000_1, 0.000_033_6, 0.0123, 1.5, 1234.567];
        assert_eq!(shown.map(dollars).join(" "), "$0 <$0.000001 $0.000034 $0.0123 $1.5000 $1234.57");
    }

    #[test]
    fn bytes_have_the_unit_that_suits_them() {
        let shown = [0, 1023, 1024, 4096, 1_048_575, 1_048_576, 5 << 30, 3 << 40];
        assert_eq!(shown.map(bytes).join(" "), "0 B 1023 B 1.0 KiB 4.0 KiB 1.0 MiB 1.0 MiB 5.0 GiB 3072.0 GiB");
    }

    #[test]
    fn the_date_is_shown_where_it_is_not_today() {
        let at = |text| At::from_rfc3339(text).unwrap();
        let now = at("2026-01-02T10:00:00Z");
        assert_eq!(time(at("2026-01-02T03:04:05Z"), now), "03:04:05");
        assert_eq!(time(at("2026-01-01T03:04:05Z"), now), "01-01 03:04");
        assert_eq!(time(at("2025-12-31T23:59:59Z"), now), "2025-12-31 23:59");
    }
}
