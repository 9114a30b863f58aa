//! Reads recorded traffic (HAR 1.2 files given as arguments) and prints one JSON line per entry: the record, or
//! `{"id", "detected": false}`.
//!
//! ```sh
//! cargo run -p ai-tracing-core --example har -- recording.har
//! ```
#![allow(clippy::print_stdout, clippy::indexing_slicing)] // a tool for developers; JSON indexing yields null

use std::borrow::Cow;
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::record::End;
use ai_tracing_core::settings::Settings;
use ai_tracing_core::time::At;
use base64::Engine;
use serde_json::{Value, json};

struct Pairs<'a>(&'a Value);

impl Headers for Pairs<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let pairs = self.0.as_array()?;
        let pair = pairs.iter().find(|pair| pair["name"].as_str().is_some_and(|key| key.eq_ignore_ascii_case(name)))?;
        pair["value"].as_str().map(Cow::Borrowed)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Arc::new(Settings { estimate_tokens: false, ..Settings::default() });
    for file in std::env::args().skip(1) {
        let har: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        for (index, entry) in har["log"]["entries"].as_array().into_iter().flatten().enumerate() {
            let id = entry["_id"].as_str().map_or_else(|| format!("{file}#{index}"), str::to_owned);
            println!("{}", read(&settings, entry, &id)?);
        }
    }
    Ok(())
}

fn read(settings: &Arc<Settings>, entry: &Value, id: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let (request, response) = (&entry["request"], &entry["response"]);
    let url = request["url"].as_str().and_then(|url| url.split('#').next()).unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let host = authority.split(':').next().unwrap_or_default();
    let headers = Pairs(&request["headers"]);
    let head = RequestHead {
        method: request["method"].as_str().unwrap_or_default(),
        path,
        query,
        host,
        headers: &headers,
        upstream: Some(Upstream { host, port: 443, path }),
        service: None,
        route: None,
        consumer: None,
    };
    let undetected = json!({ "id": id, "detected": false });
    let ids = Ids { call: id.to_owned(), trace: 1, span: 1 };
    let Some(mut capture) = Capture::start(settings, &head, ids, At(0)) else { return Ok(undetected) };
    capture.request_body(request["postData"]["text"].as_str().unwrap_or_default().as_bytes());
    let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    capture.response_head(status, &Pairs(&response["headers"]), At(1_000_000));
    let text = response["content"]["text"].as_str().unwrap_or_default();
    let body = match response["content"]["encoding"].as_str() {
        Some("base64") => base64::engine::general_purpose::STANDARD.decode(text)?,
        _ => text.as_bytes().to_vec(),
    };
    capture.response_body(&body, At(2_000_000));
    match capture.finish(End::Complete, At(3_000_000)).into_record() {
        Some(record) => Ok(serde_json::to_value(record)?),
        None => Ok(undetected),
    }
}
