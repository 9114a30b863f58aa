//! Configuration as data: one schema drives validation, defaults, the Admin API's `/schemas` and the documentation.

pub mod ai_tracing;
