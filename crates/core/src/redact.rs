//! Replacing what must not leave: what is recognised by itself ([`Builtin`]) and patterns, over every string of a record that
//! the caller or the provider wrote freely.
//!
//! Exempt are the names that the gateway's configuration gives (service, route, consumer, environment), the ids of the
//! trace, and what a provider says in its own identifiers and fixed words (response id, request id, finish reasons,
//! error type). The walk over the record names every field of every type, so that a new one does not compile before
//! somebody has decided what it is.

mod builtin;
mod json;
mod rule;

use std::collections::BTreeSet;

use regex::RegexBuilder;
use serde_json::{Map, Value};

use crate::http::{self, Http};
use crate::record::*;
pub use builtin::Builtin;
use rule::{Finder, Rule};

/// Bytes of memory that one compiled pattern may take.
const MAX_PATTERN_SIZE: usize = 2 << 20;

/// What is replaced; empty: nothing is.
#[derive(Debug, Default)]
pub struct Redactor {
    rules: Vec<Rule>,
}

impl Redactor {
    /// Compiles pairs of a pattern (syntax of the `regex` crate: linear time, no look-around) and its replacement, which
    /// is taken literally. Fails with the index of the first pattern that is not valid, or too big, and why.
    pub fn new<P: AsRef<str>, R: Into<String>>(
        rules: impl IntoIterator<Item = (P, R)>,
    ) -> Result<Self, (usize, String)> {
        let compile = |(index, (pattern, replacement)): (usize, (P, R))| {
            RegexBuilder::new(pattern.as_ref())
                .size_limit(MAX_PATTERN_SIZE)
                .dfa_size_limit(MAX_PATTERN_SIZE)
                .build()
                .map(|pattern| Rule { finder: Finder::Pattern(pattern), replacement: replacement.into() })
                .map_err(|error| (index, reason(&error)))
        };
        Ok(Self { rules: rules.into_iter().enumerate().map(compile).collect::<Result<_, _>>()? })
    }

    /// The same, and before its patterns what these kinds recognise, each once and in an order of their own: a key may hold
    /// what looks like a phone number, never the other way round.
    pub fn with_builtin(mut self, kinds: impl IntoIterator<Item = Builtin>) -> Self {
        let kinds: BTreeSet<Builtin> = kinds.into_iter().collect();
        let rule = |kind: Builtin| Rule { finder: Finder::Builtin(kind), replacement: kind.replacement().to_owned() };
        self.rules.splice(0..0, kinds.into_iter().map(rule));
        self
    }

    /// True when nothing would ever be replaced.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Replaces every match in every string of `record` that came from the exchange. The patterns are applied one after
    /// the other, each to what the one before has left.
    pub fn apply(&self, record: &mut CallRecord) {
        if !self.is_empty() {
            self.record(record);
        }
    }

    /// What becomes of one text; `None` when nothing is replaced.
    pub fn redact(&self, text: &str) -> Option<String> {
        self.redacted("", text)
    }

    fn record(&self, record: &mut CallRecord) {
        let CallRecord {
            id: _,
            detected: _,
            schema_version: _,
            provider: _,
            dialect: _,
            operation: _,
            stream: _,
            status: _,
            trace_id: _,
            span_id: _,
            parent_span_id: _,
            tracestate,
            name,
            method: _,
            service: _,
            route: _,
            consumer: _,
            server: Server { address: _, port: _ },
            context,
            request,
            response,
            usage: _,
            tokens_estimated: _,
            token_efficiency: _,
            prompt_length: _,
            response_length: _,
            cost: _,
            timing: _,
            end: _,
            error,
            issues,
            http,
        } = record;
        self.some(tracestate);
        self.text(name);
        self.context(context);
        self.request(request);
        self.response(response);
        if let Some(CallError { kind: _, message }) = error {
            self.some(message);
        }
        self.texts(issues);
        if let Some(http) = http {
            self.http(http);
        }
    }

    fn http(&self, http: &mut Http) {
        let Http { request, response, bodies: _, timeline: _ } = http;
        let http::Request { method: _, path, query, headers, body_bytes: _, body } = request;
        self.text(path);
        self.fields(query);
        self.fields(headers);
        // What comes in two events of a stream cannot be found in its bytes.
        *body = None;
        if let Some(http::Response { status: _, head_ms: _, headers, body_bytes: _, body }) = response {
            self.fields(headers);
            *body = None;
        }
    }

    fn fields(&self, fields: &mut http::Fields) {
        for (name, value) in &mut fields.fields {
            if let Some(redacted) = self.redacted(name, value) {
                *value = redacted;
            }
            self.text(name);
        }
    }

    fn context(&self, context: &mut Context) {
        let Context { user_id, session_id, chat_id, message_id, organization_id, project_id, environment: _, metadata } =
            context;
        for id in [user_id, session_id, chat_id, message_id, organization_id, project_id] {
            self.some(id);
        }
        self.map(metadata);
    }

    fn request(&self, request: &mut Request) {
        let Request { model, message_count: _, params, stream: _, messages, tools } = request;
        let Params {
            temperature: _,
            top_p: _,
            max_tokens: _,
            frequency_penalty: _,
            presence_penalty: _,
            seed: _,
            stop,
            n: _,
            other,
        } = params;
        self.some(model);
        self.texts(stop.iter_mut().flatten());
        self.map(other);
        for message in messages {
            self.message(message);
        }
        for tool in tools {
            self.value("", tool);
        }
    }

    fn message(&self, message: &mut Message) {
        let Message { role, content, name, reasoning, refusal, tool_calls, tool_call_id } = message;
        self.text(role);
        match content {
            None => {}
            Some(Content::Text(text)) => self.text(text),
            Some(Content::Parts(parts)) => parts.iter_mut().for_each(|part| self.part(part)),
        }
        for text in [name, reasoning, refusal, tool_call_id] {
            self.some(text);
        }
        self.tool_calls(tool_calls);
    }

    fn part(&self, part: &mut Part) {
        match part {
            Part::Text { text } => self.text(text),
            Part::Media(media) => self.media(media),
            Part::Other { value } => self.value("", value),
        }
    }

    fn media(&self, media: &mut Media) {
        let Media { modality: _, mime_type, uri, file_id, bytes: _, sha256: _, content } = media;
        for text in [mime_type, uri, file_id] {
            self.some(text);
        }
        // What a pattern would match in an encoded document cannot be seen.
        *content = None;
    }

    fn response(&self, response: &mut Response) {
        let Response {
            id: _,
            model,
            text,
            reasoning,
            refusal,
            tool_calls,
            finish_reasons: _,
            more_choices,
            embedding_dims: _,
            embedding_count: _,
            system_fingerprint: _,
            service_tier: _,
            media,
            request_id: _,
            api_version,
            extra,
        } = response;
        for text in [model, text, reasoning, refusal, api_version] {
            self.some(text);
        }
        self.tool_calls(tool_calls);
        for choice in more_choices {
            let Choice { text, reasoning, refusal, tool_calls, finish_reason: _ } = choice;
            for text in [text, reasoning, refusal] {
                self.some(text);
            }
            self.tool_calls(tool_calls);
        }
        for media in media {
            self.media(media);
        }
        self.map(extra);
    }

    fn tool_calls(&self, calls: &mut [ToolCall]) {
        for ToolCall { id, name, arguments } in calls {
            for text in [id, name, arguments] {
                self.some(text);
            }
        }
    }

    /// `before` is the name that the value has.
    fn value(&self, before: &str, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            // A card number is one with and without quotes.
            Value::Number(number) => {
                if let Some(redacted) = self.redacted(before, &number.to_string()) {
                    *value = Value::String(redacted);
                }
            }
            Value::String(text) => {
                if let Some(redacted) = self.redacted(before, text) {
                    *text = redacted;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(before, value)),
            Value::Object(map) => self.map(map),
        }
    }

    /// Keys as well as values. Of keys that become the same, the last one's value stays.
    fn map(&self, map: &mut Map<String, Value>) {
        for (key, value) in map.iter_mut() {
            self.value(key, value);
        }
        if map.keys().any(|key| self.redacted("", key).is_some()) {
            let redacted = std::mem::take(map).into_iter().map(|(mut key, value)| {
                self.text(&mut key);
                (key, value)
            });
            *map = redacted.collect();
        }
    }

    fn some(&self, text: &mut Option<String>) {
        self.texts(text);
    }

    fn texts<'a>(&self, texts: impl IntoIterator<Item = &'a mut String>) {
        for text in texts {
            self.text(text);
        }
    }

    fn text(&self, text: &mut String) {
        if let Some(redacted) = self.redacted("", text) {
            *text = redacted;
        }
    }

    /// What becomes of `text`, `before` standing in front of it; `None` when nothing is replaced. Texts that are JSON are
    /// gone through string by string, and then as a whole: a pattern may span several. What was valid JSON stays so.
    ///
    /// Such strings may be JSON themselves. Each level doubles the backslashes of the one within, so there are few.
    fn redacted(&self, before: &str, text: &str) -> Option<String> {
        if !json::begins(text) {
            return self.replaced(before, text);
        }
        let parts = json::replace(text, &|before, part| self.redacted(before, part));
        let Some(whole) = self.replaced(before, parts.as_deref().unwrap_or(text)) else { return parts };
        if json::is_valid(text) && !json::is_valid(&whole) {
            let quoted = Value::String(whole.clone()).to_string();
            // A pattern may be after the quotes themselves: what must not leave counts more.
            return Some(if self.replaced(before, &quoted).is_none() { quoted } else { whole });
        }
        Some(whole)
    }

    fn replaced(&self, before: &str, text: &str) -> Option<String> {
        let mut redacted = None;
        for rule in &self.rules {
            if let Some(next) = rule.replace(before, redacted.as_deref().unwrap_or(text)) {
                redacted = Some(next);
            }
        }
        redacted
    }
}

/// Why a pattern was refused, in one line: the library draws the pattern and an arrow above it.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("compiles to more than {limit} bytes"),
        _ => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
