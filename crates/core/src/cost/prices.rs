//! The built-in list prices, in US dollars per million tokens.
//!
//! Standard tier, text tokens, first context tier, regular price where an introductory one is offered; docs/prices.md
//! says what that leaves out. Models whose price per token depends on what the token is (speech, images) are left out:
//! the counts in a record do not tell them apart.
//!
//! A pattern must not reach a sibling that costs something else: dated snapshots are named by the beginning of their
//! date (`gpt-4o-2024-*`), never by `gpt-4o*`.

use super::{Rates, pattern};

/// The rates of some models.
struct Row {
    /// Patterns, separated by spaces.
    models: &'static str,
    rates: Rates,
    /// `Some`: only where this provider serves it. Models with open weights bear the same name everywhere and have a
    /// price only with a host.
    provider: Option<&'static str>,
}

/// A model's input and output price; cached input costs what input costs, unless said otherwise.
const fn row(models: &'static str, input: f64, output: f64) -> Row {
    Row { models, rates: Rates { input, output, cached: input, cache_write: input }, provider: None }
}

impl Row {
    const fn cached(mut self, cached: f64) -> Self {
        self.rates.cached = cached;
        self
    }

    const fn cache_write(mut self, cache_write: f64) -> Self {
        self.rates.cache_write = cache_write;
        self
    }

    const fn only(mut self, provider: &'static str) -> Self {
        self.provider = Some(provider);
        self
    }
}

/// Anthropic's cache prices are the same multiples everywhere: 0.1 of the input price to read, 1.25 to write (for five
/// minutes).
const fn claude(models: &'static str, input: f64, output: f64) -> Row {
    row(models, input, output).cached(input * 0.1).cache_write(input * 1.25)
}

/// The rates of `model` by the most specific pattern that matches.
pub(super) fn find(model: &str, provider: &str) -> Option<Rates> {
    // Offers at no charge of resellers carry the name of the paid model.
    if model.ends_with(":free") {
        return None;
    }
    TABLE
        .iter()
        .flat_map(|family| family.iter())
        .filter(|row| row.provider.is_none_or(|only| only == provider))
        .flat_map(|row| row.models.split(' ').map(move |pattern| (pattern, row.rates)))
        .filter(|(pattern, _)| pattern::names(model).any(|name| pattern::matches(pattern, name)))
        .max_by_key(|(pattern, _)| pattern::specificity(pattern))
        .map(|(_, rates)| rates)
}

/// All patterns, for tests.
#[cfg(test)]
pub(super) fn patterns() -> impl Iterator<Item = (&'static str, Rates, Option<&'static str>)> {
    let rows = TABLE.iter().flat_map(|family| family.iter());
    rows.flat_map(|row| row.models.split(' ').map(|pattern| (pattern, row.rates, row.provider)))
}

const TABLE: [&[Row]; 10] =
    [OPENAI, ANTHROPIC, GOOGLE, MISTRAL, COHERE, DEEPSEEK, GROQ, XAI, AMAZON, PERPLEXITY_VOYAGE_MOONSHOT];

/// <https://developers.openai.com/api/docs/pricing>, August 2026. Azure OpenAI's global standard deployments cost the
/// same (<https://azure.microsoft.com/pricing/details/cognitive-services/openai-service/>); its names have no dot.
const OPENAI: &[Row] = &[
    row("gpt-5.6 gpt-5.6-sol gpt-5.6-sol-20*", 5.0, 30.0).cached(0.5).cache_write(6.25),
    row("gpt-5.6-terra gpt-5.6-terra-20*", 2.0, 12.0).cached(0.2).cache_write(2.5),
    row("gpt-5.6-luna gpt-5.6-luna-20*", 0.2, 1.2).cached(0.02).cache_write(0.25),
    row("gpt-5.5 gpt-5.5-20* gpt-5.5-chat* gpt-5.5-codex", 5.0, 30.0).cached(0.5),
    row("gpt-5.5-pro gpt-5.5-pro-20*", 30.0, 180.0),
    row("gpt-5.4 gpt-5.4-20*", 2.5, 15.0).cached(0.25),
    row("gpt-5.4-mini gpt-5.4-mini-20*", 0.75, 4.5).cached(0.075),
    row("gpt-5.4-nano gpt-5.4-nano-20*", 0.2, 1.25).cached(0.02),
    row("gpt-5.4-pro gpt-5.4-pro-20*", 30.0, 180.0),
    row("gpt-5.3 gpt-5.3-chat* gpt-5.3-codex", 1.75, 14.0).cached(0.175),
    row("gpt-5.2 gpt-5.2-20* gpt-5.2-chat* gpt-5.2-codex", 1.75, 14.0).cached(0.175),
    row("gpt-5.2-pro gpt-5.2-pro-20*", 21.0, 168.0),
    row("gpt-5.1 gpt-5.1-20* gpt-5.1-chat* gpt-5.1-codex gpt-5.1-codex-max", 1.25, 10.0).cached(0.125),
    row("gpt-5.1-codex-mini", 0.25, 2.0).cached(0.025),
    row("gpt-5 gpt-5-20* gpt-5-chat* gpt-5-codex", 1.25, 10.0).cached(0.125),
    row("gpt-5-mini gpt-5-mini-20*", 0.25, 2.0).cached(0.025),
    row("gpt-5-nano gpt-5-nano-20*", 0.05, 0.4).cached(0.005),
    row("gpt-5-pro gpt-5-pro-20*", 15.0, 120.0),
    row("gpt-4.1 gpt-4.1-20*", 2.0, 8.0).cached(0.5),
    row("gpt-4.1-mini gpt-4.1-mini-20*", 0.4, 1.6).cached(0.1),
    row("gpt-4.1-nano gpt-4.1-nano-20*", 0.1, 0.4).cached(0.025),
    row("gpt-4.5-preview gpt-4.5-preview-20*", 75.0, 150.0).cached(37.5),
    row("gpt-4o gpt-4o-2024-*", 2.5, 10.0).cached(1.25),
    row("gpt-4o-2024-05-13 chatgpt-4o-latest", 5.0, 15.0),
    row("gpt-4o-search-preview gpt-4o-search-preview-20*", 2.5, 10.0),
    row("gpt-4o-mini gpt-4o-mini-2024-*", 0.15, 0.6).cached(0.075),
    row("gpt-4o-mini-search-preview gpt-4o-mini-search-preview-20*", 0.15, 0.6),
    row("ft:gpt-4o-2024-*", 3.75, 15.0).cached(1.875),
    row("ft:gpt-4o-mini-2024-*", 0.3, 1.2).cached(0.15),
    row("o1 o1-2024-* o1-preview o1-preview-2024-*", 15.0, 60.0).cached(7.5),
    row("o1-mini o1-mini-2024-*", 1.1, 4.4).cached(0.55),
    row("o1-pro o1-pro-2025-*", 150.0, 600.0),
    row("o3 o3-2025-*", 2.0, 8.0).cached(0.5),
    row("o3-mini o3-mini-2025-*", 1.1, 4.4).cached(0.55),
    row("o3-pro o3-pro-2025-*", 20.0, 80.0),
    row("o3-deep-research o3-deep-research-2025-*", 10.0, 40.0).cached(2.5),
    row("o4-mini o4-mini-2025-*", 1.1, 4.4).cached(0.275),
    row("o4-mini-deep-research o4-mini-deep-research-2025-*", 2.0, 8.0).cached(0.5),
    row("codex-mini-latest", 1.5, 6.0).cached(0.375),
    row("gpt-4 gpt-4-0314 gpt-4-0613", 30.0, 60.0),
    row("gpt-4-32k gpt-4-32k-0314 gpt-4-32k-0613", 60.0, 120.0),
    row("gpt-4-turbo gpt-4-turbo-2024-* gpt-4-turbo-preview", 10.0, 30.0),
    row("gpt-4-0125-preview gpt-4-1106-preview gpt-4-vision-preview gpt-4-1106-vision-preview", 10.0, 30.0),
    row("gpt-3.5-turbo gpt-3.5-turbo-0125 gpt-35-turbo gpt-35-turbo-0125", 0.5, 1.5),
    row("gpt-3.5-turbo-1106 gpt-35-turbo-1106", 1.0, 2.0),
    row("gpt-3.5-turbo-0613 gpt-3.5-turbo-0301 gpt-35-turbo-0613 gpt-35-turbo-0301", 1.5, 2.0),
    row("gpt-3.5-turbo-16k gpt-3.5-turbo-16k-0613 gpt-35-turbo-16k", 3.0, 4.0),
    row("gpt-3.5-turbo-instruct gpt-3.5-turbo-instruct-0914 gpt-3.5-turbo-instruct:* gpt-35-turbo-instruct", 1.5, 2.0),
    row("ft:gpt-3.5-turbo*", 3.0, 6.0),
    row("davinci-002", 2.0, 2.0),
    row("babbage-002", 0.4, 0.4),
    row("text-embedding-3-large", 0.13, 0.0),
    row("text-embedding-3-small", 0.02, 0.0),
    row("text-embedding-ada-002 text-embedding-ada-002-v2", 0.1, 0.0),
];

/// <https://www.anthropic.com/pricing#api>, July 2026. On Bedrock and Vertex AI global endpoints cost the same.
const ANTHROPIC: &[Row] = &[
    claude("claude-fable-5*", 10.0, 50.0),
    claude("claude-opus-5*", 5.0, 25.0),
    claude("claude-opus-4-8* claude-opus-4.8*", 5.0, 25.0),
    claude("claude-opus-4-7* claude-opus-4.7*", 5.0, 25.0),
    claude("claude-opus-4-6* claude-opus-4.6*", 5.0, 25.0),
    claude("claude-opus-4-5* claude-opus-4.5*", 5.0, 25.0),
    claude("claude-opus-4-1* claude-opus-4.1*", 15.0, 75.0),
    claude("claude-opus-4 claude-opus-4-0 claude-opus-4-2025* claude-opus-4@2025* claude-4-opus*", 15.0, 75.0),
    claude("claude-sonnet-5*", 3.0, 15.0),
    claude("claude-sonnet-4-6* claude-sonnet-4.6*", 3.0, 15.0),
    claude("claude-sonnet-4-5* claude-sonnet-4.5*", 3.0, 15.0),
    claude("claude-sonnet-4 claude-sonnet-4-0 claude-sonnet-4-2025* claude-sonnet-4@2025* claude-4-sonnet*", 3.0, 15.0),
    claude("claude-haiku-4-5* claude-haiku-4.5*", 1.0, 5.0),
    claude("claude-3-7-sonnet* claude-3.7-sonnet*", 3.0, 15.0),
    claude("claude-3-5-sonnet* claude-3.5-sonnet*", 3.0, 15.0),
    claude("claude-3-5-haiku* claude-3.5-haiku*", 0.8, 4.0),
    claude("claude-3-opus*", 15.0, 75.0),
    claude("claude-3-sonnet*", 3.0, 15.0),
    // The one family whose cache prices are rounded.
    row("claude-3-haiku*", 0.25, 1.25).cached(0.03).cache_write(0.3),
    row("claude-2 claude-2.*", 8.0, 24.0),
];

/// <https://ai.google.dev/gemini-api/docs/pricing>, August 2026; prompts up to 200,000 tokens.
const GOOGLE: &[Row] = &[
    row("gemini-3.6-flash gemini-3.6-flash-preview* gemini-3.6-flash-0*", 1.5, 7.5).cached(0.15),
    row("gemini-3.5-flash gemini-3.5-flash-preview* gemini-3.5-flash-0*", 1.5, 9.0).cached(0.15),
    row("gemini-3.5-flash-lite gemini-3.5-flash-lite-preview*", 0.3, 2.5).cached(0.03),
    row("gemini-3.1-pro-preview gemini-3.1-pro-preview-0* gemini-3.1-pro-preview-customtools", 2.0, 12.0).cached(0.2),
    row("gemini-3.1-flash-lite gemini-3.1-flash-lite-preview*", 0.25, 1.5).cached(0.025),
    row("gemini-3-pro-preview gemini-3-pro-preview-*", 2.0, 12.0).cached(0.2),
    row("gemini-3-flash-preview gemini-3-flash-preview-*", 0.5, 3.0).cached(0.05),
    row("gemini-2.5-pro gemini-2.5-pro-0* gemini-2.5-pro-preview-0*", 1.25, 10.0).cached(0.125),
    row("gemini-2.5-flash gemini-2.5-flash-0* gemini-2.5-flash-preview-09-2025", 0.3, 2.5).cached(0.03),
    row("gemini-2.5-flash-lite gemini-2.5-flash-lite-0* gemini-2.5-flash-lite-preview-*", 0.1, 0.4).cached(0.01),
    row("gemini-2.0-flash gemini-2.0-flash-0* gemini-2.0-flash-latest", 0.1, 0.4).cached(0.025),
    row("gemini-2.0-flash-lite gemini-2.0-flash-lite-0*", 0.075, 0.3),
    row("gemini-1.5-pro gemini-1.5-pro-0* gemini-1.5-pro-latest", 1.25, 5.0).cached(0.3125),
    row("gemini-1.5-flash gemini-1.5-flash-0* gemini-1.5-flash-latest", 0.075, 0.3).cached(0.01875),
    row("gemini-1.5-flash-8b gemini-1.5-flash-8b-0* gemini-1.5-flash-8b-latest", 0.0375, 0.15).cached(0.01),
    row("gemini-embedding-001", 0.15, 0.0),
];

/// <https://mistral.ai/pricing#api-pricing>, June 2026. Names of models with open weights count only at Mistral.
const MISTRAL: &[Row] = &[
    row("mistral-large-2512 mistral-large-latest", 0.5, 1.5).cached(0.05).only("mistral"),
    row("mistral-large-2407 mistral-large-2411 pixtral-large-2411 pixtral-large-latest", 2.0, 6.0).only("mistral"),
    row("mistral-medium-2505 mistral-medium-2508 mistral-medium-latest", 0.4, 2.0),
    row("magistral-medium-2506 magistral-medium-2507 magistral-medium-2509 magistral-medium-latest", 2.0, 5.0),
    row("magistral-small-2506 magistral-small-2507 magistral-small-2509", 0.5, 1.5).only("mistral"),
    row("mistral-small-2603", 0.15, 0.6).cached(0.015).only("mistral"),
    row("mistral-small-2503 mistral-small-2506 mistral-small-latest", 0.1, 0.3).only("mistral"),
    row("codestral-2501 codestral-latest", 0.3, 0.9),
    row("codestral-2508", 0.3, 0.9).cached(0.03),
    row("devstral-2512", 0.4, 2.0).cached(0.04).only("mistral"),
    row("ministral-14b-2512", 0.2, 0.2).cached(0.02).only("mistral"),
    row("ministral-3b-2512", 0.1, 0.1).cached(0.01).only("mistral"),
    row("open-mistral-nemo open-mistral-nemo-2407 pixtral-12b-2409 pixtral-12b", 0.15, 0.15).only("mistral"),
    row("open-mistral-7b", 0.25, 0.25).only("mistral"),
    row("open-mixtral-8x7b", 0.7, 0.7).only("mistral"),
    row("open-mixtral-8x22b open-mixtral-8x22b-2404", 2.0, 6.0).only("mistral"),
    row("mistral-embed", 0.1, 0.0),
];

/// <https://cohere.com/pricing>, December 2025.
const COHERE: &[Row] = &[
    row("command-a-03-2025", 2.5, 10.0),
    row("command-r-plus command-r-plus-08-2024", 2.5, 10.0),
    row("command-r command-r-08-2024", 0.15, 0.6),
    row("command-r7b-12-2024", 0.0375, 0.15),
    row("embed-v4.0", 0.12, 0.0),
];

/// <https://api-docs.deepseek.com/quick_start/pricing>, July 2026, without surcharges by time of day. `deepseek-chat`
/// and `deepseek-reasoner` are V3.2.
const DEEPSEEK: &[Row] = &[
    row("deepseek-chat deepseek-reasoner", 0.28, 0.42).cached(0.028),
    row("deepseek-v4-flash", 0.14, 0.28).cached(0.0028).only("deepseek"),
    row("deepseek-v4-pro", 0.435, 0.87).cached(0.003625).only("deepseek"),
];

/// <https://groq.com/pricing/>, August 2025.
const GROQ: &[Row] = &[
    row("llama-3.1-8b-instant", 0.05, 0.08).only("groq"),
    row("llama-3.3-70b-versatile", 0.59, 0.79).only("groq"),
    row("llama3-70b-8192", 0.59, 0.79).only("groq"),
    row("llama3-8b-8192", 0.05, 0.08).only("groq"),
    row("meta-llama/llama-4-maverick-17b-128e-instruct", 0.2, 0.6).only("groq"),
    row("meta-llama/llama-4-scout-17b-16e-instruct", 0.11, 0.34).only("groq"),
    row("gemma2-9b-it", 0.2, 0.2).only("groq"),
    row("deepseek-r1-distill-llama-70b", 0.75, 0.99).only("groq"),
    row("moonshotai/kimi-k2-instruct moonshotai/kimi-k2-instruct-0905", 1.0, 3.0).cached(0.5).only("groq"),
    row("openai/gpt-oss-120b", 0.15, 0.6).cached(0.075).only("groq"),
    row("openai/gpt-oss-20b", 0.075, 0.3).cached(0.0375).only("groq"),
    row("qwen/qwen3-32b", 0.29, 0.59).only("groq"),
];

/// <https://docs.x.ai/docs/models>, July 2026.
const XAI: &[Row] = &[
    row("grok-4.5 grok-4.5-2* grok-4.5-latest", 2.0, 6.0).cached(0.5),
    row("grok-4.3 grok-4.3-2* grok-4.3-latest", 1.25, 2.5).cached(0.2),
    row("grok-4-1-fast grok-4-1-fast-reasoning* grok-4-1-fast-non-reasoning*", 0.2, 0.5).cached(0.05),
    row("grok-4-fast grok-4-fast-reasoning* grok-4-fast-non-reasoning*", 0.2, 0.5).cached(0.05),
    row("grok-4 grok-4-0709 grok-4-latest", 3.0, 15.0).cached(0.75),
    row("grok-code-fast-1 grok-code-fast-1-0825 grok-code-fast", 0.2, 1.5).cached(0.02),
    row("grok-3 grok-3-latest grok-3-beta", 3.0, 15.0).cached(0.75),
    row("grok-3-fast grok-3-fast-latest grok-3-fast-beta", 5.0, 25.0).cached(1.25),
    row("grok-3-mini grok-3-mini-latest grok-3-mini-beta", 0.3, 0.5).cached(0.075),
    row("grok-3-mini-fast grok-3-mini-fast-latest grok-3-mini-fast-beta", 0.6, 4.0).cached(0.15),
    row("grok-2 grok-2-1212 grok-2-latest grok-2-vision grok-2-vision-1212 grok-2-vision-latest", 2.0, 10.0),
];

/// <https://aws.amazon.com/bedrock/pricing/>, June 2026, region us-east-1. The star stands for the region's prefix.
const AMAZON: &[Row] = &[
    row("*amazon.nova-micro-v1*", 0.035, 0.14).cached(0.00875),
    row("*amazon.nova-lite-v1*", 0.06, 0.24).cached(0.015),
    row("*amazon.nova-pro-v1*", 0.8, 3.2).cached(0.2),
    row("*amazon.nova-premier-v1*", 2.5, 12.5).cached(0.625),
    row("*meta.llama3-1-8b-instruct*", 0.22, 0.22),
    row("*meta.llama3-1-70b-instruct* *meta.llama3-3-70b-instruct*", 0.72, 0.72),
    row("*meta.llama4-maverick-17b-instruct*", 0.24, 0.97),
    row("*meta.llama4-scout-17b-instruct*", 0.17, 0.66),
];

/// <https://docs.perplexity.ai/docs/getting-started/pricing>, July 2026 (tokens only, without the fee per request);
/// <https://docs.voyageai.com/docs/pricing>, June 2026;
/// <https://platform.moonshot.ai/docs/pricing/chat>, July 2026.
const PERPLEXITY_VOYAGE_MOONSHOT: &[Row] = &[
    row("sonar", 1.0, 1.0),
    row("sonar-pro", 3.0, 15.0),
    row("sonar-reasoning-pro", 2.0, 8.0),
    row("sonar-reasoning", 1.0, 5.0),
    row("voyage-4 voyage-3.5 voyage-3", 0.06, 0.0),
    row("voyage-4-lite voyage-3.5-lite voyage-3-lite", 0.02, 0.0),
    row("voyage-4-large voyage-code-2 voyage-finance-2 voyage-law-2 voyage-multilingual-2", 0.12, 0.0),
    row("voyage-3-large voyage-code-3 voyage-context-3", 0.18, 0.0),
    row("kimi-k2-0711-preview kimi-k2-0905-preview kimi-k2-thinking", 0.6, 2.5).cached(0.15).only("moonshot"),
    row("kimi-k2-turbo-preview kimi-k2-thinking-turbo", 1.15, 8.0).cached(0.15).only("moonshot"),
    row("kimi-k2.5", 0.6, 3.0).cached(0.1).only("moonshot"),
    row("kimi-k2.6", 0.95, 4.0).cached(0.16).only("moonshot"),
];
