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

/// What a call keeps is allocated on nginx's thread and freed on the engine's, which the system's allocator answers with a
/// lock and a search for each text. Valgrind and the fuzzer see through the system's alone.
#[cfg(not(any(test, fuzzing)))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
