//! `ai-tracing`: a gateway that traces LLM traffic.

mod admin;
mod calls;
mod cli;
mod db;
mod entity;
mod status;

fn main() {}
