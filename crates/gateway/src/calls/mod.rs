//! The local store: every traced call, in one SQLite file in the data directory.
//!
//! ```text
//! engine thread: LocalStore::encode (records -> rows) ─► LocalStore::send ─► bounded channel
//!                                                                               │
//! writer thread: one transaction a batch, retention between batches ◄───────────┤
//! engine thread: what became of calls at other destinations, see `outcomes` ──────┘
//! readers (command line, console): read-only connections of their own, see `query`
//! ```
//!
//! - [`exporter`] is the destination that the engine feeds, [`writer`] the thread that owns the writing connection.
//! - [`file`] opens, migrates and, where it is broken, replaces the file; [`retention`] keeps it small.
//! - [`outcomes`] holds what became of calls until the writer makes rows of it, [`deliveries`].
//! - [`text`] is what a search finds a call by; [`backlog`] brings files of version 1 up to it.
//! - [`http`] packs what is kept of the HTTP exchange, in a row beside the record.
//! - [`query`] holds every read.
//!
//! Invariants: a call is stored once, whatever is retried (its id is unique); what is stored is the record's JSON as
//! it is printed; a store that cannot be written never holds up the proxy. Why SQLite and why rusqlite:
//! docs/adr/0001-local-store.md.

mod backlog;
mod deliveries;
pub mod exporter;
pub mod file;
#[cfg(test)]
pub mod fixtures;
mod http;
pub mod outcomes;
pub mod query;
pub mod retention;
mod row;
#[cfg(test)]
mod tests;
mod text;
pub mod writer;

pub use retention::Retention;
pub use writer::Store;
