//! `ai-tracing`: a gateway that traces LLM traffic.

mod entity;
mod live;
mod plugin;
mod proxy;

fn main() {}
