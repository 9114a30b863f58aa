//! One call in full, for people.

use std::io::{self, Write};

use ai_tracing_core::record::{CallRecord, Content, End, Media, Message, Part, ToolCall};
use serde_json::Value;

use crate::term::format::{UNKNOWN, dollars, duration, or_unknown};
use crate::term::text::{block, line, wrap};
use crate::term::{Style, Terminal};

/// Width of the column of labels.
const LABEL: usize = 18;
/// Text wider than this is hard to read.
const MAX_WIDTH: usize = 120;

/// Writes everything about one call. `max_text` cuts each text of the conversation after so many characters.
///
/// # Errors
/// `out` cannot be written.
pub fn write_call(
    out: &mut dyn Write,
    record: &CallRecord,
    max_text: Option<usize>,
    terminal: Terminal,
) -> io::Result<()> {
    let mut page = Page { out, terminal, max_text };
    head(&mut page, record)?;
    who(&mut page, record)?;
    timing(&mut page, record)?;
    usage(&mut page, record)?;
    parameters(&mut page, record)?;
    conversation(&mut page, record)?;
    answer(&mut page, record)?;
    error(&mut page, record)?;
    ids(&mut page, record)
}

fn head(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    let style = if record.is_error() { Style::Red } else { Style::Green };
    let status = or_unknown(record.status, |status| status.to_string());
    let ending = if record.end == End::Complete { String::new() } else { format!(" {}", record.end) };
    let title = page.terminal.paint(Style::Bold, format!("{} {}", line(&record.method), line(&record.name)));
    let status = page.terminal.paint(style, format!("{status}{ending}"));
    writeln!(page.out, "{title}  {status}")?;
    let stream = if record.stream { ", streamed" } else { "" };
    page.field("operation", Some(format!("{}{stream}", record.operation)))?;
    page.field("model", record.request.model.as_deref())?;
    if record.response.model != record.request.model {
        page.given("answered by", record.response.model.as_deref())?;
    }
    page.field("provider", Some(format!("{} ({})", record.provider, record.dialect)))?;
    page.given("service", record.service.as_deref())?;
    page.given("route", record.route.as_deref())?;
    page.given("consumer", record.consumer.as_deref())?;
    let port = record.server.port.map(|port| format!(":{port}")).unwrap_or_default();
    page.given("upstream", record.server.address.as_ref().map(|address| format!("{address}{port}")))
}

fn who(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    let context = &record.context;
    page.section("Who")?;
    page.field("user", context.user_id.as_deref())?;
    page.field("session", context.session_id.as_deref())?;
    page.given("chat", context.chat_id.as_deref())?;
    page.given("message", context.message_id.as_deref())?;
    page.given("organization", context.organization_id.as_deref())?;
    page.given("project", context.project_id.as_deref())?;
    page.given("environment", context.environment.as_deref())?;
    context.metadata.iter().try_for_each(|(key, value)| page.field(key, Some(plain(value))))
}

fn timing(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    let timing = &record.timing;
    page.section("Timing")?;
    page.field("started", Some(timing.started_at.to_rfc3339()))?;
    page.field("duration", Some(duration(timing.total_duration_ms)))?;
    page.field("first token", timing.time_to_first_token_ms.map(duration))?;
    page.field("per token", timing.time_per_token_ms.map(duration))?;
    page.field("throughput", timing.throughput_tokens_per_second.map(|rate| format!("{rate:.1} tokens/s")))?;
    page.field("upstream", timing.upstream_ms.map(duration))?;
    page.field("gateway", timing.gateway_ms.map(duration))
}

fn usage(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    let usage = &record.usage;
    let about = if record.tokens_estimated { "~" } else { "" };
    let tokens = |count: Option<u64>| count.map(|count| format!("{about}{count}"));
    page.section(if record.tokens_estimated {
        "Tokens and cost (estimated by a tokenizer)"
    } else {
        "Tokens and cost"
    })?;
    page.field("input", tokens(usage.input))?;
    page.given("  from cache", tokens(usage.cache_read))?;
    page.given("  to cache", tokens(usage.cache_write))?;
    page.field("output", tokens(usage.output))?;
    page.given("  reasoning", tokens(usage.reasoning))?;
    page.field("total", tokens(usage.total))?;
    page.given("efficiency", record.token_efficiency.map(|ratio| format!("{ratio:.2} output per input token")))?;
    page.given("prompt length", record.prompt_length.map(|length| format!("{length} characters")))?;
    page.given("response length", record.response_length.map(|length| format!("{length} characters")))?;
    let cost = record.cost.map(|cost| {
        format!("{} (input {}, output {})", dollars(cost.total), dollars(cost.input), dollars(cost.output))
    });
    page.field("cost", cost)
}

fn parameters(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    // The serde form names each parameter as it was sent, and leaves out what was not.
    let Ok(Value::Object(params)) = serde_json::to_value(&record.request.params) else { return Ok(()) };
    if params.is_empty() && record.request.tools.is_empty() && !record.request.stream {
        return Ok(());
    }
    page.section("Parameters")?;
    if record.request.stream {
        page.field("stream", Some("true"))?;
    }
    params.iter().try_for_each(|(name, value)| page.field(name, Some(plain(value))))?;
    record.request.tools.iter().try_for_each(|tool| page.field("tool", Some(plain(tool))))
}

fn conversation(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    if record.request.messages.is_empty() {
        return Ok(());
    }
    page.section("Conversation")?;
    record.request.messages.iter().try_for_each(|message| page.message(message))
}

fn answer(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    let response = &record.response;
    let finish = if response.finish_reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", response.finish_reasons.join(", "))
    };
    page.section(&format!("Answer{finish}"))?;
    page.part("reasoning", response.reasoning.as_deref())?;
    page.part("refusal", response.refusal.as_deref())?;
    page.tool_calls(&response.tool_calls)?;
    if let Some(dims) = response.embedding_dims {
        let count = response.embedding_count.map(|count| format!("{count} vectors of ")).unwrap_or_default();
        page.field("embeddings", Some(format!("{count}{dims} dimensions")))?;
    }
    match response.text.as_deref() {
        Some(text) if response.reasoning.is_none() && response.tool_calls.is_empty() => page.text(text)?,
        Some(text) => page.part("text", Some(text))?,
        None if response.tool_calls.is_empty() && response.refusal.is_none() && response.embedding_dims.is_none() => {
            writeln!(page.out, "  {UNKNOWN}")?;
        }
        None => {}
    }
    for (index, choice) in response.more_choices.iter().enumerate() {
        let finish = choice.finish_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        page.section(&format!("Choice {}{finish}", index + 1))?;
        page.part("reasoning", choice.reasoning.as_deref())?;
        page.part("refusal", choice.refusal.as_deref())?;
        page.tool_calls(&choice.tool_calls)?;
        choice.text.iter().try_for_each(|text| page.text(text))?;
    }
    Ok(())
}

fn error(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    if let Some(error) = &record.error {
        page.section("Error")?;
        page.field("type", error.kind.as_deref())?;
        page.field("message", error.message.as_deref())?;
    }
    if !record.issues.is_empty() {
        page.section("Issues")?;
        record.issues.iter().try_for_each(|issue| page.text(issue))?;
    }
    Ok(())
}

fn ids(page: &mut Page<'_>, record: &CallRecord) -> io::Result<()> {
    let response = &record.response;
    page.section("Ids")?;
    page.field("call", Some(&record.id))?;
    page.field("trace", Some(&record.trace_id))?;
    page.field("span", Some(&record.span_id))?;
    page.given("parent span", record.parent_span_id.as_deref())?;
    page.given("tracestate", record.tracestate.as_deref())?;
    page.given("response", response.id.as_deref())?;
    page.given("request", response.request_id.as_deref())?;
    page.given("fingerprint", response.system_fingerprint.as_deref())?;
    page.given("service tier", response.service_tier.as_deref())?;
    page.given("API version", response.api_version.as_deref())?;
    response.extra.iter().try_for_each(|(key, value)| page.field(key, Some(plain(value))))
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Page<'a> {
    out: &'a mut dyn Write,
    terminal: Terminal,
    max_text: Option<usize>,
}

impl Page<'_> {
    fn section(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.terminal.paint(Style::Bold, line(title)))
    }

    /// A label and its value; `-` where it is unknown.
    fn field(&mut self, label: &str, value: Option<impl AsRef<str>>) -> io::Result<()> {
        let value = value.as_ref().map_or(UNKNOWN, AsRef::as_ref);
        let label = line(label);
        let padding = LABEL.saturating_sub(crate::term::text::width(&label)).max(1);
        let mut lines = wrap(&block(value), self.room(LABEL + 2)).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(self.out, "  {}{:padding$}{first}", self.terminal.paint(Style::Dim, &label), "")?;
        lines.try_for_each(|line| writeln!(self.out, "{:indent$}{line}", "", indent = LABEL + 2))
    }

    /// As [`Page::field`], but nothing where it is unknown.
    fn given(&mut self, label: &str, value: Option<impl AsRef<str>>) -> io::Result<()> {
        if value.is_some() { self.field(label, value) } else { Ok(()) }
    }

    fn message(&mut self, message: &Message) -> io::Result<()> {
        let name = message.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
        let answers = message.tool_call_id.as_deref().map(|id| format!(" (answers {id})")).unwrap_or_default();
        self.role(&format!("{}{name}{answers}", message.role))?;
        self.part("reasoning", message.reasoning.as_deref())?;
        self.part("refusal", message.refusal.as_deref())?;
        match &message.content {
            Some(Content::Text(text)) => self.text(text)?,
            Some(Content::Parts(parts)) => parts.iter().try_for_each(|part| match part {
                Part::Text { text } => self.text(text),
                Part::Media(media) => self.text(&describe(media)),
                Part::Other { value } => self.text(&plain(value)),
            })?,
            None => {}
        }
        self.tool_calls(&message.tool_calls)
    }

    fn role(&mut self, role: &str) -> io::Result<()> {
        writeln!(self.out, "  {}", self.terminal.paint(Style::Dim, format!("[{}]", line(role))))
    }

    /// A text with what it is above it.
    fn part(&mut self, what: &str, text: Option<&str>) -> io::Result<()> {
        let Some(text) = text else { return Ok(()) };
        self.role(what)?;
        self.text(text)
    }

    fn tool_calls(&mut self, calls: &[ToolCall]) -> io::Result<()> {
        for call in calls {
            let id = call.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            self.role(&format!("tool call{id}"))?;
            let (name, arguments) = (call.name.as_deref().unwrap_or(UNKNOWN), call.arguments.as_deref());
            self.text(&format!("{name}({})", arguments.unwrap_or_default()))?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        const INDENT: usize = 4;
        let (kept, cut) = match self.max_text.and_then(|max| text.char_indices().nth(max)) {
            Some((end, _)) => (text.get(..end).unwrap_or_default(), text.chars().count()),
            None => (text, 0),
        };
        for wrapped in wrap(&block(kept), self.room(INDENT)) {
            // Empty lines get no indentation to trail.
            let indent = if wrapped.is_empty() { 0 } else { INDENT };
            writeln!(self.out, "{:indent$}{wrapped}", "")?;
        }
        if cut > 0 {
            let note = self.terminal.paint(Style::Dim, format!("… ({cut} characters in all)"));
            writeln!(self.out, "{:INDENT$}{note}", "")?;
        }
        Ok(())
    }

    /// Columns to the right of an indentation.
    fn room(&self, indent: usize) -> Option<usize> {
        self.terminal.width.map(|width| width.min(MAX_WIDTH).saturating_sub(indent))
    }
}

/// `[image image/png, 20480 bytes]`
fn describe(media: &Media) -> String {
    let bytes = media.bytes.map(|bytes| format!("{bytes} bytes"));
    let file = media.file_id.as_ref().map(|id| format!("file {id}"));
    let what: Vec<_> = [media.mime_type.clone(), media.uri.clone(), file, bytes].into_iter().flatten().collect();
    format!("[{} {}]", media.modality, what.join(", "))
}
