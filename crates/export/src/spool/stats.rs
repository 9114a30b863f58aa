//! What the spool counts, readable from any thread without waiting for a disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Counters of a spool since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpoolStats {
    /// Bytes on disk now, in this process's directory.
    pub bytes: u64,
    /// Files of entries now.
    pub segments: u64,
    /// Records written, each once however many destinations it has.
    pub appended: u64,
    /// Bytes written for them.
    pub appended_bytes: u64,
    /// Writes, syncs and deletions that failed.
    pub write_errors: u64,
    /// Entries, or stretches between entries, that could not be read back.
    pub damaged: u64,
    /// Records taken over from processes that have ended.
    pub adopted: u64,
    /// What failed last.
    pub last_error: Option<String>,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub bytes: AtomicU64,
    pub segments: AtomicU64,
    pub appended: AtomicU64,
    pub appended_bytes: AtomicU64,
    pub damaged: AtomicU64,
    pub adopted: AtomicU64,
    write_errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Watch {
    /// A snapshot.
    pub fn stats(&self) -> SpoolStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpoolStats {
            bytes: get(&self.bytes),
            segments: get(&self.segments),
            appended: get(&self.appended),
            appended_bytes: get(&self.appended_bytes),
            write_errors: get(&self.write_errors),
            damaged: get(&self.damaged),
            adopted: get(&self.adopted),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// A write, sync or deletion failed.
    pub fn failed(&self, why: &str) {
        self.write_errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }
}
