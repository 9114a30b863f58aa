//! Who serves the model: told by the upstream's host, or by what only one provider's responses carry.

use crate::capture::Headers;

/// Hosts of known providers: exact names, or suffixes that begin with a dot.
const HOSTS: [(&str, &str); 31] = [
    ("api.openai.com", "openai"),
    (".api.openai.com", "openai"),
    (".openai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".models.ai.azure.com", "azure"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("-aiplatform.googleapis.com", "vertex"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("openrouter.ai", "openrouter"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.x.ai", "xai"),
    (".api.x.ai", "xai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.writer.com", "writer"),
    ("api.voyageai.com", "voyage"),
    ("api.moonshot.ai", "moonshot"),
    ("router.huggingface.co", "huggingface"),
    ("api-inference.huggingface.co", "huggingface"),
    ("models.github.ai", "github"),
    ("api.githubcopilot.com", "copilot"),
];

/// The provider whose host that is.
pub(crate) fn provider_by_host(host: &str) -> Option<&'static str> {
    let matches = |name: &str| match name.as_bytes().first() {
        Some(b'.' | b'-') => ends_with_ignore_case(host, name),
        _ => host.eq_ignore_ascii_case(name),
    };
    HOSTS
        .iter()
        .find(|(name, _)| matches(name))
        .map(|(_, provider)| *provider)
        .or(is_bedrock(host).then_some("bedrock"))
}

/// A host of that provider.
pub(crate) fn host_of(provider: &str) -> Option<String> {
    if provider == "bedrock" {
        return Some("bedrock-runtime.us-east-1.amazonaws.com".to_owned());
    }
    let (name, _) = HOSTS.iter().find(|(_, known)| *known == provider)?;
    let part = if name.starts_with(['.', '-']) { "some" } else { "" };
    Some(format!("{part}{name}"))
}

/// Of all that AWS hosts, `bedrock-runtime.{region}.amazonaws.com` and its siblings, `bedrock-mantle.{region}.api.aws`
/// among them, serve models.
fn is_bedrock(host: &str) -> bool {
    let aws =
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| ends_with_ignore_case(host, suffix));
    aws && host.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("bedrock-"))
}

pub(super) fn ends_with_ignore_case(text: &str, suffix: &str) -> bool {
    text.len()
        .checked_sub(suffix.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// A provider that the response's headers give away, for servers that the host does not name (proxies in between).
pub(crate) fn provider_by_headers(headers: &dyn Headers) -> Option<&'static str> {
    // Azure passes OpenAI's own headers on: it comes first.
    const TELLTALES: [(&str, &str); 5] = [
        ("apim-request-id", "azure"),
        ("x-ms-region", "azure"),
        ("x-groq-region", "groq"),
        ("mistral-correlation-id", "mistral"),
        ("openai-processing-ms", "openai"),
    ];
    TELLTALES.iter().find(|(name, _)| headers.get(name).is_some()).map(|(_, provider)| *provider)
}
