//! The parameters of the `ai-tracing` plugin: the table behind validation, `/schemas` and docs/configuration.md.

use std::sync::OnceLock;

use serde_json::json;

use crate::rule::Rule;
use crate::schema::{Check, Field, Record, Schema, array, boolean, integer, map, number, record, set, string};
use crate::typedefs::Typedef;

/// The schema of the plugin's `config`.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::new("ai-tracing", parameters()))
}

fn parameters() -> Record {
    Record::new([
        ("langfuse_enabled", boolean().required().default(false).about("Send traces to Langfuse.")),
        (
            "langfuse_public_key",
            string().secret().about("Public key of the Langfuse project. Required when `langfuse_enabled` is true."),
        ),
        (
            "langfuse_secret_key",
            string().secret().about("Secret key of the Langfuse project. Required when `langfuse_enabled` is true."),
        ),
        (
            "langfuse_endpoint",
            string().required().default("https://cloud.langfuse.com/api/public/ingestion").is(Typedef::HttpUrl).about(
                "Where Langfuse is: its base URL, or either API's URL below it (`/api/public/ingestion`, \
                 `/api/public/otel/v1/traces`).",
            ),
        ),
        (
            "langfuse_timeout",
            number()
                .required()
                .default(5000)
                .rule(Rule::Gt(0))
                .between(0, 2_147_483_646)
                .about("Milliseconds that one export request may take."),
        ),
        (
            "langfuse_api",
            string().required().default("auto").one_of(&["auto", "otlp", "ingestion"]).about(
                "Which of Langfuse's APIs to use. `auto`: OTLP, and the batch API where the server has no OTLP.",
            ),
        ),
        (
            "langfuse_observations",
            string().required().default("full").one_of(&["full", "compact"]).about(
                "Observations per call. `full`: a span with a `prompt` event and a `completion` generation; \
                 `compact`: one generation.",
            ),
        ),
        (
            "otlp_endpoint",
            string().referenceable().is(Typedef::HttpUrl).about(
                "Where OTLP traces and metrics go: the receiver's base URL; by HTTP `/v1/traces` and `/v1/metrics` are \
                 appended. `null`: nowhere.",
            ),
        ),
        (
            "otlp_protocol",
            string().one_of(&["http/protobuf", "grpc"]).about("How the receiver is spoken to. `null`: `http/protobuf`."),
        ),
        (
            "otlp_headers",
            map(string().is(Typedef::HeaderName), string().secret())
                .about("Headers of each OTLP request, such as `Authorization`. Each value may be a reference."),
        ),
        (
            "otlp_timeout",
            number()
                .rule(Rule::Gt(0))
                .between(0, 2_147_483_646)
                .about("Milliseconds that one OTLP request may take. `null`: 10000."),
        ),
        (
            "otlp_semconv",
            string().required().default("both").one_of(&["openllmetry", "genai", "both"]).about(
                "Whose attribute names OTLP spans and metrics carry: OpenLLMetry's (which Dynatrace reads), OpenTelemetry's for \
                 generative AI, or both.",
            ),
        ),
        ("otlp_traces", boolean().required().default(true).about("Send the OTLP receiver a span for each call.")),
        (
            "otlp_metrics",
            boolean()
                .required()
                .default(true)
                .about("Send the OTLP receiver metrics of all calls, those that sampling leaves out as well."),
        ),
        (
            "otlp_metrics_temporality",
            string().one_of(&["delta", "cumulative"]).about(
                "Whether metrics tell what was added since they were last sent, or since the start. `null`: `delta` for \
                 Dynatrace, `cumulative` for others.",
            ),
        ),
        (
            "otlp_metrics_interval",
            number().between(0.1, 86_400).about("Seconds between two sendings of metrics. `null`: 60."),
        ),
        ("environment", string().required().default("production").len_min(1).about("Tag of all traces.")),
        (
            "log_level",
            string()
                .required()
                .default("info")
                .one_of(&["debug", "info", "warn", "error"])
                .about("How much the plugin logs. `info`: a line per traced call; `debug`: bodies too."),
        ),
        (
            "capture_content",
            string().required().default("full").one_of(&["full", "metadata_only"]).about(
                "Whether prompts and answers are recorded. `metadata_only`: numbers, booleans and names only.",
            ),
        ),
        (
            "capture_http",
            string().required().default("headers").one_of(&["none", "headers", "full"]).about(
                "What the gateway's local store keeps of the HTTP exchange, for its console. `headers`: request line, headers \
                 with secrets masked, times of the answer's pieces; `full`: up to 256 KiB of each body as well. Sent to no \
                 destination. In Kong, which has no local store, it has no effect.",
            ),
        ),
        (
            "max_body_size",
            integer().required().default(4_194_304).between(1024, 1_073_741_824).about(
                "Bytes kept of each request body and of each response body; what is compressed may inflate to eight \
                 times as much (1 MiB to 1 GiB). What passes through is not limited.",
            ),
        ),
        (
            "sampling_ratio",
            number()
                .required()
                .default(1)
                .between(0, 1)
                .about("Share of traces to keep; all calls of a trace share its lot. Failed and slow calls are always kept."),
        ),
        (
            "sampling_slow_ms",
            number()
                .default(30_000)
                .rule(Rule::Gt(0))
                .between(0, 2_147_483_646)
                .about("Milliseconds from which on a call is slow, by its whole duration. `null`: none is."),
        ),
        (
            "queue",
            record(queue()).required().about("How traces are batched and retried, in the names of Kong's queues."),
        ),
        (
            "context_headers",
            record(context_headers()).required().about("Names of the request headers that say who is calling."),
        ),
        (
            "providers",
            array(record(provider())).required().default(json!([])).len_max(100).about(
                "Rules that recognise LLM traffic beyond what is built in; tried in order, before the built-in ones.",
            ),
        ),
        (
            "prices",
            array(record(price()))
                .required()
                .default(json!([]))
                .len_max(1000)
                .about("Prices in US dollars per million tokens; the first match wins, before the built-in table."),
        ),
        (
            "redact",
            array(record(redact()))
                .required()
                .default(json!([]))
                .len_max(100)
                .about("What is replaced in everything recorded. Off by default."),
        ),
        (
            "redact_builtin",
            set(string().one_of(&["api_key", "email", "iban", "credit_card", "phone"]))
                .required()
                .default(json!([]))
                .about(
                    "What is recognised and replaced without a pattern, before `redact`: by `[API_KEY]`, `[EMAIL]`, `[IBAN]`, \
                     `[CREDIT_CARD]`, `[PHONE]`. Off by default.",
                ),
        ),
    ])
    .check(Check::RequiredIf { field: "langfuse_public_key", when: "langfuse_enabled", is: json!(true) })
    .check(Check::RequiredIf { field: "langfuse_secret_key", when: "langfuse_enabled", is: json!(true) })
}

fn queue() -> Record {
    Record::new([
        (
            "max_batch_size",
            integer().required().default(100).between(1, 1_000_000).about("Traces in one export request."),
        ),
        (
            "max_coalescing_delay",
            number().required().default(1).between(0, 3600).about("Seconds to wait for a batch to fill."),
        ),
        (
            "max_entries",
            integer()
                .required()
                .default(10_000)
                .between(1, 1_000_000)
                .about("Traces that may wait; more are dropped and counted."),
        ),
        (
            "max_bytes",
            integer().default(67_108_864).between(65_536, 1_099_511_627_776_f64).about(
                "Bytes of traces that may wait; more are dropped and counted. `null`: bounded by `max_entries` alone.",
            ),
        ),
        (
            "max_retry_time",
            number()
                .required()
                .default(86_400)
                .between(0, 1_000_000)
                .about("Seconds that a batch is tried again before it is dropped and counted. What waits behind it waits as long as there is room."),
        ),
        (
            "initial_retry_delay",
            number()
                .required()
                .default(0.5)
                .between(0.001, 1_000_000)
                .about("Seconds before the first retry; doubled with each."),
        ),
        (
            "max_retry_delay",
            number()
                .required()
                .default(60)
                .between(0.001, 1_000_000)
                .about("Longest time between two retries, in seconds."),
        ),
        (
            "concurrency_limit",
            integer().required().default(4).between(1, 64).about(
                "Requests to a destination under way together, where more than one batch is full and it takes what it gets.",
            ),
        ),
    ])
}

fn context_headers() -> Record {
    let header = |name: &'static str, about| string().required().default(name).is(Typedef::HeaderName).about(about);
    Record::new([
        ("user_id", header("X-User-Id", "The user.")),
        ("session_id", header("X-Session-Id", "The session.")),
        ("chat_id", header("X-Chat-Id", "The conversation; stands in for a missing session.")),
        ("message_id", header("X-Message-Id", "The message.")),
        ("organization_id", header("X-Organization-Id", "The organization.")),
        ("project_id", header("X-Project-Id", "The project.")),
    ])
}

/// The wire formats that can be named; docs/providers.md says what each is.
pub const DIALECTS: [&str; 49] = [
    "openai_chat",
    "openai_responses",
    "openai_completions",
    "openai_embeddings",
    "openai_moderation",
    "openai_images",
    "openai_transcription",
    "openai_speech",
    "anthropic_messages",
    "anthropic_count_tokens",
    "anthropic_complete",
    "gemini_generate",
    "gemini_embed",
    "gemini_count_tokens",
    "vertex_predict",
    "gemini_interactions",
    "bedrock_converse",
    "bedrock_invoke",
    "bedrock_count_tokens",
    "cohere_chat_v1",
    "cohere_chat_v2",
    "cohere_generate",
    "cohere_embed",
    "rerank",
    "vllm_generate",
    "sglang_generate",
    "vllm_tokens",
    "vllm_score",
    "vllm_pooling",
    "vllm_classify",
    "ollama_chat",
    "ollama_generate",
    "ollama_embed",
    "tgi_generate",
    "llamacpp_completion",
    "llamacpp_infill",
    "llamacpp_embedding",
    "watsonx_generation",
    "watsonx_chat",
    "watsonx_embeddings",
    "watsonx_rerank",
    "replicate_predictions",
    "alephalpha_complete",
    "alephalpha_embed",
    "huggingface_inference",
    "sagemaker_invocations",
    "cloudflare_run",
    "dashscope_generation",
    "mcp",
];

fn provider() -> Record {
    Record::new([
        ("name", string().required().default("custom_provider").about("The provider that traces show.")),
        ("path", string().is(Typedef::PathPattern).about("Path prefix; beginning with `*`: what the path ends with.")),
        (
            "host",
            string()
                .is(Typedef::HostPattern)
                .about("Host of the request or of the upstream, without port; `*.example.com` matches subdomains."),
        ),
        ("header", string().is(Typedef::HeaderPattern).about("Header that must be present: `name`, or `name: value`.")),
        ("dialect", string().one_of(&DIALECTS).about("Wire format to read. `null`: told by path and body.")),
    ])
    .check(Check::AtLeastOneOf(&["path", "host", "header"]))
}

fn price() -> Record {
    let dollars = || number().between(0, 1_000_000);
    Record::new([
        ("model", string().required().about("Model name; `*` stands for any characters.")),
        ("input", Field::required(dollars()).about("Prompt tokens.")),
        ("output", Field::required(dollars()).about("Completion tokens.")),
        ("cached", dollars().about("Prompt tokens read from a cache. `null`: as `input`.")),
    ])
}

fn redact() -> Record {
    Record::new([
        (
            "pattern",
            string()
                .required()
                .is(Typedef::Regex)
                .about("Regular expression in the syntax of Rust's `regex`: linear time, no look-around."),
        ),
        ("replacement", string().required().default("[REDACTED]").len_min(0).about("What stands in its place.")),
    ])
}
