-- Written by `cargo xtask docs` from crates/config; changes here are lost.
local typedefs = require "kong.db.schema.typedefs"

return {
  name = "ai-tracing",
  fields = {
    { protocols = typedefs.protocols_http },
    {
      config = {
        type = "record",
        required = true,
        fields = {
          {
            langfuse_enabled = {
              type = "boolean",
              required = true,
              default = false,
              description = "Send traces to Langfuse.",
            },
          },
          {
            langfuse_public_key = {
              type = "string",
              description = "Public key of the Langfuse project. Required when `langfuse_enabled` is true.",
              encrypted = true,
              referenceable = true,
            },
          },
          {
            langfuse_secret_key = {
              type = "string",
              description = "Secret key of the Langfuse project. Required when `langfuse_enabled` is true.",
              encrypted = true,
              referenceable = true,
            },
          },
          {
            langfuse_endpoint = {
              type = "string",
              required = true,
              default = "https://cloud.langfuse.com/api/public/ingestion",
              description = "Where Langfuse is: its base URL, or either API's URL below it (`/api/public/ingestion`, `/api/public/otel/v1/traces`).",
              match = "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@%s]+[^#@%s]*$",
              err = "expected an http or https URL without credentials",
            },
          },
          {
            langfuse_timeout = {
              type = "number",
              required = true,
              default = 5000,
              description = "Milliseconds that one export request may take.",
              gt = 0,
              between = { 0, 2147483646 },
            },
          },
          {
            langfuse_api = {
              type = "string",
              required = true,
              default = "auto",
              description = "Which of Langfuse's APIs to use. `auto`: OTLP, and the batch API where the server has no OTLP.",
              one_of = { "auto", "otlp", "ingestion" },
            },
          },
          {
            langfuse_observations = {
              type = "string",
              required = true,
              default = "full",
              description = "Observations per call. `full`: a span with a `prompt` event and a `completion` generation; `compact`: one generation.",
              one_of = { "full", "compact" },
            },
          },
          {
            otlp_endpoint = {
              type = "string",
              description = "Where OTLP traces and metrics go: the receiver's base URL; by HTTP `/v1/traces` and `/v1/metrics` are appended. `null`: nowhere.",
              referenceable = true,
              match = "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@%s]+[^#@%s]*$",
              err = "expected an http or https URL without credentials",
            },
          },
          {
            otlp_protocol = {
              type = "string",
              description = "How the receiver is spoken to. `null`: `http/protobuf`.",
              one_of = { "http/protobuf", "grpc" },
            },
          },
          {
            otlp_headers = {
              type = "map",
              description = "Headers of each OTLP request, such as `Authorization`. Each value may be a reference.",
              keys = typedefs.header_name({ required = true }),
              values = { type = "string", required = true, encrypted = true, referenceable = true },
            },
          },
          {
            otlp_timeout = {
              type = "number",
              description = "Milliseconds that one OTLP request may take. `null`: 10000.",
              gt = 0,
              between = { 0, 2147483646 },
            },
          },
          {
            otlp_semconv = {
              type = "string",
              required = true,
              default = "both",
              description = "Whose attribute names OTLP spans and metrics carry: OpenLLMetry's (which Dynatrace reads), OpenTelemetry's for generative AI, or both.",
              one_of = { "openllmetry", "genai", "both" },
            },
          },
          {
            otlp_traces = {
              type = "boolean",
              required = true,
              default = true,
              description = "Send the OTLP receiver a span for each call.",
            },
          },
          {
            otlp_metrics = {
              type = "boolean",
              required = true,
              default = true,
              description = "Send the OTLP receiver metrics of all calls, those that sampling leaves out as well.",
            },
          },
          {
            otlp_metrics_temporality = {
              type = "string",
              description = "Whether metrics tell what was added since they were last sent, or since the start. `null`: `delta` for Dynatrace, `cumulative` for others.",
              one_of = { "delta", "cumulative" },
            },
          },
          {
            otlp_metrics_interval = {
              type = "number",
              description = "Seconds between two sendings of metrics. `null`: 60.",
              between = { 0.1, 86400 },
            },
          },
          {
            environment = {
              type = "string",
              required = true,
              default = "production",
              description = "Tag of all traces.",
              len_min = 1,
            },
          },
          {
            log_level = {
              type = "string",
              required = true,
              default = "info",
              description = "How much the plugin logs. `info`: a line per traced call; `debug`: bodies too.",
              one_of = { "debug", "info", "warn", "error" },
            },
          },
          {
            capture_content = {
              type = "string",
              required = true,
              default = "full",
              description = "Whether prompts and answers are recorded. `metadata_only`: numbers, booleans and names only.",
              one_of = { "full", "metadata_only" },
            },
          },
          {
            capture_http = {
              type = "string",
              required = true,
              default = "headers",
              description = "What the gateway's local store keeps of the HTTP exchange, for its console. `headers`: request line, headers with secrets masked, times of the answer's pieces; `full`: up to 256 KiB of each body as well. Sent to no destination. In Kong, which has no local store, it has no effect.",
              one_of = { "none", "headers", "full" },
            },
          },
          {
            max_body_size = {
              type = "integer",
              required = true,
              default = 4194304,
              description = "Bytes kept of each request body and of each response body; what is compressed may inflate to eight times as much (1 MiB to 1 GiB). What passes through is not limited.",
              between = { 1024, 1073741824 },
            },
          },
          {
            sampling_ratio = {
              type = "number",
              required = true,
              default = 1,
              description = "Share of traces to keep; all calls of a trace share its lot. Failed and slow calls are always kept.",
              between = { 0, 1 },
            },
          },
          {
            sampling_slow_ms = {
              type = "number",
              default = 30000,
              description = "Milliseconds from which on a call is slow, by its whole duration. `null`: none is.",
              gt = 0,
              between = { 0, 2147483646 },
            },
          },
          {
            queue = {
              type = "record",
              required = true,
              description = "How traces are batched and retried, in the names of Kong's queues.",
              fields = {
                {
                  max_batch_size = {
                    type = "integer",
                    required = true,
                    default = 100,
                    description = "Traces in one export request.",
                    between = { 1, 1000000 },
                  },
                },
                {
                  max_coalescing_delay = {
                    type = "number",
                    required = true,
                    default = 1,
                    description = "Seconds to wait for a batch to fill.",
                    between = { 0, 3600 },
                  },
                },
                {
                  max_entries = {
                    type = "integer",
                    required = true,
                    default = 10000,
                    description = "Traces that may wait; more are dropped and counted.",
                    between = { 1, 1000000 },
                  },
                },
                {
                  max_bytes = {
                    type = "integer",
                    default = 67108864,
                    description = "Bytes of traces that may wait; more are dropped and counted. `null`: bounded by `max_entries` alone.",
                    between = { 65536, 1099511627776 },
                  },
                },
                {
                  max_retry_time = {
                    type = "number",
                    required = true,
                    default = 86400,
                    description = "Seconds that a batch is tried again before it is dropped and counted. What waits behind it waits as long as there is room.",
                    between = { 0, 1000000 },
                  },
                },
                {
                  initial_retry_delay = {
                    type = "number",
                    required = true,
                    default = 0.5,
                    description = "Seconds before the first retry; doubled with each.",
                    between = { 0.001, 1000000 },
                  },
                },
                {
                  max_retry_delay = {
                    type = "number",
                    required = true,
                    default = 60,
                    description = "Longest time between two retries, in seconds.",
                    between = { 0.001, 1000000 },
                  },
                },
                {
                  concurrency_limit = {
                    type = "integer",
                    required = true,
                    default = 4,
                    description = "Requests to a destination under way together, where more than one batch is full and it takes what it gets.",
                    between = { 1, 64 },
                  },
                },
              },
            },
          },
          {
            context_headers = {
              type = "record",
              required = true,
              description = "Names of the request headers that say who is calling.",
              fields = {
                { user_id = typedefs.header_name({ required = true, default = "X-User-Id" }) },
                {
                  session_id = typedefs.header_name({
                    required = true,
                    default = "X-Session-Id",
                    description = "The session.",
                  }),
                },
                {
                  chat_id = typedefs.header_name({
                    required = true,
                    default = "X-Chat-Id",
                    description = "The conversation; stands in for a missing session.",
                  }),
                },
                {
                  message_id = typedefs.header_name({
                    required = true,
                    default = "X-Message-Id",
                    description = "The message.",
                  }),
                },
                {
                  organization_id = typedefs.header_name({
                    required = true,
                    default = "X-Organization-Id",
                    description = "The organization.",
                  }),
                },
                {
                  project_id = typedefs.header_name({
                    required = true,
                    default = "X-Project-Id",
                    description = "The project.",
                  }),
                },
              },
            },
          },
          {
            providers = {
              type = "array",
              required = true,
              default = {},
              description = "Rules that recognise LLM traffic beyond what is built in; tried in order, before the built-in ones.",
              elements = {
                type = "record",
                required = true,
                fields = {
                  {
                    name = {
                      type = "string",
                      required = true,
                      default = "custom_provider",
                      description = "The provider that traces show.",
                    },
                  },
                  {
                    path = {
                      type = "string",
                      description = "Path prefix; beginning with `*`: what the path ends with.",
                      match_any = { patterns = { "^/", "^%*" }, err = "should start with: / (prefix) or * (suffix)" },
                    },
                  },
                  {
                    host = {
                      type = "string",
                      description = "Host of the request or of the upstream, without port; `*.example.com` matches subdomains.",
                      match = "^%*?%.?[%w%._-]+$",
                    },
                  },
                  {
                    header = {
                      type = "string",
                      description = "Header that must be present: `name`, or `name: value`.",
                      match_any = {
                        patterns = { "^%s*[%w_-]+%s*$", "^%s*[%w_-]+%s*:" },
                        err = "should be: name, or name: value",
                      },
                    },
                  },
                  {
                    dialect = {
                      type = "string",
                      description = "Wire format to read. `null`: told by path and body.",
                      one_of = {
                        "openai_chat", "openai_responses", "openai_completions", "openai_embeddings",
                        "openai_moderation", "openai_images", "openai_transcription", "openai_speech",
                        "anthropic_messages", "anthropic_count_tokens", "anthropic_complete", "gemini_generate",
                        "gemini_embed", "gemini_count_tokens", "vertex_predict", "gemini_interactions",
                        "bedrock_converse", "bedrock_invoke", "bedrock_count_tokens", "cohere_chat_v1",
                        "cohere_chat_v2", "cohere_generate", "cohere_embed", "rerank", "vllm_generate",
                        "sglang_generate", "vllm_tokens", "vllm_score", "vllm_pooling", "vllm_classify", "ollama_chat",
                        "ollama_generate", "ollama_embed", "tgi_generate", "llamacpp_completion", "llamacpp_infill",
                        "llamacpp_embedding", "watsonx_generation", "watsonx_chat", "watsonx_embeddings",
                        "watsonx_rerank", "replicate_predictions", "alephalpha_complete", "alephalpha_embed",
                        "huggingface_inference", "sagemaker_invocations", "cloudflare_run", "dashscope_generation",
                        "mcp",
                      },
                    },
                  },
                },
                entity_checks = { { at_least_one_of = { "path", "host", "header" } } },
              },
              len_max = 100,
            },
          },
          {
            prices = {
              type = "array",
              required = true,
              default = {},
              description = "Prices in US dollars per million tokens; the first match wins, before the built-in table.",
              elements = {
                type = "record",
                required = true,
                fields = {
                  {
                    model = {
                      type = "string",
                      required = true,
                      description = "Model name; `*` stands for any characters.",
                    },
                  },
                  {
                    input = {
                      type = "number",
                      required = true,
                      description = "Prompt tokens.",
                      between = { 0, 1000000 },
                    },
                  },
                  {
                    output = {
                      type = "number",
                      required = true,
                      description = "Completion tokens.",
                      between = { 0, 1000000 },
                    },
                  },
                  {
                    cached = {
                      type = "number",
                      description = "Prompt tokens read from a cache. `null`: as `input`.",
                      between = { 0, 1000000 },
                    },
                  },
                },
              },
              len_max = 1000,
            },
          },
          {
            redact = {
              type = "array",
              required = true,
              default = {},
              description = "What is replaced in everything recorded. Off by default.",
              elements = {
                type = "record",
                required = true,
                fields = {
                  {
                    pattern = {
                      type = "string",
                      required = true,
                      description = "Regular expression in the syntax of Rust's `regex`: linear time, no look-around.",
                      is_regex = true,
                    },
                  },
                  {
                    replacement = {
                      type = "string",
                      required = true,
                      default = "[REDACTED]",
                      description = "What stands in its place.",
                      len_min = 0,
                    },
                  },
                },
              },
              len_max = 100,
            },
          },
          {
            redact_builtin = {
              type = "set",
              required = true,
              default = {},
              description = "What is recognised and replaced without a pattern, before `redact`: by `[API_KEY]`, `[EMAIL]`, `[IBAN]`, `[CREDIT_CARD]`, `[PHONE]`. Off by default.",
              elements = {
                type = "string",
                required = true,
                one_of = { "api_key", "email", "iban", "credit_card", "phone" },
              },
            },
          },
        },
        entity_checks = {
          {
            conditional = {
              if_field = "langfuse_enabled",
              if_match = { eq = true },
              then_field = "langfuse_public_key",
              then_match = { required = true },
            },
          },
          {
            conditional = {
              if_field = "langfuse_enabled",
              if_match = { eq = true },
              then_field = "langfuse_secret_key",
              then_match = { required = true },
            },
          },
        },
      },
    },
  },
}
