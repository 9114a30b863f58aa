//! Kong's declarative configuration: one YAML or JSON document with everything in it.
//!
//! In: text. Out: [`Tables`], or every error at once with its path. Routes and plugins may stand inside the service
//! or route they belong to, or refer to it by name or id. Ids that are missing are derived from names as Kong derives
//! them, so that a file that is loaded again gives the same entities.

mod errors;
mod export;
mod ids;
mod parse;

pub use errors::Errors;
pub use export::to_yaml;
pub use parse::{parse, read};

#[cfg(test)]
mod tests;
