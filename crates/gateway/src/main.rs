//! `ai-tracing`: a gateway that traces LLM traffic.

mod entity;

fn main() {}
