//! The `ai-tracing` plugin as the proxy sees it: what to look for, and where a finished exchange goes.

use std::fmt;
use std::sync::Arc;

use ai_tracing_core::capture::Finished;
use ai_tracing_core::settings::Settings;

/// Name of the plugin that traces.
pub const NAME: &str = "ai-tracing";
/// Name of the plugin that counts.
pub const PROMETHEUS: &str = "prometheus";

/// One plugin configuration, ready for the request path.
pub struct Tracing {
    /// What to look for and how much to keep.
    pub settings: Arc<Settings>,
    offer: Box<dyn Fn(Finished) + Send + Sync>,
}

impl Tracing {
    /// A plugin whose finished exchanges go to `offer`, which must neither block nor fail.
    pub fn new(settings: Arc<Settings>, offer: impl Fn(Finished) + Send + Sync + 'static) -> Self {
        Self { settings, offer: Box::new(offer) }
    }

    /// Hands a finished exchange over.
    pub fn offer(&self, finished: Finished) {
        (self.offer)(finished);
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").finish_non_exhaustive()
    }
}
