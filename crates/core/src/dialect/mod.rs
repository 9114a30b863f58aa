//! Wire formats: how each reads a request, an answer, and the events of a stream.
//!
//! A dialect is lenient: it takes what it finds, notes nothing it merely doesn't know, and returns no error. It keeps no
//! state; what a stream has said so far is in [`ResponseFacts`].

mod facts;
mod openai;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod vllm_generate;

use crate::json::Json;
use crate::record::Operation;
use crate::time::At;

pub use facts::{ChoiceFacts, RequestFacts, ResponseFacts, ToolFacts};
pub(crate) use openai::TOKEN_IDS;
pub use openai_chat::OpenAiChat;
pub use openai_completions::OpenAiCompletions;
pub use openai_embeddings::OpenAiEmbeddings;
pub use vllm_generate::VllmGenerate;

/// One wire format.
pub trait Dialect: Send + Sync {
    /// Name in records and in the configuration, such as `openai_chat`.
    fn name(&self) -> &'static str;

    /// What a call of this dialect asks for, where the path does not say.
    fn operation(&self) -> Operation;

    /// False when a request's body shows that the path was misleading: the exchange is no LLM traffic then. Asked only
    /// where the path is anybody's; null stands for a body that is empty or could not be read.
    fn accepts(&self, _request: &Json<'_>) -> bool {
        true
    }

    /// Reads a request's body.
    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts);

    /// Reads a whole answer. Errors are read by the caller, for all dialects alike.
    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts);

    /// Reads one event of a stream that passed at `at`.
    fn read_event(&self, body: &Json<'_>, at: At, request: &RequestFacts, facts: &mut ResponseFacts);

    /// Reads a usage object that was found by itself, behind what was not kept of an answer.
    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        openai::read_usage(usage, facts);
    }

    /// True when streams of this dialect are JSON values one after another instead of server-sent events.
    fn streams_json(&self) -> bool {
        false
    }
}

/// All dialects, by name.
const ALL: [&dyn Dialect; 4] = [&OpenAiChat, &OpenAiCompletions, &OpenAiEmbeddings, &VllmGenerate];

/// The dialect of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Dialect> {
    ALL.into_iter().find(|dialect| dialect.name() == name)
}

/// The names of all dialects.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().map(|dialect| dialect.name())
}
