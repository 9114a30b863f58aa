//! Which calls are kept when `sampling_ratio` is below 1.
//!
//! The decision is a function of the trace id alone, by OpenTelemetry's rule for consistent probability sampling (the
//! lowest 56 bits of the id against a threshold), so that all calls of a trace share it, on every gateway. Failed
//! calls are kept always.

use ai_tracing_core::record::CallRecord;

const RANDOM_BITS: u32 = 56;

/// Whether `record` is kept.
pub(crate) fn keep(record: &CallRecord, ratio: f64) -> bool {
    ratio >= 1.0 || record.is_error() || trace_is_kept(&record.trace_id, ratio)
}

fn trace_is_kept(trace_id: &str, ratio: f64) -> bool {
    // A NaN is no ratio: keep rather than lose.
    if ratio.is_nan() {
        return true;
    }
    let Ok(id) = u128::from_str_radix(trace_id, 16) else { return true };
    let space = 1_u64 << RANDOM_BITS;
    let threshold = ((1.0 - ratio.clamp(0.0, 1.0)) * space as f64) as u64;
    (id as u64 & (space - 1)) >= threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_on_the_lowest_56_bits() {
        let lowest = "ffffffffffffffffff00000000000000";
        let middle = "00000000000000000080000000000000";
        assert!(!trace_is_kept(lowest, 0.999));
        assert!(trace_is_kept(middle, 0.5));
        assert!(!trace_is_kept(middle, 0.49));
        assert!(trace_is_kept(lowest, 1.0));
        assert!(!trace_is_kept("00000000000000000000000000000000", 0.0));
    }

    #[test]
    fn about_the_asked_share_is_kept_and_a_larger_ratio_keeps_all_of_a_smaller_one() {
        let ids: Vec<String> =
            (0..4000_u64).map(|n| format!("{:032x}", u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))).collect();
        let kept = |ratio| ids.iter().filter(|id| trace_is_kept(id, ratio)).count();
        assert!((900..1100).contains(&kept(0.25)), "{}", kept(0.25));
        assert!(ids.iter().all(|id| !trace_is_kept(id, 0.25) || trace_is_kept(id, 0.5)));
    }

    #[test]
    fn an_unreadable_id_or_ratio_keeps() {
        assert!(trace_is_kept("not hex", 0.0));
        assert!(trace_is_kept("00000000000000000000000000000000", f64::NAN));
    }
}
