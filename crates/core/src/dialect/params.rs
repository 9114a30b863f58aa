//! Generation parameters by all the names that they have beside OpenAI's.

use crate::dialect::openai;
use crate::json::Json;
use crate::record::Params;

/// Names of the limit of generated tokens: TGI and Hugging Face, Ollama, llama.cpp, Aleph Alpha.
const MAX_TOKENS: [&str; 6] =
    ["max_tokens", "max_completion_tokens", "max_new_tokens", "num_predict", "n_predict", "maximum_tokens"];
/// Names of the seed.
const SEED: [&str; 2] = ["seed", "random_seed"];
/// Names of the stop sequences.
const STOP: [&str; 2] = ["stop", "stop_sequences"];

/// Reads the members of `body` as parameters; those named in `not` are none. What was read before stays where `body`
/// says nothing: parameters may stand in two places.
pub fn read(body: &Json<'_>, not: &[&str], params: &mut Params) {
    for (key, value) in body.members() {
        match key.as_ref() {
            name if not.contains(&name) => {}
            "temperature" => params.temperature = value.f64().or(params.temperature),
            "top_p" => params.top_p = value.f64().or(params.top_p),
            "frequency_penalty" => params.frequency_penalty = value.f64().or(params.frequency_penalty),
            "presence_penalty" => params.presence_penalty = value.f64().or(params.presence_penalty),
            "n" => params.n = value.i64().or(params.n),
            name if MAX_TOKENS.contains(&name) => params.max_tokens = value.i64().or(params.max_tokens),
            name if SEED.contains(&name) => params.seed = value.i64().or(params.seed),
            name if STOP.contains(&name) => params.stop = openai::stop(value).or(params.stop.take()),
            name if is_said(value) && params.other.len() < openai::MAX_OTHER => {
                params.other.insert(name.to_owned(), openai::lean(value));
            }
            _ => {}
        }
    }
}

/// True for what is worth keeping: not what is null, empty or cut, and no media.
fn is_said(value: &Json<'_>) -> bool {
    match value {
        Json::Null | Json::CutString(_) => false,
        Json::String(text) => !text.is_empty() && !text.starts_with("data:"),
        Json::Array(items) => !items.is_empty(),
        Json::Object(members) => !members.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::Numbers(..) => true,
    }
}
