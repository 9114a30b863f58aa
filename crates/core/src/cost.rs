//! What a call costs: prices per million tokens by model pattern.

use crate::record::{Cost, Usage};

/// Prices by model pattern: a configuration's own before the built-in table.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// The configuration's own prices, in order; the first pattern that matches wins.
    pub own: Vec<Price>,
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

impl Prices {
    /// The cost of `usage` on `model`; `None` when the price or a needed count is unknown.
    pub fn cost(&self, _model: &str, _usage: &Usage) -> Option<Cost> {
        None
    }
}
