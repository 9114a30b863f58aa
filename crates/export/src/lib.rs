//! From the request path to the destinations.
//!
//! ```text
//! Sink::offer ─► bounded queue ─► engine thread: Finished::into_record, sampling, observers
//!                                     └─► per destination: bounded queue ─► batch ─► Exporter::encode ─► Exporter::send
//! ```
//!
//! [`sink::Sink::offer`] never blocks and never fails: what does not fit is counted. One dead destination never holds
//! up another, and none of them ever holds up a request.

pub mod exporter;
