//! A record as rows: the columns that lists and filters need, the record's JSON, the words that find it, and what is kept
//! of its HTTP exchange.

use ai_tracing_core::record::CallRecord;
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, named_params, params};

use super::{http, text};

/// A second insert of the same id, after a retry, changes nothing.
const INSERT: &str = "
    INSERT INTO calls (id, trace_id, started_at, name, service, route, provider, model, response_model, operation,
        stream, user_id, session_id, chat_id, organization_id, project_id, environment, status, end, is_error,
        has_error, tokens_in, tokens_cached, tokens_out, tokens_reasoning, estimated, ttft_ms, duration_ms, tps, cost)
    VALUES (:id, :trace_id, :started_at, :name, :service, :route, :provider, :model, :response_model, :operation,
        :stream, :user_id, :session_id, :chat_id, :organization_id, :project_id, :environment, :status, :end,
        :is_error, :has_error, :tokens_in, :tokens_cached, :tokens_out, :tokens_reasoning, :estimated, :ttft_ms,
        :duration_ms, :tps, :cost)
    ON CONFLICT (id) DO NOTHING";
const INSERT_RECORD: &str = "INSERT INTO records (seq, record) VALUES (?, ?)";
const INSERT_TEXT: &str = "INSERT INTO search (rowid, text) VALUES (?, ?)";

/// One call, ready to be stored.
#[derive(Debug)]
pub struct Row {
    record: std::sync::Arc<CallRecord>,
    json: String,
    text: String,
    http: Option<Value>,
}

impl Row {
    /// Prepares a record; its JSON is made here, off the writer thread.
    pub(super) fn new(record: &std::sync::Arc<CallRecord>) -> serde_json::Result<Self> {
        let json = serde_json::to_string(record.as_ref())?;
        let http = record.http.as_deref().map(http::pack).transpose()?;
        Ok(Self { json, text: text::of(record), http, record: std::sync::Arc::clone(record) })
    }

    /// Inserts the rows, inside a transaction; false when the call's id was there already. After an error some of the
    /// rows may be there: the caller rolls back.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<bool> {
        if !self.insert_call(connection)? {
            return Ok(false);
        }
        let seq = connection.last_insert_rowid();
        connection.prepare_cached(INSERT_RECORD)?.execute(params![seq, self.json])?;
        insert_text(connection, seq, &self.text)?;
        if let Some(http) = &self.http {
            http::insert(connection, seq, http)?;
        }
        Ok(true)
    }

    fn insert_call(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let record = self.record.as_ref();
        let (context, usage, timing) = (&record.context, &record.usage, &record.timing);
        let inserted = connection.prepare_cached(INSERT)?.execute(named_params! {
            ":id": record.id,
            ":trace_id": record.trace_id,
            ":started_at": micros(record.timing.started_at.0),
            ":name": record.name,
            ":service": record.service,
            ":route": record.route,
            ":provider": record.provider,
            ":model": record.request.model,
            ":response_model": record.response.model,
            ":operation": record.operation.as_str(),
            ":stream": record.stream,
            ":user_id": context.user_id,
            ":session_id": context.session_id,
            ":chat_id": context.chat_id,
            ":organization_id": context.organization_id,
            ":project_id": context.project_id,
            ":environment": context.environment,
            ":status": record.status,
            ":end": record.end.as_str(),
            ":is_error": record.is_error(),
            ":has_error": record.error.is_some(),
            ":tokens_in": count(usage.input),
            ":tokens_cached": count(usage.cache_read),
            ":tokens_out": count(usage.output),
            ":tokens_reasoning": count(usage.reasoning),
            ":estimated": record.tokens_estimated,
            ":ttft_ms": timing.time_to_first_token_ms,
            ":duration_ms": timing.total_duration_ms,
            ":tps": timing.throughput_tokens_per_second,
            ":cost": record.cost.map(|cost| cost.total),
        } as &[(&str, &dyn ToSql)])?;
        Ok(inserted > 0)
    }
}

/// Makes a call known to searches.
pub(super) fn insert_text(connection: &Connection, seq: i64, text: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(INSERT_TEXT)?.execute(params![seq, text])?;
    Ok(())
}

/// Microseconds since the epoch, the precision of the record's JSON.
pub(super) fn micros(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000).unwrap_or(i64::MAX)
}

/// SQLite's integers are signed; what does not fit is no token count.
fn count(tokens: Option<u64>) -> Option<i64> {
    tokens.and_then(|tokens| i64::try_from(tokens).ok())
}
