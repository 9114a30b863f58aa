//! The engine: recognises LLM calls in HTTP exchanges and turns each into a [`record::CallRecord`].
//!
//! Pure by design: bytes and instants go in, a record comes out. There is no runtime, no clock, no file system and no
//! `unsafe` in here, so the same code serves the gateway, the Kong plugin and recorded traffic.
//!
//! ```text
//! request head ─► Capture::start ─► None: not LLM traffic, nothing more happens
//!                      │
//!   bytes + At ─► request_body · response_head · response_body      (hot path: copies, bounded)
//!                      │
//!                   finish(End) ─► Finished ─► into_record          (off the hot path: inflate, frame, parse, price, redact)
//! ```
//!
//! Everything is bounded: bodies by [`settings::Limits`], what is read of them where it is read ([`json`], [`frame`],
//! [`inflate`], [`dialect`]). What is cut of a body is named in [`record::CallRecord::issues`].

pub mod capture;
mod context;
pub mod cost;
pub mod detect;
pub mod dialect;
pub mod estimate;
pub mod frame;
pub mod http;
pub mod inflate;
pub mod json;
mod read;
pub mod record;
pub mod redact;
pub mod settings;
pub mod text;
pub mod time;
