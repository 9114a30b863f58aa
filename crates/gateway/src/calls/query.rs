//! Every read of the local store: lists, one call, what is new.
//!
//! A [`Reader`] opens the file read-only, so it works while the gateway writes and when it does not run. Each query is
//! its own short read: nothing holds up the writer's checkpoints.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ai_tracing_core::time::At;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params_from_iter};

use super::file::{self, FILE_NAME, VERSION};
use super::row::micros;

/// How long a read waits for the moments in which even a reader must.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls read at once while following.
const FOLLOW_BATCH: usize = 500;
/// Candidates named at most for an id that fits several calls.
const CANDIDATES: usize = 10;

/// Why the store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no file.
    #[error(
        "no traces at {path}: start the gateway with `ai-tracing start` and send it a call, \
         or name its data directory with --data-dir"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is of another version.
    #[error(
        "{path} has tables of version {found}, this ai-tracing reads version {VERSION}: \
         use the version of the gateway that writes it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// The file cannot be opened, or is no database.
    #[error("cannot read {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A query failed.
    #[error("cannot read the local store: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// What a list shows; every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Began at this time or later.
    pub since: Option<At>,
    /// Began before this time.
    pub until: Option<At>,
    /// User id.
    pub user: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Chat id.
    pub chat: Option<String>,
    /// Model, as requested or as answered; `*` stands for any characters.
    pub model: Option<String>,
    /// Provider.
    pub provider: Option<String>,
    /// Name of the service.
    pub service: Option<String>,
    /// Name of the route, or the path.
    pub route: Option<String>,
    /// HTTP statuses, from and to, both included.
    pub status: Option<(u16, u16)>,
    /// Only calls that failed in any way.
    pub errors: bool,
    /// Took longer than this many milliseconds.
    pub slower_than_ms: Option<f64>,
}

impl Filter {
    /// The conditions as SQL, and their values.
    fn conditions(&self) -> Conditions {
        let mut all = Conditions::default();
        let text = |value: &Option<String>| value.clone().map(Value::Text);
        let time = |at: Option<At>| at.map(|at| Value::Integer(micros(at.0)));
        all.add("started_at >= ?", time(self.since));
        all.add("started_at < ?", time(self.until));
        all.add("user_id = ?", text(&self.user));
        all.add("session_id = ?", text(&self.session));
        all.add("chat_id = ?", text(&self.chat));
        all.add("provider = ?", text(&self.provider));
        all.add("service = ?", text(&self.service));
        all.add("? IN (route, name)", text(&self.route));
        if let Some(model) = &self.model {
            all.sql.push("(model GLOB ? OR response_model GLOB ?)".into());
            let pattern = glob(model);
            all.values.extend([Value::Text(pattern.clone()), Value::Text(pattern)]);
        }
        all.add("status >= ?", self.status.map(|(from, _)| Value::Integer(from.into())));
        all.add("status <= ?", self.status.map(|(_, to)| Value::Integer(to.into())));
        all.add("duration_ms > ?", self.slower_than_ms.map(Value::Real));
        if self.errors {
            // Spelled as in the partial index, or SQLite would not use it.
            all.sql.push("is_error = 1".into());
        }
        all
    }
}

/// GLOB has three special characters; of these only `*` is ours.
fn glob(model: &str) -> String {
    model.replace('[', "[[]").replace('?', "[?]")
}

#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, sql: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.sql.push(sql.to_owned());
            self.values.push(value);
        }
    }

    /// ` WHERE ...`, or nothing.
    fn clause(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql.join(" AND ")) }
    }
}

/// One call as a list shows it. `None` is unknown.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the record's own names; durations in milliseconds, cost in US dollars
pub struct Summary {
    /// Position in the order of storing.
    pub seq: i64,
    pub id: String,
    pub trace_id: String,
    pub started_at: At,
    /// The request's path.
    pub name: String,
    pub service: Option<String>,
    pub route: Option<String>,
    pub provider: String,
    /// As the request named it, else as the response did.
    pub model: Option<String>,
    pub operation: String,
    pub stream: bool,
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    pub status: Option<u16>,
    pub end: String,
    pub is_error: bool,
    /// The provider reported an error, whatever the status.
    pub has_error: bool,
    pub tokens_in: Option<u64>,
    pub tokens_cached: Option<u64>,
    pub tokens_out: Option<u64>,
    pub estimated: bool,
    pub ttft_ms: Option<f64>,
    pub duration_ms: f64,
    pub cost: Option<f64>,
}

const SUMMARY: &str = "SELECT seq, id, trace_id, started_at, name, service, route, provider,
    coalesce(model, response_model) AS shown_model, operation, stream, user_id, session_id, status, end, is_error,
    has_error, tokens_in, tokens_cached, tokens_out, estimated, ttft_ms, duration_ms, cost FROM calls";

impl Summary {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |column: &str| row.get(column).map(|value: Option<i64>| value.map(i64::unsigned_abs));
        Ok(Self {
            seq: row.get("seq")?,
            id: row.get("id")?,
            trace_id: row.get("trace_id")?,
            started_at: At(row.get::<_, i64>("started_at")?.unsigned_abs().saturating_mul(1_000)),
            name: row.get("name")?,
            service: row.get("service")?,
            route: row.get("route")?,
            provider: row.get("provider")?,
            model: row.get("shown_model")?,
            operation: row.get("operation")?,
            stream: row.get("stream")?,
            user_id: row.get("user_id")?,
            session_id: row.get("session_id")?,
            status: row.get("status")?,
            end: row.get("end")?,
            is_error: row.get("is_error")?,
            has_error: row.get("has_error")?,
            tokens_in: count("tokens_in")?,
            tokens_cached: count("tokens_cached")?,
            tokens_out: count("tokens_out")?,
            estimated: row.get("estimated")?,
            ttft_ms: row.get("ttft_ms")?,
            duration_ms: row.get("duration_ms")?,
            cost: row.get("cost")?,
        })
    }

    /// Where the next page begins when this call ends a page.
    fn cursor(&self) -> Cursor {
        Cursor { started_at: micros(self.started_at.0), seq: self.seq }
    }
}

/// Where a page begins: after this call, in the order of lists. It stays valid while calls come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    started_at: i64,
    seq: i64,
}

/// How far a follower has come; the default is before the first call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(i64);

impl Position {
    /// True when the call is known at this position.
    pub fn covers(self, call: &Summary) -> bool {
        call.seq <= self.0
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Newest first.
    pub calls: Vec<Summary>,
    /// `None` on the last page.
    pub next: Option<Cursor>,
}

/// What an id, a trace id or the beginning of one stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// One call, or all calls of one trace, oldest first.
    Calls(Vec<Summary>),
    /// Several; some of them.
    Ambiguous(Vec<Summary>),
}

/// A read-only connection to the store.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the store in a data directory.
    ///
    /// # Errors
    /// No file, a file of another version, or one that cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, ReadError> {
        let path = data_dir.join(FILE_NAME);
        if !path.exists() {
            return Err(ReadError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok((file::version(&connection)?, connection))
        });
        match opened {
            Ok((VERSION, connection)) => Ok(Self { connection }),
            // A file without tables: the gateway is making it at this moment, or has never got further.
            Ok((0, _)) => Err(ReadError::Missing { path }),
            Ok((found, _)) => Err(ReadError::Version { path, found }),
            Err(source) => Err(ReadError::Open { path, source }),
        }
    }

    /// The newest calls that match, newest first, after `cursor` where one is given.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self, filter: &Filter, cursor: Option<Cursor>, limit: usize) -> Result<Page, ReadError> {
        let mut conditions = filter.conditions();
        if let Some(cursor) = cursor {
            conditions.sql.push("(started_at, seq) < (?, ?)".into());
            conditions.values.extend([Value::Integer(cursor.started_at), Value::Integer(cursor.seq)]);
        }
        let sql = format!("{SUMMARY}{} ORDER BY started_at DESC, seq DESC LIMIT ?", conditions.clause());
        // One more than asked for tells whether there is a next page.
        conditions.values.push(limit_value(limit.saturating_add(1)));
        let mut calls = self.summaries(&sql, conditions.values)?;
        let more = calls.len() > limit;
        calls.truncate(limit);
        let next = calls.last().filter(|_| more).map(Summary::cursor);
        Ok(Page { calls, next })
    }

    fn after(&self, seq: i64, filter: &Filter, limit: usize) -> Result<Vec<Summary>, ReadError> {
        let mut conditions = filter.conditions();
        conditions.add("seq > ?", Some(Value::Integer(seq)));
        conditions.values.push(limit_value(limit));
        self.summaries(&format!("{SUMMARY}{} ORDER BY seq LIMIT ?", conditions.clause()), conditions.values)
    }

    fn last_seq(&self) -> Result<i64, ReadError> {
        Ok(self.connection.query_row("SELECT coalesce(max(seq), 0) FROM calls", [], |row| row.get(0))?)
    }

    /// What was stored since the last call of `follow`, up to a batch, in the order of storing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn follow(&self, position: &mut Position, filter: &Filter) -> Result<Vec<Summary>, ReadError> {
        // Read first: what is stored between the two queries is found by the second, or by the next call.
        let newest = self.last_seq()?;
        let calls = self.after(position.0, filter, FOLLOW_BATCH)?;
        // Calls that the filter refuses are passed over as well, or each look would read all of them again.
        let passed = if calls.len() < FOLLOW_BATCH { newest } else { position.0 };
        position.0 = calls.last().map_or(position.0, |call| call.seq).max(passed);
        Ok(calls)
    }

    /// Where following begins when everything stored so far is known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn position(&self) -> Result<Position, ReadError> {
        Ok(Position(self.last_seq()?))
    }

    /// The record's JSON, as it was stored; `None` when retention has deleted it meanwhile.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn record(&self, seq: i64) -> Result<Option<String>, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT record FROM calls WHERE seq = ?")?;
        Ok(statement.query_row([seq], |row| row.get(0)).optional()?)
    }

    /// Looks an id up: a call's id, a trace id, or the beginning of either.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn find(&self, id: &str) -> Result<Found, ReadError> {
        let id = id.trim().to_ascii_lowercase();
        if id.is_empty() {
            return Ok(Found::Nothing);
        }
        let exact = |column: &str| {
            let sql = format!("{SUMMARY} WHERE {column} = ? ORDER BY started_at, seq");
            self.summaries(&sql, vec![Value::Text(id.clone())])
        };
        for column in ["id", "trace_id"] {
            let calls = exact(column)?;
            if !calls.is_empty() {
                return Ok(Found::Calls(calls));
            }
        }
        let beginning = |column: &str| {
            // A range, because LIKE and GLOB use no index for a bound pattern.
            let sql = format!("{SUMMARY} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT ?");
            let end = Value::Text(format!("{id}\u{10ffff}"));
            self.summaries(&sql, vec![Value::Text(id.clone()), end, limit_value(CANDIDATES)])
        };
        let (mut by_id, by_trace) = (beginning("id")?, beginning("trace_id")?);
        match (by_id.as_slice(), by_trace.as_slice()) {
            ([], []) => Ok(Found::Nothing),
            ([_], []) => Ok(Found::Calls(by_id)),
            ([], [first, others @ ..]) if others.iter().all(|other| other.trace_id == first.trace_id) => {
                self.find(&first.trace_id)
            }
            _ => {
                by_id.extend(by_trace.into_iter().filter(|call| !call.id.starts_with(&id)));
                by_id.truncate(CANDIDATES);
                Ok(Found::Ambiguous(by_id))
            }
        }
    }

    fn summaries(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Summary>, ReadError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params_from_iter(values), Summary::read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn limit_value(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}
