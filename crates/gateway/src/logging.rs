//! Logs: one JSON object a line on stderr.
//!
//! How much is logged of each call is the plugin's `log_level` ([`CallLog`](ai_tracing_export::CallLog)), not the
//! process's.

use ai_tracing_export::CALLS;
use tracing_subscriber::EnvFilter;

/// What is logged of the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// For developers.
    Debug,
    /// What happens.
    Info,
    /// What an operator should look at.
    Warn,
    /// What failed.
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Begins to log. Called once.
pub fn init(level: Level) {
    // Libraries speak only where something is wrong, or where everything is wanted.
    let others = if level == Level::Debug { "info" } else { "warn" };
    let ours = level.as_str();
    let filter = format!("{others},ai_tracing={ours},ai_tracing_export={ours},{CALLS}=debug");
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .try_init();
}
