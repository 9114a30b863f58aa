//! The JSON API, `/api/v1/...`: docs/api/openapi.yaml describes each answer.

use std::sync::Arc;

use ai_tracing_core::time::At;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::params::{Params, wrong};
use super::{Console, deliveries, settings, spans};
use crate::admin::reply::Reply;
use crate::calls::query::{By, Facet, Filter, Found, NO_HTTP, Order, ReadError, Reader, Span, Summary, User};
use crate::status::Node;

/// Parts that a span of time is cut into, unless told otherwise and at most.
const PARTS: (usize, usize) = (60, 400);
/// How far back sums go, unless told otherwise.
const HOUR: u64 = 3_600_000_000_000;
/// Sessions on a page at most: each one's calls are summed.
const SESSIONS: usize = 50;
/// Users in an answer at most.
const USERS: usize = 500;
/// Calls of a trace that are listed with a call.
const TRACE: usize = 100;
/// What a 404 says about an id; one about a path says something else.
pub const NO_CALL: &str = "No call or trace with this id";
/// The media type of what is passed on as it is stored.
const JSON: &str = "application/json; charset=utf-8";
/// Values that a filter offers.
const VALUES: usize = 200;

/// Answers a read of `path`, which comes without `/api/`.
pub(super) async fn answer(console: &Arc<Console>, path: &str, query: Option<&str>) -> Result<Reply, Reply> {
    let params = Params::parse(query, (console.clock)())?;
    let path = path.strip_prefix("v1/").ok_or_else(Reply::not_found)?;
    let (name, id) = path.split_once('/').map_or((path, None), |(name, id)| (name, Some(id)));
    // Before it is decoded: an id may hold anything.
    let (id, part) = match id.and_then(|id| id.split_once('/')).filter(|_| name == "calls") {
        Some((id, part)) => (Some(id), Some(part)),
        None => (id, None),
    };
    let id = id.map(|id| percent_decode_str(id).decode_utf8().map(String::from)).transpose();
    let id = id.map_err(|_| Reply::not_found())?;
    match (name, id) {
        ("calls", Some(id)) if part.is_some() => match part {
            Some("deliveries") => deliveries::list(console, id).await,
            Some("http") => console.read(move |_, reader| http(reader, &id)).await,
            Some("record") => {
                console.read(move |_, reader| Ok(Reply::text(JSON, record(reader, &find(reader, &id)?)?))).await
            }
            Some("spans") => console.read(move |it, reader| spans::of(&it.node, reader, &id)).await,
            _ => Err(Reply::not_found()),
        },
        ("calls", None) => console.read(move |_, reader| calls(reader, &params)).await,
        ("calls", Some(id)) => console.read(move |it, reader| call(&it.node, reader, &id)).await,
        ("sessions", None) => console.read(move |_, reader| sessions(reader, &params)).await,
        ("sessions", Some(id)) => console.read(move |_, reader| session(reader, &id)).await,
        ("users", None) => console.read(move |_, reader| users(reader, &params)).await,
        ("overview", None) => console.read(move |console, reader| overview(reader, &params, (console.clock)())).await,
        ("values", None) => console.read(move |_, reader| values(reader)).await,
        ("delivery", None) => {
            let node = Arc::clone(&console.node);
            let asking = tokio::task::spawn_blocking(move || Reply::ok((node.ai_tracing)()));
            asking.await.map_err(|_| Reply::unexpected())
        }
        ("settings", None) => Ok(Reply::ok(settings::describe(&console.node))),
        ("info", None) => Ok(Reply::ok(json!({
            "version": crate::status::VERSION,
            "login": console.access.has_token(),
        }))),
        _ => Err(Reply::not_found()),
    }
}

/// The store cannot be read: the page says so, and calls pass all the same.
pub(super) fn unreadable(error: ReadError) -> Reply {
    if matches!(error, ReadError::TooManyWords { .. }) {
        return wrong("search", &error.to_string());
    }
    // A gateway that has just begun a new file has no calls yet; everything else is worth a look.
    tracing::warn!(%error, "the console cannot read the local store");
    Reply::message(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}

fn calls(reader: &Reader, params: &Params) -> Result<Reply, Reply> {
    // Asked first: what is stored meanwhile comes with the events, once.
    let position = reader.position().map_err(unreadable)?;
    let page = reader.page(&params.filter, params.order, params.cursor, params.limit()).map_err(unreadable)?;
    // With a cursor's time the page can say how far it has looked.
    let next = page.next.map(|next| (next.to_string(), next.started_at().to_rfc3339()));
    let (next, looked_back_to) = next.unzip();
    Ok(Reply::ok(json!({
        "calls": page.calls.iter().map(listed).collect::<Vec<_>>(),
        "next": next, "looked_back_to": looked_back_to, "position": position.0,
    })))
}

/// A call of a list, with the cursor of what comes after it.
pub(super) fn listed(call: &Summary) -> Value {
    let mut value = json!(call);
    if let Some(value) = value.as_object_mut() {
        value.insert("cursor".to_owned(), call.cursor().to_string().into());
    }
    value
}

/// No such call, or none any more.
fn no_call() -> Reply {
    Reply::message(StatusCode::NOT_FOUND, NO_CALL)
}

/// The call that an id stands for, or the first of the trace; true: it is a trace.
fn find_any(reader: &Reader, id: &str) -> Result<(Summary, bool), Reply> {
    match reader.find(id).map_err(unreadable)? {
        Found::Nothing => Err(no_call()),
        Found::Ambiguous(calls) => {
            let calls: Vec<_> = calls.iter().map(listed).collect();
            let message = "Several calls begin with this id";
            Err(Reply::new(StatusCode::MULTIPLE_CHOICES, json!({ "message": message, "calls": calls })))
        }
        Found::Call(call) => Ok((*call, false)),
        Found::Trace(call) => Ok((*call, true)),
    }
}

/// The call that an id stands for, or the first of the trace.
pub(super) fn find(reader: &Reader, id: &str) -> Result<Summary, Reply> {
    find_any(reader, id).map(|(call, _)| call)
}

/// The record's JSON.
pub(super) fn record(reader: &Reader, call: &Summary) -> Result<String, Reply> {
    reader.record(call.seq).map_err(unreadable)?.ok_or_else(no_call)
}

fn call(node: &Node, reader: &Reader, id: &str) -> Result<Reply, Reply> {
    let (call, is_trace) = find_any(reader, id)?;
    let record = record(reader, &call)?;
    let of_trace = Filter { trace: Some(call.trace_id.clone()), ..Filter::default() };
    let trace = reader.page(&of_trace, Order::Oldest, None, TRACE).map_err(unreadable)?;
    let around = json!({
        "call": listed(&call), "is_trace": is_trace,
        "trace": trace.calls.iter().map(listed).collect::<Vec<_>>(), "trace_goes_on": trace.next.is_some(),
        "langfuse": settings::langfuse(node, call.route.as_deref().unwrap_or_default()),
    });
    // The record is JSON as it was stored: it is passed on, not read again.
    let around = around.to_string();
    let around = around.strip_suffix('}').unwrap_or_default();
    Ok(Reply::text(JSON, format!("{around},\"record\":{record}}}")))
}

fn http(reader: &Reader, id: &str) -> Result<Reply, Reply> {
    let call = find(reader, id)?;
    let none = || Reply::message(StatusCode::NOT_FOUND, NO_HTTP);
    Ok(Reply::text(JSON, reader.http(call.seq).map_err(unreadable)?.ok_or_else(none)?))
}

fn sessions(reader: &Reader, params: &Params) -> Result<Reply, Reply> {
    let limit = params.limit().min(SESSIONS);
    let page = reader.sessions(&params.filter, params.cursor, limit).map_err(unreadable)?;
    let next = page.next.map(|next| (next.to_string(), next.started_at().to_rfc3339()));
    let (next, looked_back_to) = next.unzip();
    Ok(Reply::ok(json!({ "sessions": page.sessions, "next": next, "looked_back_to": looked_back_to })))
}

fn session(reader: &Reader, id: &str) -> Result<Reply, Reply> {
    let session = reader.session(id).map_err(unreadable)?;
    let none = || Reply::message(StatusCode::NOT_FOUND, "No session with this id");
    Ok(Reply::ok(json!(session.ok_or_else(none)?)))
}

fn users(reader: &Reader, params: &Params) -> Result<Reply, Reply> {
    let mut found = reader.users(&params.filter).map_err(unreadable)?;
    let known = found.users.len();
    let cost = |user: &User| user.totals.cost.unwrap_or(0.0);
    match params.sort.as_deref() {
        None | Some("calls") => found.users.sort_by_key(|user| std::cmp::Reverse(user.totals.calls)),
        Some("errors") => found.users.sort_by_key(|user| std::cmp::Reverse(user.totals.errors)),
        Some("cost") => found.users.sort_by(|a, b| cost(b).total_cmp(&cost(a))),
        Some("last") => found.users.sort_by_key(|user| std::cmp::Reverse(user.last)),
        Some(_) => return Err(wrong("sort", "none of calls, errors, cost and last")),
    }
    found.users.truncate(USERS);
    let mut answer = json!(found);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("known".to_owned(), known.into());
    }
    Ok(Reply::ok(answer))
}

fn overview(reader: &Reader, params: &Params, now: At) -> Result<Reply, Reply> {
    let until = params.filter.until.unwrap_or(now);
    let since = params.filter.since.unwrap_or(At(until.0.saturating_sub(HOUR)));
    if since >= until {
        return Err(wrong("since", "not before until"));
    }
    let by = params.by.as_deref().unwrap_or("model");
    let by = By::parse(by).ok_or_else(|| wrong("by", "none of model, provider, project and environment"))?;
    let span = Span { since, until, parts: params.parts.unwrap_or(PARTS.0).clamp(1, PARTS.1) };
    let mut answer = json!(reader.overview(&params.filter, span, by).map_err(unreadable)?);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("since".to_owned(), since.to_rfc3339().into());
        answer.insert("until".to_owned(), until.to_rfc3339().into());
        answer.insert("part_ms".to_owned(), (until.ms_since(since) / span.parts as f64).into());
    }
    Ok(Reply::ok(answer))
}

fn values(reader: &Reader) -> Result<Reply, Reply> {
    let mut answer = serde_json::Map::new();
    for (name, facet) in [
        ("model", Facet::Model),
        ("provider", Facet::Provider),
        ("project", Facet::Project),
        ("organization", Facet::Organization),
    ] {
        answer.insert(name.to_owned(), json!(reader.values(facet, VALUES).map_err(unreadable)?));
    }
    Ok(Reply::ok(answer.into()))
}
