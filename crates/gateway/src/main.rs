//! `ai-tracing`: a gateway that traces LLM traffic.

mod calls;
mod entity;
mod live;
mod plugin;
mod proxy;

fn main() {}
