//! `ai-tracing`: a gateway that traces LLM traffic.

mod calls;
mod entity;

fn main() {}
