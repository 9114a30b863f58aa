//! Who serves the model: told by the upstream's host, or by what only one provider's responses carry.

use std::sync::LazyLock;

use crate::capture::Headers;

/// Azure where it serves other models than OpenAI's, as OpenTelemetry tells them apart.
pub(crate) const AZURE_INFERENCE: &str = "azure-inference";

/// Hosts of known providers: exact names, or suffixes that begin with a dot or a hyphen. Proxies that pass calls on to
/// whom the path names, such as Cloudflare's AI gateway, are not among them: what answers tells.
const HOSTS: [(&str, &str); 116] = [
    ("api.openai.com", "openai"),
    (".api.openai.com", "openai"),
    ("chatgpt.com", "openai"),
    (".openai.azure.com", "azure"),
    (".openai.azure.us", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".models.ai.azure.com", AZURE_INFERENCE),
    (".inference.ml.azure.com", "azure"),
    ("models.inference.ai.azure.com", "github"),
    (".inference.ai.azure.com", AZURE_INFERENCE),
    ("models.github.ai", "github"),
    (".githubcopilot.com", "copilot"),
    ("copilot-proxy.githubusercontent.com", "copilot"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("-aiplatform.googleapis.com", "vertex"),
    (".rep.googleapis.com", "vertex"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("openrouter.ai", "openrouter"),
    (".openrouter.ai", "openrouter"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.x.ai", "xai"),
    (".api.x.ai", "xai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    (".api.cohere.com", "cohere"),
    ("api.writer.com", "writer"),
    ("api.voyageai.com", "voyage"),
    ("api.jina.ai", "jina"),
    ("api.mixedbread.com", "mixedbread"),
    ("api.mixedbread.ai", "mixedbread"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("router.huggingface.co", "huggingface"),
    ("api-inference.huggingface.co", "huggingface"),
    (".endpoints.huggingface.cloud", "huggingface"),
    ("api.replicate.com", "replicate"),
    (".aleph-alpha.com", "alephalpha"),
    ("api.ai21.com", "ai21"),
    ("api.reka.ai", "reka"),
    ("api.inceptionlabs.ai", "inception"),
    ("api.upstage.ai", "upstage"),
    (".ml.cloud.ibm.com", "watsonx"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("ai.api.nvidia.com", "nvidia"),
    ("api.nvcf.nvidia.com", "nvidia"),
    (".cloud.databricks.com", "databricks"),
    (".azuredatabricks.net", "databricks"),
    (".gcp.databricks.com", "databricks"),
    (".inference.heroku.com", "heroku"),
    ("api.cloudflare.com", "cloudflare"),
    ("api.sambanova.ai", "sambanova"),
    ("api.deepinfra.com", "deepinfra"),
    ("api.hyperbolic.xyz", "hyperbolic"),
    ("api.novita.ai", "novita"),
    (".studio.nebius.ai", "nebius"),
    (".studio.nebius.com", "nebius"),
    (".tokenfactory.nebius.com", "nebius"),
    ("api.lambda.ai", "lambda"),
    ("api.lambdalabs.com", "lambda"),
    (".friendli.ai", "friendli"),
    ("inference.baseten.co", "baseten"),
    (".api.baseten.co", "baseten"),
    (".anyscale.com", "anyscale"),
    (".anyscaleuserdata.com", "anyscale"),
    (".lepton.run", "lepton"),
    ("api.featherless.ai", "featherless"),
    ("api.kluster.ai", "kluster"),
    ("inference.net", "inference_net"),
    ("api.inference.net", "inference_net"),
    ("api.venice.ai", "venice"),
    ("api.morphllm.com", "morph"),
    ("api.arcee.ai", "arcee"),
    ("llm.chutes.ai", "chutes"),
    (".snowflakecomputing.com", "snowflake"),
    ("inference.do-ai.run", "digitalocean"),
    (".scaleway.ai", "scaleway"),
    (".endpoints.kepler.ai.cloud.ovh.net", "ovhcloud"),
    ("ai-gateway.vercel.sh", "vercel"),
    ("router.requesty.ai", "requesty"),
    ("api.llama.com", "meta"),
    ("dashscope.aliyuncs.com", "dashscope"),
    ("dashscope-intl.aliyuncs.com", "dashscope"),
    ("dashscope-us.aliyuncs.com", "dashscope"),
    ("open.bigmodel.cn", "zhipu"),
    ("api.z.ai", "zhipu"),
    ("api.minimax.chat", "minimax"),
    ("api.minimax.io", "minimax"),
    ("api.minimaxi.com", "minimax"),
    ("api.siliconflow.cn", "siliconflow"),
    ("api.siliconflow.com", "siliconflow"),
    ("api.stepfun.com", "stepfun"),
    ("api.stepfun.ai", "stepfun"),
    (".volces.com", "volcengine"),
    (".bytepluses.com", "volcengine"),
    ("qianfan.baidubce.com", "qianfan"),
    ("aip.baidubce.com", "qianfan"),
    ("hunyuan.tencentcloudapi.com", "hunyuan"),
    ("api.hunyuan.cloud.tencent.com", "hunyuan"),
    ("api.baichuan-ai.com", "baichuan"),
    ("api.lingyiwanwu.com", "01ai"),
    ("api.01.ai", "01ai"),
    ("spark-api-open.xf-yun.com", "spark"),
    ("api.elevenlabs.io", "elevenlabs"),
    ("api.deepgram.com", "deepgram"),
    ("api.assemblyai.com", "assemblyai"),
    ("api.stability.ai", "stability"),
];

/// The provider whose host that is.
pub(crate) fn provider_by_host(host: &str) -> Option<&'static str> {
    /// Every request asks: of the table, only the names with the same [`letter`] are compared.
    static BY_LETTER: LazyLock<Vec<Vec<&'static (&str, &str)>>> = LazyLock::new(|| {
        let mut lists = vec![Vec::new(); 256];
        for host in &HOSTS {
            lists.get_mut(usize::from(letter(host.0))).into_iter().for_each(|list| list.push(host));
        }
        lists
    });
    let matches = |name: &str| match name.as_bytes().first() {
        Some(b'.' | b'-') => ends_with_ignore_case(host, name),
        _ => host.eq_ignore_ascii_case(name),
    };
    BY_LETTER
        .get(usize::from(letter(host)))?
        .iter()
        .find(|(name, _)| matches(name))
        .map(|(_, provider)| *provider)
        .or(is_sagemaker(host).then_some("sagemaker"))
        .or(is_bedrock(host).then_some("bedrock"))
}

/// The last letter before the top-level domain, lower case: the `i` of `api.openai.com`.
fn letter(host: &str) -> u8 {
    let (before, _) = host.rsplit_once('.').unwrap_or((host, ""));
    before.bytes().last().unwrap_or_default().to_ascii_lowercase()
}

/// A host of that provider.
pub(crate) fn host_of(provider: &str) -> Option<String> {
    match provider {
        "bedrock" => Some("bedrock-runtime.us-east-1.amazonaws.com".to_owned()),
        "sagemaker" => Some("runtime.sagemaker.us-east-1.amazonaws.com".to_owned()),
        _ => {
            let (name, _) = HOSTS.iter().find(|(_, known)| *known == provider)?;
            let part = if name.starts_with(['.', '-']) { "some" } else { "" };
            Some(format!("{part}{name}"))
        }
    }
}

/// Of all that AWS hosts, `bedrock-runtime.{region}.amazonaws.com` and its siblings, `bedrock-mantle.{region}.api.aws`
/// among them, serve models.
fn is_bedrock(host: &str) -> bool {
    is_aws(host, "bedrock-")
}

/// `runtime.sagemaker.{region}.amazonaws.com`, where customers' own endpoints answer.
fn is_sagemaker(host: &str) -> bool {
    ["runtime.sagemaker.", "runtime-fips.sagemaker."].iter().any(|start| is_aws(host, start))
}

/// True for AWS' hosts that begin so.
fn is_aws(host: &str, start: &str) -> bool {
    let aws =
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| ends_with_ignore_case(host, suffix));
    aws && host.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
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
    const TELLTALES: [(&str, &str); 15] = [
        ("apim-request-id", "azure"),
        ("x-ms-region", "azure"),
        ("x-groq-region", "groq"),
        ("mistral-correlation-id", "mistral"),
        ("x-amzn-bedrock-input-token-count", "bedrock"),
        ("x-amzn-bedrock-invocation-latency", "bedrock"),
        ("x-amzn-invoked-production-variant", "sagemaker"),
        ("anthropic-organization-id", "anthropic"),
        ("anthropic-ratelimit-requests-limit", "anthropic"),
        ("nvcf-reqid", "nvidia"),
        ("fireworks-prompt-tokens", "fireworks"),
        ("fireworks-server-processing-time", "fireworks"),
        ("x-ds-trace-id", "deepseek"),
        ("msh-request-id", "moonshot"),
        ("openai-processing-ms", "openai"),
    ];
    TELLTALES.iter().find(|(name, _)| headers.get(name).is_some()).map(|(_, provider)| *provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_case_and_told_once() {
        for (position, (name, _)) in HOSTS.iter().enumerate() {
            assert_eq!(*name, name.to_ascii_lowercase());
            assert_eq!(letter(name), letter(&format!("some{}", name.to_ascii_uppercase())), "{name} has two labels");
            assert!(HOSTS.iter().skip(position + 1).all(|(other, _)| other != name), "{name}");
        }
    }

    #[test]
    fn hosts_in_the_field() {
        for (host, provider) in [
            ("runtime.sagemaker.eu-west-1.amazonaws.com", Some("sagemaker")),
            ("us-south.ml.cloud.ibm.com", Some("watsonx")),
            ("adb-1.2.azuredatabricks.net", Some("databricks")),
            ("api.individual.githubcopilot.com", Some("copilot")),
            ("abc.us-east-1.aws.endpoints.huggingface.cloud", Some("huggingface")),
            ("europe-west4-aiplatform.googleapis.com", Some("vertex")),
            ("gateway.ai.cloudflare.com", None),
            ("s3.amazonaws.com", None),
        ] {
            assert_eq!(provider_by_host(host), provider, "{host}");
        }
    }
}
