//! Amazon Bedrock's runtime: `/model/{model}/...`, the model percent-encoded, be it a name or an ARN. Streams are AWS
//! event streams.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>.
//! What Bedrock serves in OpenAI's format (`/openai/v1`) is read as such.

mod content;
mod converse;
mod count_tokens;
mod invoke;

use percent_encoding::percent_decode_str;

use super::facts::ResponseFacts;
use super::{Dialect, Endpoint};
use crate::capture::KeptHeaders;
use crate::json::Json;
use crate::record::Operation;

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    bedrock("/converse", &converse::BedrockConverse, Operation::Chat),
    Endpoint { stream: true, ..bedrock("/converse-stream", &converse::BedrockConverse, Operation::Chat) },
    bedrock("/invoke", &invoke::BedrockInvoke, Operation::TextCompletion),
    Endpoint {
        stream: true,
        ..bedrock("/invoke-with-response-stream", &invoke::BedrockInvoke, Operation::TextCompletion)
    },
    bedrock("/count-tokens", &count_tokens::BedrockCountTokens, Operation::CountTokens),
];

const fn bedrock(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { within: "/model/", model, ..Endpoint::of("bedrock", suffix, dialect, operation) }
}

/// The model in `/model/{model}/...`.
fn model(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/model/")?;
    // An ARN that is not encoded has slashes itself.
    let (model, _) = rest.trim_end_matches('/').rsplit_once('/')?;
    let model = percent_decode_str(model).decode_utf8_lossy();
    (!model.is_empty()).then(|| model.into_owned())
}

/// Counts that are told beside an answer; cached ones are no part of the input.
struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
}

impl Counts {
    fn of_headers(headers: &KeptHeaders) -> Self {
        Self {
            input: headers.count("x-amzn-bedrock-input-token-count"),
            output: headers.count("x-amzn-bedrock-output-token-count"),
            cache_read: headers.count("x-amzn-bedrock-cache-read-input-token-count"),
            cache_write: headers.count("x-amzn-bedrock-cache-write-input-token-count"),
        }
    }

    /// `amazon-bedrock-invocationMetrics`, in the last chunk of a stream.
    fn of_metrics(metrics: &Json<'_>) -> Self {
        Self {
            input: metrics.get("inputTokenCount").count(),
            output: metrics.get("outputTokenCount").count(),
            cache_read: metrics.get("cacheReadInputTokenCount").count(),
            cache_write: metrics.get("cacheWriteInputTokenCount").count(),
        }
    }

    /// Fills in what the answer itself did not say.
    fn complete(self, facts: &mut ResponseFacts) {
        let usage = &mut facts.usage;
        if usage.input.is_none() {
            let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
            usage.input = self.input.map(|input| input.saturating_add(cached));
            usage.cache_read = self.cache_read;
            usage.cache_write = self.cache_write;
        }
        usage.output = usage.output.or(self.output);
        usage.total = usage.total.or_else(|| usage.input?.checked_add(usage.output?));
    }
}

/// Reads Converse's usage, which Amazon's Nova models answer with as well. Cached tokens are counted beside the input;
/// where the total shows that they are not, inside.
fn read_usage(usage: &Json<'_>, facts: &mut ResponseFacts) {
    if usage.members().is_empty() {
        return;
    }
    let first = |names: [&str; 2]| names.iter().find_map(|name| usage.get(name).count());
    let (input, output) = (usage.get("inputTokens").count(), usage.get("outputTokens").count());
    let total = usage.get("totalTokens").count();
    facts.usage.output = output;
    facts.usage.cache_read = first(["cacheReadInputTokens", "cacheReadInputTokenCount"]);
    facts.usage.cache_write = first(["cacheWriteInputTokens", "cacheWriteInputTokenCount"]);
    facts.uncached_input = input;
    facts.count_with_cache(total);
    let sum = input.and_then(|input| input.checked_add(output?));
    if sum.is_some() && total == sum {
        facts.usage.input = input;
    }
    facts.keep_extra("cache_details", usage.get("cacheDetails").to_value());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_decoded_and_arns_are_whole() {
        for (path, name) in [
            ("/model/amazon.nova-lite-v1%3A0/converse", "amazon.nova-lite-v1:0"),
            ("/prefix/model/anthropic.claude-v2/invoke/", "anthropic.claude-v2"),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprompt%2Fp/converse",
                "arn:aws:bedrock:us-east-1:1:prompt/p",
            ),
            (
                "/model/arn:aws:bedrock:us-east-1:1:inference-profile/p/invoke",
                "arn:aws:bedrock:us-east-1:1:inference-profile/p",
            ),
        ] {
            assert_eq!(model(path).as_deref(), Some(name), "{path}");
        }
        assert_eq!(model("/model/converse"), None);
    }
}
