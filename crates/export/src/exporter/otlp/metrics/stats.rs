//! What is counted of metrics on their way.

use std::sync::{Mutex, PoisonError};

use crate::stats::{Counter, MetricsStats};

/// Name in logs and statistics.
pub(super) const NAME: &str = "otlp-metrics";

/// The counters behind [`MetricsStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub delivered: Counter,
    pub rejected: Counter,
    pub requests: Counter,
    pub failures: Counter,
    failing: Mutex<Option<String>>,
}

impl Counters {
    /// Why the last attempt failed; `None` when it did not.
    pub fn set_failing(&self, why: Option<String>) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub fn is_failing(&self) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// With the receiver's address, and how many values were counted under the overflow.
    pub fn stats(&self, url: &str, folded: u64) -> MetricsStats {
        MetricsStats {
            name: format!("{NAME} {url}"),
            delivered: self.delivered.get(),
            rejected: self.rejected.get(),
            requests: self.requests.get(),
            failures: self.failures.get(),
            folded,
            failing: self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
