//! Ids that are not in the record are derived from it, so that a retry, and every encoding, gives the same ones.

use ai_tracing_core::record::CallRecord;
use uuid::Uuid;

/// The ids of a call, none of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallIds {
    pub trace: u128,
    /// The call's own span.
    pub span: u64,
    /// The caller's span.
    pub parent: Option<u64>,
}

impl CallIds {
    pub fn of(record: &CallRecord) -> Self {
        let trace = match u128::from_str_radix(&record.trace_id, 16) {
            Ok(id) if id != 0 => id,
            _ => event_id(record, "trace").as_u128(),
        };
        let span = |hex: &str| u64::from_str_radix(hex, 16).ok().filter(|id| *id != 0);
        let parent = record.parent_span_id.as_deref().and_then(span);
        let own = span(&record.span_id).unwrap_or_else(|| derived(record, "root", &[parent.unwrap_or(0)]));
        Self { trace, span: own, parent }
    }
}

/// A stable id of one kind of thing that is made of a record.
pub(super) fn event_id(record: &CallRecord, kind: &str) -> Uuid {
    let name = format!("{}/{}/{}/{kind}", record.id, record.trace_id, record.span_id);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// A span id that is neither 0 nor one of `taken`.
pub(super) fn derived(record: &CallRecord, kind: &str, taken: &[u64]) -> u64 {
    let mut id = event_id(record, kind).as_u64_pair().0;
    while id == 0 || taken.contains(&id) {
        id = id.wrapping_add(1);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn unusable_ids_are_replaced() {
        let mut record = CallRecord::clone(&testing::record("a"));
        record.trace_id = "0".repeat(32);
        record.span_id = "no hex".into();
        record.parent_span_id = Some("0".repeat(16));
        let ids = CallIds::of(&record);
        assert!(ids.trace != 0 && ids.span != 0 && ids.parent.is_none());
    }

    #[test]
    fn a_taken_id_is_passed_over() {
        let record = testing::record("a");
        let free = derived(&record, "prompt", &[]);
        assert_eq!(derived(&record, "prompt", &[free]), free.wrapping_add(1));
    }
}
