//! Instants as values: the engine never reads a clock, its hosts pass the time in.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant: nanoseconds since the Unix epoch.
///
/// Hosts take the wall clock once when a call begins and add monotonic time to it, so that durations inside a call
/// never run backwards when the wall clock is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(pub u64);

impl At {
    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    pub fn ms_since(self, earlier: Self) -> f64 {
        // Nanoseconds of one call fit an f64's 53 bits for 104 days.
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }

    /// The instant `ms` milliseconds later.
    pub fn plus_ms(self, ms: f64) -> Self {
        Self(self.0.saturating_add((ms.max(0.0) * 1e6).round() as u64))
    }

    /// Whole milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The whole microsecond that it is in, which is what RFC 3339 says of it.
    pub fn to_micros(self) -> Self {
        Self(self.0 / 1_000 * 1_000)
    }

    /// RFC 3339 in UTC with microseconds, such as `2026-01-02T03:04:05.678901Z`.
    pub fn to_rfc3339(self) -> String {
        let format =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
        OffsetDateTime::from_unix_timestamp_nanos(self.to_micros().0.into())
            .ok()
            .and_then(|at| at.format(format).ok())
            .unwrap_or_default()
    }

    /// Reads RFC 3339; `None` for anything else and for dates before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos()).ok().map(Self)
    }
}

/// `#[serde(with = "...")]` for an [`At`] as RFC 3339 text.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::At;

    /// Writes RFC 3339.
    pub fn serialize<S: Serializer>(at: &At, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339())
    }

    /// Reads RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<At, D::Error> {
        let text = String::deserialize(deserializer)?;
        At::from_rfc3339(&text).ok_or_else(|| D::Error::custom(format!("not an RFC 3339 time: {text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_there_and_back_to_the_microsecond() {
        let at = At(1_767_323_045_678_901_234);
        assert_eq!(at.to_rfc3339(), "2026-01-02T03:04:05.678901Z");
        assert_eq!(At::from_rfc3339(&at.to_rfc3339()), Some(At(1_767_323_045_678_901_000)));
        assert_eq!(At::from_rfc3339("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn durations_never_run_backwards() {
        assert_eq!(At(5).ms_since(At(9)), 0.0);
        assert_eq!(At(1_000_000).plus_ms(1.5), At(2_500_000));
    }
}
