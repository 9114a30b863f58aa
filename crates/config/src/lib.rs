//! Configuration as data: Kong's schema language, the schemas of what we accept, and validation with Kong's errors.
//!
//! In: JSON (or decoded form pairs). Out: the same value with types checked and defaults filled, or [`Invalid`], which
//! names every path that is wrong. One [`schema::Schema`] drives validation, the Admin API's `/schemas` answer, the
//! Kong plugin's `schema.lua` and the parameter table of docs/configuration.md, so the four cannot disagree.
//!
//! Nothing here reads a clock, an environment variable or a file: ids, times and vault look-ups are passed in.
//!
//! ```
//! use ai_tracing_config::ai_tracing::{self, AiTracing};
//! use serde_json::json;
//!
//! let config = AiTracing::from_value(&json!({"environment": "staging"}))?;
//! assert_eq!((config.environment.as_str(), config.langfuse_timeout), ("staging", 5000.0));
//!
//! let wrong = ai_tracing::schema().create(json!({"log_level": "loud"}));
//! assert_eq!(
//!     wrong.map_err(|invalid| invalid.to_string()),
//!     Err("schema violation (log_level: expected one of: debug, info, warn, error)".to_owned())
//! );
//! # Ok::<(), ai_tracing_config::Invalid>(())
//! ```

pub mod ai_tracing;
mod emit_lua;
pub mod entities;
pub mod form;
mod handed;
mod invalid;
mod kong_json;
pub mod path;
pub mod plugins;
pub mod prometheus;
mod rule;
pub mod schema;
mod typedefs;
mod validate;
pub mod vault;

pub use invalid::Invalid;
pub use rule::Rule;
pub use schema::Schema;
pub use typedefs::Typedef;
pub use validate::Stamp;
