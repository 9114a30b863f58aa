//! Which calls are kept when `sampling_ratio` is below 1.
//!
//! Failed and slow calls are kept always. Of the others, OpenTelemetry's consistent probability sampling decides
//! (<https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>): 56 bits of randomness that belong to
//! the trace against a threshold, so that all calls of a trace share the lot, on every gateway, and a larger share includes
//! a smaller one.
//!
//! What is kept says in its `tracestate` how many it stands for: `ot=th:` with the threshold, 0 for what is kept always.
//! Failed and slow do not depend on the randomness, so sums that are weighted by it are without bias.

use ai_tracing_core::record::CallRecord;
use ai_tracing_core::settings::Settings;

const RANDOM_BITS: u32 = 56;
/// Hexadecimal digits of so many bits.
const DIGITS: usize = 14;
/// Members of a `tracestate`, and bytes of OpenTelemetry's one, at most.
const MAX_MEMBERS: usize = 32;
const MAX_VALUE: usize = 256;

/// Whether `record` is kept; what is kept tells its threshold.
pub(crate) fn keep(record: &mut CallRecord, settings: &Settings) -> bool {
    let slow = settings.sampling_slow_ms.is_some_and(|slow| record.timing.total_duration_ms >= slow);
    let state = State::read(record.tracestate.as_deref().unwrap_or_default());
    let threshold = threshold(settings.sampling_ratio).filter(|_| !slow && !record.is_error());
    let random = state.randomness().or_else(|| randomness(&record.trace_id));
    if let (Some(threshold), Some(random)) = (threshold, random)
        && random < threshold
    {
        return false;
    }
    // Where everything is kept there is nothing to tell, unless somebody else's threshold stands there.
    if settings.sampling_ratio < 1.0 || state.has_threshold() {
        record.tracestate = Some(state.with_threshold(threshold.filter(|_| random.is_some()).unwrap_or(0)));
    }
    true
}

/// Of 2^56 traces, those that are not kept; `None`: all are. A NaN is no ratio: keep rather than lose.
fn threshold(ratio: f64) -> Option<u64> {
    (ratio < 1.0).then(|| ((1.0 - ratio.max(0.0)) * (1_u64 << RANDOM_BITS) as f64) as u64)
}

/// The lowest 56 bits of a trace id.
fn randomness(trace_id: &str) -> Option<u64> {
    let id = u128::from_str_radix(trace_id, 16).ok()?;
    Some(id as u64 & ((1 << RANDOM_BITS) - 1))
}

/// A W3C `tracestate`, OpenTelemetry's member apart (`ot=th:c;rv:0123456789abcd`).
struct State<'a> {
    ot: Vec<(&'a str, &'a str)>,
    others: Vec<&'a str>,
}

impl<'a> State<'a> {
    fn read(text: &'a str) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) =
            text.split(',').map(str::trim).filter(|member| !member.is_empty()).partition(|it| it.starts_with("ot="));
        let value = ours.first().and_then(|member| member.strip_prefix("ot=")).unwrap_or_default();
        Self { ot: value.split(';').filter_map(|pair| pair.split_once(':')).collect(), others }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.ot.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// `rv`: what decides instead of the trace id.
    fn randomness(&self) -> Option<u64> {
        let digits =
            self.get("rv").filter(|rv| rv.len() == DIGITS && rv.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u64::from_str_radix(digits, 16).ok()
    }

    fn has_threshold(&self) -> bool {
        self.get("th").is_some()
    }

    /// The `tracestate` with this threshold: what has changed goes to the front, what is too much is left out at the end.
    fn with_threshold(&self, threshold: u64) -> String {
        let digits = format!("{threshold:0DIGITS$x}");
        let significant = digits.trim_end_matches('0');
        let mut state = format!("ot=th:{}", if significant.is_empty() { "0" } else { significant });
        for (key, value) in self.ot.iter().filter(|(key, _)| *key != "th") {
            if state.len() + key.len() + value.len() + 2 <= MAX_VALUE {
                state.extend([";", key, ":", value]);
            }
        }
        for member in self.others.iter().take(MAX_MEMBERS - 1) {
            state.extend([",", member]);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    const LOW: &str = "ffffffffffffffffff00000000000000";
    const MIDDLE: &str = "00000000000000000080000000000000";

    fn settings(sampling_ratio: f64) -> Settings {
        Settings { sampling_ratio, sampling_slow_ms: Some(1000.0), ..Settings::default() }
    }

    /// Whether the call is kept, and its `tracestate` then.
    fn kept(
        trace_id: &str,
        tracestate: Option<&str>,
        ratio: f64,
        more: &[(&str, serde_json::Value)],
    ) -> Option<Option<String>> {
        let mut value = testing::minimal("a");
        value["trace_id"] = json!(trace_id);
        value["tracestate"] = json!(tracestate);
        for (pointer, told) in more {
            *value.pointer_mut(pointer).unwrap() = told.clone();
        }
        let mut record = CallRecord::clone(&testing::from_json(value));
        keep(&mut record, &settings(ratio)).then_some(record.tracestate)
    }

    fn told(state: &str) -> Option<Option<String>> {
        Some(Some(state.to_owned()))
    }

    #[test]
    fn the_lowest_56_bits_decide_and_the_kept_tell_the_threshold() {
        assert_eq!(kept(LOW, None, 0.999, &[]), None);
        assert_eq!(kept(MIDDLE, None, 0.5, &[]), told("ot=th:8"));
        assert_eq!(kept(MIDDLE, None, 0.49, &[]), None);
        assert_eq!(kept(MIDDLE, None, 0.75, &[]), told("ot=th:4"));
        assert_eq!(kept(MIDDLE, None, 0.0, &[]), None);
    }

    #[test]
    fn where_all_are_kept_nothing_is_told_but_another_threshold_is_not_left() {
        assert_eq!(kept(LOW, None, 1.0, &[]), Some(None));
        assert_eq!(kept(LOW, Some("a=b,c=d"), 1.0, &[]), told("a=b,c=d"));
        assert_eq!(kept(LOW, Some("a=b,ot=th:8;x:y"), 1.0, &[]), told("ot=th:0;x:y,a=b"));
    }

    #[test]
    fn failed_and_slow_calls_are_kept_and_stand_for_themselves() {
        assert_eq!(kept(LOW, Some("a=b"), 0.0, &[("/status", json!(500))]), told("ot=th:0,a=b"));
        assert_eq!(kept(LOW, None, 0.5, &[("/end", json!("client_gone"))]), told("ot=th:0"));
        assert_eq!(kept(LOW, None, 0.5, &[("/timing/total_duration_ms", json!(1000.0))]), told("ot=th:0"));
        assert_eq!(kept(MIDDLE, None, 0.5, &[("/timing/total_duration_ms", json!(1000.0))]), told("ot=th:0"));
        assert_eq!(kept(LOW, None, 0.5, &[("/timing/total_duration_ms", json!(999.9))]), None);
    }

    #[test]
    fn randomness_that_the_caller_tells_counts_instead_of_the_trace_id() {
        assert_eq!(kept(LOW, Some("ot=rv:80000000000000;th:2,a=b"), 0.5, &[]), told("ot=th:8;rv:80000000000000,a=b"));
        assert_eq!(kept(MIDDLE, Some("ot=rv:7fffffffffffff"), 0.5, &[]), None);
        for wrong in ["ot=rv:8", "ot=rv:+7ffffffffffff", "ot=;;:", "ot", "=,,"] {
            assert!(kept(MIDDLE, Some(wrong), 0.5, &[]).is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_state_stays_within_its_bounds() {
        let state = format!("ot=a:{},{}", "x".repeat(300), vec!["k=v"; 40].join(","));
        let shown = kept(MIDDLE, Some(&state), 0.5, &[]).unwrap().unwrap();
        assert_eq!(shown.split(',').count(), 32);
        assert!(shown.starts_with("ot=th:8,k=v"));
    }

    #[test]
    fn about_the_asked_share_is_kept_and_a_larger_ratio_keeps_all_of_a_smaller_one() {
        let ids: Vec<String> =
            (0..4000_u64).map(|n| format!("{:032x}", u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))).collect();
        let is_kept = |id: &str, ratio| kept(id, None, ratio, &[]).is_some();
        let count = ids.iter().filter(|id| is_kept(id, 0.25)).count();
        assert!((900..1100).contains(&count), "{count}");
        assert!(ids.iter().all(|id| !is_kept(id, 0.25) || is_kept(id, 0.5)));
    }

    #[test]
    fn an_unreadable_id_or_ratio_keeps() {
        assert_eq!(kept("not hex", None, 0.0, &[]), told("ot=th:0"));
        assert_eq!(kept(LOW, None, f64::NAN, &[]), Some(None));
    }
}
