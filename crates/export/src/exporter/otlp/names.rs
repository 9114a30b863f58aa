//! What the two conventions call providers, operations and spans.

use std::borrow::Cow;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::{CallRecord, Operation};

use crate::exporter::some;

/// `gen_ai.provider.name`; a provider that the convention does not know keeps its own name.
pub(super) fn provider(record: &CallRecord) -> &str {
    match record.provider.as_str() {
        "azure-inference" => "azure.ai.inference",
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" => "gcp.gemini",
        "vertex" => "gcp.vertex_ai",
        "mistral" => "mistral_ai",
        "watsonx" => "ibm.watsonx.ai",
        "xai" => "x_ai",
        other => other,
    }
}

/// `gen_ai.system`, as OpenLLMetry writes it.
pub(super) fn system(record: &CallRecord) -> &str {
    match record.provider.as_str() {
        "anthropic" => "Anthropic",
        "azure" | "azure-inference" => "Azure",
        "bedrock" => "AWS",
        "cohere" => "Cohere",
        "gemini" | "vertex" => "Google",
        "groq" => "Groq",
        "huggingface" => "HuggingFace",
        "mistral" => "MistralAI",
        "ollama" => "Ollama",
        "openrouter" => "OpenRouter",
        "together" => "TogetherAI",
        other => other,
    }
}

/// `gen_ai.operation.name`.
pub(super) fn operation(record: &CallRecord) -> &'static str {
    match record.operation {
        Operation::Chat if is(record, "gemini") => "generate_content",
        operation => operation.as_str(),
    }
}

/// `llm.request.type`.
pub(super) fn request_type(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat",
        Operation::TextCompletion => "completion",
        Operation::Embeddings => "embedding",
        Operation::Rerank => "rerank",
        _ => "unknown",
    }
}

/// The span's name: OpenTelemetry's where its convention is wanted.
pub(super) fn span(record: &CallRecord, semconv: OtlpSemconv) -> String {
    let name = match (semconv.genai(), some(&record.request.model)) {
        (true, Some(model)) => format!("{} {model}", operation(record)),
        (true, None) => operation(record).to_owned(),
        (false, _) => {
            let format = record.dialect.split('_').next().unwrap_or_default();
            let what = match record.operation {
                Operation::Chat if record.dialect == "openai_responses" => "response",
                Operation::Chat => "chat",
                Operation::TextCompletion => "completion",
                operation => operation.as_str(),
            };
            format!("{format}.{what}")
        }
    };
    super::bounds::cut(&name, MAX_NAME).to_owned()
}

/// Bytes of a span's name: the model is whatever the request says.
const MAX_NAME: usize = 256;

/// Whether a record is in a wire format of that family.
pub(super) fn is(record: &CallRecord, family: &str) -> bool {
    record.dialect.split('_').next() == Some(family)
}

/// `https://api.openai.com`; host and port alone where the port does not tell the scheme.
pub(super) fn api_base(record: &CallRecord) -> Option<Cow<'_, str>> {
    let address = record.server.address.as_deref().filter(|address| !address.is_empty())?;
    Some(match record.server.port {
        Some(443) => format!("https://{address}").into(),
        Some(80) => format!("http://{address}").into(),
        Some(port) => format!("{address}:{port}").into(),
        None => address.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn record(provider: &str, dialect: &str, operation: &str) -> CallRecord {
        let mut record = testing::minimal("a");
        record["provider"] = provider.into();
        record["dialect"] = dialect.into();
        record["operation"] = operation.into();
        record["request"]["model"] = json!("m");
        CallRecord::clone(&testing::from_json(record))
    }

    #[test]
    fn providers_have_a_name_in_each_convention() {
        for (ours, genai, openllmetry) in [
            ("openai", "openai", "openai"),
            ("azure", "azure.ai.openai", "Azure"),
            ("azure-inference", "azure.ai.inference", "Azure"),
            ("bedrock", "aws.bedrock", "AWS"),
            ("gemini", "gcp.gemini", "Google"),
            ("vertex", "gcp.vertex_ai", "Google"),
            ("mistral", "mistral_ai", "MistralAI"),
            ("xai", "x_ai", "xai"),
            ("watsonx", "ibm.watsonx.ai", "watsonx"),
            ("anthropic", "anthropic", "Anthropic"),
            ("custom_provider", "custom_provider", "custom_provider"),
        ] {
            let record = record(ours, "openai_chat", "chat");
            assert_eq!((provider(&record), system(&record)), (genai, openllmetry), "{ours}");
        }
    }

    #[test]
    fn spans_are_named_by_convention() {
        for (dialect, of, genai, openllmetry) in [
            ("openai_chat", "chat", "chat m", "openai.chat"),
            ("openai_completions", "text_completion", "text_completion m", "openai.completion"),
            ("openai_embeddings", "embeddings", "embeddings m", "openai.embeddings"),
            ("openai_responses", "chat", "chat m", "openai.response"),
            ("anthropic_messages", "chat", "chat m", "anthropic.chat"),
            ("gemini_generate", "chat", "generate_content m", "gemini.chat"),
            ("rerank", "rerank", "rerank m", "rerank.rerank"),
        ] {
            let record = record("x", dialect, of);
            let names = [OtlpSemconv::Both, OtlpSemconv::Genai, OtlpSemconv::Openllmetry].map(|it| span(&record, it));
            assert_eq!(names, [genai, genai, openllmetry]);
        }
    }

    #[test]
    fn the_address_has_a_scheme_where_its_port_tells_one() {
        let mut record = record("x", "openai_chat", "chat");
        assert_eq!(api_base(&record), None);
        record.server.address = Some("h".into());
        for (port, expected) in [(None, "h"), (Some(443), "https://h"), (Some(80), "http://h"), (Some(8000), "h:8000")]
        {
            record.server.port = port;
            assert_eq!(api_base(&record).as_deref(), Some(expected));
        }
    }
}
