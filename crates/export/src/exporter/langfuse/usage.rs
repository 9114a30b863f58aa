//! Tokens and cost under the keys that Langfuse prices.
//!
//! Langfuse multiplies each key by its price, so the buckets must not overlap: `input` is what was not read from a
//! cache. Reasoning tokens stay in `output`, since few models price them apart.

use ai_tracing_core::record::CallRecord;
use serde_json::{Map, Value};

/// `usageDetails` and `costDetails`; empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bill {
    pub usage: Map<String, Value>,
    /// In US dollars. Sent only when known: any cost that is sent switches off Langfuse's own pricing.
    pub cost: Map<String, Value>,
}

/// The bill of a call.
pub(super) fn bill(record: &CallRecord) -> Bill {
    let usage = &record.usage;
    let anthropic = is_anthropic(record);
    // Langfuse prices cache writes for Anthropic's models; elsewhere those tokens cost what input costs.
    let cache_write = usage.cache_write.filter(|_| anthropic);
    let apart = usage.cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    let buckets = [
        ("input", usage.input.map(|input| input.saturating_sub(apart))),
        ("output", usage.output),
        (if anthropic { "cache_read_input_tokens" } else { "input_cached_tokens" }, usage.cache_read),
        ("input_cache_creation", cache_write),
        ("total", usage.total),
    ];
    let known = |(key, count): (&str, Option<u64>)| count.map(|count| (key.to_owned(), Value::from(count)));
    let cost = record.cost.map(|cost| [("input", cost.input), ("output", cost.output), ("total", cost.total)]);
    Bill {
        usage: buckets.into_iter().filter_map(known).collect(),
        cost: cost
            .filter(|cost| cost.iter().all(|(_, dollars)| dollars.is_finite()))
            .into_iter()
            .flatten()
            .map(|(key, dollars)| (key.to_owned(), Value::from(dollars)))
            .collect(),
    }
}

fn is_anthropic(record: &CallRecord) -> bool {
    record.provider.starts_with("anthropic") || record.dialect.starts_with("anthropic")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn usage_of(provider: &str, usage: Value) -> Value {
        let mut record = testing::minimal("a");
        record["provider"] = provider.into();
        record["usage"] = usage;
        Value::Object(bill(&testing::from_json(record)).usage)
    }

    #[test]
    fn buckets_are_disjoint() {
        let usage =
            json!({"input": 100, "output": 20, "total": 120, "cache_read": 60, "cache_write": 10, "reasoning": 5});
        assert_eq!(
            usage_of("openai", usage.clone()),
            json!({"input": 40, "output": 20, "input_cached_tokens": 60, "total": 120})
        );
        assert_eq!(
            usage_of("anthropic", usage),
            json!({"input": 30, "output": 20, "cache_read_input_tokens": 60, "input_cache_creation": 10, "total": 120})
        );
    }

    #[test]
    fn unknown_is_not_sent_and_zero_stays_zero() {
        let none = json!({"input": null, "output": null, "total": null, "cache_read": null, "cache_write": null, "reasoning": null});
        assert_eq!(usage_of("openai", none), json!({}));
        let some =
            json!({"input": 7, "output": 0, "total": null, "cache_read": 0, "cache_write": null, "reasoning": null});
        assert_eq!(usage_of("openai", some), json!({"input": 7, "output": 0, "input_cached_tokens": 0}));
    }

    #[test]
    fn more_cached_than_sent_is_no_negative_count() {
        let usage =
            json!({"input": 5, "output": null, "total": null, "cache_read": 9, "cache_write": null, "reasoning": null});
        assert_eq!(usage_of("openai", usage), json!({"input": 0, "input_cached_tokens": 9}));
    }
}
