//! From the request path to the destinations.
//!
//! ```text
//! Sink::offer ─► bounded queue ─► engine thread: Finished::into_record, sampling, observers
//!                                     ├─► spool: each record once, until all its destinations have it
//!                                     └─► per destination: bounded queue ─► batch ─► Exporter::encode ─► Exporter::send
//! ```
//!
//! Records that exist already, such as those of a file, go with a [`Courier`], which waits instead of dropping.
//!
//! [`Sink::offer`] never blocks and never fails: what does not fit is counted. One dead destination never holds up
//! another, and none of them ever holds up a request: what does not fit into a destination's queue waits in the
//! [`spool`], which outlives the process. Everything behind the sink runs on one thread of its own, the
//! [`Engine`]'s.

mod backlog;
mod call_log;
pub mod clock;
mod courier;
mod deliveries;
mod destination;
mod engine;
pub mod exporter;
mod http;
mod lanes;
mod log;
pub mod metrics;
mod priority;
mod queue;
mod retry;
mod sampling;
mod sink;
pub mod spool;
mod stats;
mod storage;
#[cfg(test)]
mod testing;
mod tracer;
mod turn;
mod weight;
mod worker;

pub use call_log::{CALLS, CallLog};
pub use courier::{Courier, CourierError, Report};
pub use deliveries::{Address, Deliveries, Fate};
pub use destination::QueueOptions;
pub use engine::{Engine, Observer, Options, ShutdownReport};
pub use priority::{give_way, pause};
pub use sink::Sink;
pub use stats::{DestinationStats, Dropped, MetricsStats, SinkStats, SpoolState, Stats};
pub use tracer::{Tracer, TracerError, settings};
