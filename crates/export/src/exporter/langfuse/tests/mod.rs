//! Tests of the whole exporter: golden payloads, answers, and a server that plays Langfuse.

mod answers;
mod golden;
mod properties;
mod server;
