//! The ids of one trace's observations.

use ai_tracing_core::record::CallRecord;

use crate::exporter::ids::{CallIds, derived};

/// The ids of one trace's observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub trace: u128,
    /// The call's own span.
    pub root: u64,
    /// The caller's span.
    pub parent: Option<u64>,
    pub prompt: u64,
    pub completion: u64,
}

impl Ids {
    pub fn of(record: &CallRecord) -> Self {
        let CallIds { trace, span: root, parent } = CallIds::of(record);
        let prompt = derived(record, "prompt", &[root, parent.unwrap_or(0)]);
        let completion = derived(record, "completion", &[root, parent.unwrap_or(0), prompt]);
        Self { trace, root, parent, prompt, completion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn ids_are_stable_distinct_and_the_records_own_where_it_has_them() {
        let record = testing::record("0198c0de-0000-7000-8000-000000000001");
        let ids = Ids::of(&record);
        assert_eq!(ids, Ids::of(&record));
        assert_eq!((ids.trace, ids.root), (0x4bf92f3577b34da6a3ce929d0e0e4736, 0x00f067aa0ba902b7));
        assert!(ids.prompt != ids.root && ids.completion != ids.root && ids.prompt != ids.completion);
        let other = Ids::of(&testing::record("0198c0de-0000-7000-8000-000000000002"));
        assert!(other.prompt != ids.prompt && other.completion != ids.completion);
    }
}
