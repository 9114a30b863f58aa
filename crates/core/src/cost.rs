//! What a call costs: prices per million tokens by model pattern.
//!
//! A configuration's own prices come first, in their order; then the built-in table of list prices, where the most
//! specific pattern wins. A model that neither knows has no cost: an unknown price is no price of 0.

mod pattern;
mod prices;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::{Cost, Usage};

/// Answers that are remembered: a gateway sees few models, and hostile names must not grow the memory.
const MAX_REMEMBERED: usize = 1024;

/// Model names that are longer are no model names.
const MAX_MODEL_LEN: usize = 256;

/// Providers that run models on the operator's own machines: whatever a model is called there, nobody sends a bill.
const SELF_HOSTED: [&str; 8] = ["ollama", "vllm", "llamacpp", "llama.cpp", "tgi", "sglang", "lm_studio", "localai"];

/// Prices by model pattern: a configuration's own before the built-in table.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// The configuration's own prices, in order; the first pattern that matches wins.
    pub own: Vec<Price>,
    remembered: Arc<Mutex<HashMap<String, Option<Rates>>>>,
}

/// Price of one model in US dollars per million tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    /// Model name, `*` stands for any characters.
    pub model: String,
    /// Prompt tokens.
    pub input: f64,
    /// Completion tokens.
    pub output: f64,
    /// Prompt tokens read from a cache; `None`: as `input`.
    pub cached: Option<f64>,
}

/// What one model's tokens cost, in US dollars per million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Prompt tokens.
    pub input: f64,
    /// Completion tokens; 0 for embeddings.
    pub output: f64,
    /// Prompt tokens read from a cache.
    pub cached: f64,
    /// Prompt tokens written to a cache.
    pub cache_write: f64,
}

impl Prices {
    /// Prices with a configuration's own before the built-in ones.
    pub fn new(own: Vec<Price>) -> Self {
        Self { own, ..Self::default() }
    }

    /// The rates of the first of `models` that has a price: the names that one call gave to its model, the best first
    /// (the response's, then the request's). A name is tried as it stands and without what providers and gateways put
    /// before it (`openai/gpt-4o`, `models/gemini-2.5-pro`, `us.anthropic.claude-sonnet-4-…`). The configuration's own
    /// prices are tried for all names before the built-in ones are, so that an override always overrides.
    pub fn rates(&self, models: &[&str], provider: &str) -> Option<Rates> {
        let models: Vec<&str> = models.iter().copied().filter(|model| model.len() <= MAX_MODEL_LEN).collect();
        // Matching a name with every pattern of the table takes as long as reading a small call.
        let key = models.iter().fold(provider.to_owned(), |key, model| key + "\0" + model);
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rates) = remembered().get(&key) {
            return *rates;
        }
        let rates = self.find(&models, provider);
        let mut remembered = remembered();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, rates);
        rates
    }

    fn find(&self, models: &[&str], provider: &str) -> Option<Rates> {
        let models = || models.iter();
        let own = |model: &&str| {
            let matches = |price: &&Price| pattern::names(model).any(|name| pattern::matches(&price.model, name));
            self.own.iter().find(matches).map(Rates::from)
        };
        let built_in = |model: &&str| prices::find(model, provider);
        models().find_map(own).or_else(|| {
            let hosted = !SELF_HOSTED.contains(&provider);
            hosted.then(|| models().find_map(built_in)).flatten()
        })
    }

    /// The cost of `usage`; `None` when the price is unknown, or no count is known. `models` and `provider` as in
    /// [`Self::rates`].
    pub fn cost(&self, models: &[&str], provider: &str, usage: &Usage) -> Option<Cost> {
        self.rates(models, provider)?.cost(usage)
    }
}

impl From<&Price> for Rates {
    fn from(price: &Price) -> Self {
        let Price { model: _, input, output, cached } = *price;
        Self { input, output, cached: cached.unwrap_or(input), cache_write: input }
    }
}

impl Rates {
    /// The cost of `usage`, never negative. A count that is not known costs nothing (embeddings have no output); `None`
    /// when neither input nor output is known.
    pub fn cost(&self, usage: &Usage) -> Option<Cost> {
        if usage.input.is_none() && usage.output.is_none() {
            return None;
        }
        let of = |tokens: u64, rate: f64| tokens as f64 * rate.max(0.0) / 1e6;
        let (all, read, write) =
            (usage.input.unwrap_or(0), usage.cache_read.unwrap_or(0), usage.cache_write.unwrap_or(0));
        // Cached tokens are part of the input; where a provider says otherwise, the input it states is what counts.
        let read = read.min(all);
        let write = write.min(all - read);
        let input = of(all - read - write, self.input) + of(read, self.cached) + of(write, self.cache_write);
        let output = of(usage.output.unwrap_or(0), self.output);
        let total = input + output;
        total.is_finite().then_some(Cost { input, output, total })
    }
}
