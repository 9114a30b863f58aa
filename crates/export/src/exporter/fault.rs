//! What went wrong with a call, in one line.

use ai_tracing_core::record::{CallRecord, End};

use super::some;

/// What went wrong with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub level: Level,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Warning,
    Error,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

impl Fault {
    /// An error for what failed, a warning for a client that went away from a call that was going well.
    pub fn of(record: &CallRecord) -> Option<Self> {
        let error_status = record.status.filter(|status| *status >= 400);
        let failed = error_status.is_some() || record.error.is_some();
        let level = match record.end {
            End::Complete if !failed => return None,
            End::ClientGone if !failed => Level::Warning,
            _ => Level::Error,
        };
        let mut parts = Vec::new();
        if record.end != End::Complete {
            parts.push(record.end.as_str().to_owned());
        }
        if let Some(status) = error_status {
            parts.push(format!("HTTP {status}"));
        }
        if let Some(error) = &record.error {
            parts.extend([some(&error.kind), some(&error.message)].into_iter().flatten());
        }
        if parts.is_empty() {
            parts.push("error".into());
        }
        Some(Self { level, message: parts.join(": ") })
    }
}
