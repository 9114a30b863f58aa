//! Hosted platforms with formats of their own: IBM watsonx.ai, Replicate, Aleph Alpha, Hugging Face, SageMaker,
//! Cloudflare Workers AI, DashScope.

mod alephalpha;
mod cloudflare;
mod dashscope;
mod huggingface;
mod replicate;
mod sagemaker;
mod watsonx;

use super::facts::ResponseFacts;
use super::{Dialect, Endpoint, media};
use crate::capture::KeptHeaders;
use crate::json::Json;
use crate::record::{CallError, Operation};

/// Where they are found. Paths that anybody may have count at the provider's hosts only.
pub const ENDPOINTS: &[Endpoint] = &[
    watsonx("/text/generation", &watsonx::Generation, Operation::TextCompletion),
    Endpoint { stream: true, ..watsonx("/text/generation_stream", &watsonx::Generation, Operation::TextCompletion) },
    // `/ml/v1-beta`.
    watsonx("/generation/text", &watsonx::Generation, Operation::TextCompletion),
    Endpoint { stream: true, ..watsonx("/generation/text_stream", &watsonx::Generation, Operation::TextCompletion) },
    watsonx("/text/chat", &watsonx::Chat, Operation::Chat),
    Endpoint { stream: true, ..watsonx("/text/chat_stream", &watsonx::Chat, Operation::Chat) },
    watsonx("/text/embeddings", &watsonx::Vectors::EMBEDDINGS, Operation::Embeddings),
    watsonx("/text/rerank", &watsonx::Vectors::RERANK, Operation::Rerank),
    Endpoint { model: replicate::model, ..at("replicate", "/predictions", &replicate::Predictions, Operation::Other) },
    at("alephalpha", "/complete", &alephalpha::AlephAlpha::COMPLETE, Operation::TextCompletion),
    at("alephalpha", "/embed", &alephalpha::AlephAlpha::EMBED, Operation::Embeddings),
    at("alephalpha", "/semantic_embed", &alephalpha::AlephAlpha::EMBED, Operation::Embeddings),
    // `/models/{model}`, `/hf-inference/models/{model}`, `/pipeline/{task}/{model}`, and `/` of an endpoint: the end says
    // nothing, the body has to.
    Endpoint {
        anybodys: true,
        model: huggingface::model,
        ..at("huggingface", "", &huggingface::HuggingFace, Operation::TextCompletion)
    },
    Endpoint {
        within: "/endpoints/",
        anybodys: true,
        model: sagemaker::model,
        ..at("sagemaker", "/invocations", &sagemaker::Invocations, Operation::TextCompletion)
    },
    Endpoint {
        within: "/endpoints/",
        anybodys: true,
        stream: true,
        model: sagemaker::model,
        ..at("sagemaker", "/invocations-response-stream", &sagemaker::Invocations, Operation::TextCompletion)
    },
    cloudflare("/ai/run/@"),
    cloudflare("/workers-ai/@"),
    dashscope("/text-generation/generation"),
    dashscope("/multimodal-generation/generation"),
];

const fn at(
    provider: &'static str,
    suffix: &'static str,
    dialect: &'static dyn Dialect,
    operation: Operation,
) -> Endpoint {
    Endpoint { only_at: Some(provider), ..Endpoint::of(provider, suffix, dialect, operation) }
}

const fn watsonx(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { within: "/ml/v1", model: watsonx::deployment, ..Endpoint::of("watsonx", suffix, dialect, operation) }
}

/// The model is the path's end.
const fn cloudflare(within: &'static str) -> Endpoint {
    Endpoint {
        within,
        anybodys: true,
        model: cloudflare::model,
        ..Endpoint::of("cloudflare", "", &cloudflare::WorkersAi, Operation::Other)
    }
}

const fn dashscope(suffix: &'static str) -> Endpoint {
    Endpoint { within: "/services/aigc/", ..Endpoint::of("dashscope", suffix, &dashscope::DashScope, Operation::Chat) }
}

/// The segment of a path behind `before`.
fn segment_after<'p>(path: &'p str, before: &str) -> Option<&'p str> {
    let (_, rest) = path.split_once(before)?;
    rest.split('/').next().filter(|segment| !segment.is_empty())
}

/// Errors in a list: `{"errors": [{"code", "message"}]}`, as watsonx.ai and Cloudflare have them.
fn read_errors(body: &Json<'_>, facts: &mut ResponseFacts) {
    if let Some(first) = body.get("errors").items().first() {
        let error =
            CallError { kind: first.get("code").id(), message: first.get("message").filled().map(str::to_owned) };
        facts.error = facts.error.take().filter(|error| error.message.is_some()).or(Some(error));
    }
}

/// Pictures and sound as they are: what the model was asked for.
fn read_media_type(headers: &KeptHeaders, facts: &mut ResponseFacts) {
    if facts.media.is_empty() {
        return;
    }
    facts.operation = match media::modality(&headers.media_type()) {
        "image" => Some(Operation::ImageGeneration),
        "audio" => Some(Operation::Speech),
        _ => facts.operation,
    };
}
