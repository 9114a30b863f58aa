//! A simulated LLM: answers in the shapes of OpenAI's API and of vLLM's `/generate`, with an LLM's pace.
//!
//! It says the same sentences whatever it is asked. `max_tokens` decides how many words of them; from
//! [`ENDLESS_TOKENS`] on it repeats itself until they are used up, slowly enough for a client to hang up.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The model whose rate limit is always reached.
pub const RATE_LIMITED_MODEL: &str = "gpt-4-turbo";
/// From so many `max_tokens` on an answer takes all of them.
const ENDLESS_TOKENS: usize = 1_000;
/// Bytes of a request that are read.
const MAX_REQUEST: usize = 1 << 20;
/// When every answer was made: 2026-01-01T00:00:00Z.
const CREATED: u64 = 1_767_225_600;

const ANSWER: &str = "Quantum computing uses qubits, which can be zero and one at the same time. Several qubits can be \
    entangled, so that they act as one. For some problems that lets a machine weigh many answers at once, where an \
    ordinary computer has to try them one after the other.";

/// How fast it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    first_token: Duration,
    next_token: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_token: Duration::from_millis(60), next_token: Duration::from_millis(10) }
    }
}

#[cfg(test)]
impl Pace {
    /// At once.
    pub const NONE: Self = Self { first_token: Duration::ZERO, next_token: Duration::ZERO };
}

/// Starts to listen on a free port of 127.0.0.1; serves until the runtime ends.
///
/// # Errors
/// No port is free.
pub async fn start(pace: Pace) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, pace));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream, pace: Pace) {
    // Without it small chunks wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    // A client that hangs up is part of the demo, no error.
    let _ =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, pace))).await;
}

async fn answer(request: Request<Incoming>, pace: Pace) -> Result<Response<Timed>, Infallible> {
    let reply = reply(request).await;
    tokio::time::sleep(pace.first_token).await;
    Ok(reply.map(|pieces| Timed::new(pieces, pace.next_token)))
}

async fn reply(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_REQUEST).collect().await.map(http_body_util::Collected::to_bytes);
    let asked = body.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    let Some(asked) = asked.filter(|_| head.method == Method::POST) else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", None, "The body is no JSON.");
    };
    match head.uri.path() {
        "/v1/chat/completions" => chat(&asked),
        "/v1/completions" => completion(&asked),
        "/v1/embeddings" => embeddings(&asked),
        "/generate" => generate(&asked),
        path => error(StatusCode::NOT_FOUND, "invalid_request_error", None, &format!("Unknown path: {path}")),
    }
}

fn chat(asked: &Value) -> Reply {
    let model = text(asked, "model");
    if model == RATE_LIMITED_MODEL {
        let message = format!("Rate limit reached for {model}: try again in 20 s.");
        return error(StatusCode::TOO_MANY_REQUESTS, "tokens", Some("rate_limit_exceeded"), &message);
    }
    let prompt = count(&asked.get("messages").map(Value::to_string).unwrap_or_default());
    if asked.get("tools").is_some() {
        return json_answer(&tool_call(model, prompt));
    }
    let (words, finish) = words(asked);
    let usage = usage(prompt, words.len());
    if !is_stream(asked) {
        let message = json!({"role": "assistant", "content": words.concat(), "refusal": null});
        return json_answer(&json!({
            "id": "chatcmpl-demo", "object": "chat.completion", "created": CREATED, "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": usage, "system_fingerprint": "fp_demo",
        }));
    }
    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": CREATED, "model": model,
            "system_fingerprint": "fp_demo", "choices": choices,
        });
        if let (Some(usage), Value::Object(chunk)) = (usage, &mut chunk) {
            chunk.insert("usage".into(), usage.clone());
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, finish: Option<&str>| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), None)
    };
    let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}), None)];
    chunks.extend(words.iter().map(|word| delta(json!({"content": word}), None)));
    chunks.push(delta(json!({}), Some(finish)));
    if asked.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)) {
        chunks.push(chunk(json!([]), Some(&usage)));
    }
    chunks.push("data: [DONE]\n\n".into());
    respond(StatusCode::OK, Some("text/event-stream"), chunks)
}

fn tool_call(model: &str, prompt: usize) -> Value {
    let call = json!({"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"});
    let message = json!({
        "role": "assistant", "content": null, "refusal": null,
        "tool_calls": [{"id": "call_demo", "type": "function", "function": call}],
    });
    json!({
        "id": "chatcmpl-demo", "object": "chat.completion", "created": CREATED, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "tool_calls"}],
        "usage": usage(prompt, 14), "system_fingerprint": "fp_demo",
    })
}

fn completion(asked: &Value) -> Reply {
    let (words, finish) = words(asked);
    json_answer(&json!({
        "id": "cmpl-demo", "object": "text_completion", "created": CREATED, "model": text(asked, "model"),
        "choices": [{"index": 0, "text": format!(" {}", words.concat()), "logprobs": null, "finish_reason": finish}],
        "usage": usage(count(text(asked, "prompt")), words.len()),
    }))
}

fn embeddings(asked: &Value) -> Reply {
    let one = [asked.get("input").cloned().unwrap_or_default()];
    let inputs = asked.get("input").and_then(Value::as_array).map_or(one.as_slice(), Vec::as_slice);
    let dimensions = number(asked, "dimensions").unwrap_or(256).min(4_096);
    let vector = |seed: usize| -> Vec<f64> {
        (0..dimensions).map(|index| ((seed * 31 + index * 17) % 1_000) as f64 / 1_000.0 - 0.5).collect()
    };
    let data: Vec<_> = (0..inputs.len())
        .map(|index| json!({"object": "embedding", "index": index, "embedding": vector(index)}))
        .collect();
    let prompt: usize = inputs.iter().map(|input| count(input.as_str().unwrap_or_default())).sum();
    json_answer(&json!({
        "object": "list", "data": data, "model": text(asked, "model"),
        "usage": {"prompt_tokens": prompt, "total_tokens": prompt},
    }))
}

/// vLLM's demo server: the prompt stands before the output, a stream repeats what it said before, nothing is counted.
fn generate(asked: &Value) -> Reply {
    let prompt = text(asked, "prompt");
    let (words, _) = words(asked);
    let said = |words: &[&str]| json!({"text": [format!("{prompt} {}", words.concat())]}).to_string();
    if !is_stream(asked) {
        return respond(StatusCode::OK, Some("application/json"), vec![said(&words)]);
    }
    let chunks = (1..=words.len()).filter_map(|count| words.get(..count)).map(|words| said(words) + "\n").collect();
    respond(StatusCode::OK, None, chunks)
}

/// The words of the answer, a token each, and why it ends.
fn words(asked: &Value) -> (Vec<&'static str>, &'static str) {
    let limit = number(asked, "max_tokens").unwrap_or(ENDLESS_TOKENS - 1).min(10_000);
    let all = || ANSWER.split_inclusive(' ');
    let length = if limit >= ENDLESS_TOKENS { limit } else { all().count().min(limit) };
    (all().cycle().take(length).collect(), if length == limit { "length" } else { "stop" })
}

/// About as many tokens as a text of this length has.
fn count(text: &str) -> usize {
    text.len().div_ceil(4)
}

fn usage(prompt: usize, completion: usize) -> Value {
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

fn text<'a>(asked: &'a Value, name: &str) -> &'a str {
    asked.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(asked: &Value, name: &str) -> Option<usize> {
    asked.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn is_stream(asked: &Value) -> bool {
    asked.get("stream") == Some(&Value::Bool(true))
}

fn json_answer(body: &Value) -> Reply {
    respond(StatusCode::OK, Some("application/json"), vec![body.to_string()])
}

fn error(status: StatusCode, kind: &str, code: Option<&str>, message: &str) -> Reply {
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    respond(status, Some("application/json"), vec![body.to_string()])
}

/// An answer in pieces.
type Reply = Response<Vec<String>>;

fn respond(status: StatusCode, media_type: Option<&'static str>, pieces: Vec<String>) -> Reply {
    let mut response = Response::new(pieces);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("x-request-id", http::HeaderValue::from_static("req_demo"));
    if let Some(media_type) = media_type {
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(media_type));
    }
    response
}

/// A body whose pieces come one after the other.
struct Timed(mpsc::Receiver<Bytes>);

impl Timed {
    fn new(pieces: Vec<String>, pause: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for piece in pieces {
                // The receiver goes with the connection.
                if sender.send(piece.into()).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        });
        Self(receiver)
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
