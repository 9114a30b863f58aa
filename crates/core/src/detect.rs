//! Is it LLM traffic, and which? Told from the request's head alone.

use crate::capture::RequestHead;
use crate::record::Operation;
use crate::settings::Settings;

/// What the request's head tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// Who serves the model.
    pub provider: String,
    /// Wire format to read.
    pub dialect: &'static str,
    /// What is asked for.
    pub operation: Operation,
}

/// Recognises LLM traffic; `None` is the cheap way out.
pub fn detect(_settings: &Settings, head: &RequestHead<'_>) -> Option<Detection> {
    (head.method == "POST" && head.path.ends_with("/chat/completions")).then(|| Detection {
        provider: "openai_compatible".into(),
        dialect: "openai_chat",
        operation: Operation::Chat,
    })
}
