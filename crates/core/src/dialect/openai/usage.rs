//! Token counts: one shape, and what each provider makes of it.

use crate::dialect::facts::{ResponseFacts, sum};
use crate::dialect::openai::keep_extra;
use crate::json::Json;
use crate::record::Usage;

/// Reads a usage object; the last one of a stream counts, whole: counts are never mixed from several.
pub fn read_usage(usage: &Json<'_>, facts: &mut ResponseFacts) {
    if usage.members().is_empty() {
        return;
    }
    let first = |names: &[&str]| names.iter().find_map(|name| usage.get(name).count());
    let detail = |groups: &[&str], names: &[&str]| {
        groups.iter().find_map(|group| names.iter().find_map(|name| usage.get(group).get(name).count()))
    };
    // Writer leaves out an s.
    let prompt_details =
        ["prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details"];
    let completion_details =
        ["completion_tokens_details", "output_tokens_details", "completion_token_details", "output_token_details"];
    let input = first(&["prompt_tokens", "input_tokens"]);
    let mut output = first(&["completion_tokens", "output_tokens"]);
    let reasoning = detail(&completion_details, &["reasoning_tokens"]).or_else(|| first(&["reasoning_tokens"]));
    let reported_total = first(&["total_tokens"]);
    // xAI counts reasoning beside the completion instead of inside it; the total gives it away.
    if let (Some(input), Some(completion), Some(reasoning @ 1..), Some(total)) =
        (input, output, reasoning, reported_total)
        && total == input.saturating_add(completion).saturating_add(reasoning)
    {
        output = Some(completion + reasoning);
    }
    if input.is_none() && output.is_none() && reported_total.is_none() {
        // An object of nulls takes nothing back.
        return;
    }
    // What OpenRouter, Perplexity and xAI ask for it, in dollars or ticks of them.
    for key in ["cost", "cost_in_usd_ticks", "num_sources_used", "num_search_queries", "search_context_size"] {
        keep_extra(facts, key, usage.get(key));
    }
    facts.usage = Usage {
        input,
        output,
        total: reported_total.or_else(|| sum(input, output)),
        cache_read: detail(&prompt_details, &["cached_tokens"])
            // DeepSeek and Moonshot; Claude's own name at Databricks and behind LiteLLM.
            .or_else(|| first(&["prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"])),
        cache_write: detail(&prompt_details, &["cache_write_tokens", "cache_creation_tokens"])
            .or_else(|| first(&["cache_creation_input_tokens"])),
        reasoning,
    };
}
