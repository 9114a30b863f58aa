//! The engine inside Kong Gateway's workers.
//!
//! ```text
//! handler.lua ─ ffi ─► ffi.rs: catch_unwind ─► Worker: configurations, open calls ─► Sink ─► engine thread
//!        ◄─ timer ─ log lines ◄─ LogRing ◄──────────────────────────────────────────────────┘
//! ```
//!
//! One [`worker::Worker`] a worker process, made in `init_worker`, after the fork. All calls come from the process's one
//! Lua thread; what they do is copy. Configurations and calls are named by numbers ([`slots`]): a number that names
//! nothing any more is a no-op, so no order of calls can do harm. A panic costs the call it happened in.
//!
//! `unsafe` is in [`ffi`] alone.

pub mod ffi;
mod head;
mod log_ring;
mod numbers;
pub mod slots;
pub mod worker;
