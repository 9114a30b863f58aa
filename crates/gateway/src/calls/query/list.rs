//! Lists of calls: page by page, or as they are stored.
//!
//! A page is looked for among a bounded number of calls, so that it is answered quickly however many there are and
//! whatever is asked for: where nothing more is found in reach, the page ends early and says where to go on.

use ai_tracing_core::time::At;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde::{Deserialize, Serialize};

use super::filter::{Conditions, Filter, Way};
use super::words::Sought;
use super::{ReadError, Reader, micros};

/// Calls read at once while following.
const FOLLOW_BATCH: usize = 500;

/// One call as a list shows it. `None` is unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the record's own names; durations in milliseconds, cost in US dollars
pub struct Summary {
    /// Position in the order of storing.
    pub seq: i64,
    pub id: String,
    pub trace_id: String,
    #[serde(with = "ai_tracing_core::time::rfc3339")]
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
    pub tokens_reasoning: Option<u64>,
    pub estimated: bool,
    pub ttft_ms: Option<f64>,
    pub duration_ms: f64,
    /// Tokens per second.
    pub tps: Option<f64>,
    pub cost: Option<f64>,
}

/// The columns of a [`Summary`].
pub(super) const COLUMNS: &str = "seq, id, trace_id, started_at, name, service, route, provider,
    coalesce(model, response_model) AS shown_model, operation, stream, user_id, session_id, status, end, is_error,
    has_error, tokens_in, tokens_cached, tokens_out, tokens_reasoning, estimated, ttft_ms, duration_ms, tps, cost";

impl Summary {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |column: &str| row.get(column).map(|value: Option<i64>| value.map(i64::unsigned_abs));
        Ok(Self {
            seq: row.get("seq")?,
            id: row.get("id")?,
            trace_id: row.get("trace_id")?,
            started_at: at(row.get("started_at")?),
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
            tokens_reasoning: count("tokens_reasoning")?,
            estimated: row.get("estimated")?,
            ttft_ms: row.get("ttft_ms")?,
            duration_ms: row.get("duration_ms")?,
            tps: row.get("tps")?,
            cost: row.get("cost")?,
        })
    }

    /// Where the next page begins when this call ends a page.
    pub fn cursor(&self) -> Cursor {
        Cursor { started_at: micros(self.started_at.0), seq: self.seq }
    }
}

/// A stored time: microseconds since the epoch.
pub(super) fn at(micros: i64) -> At {
    At(micros.unsigned_abs().saturating_mul(1_000))
}

/// Where a page begins: after this call, in the order of lists. It stays valid while calls come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    started_at: i64,
    seq: i64,
}

impl Cursor {
    /// Reads what [`Cursor::to_string`] has written.
    pub fn parse(text: &str) -> Option<Self> {
        let (started_at, seq) = text.split_once('.')?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        Some(Self { started_at: number(started_at)?, seq: number(seq)? })
    }

    /// When the call began that the page comes after.
    pub fn started_at(self) -> At {
        at(self.started_at)
    }

    pub(super) fn new(started_at: i64, seq: i64) -> Self {
        Self { started_at, seq }
    }

    pub(super) fn values(self) -> [Value; 2] {
        [Value::Integer(self.started_at), Value::Integer(self.seq)]
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.started_at, self.seq)
    }
}

/// How far a follower has come; the default is before the first call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(pub i64);

impl Position {
    /// True when the call is known at this position.
    pub fn covers(self, call: &Summary) -> bool {
        call.seq <= self.0
    }
}

/// Which calls of a list come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest. With a text: what was stored last.
    #[default]
    Newest,
    /// The oldest.
    Oldest,
}

impl Order {
    fn sql(self) -> (&'static str, &'static str) {
        match self {
            Self::Newest => ("<", "DESC"),
            Self::Oldest => (">", "ASC"),
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order asked for.
    pub calls: Vec<Summary>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Cursor>,
}

impl Reader {
    /// The next calls that match, after `cursor` where one is given. There may be more on a later page even where this
    /// one is not full, or empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn page(&self, filter: &Filter, order: Order, cursor: Option<Cursor>, limit: usize) -> Result<Page, ReadError> {
        let way = filter.way();
        let sought = self.sought(filter)?;
        let (mut calls, reach) = match &sought {
            Sought::Anything => self.walk(&way, filter.conditions(), order, cursor, limit)?,
            Sought::Nothing => (Vec::new(), None),
            Sought::Words(words) => self.search(&way, filter.conditions(), words, order, cursor, limit)?,
        };
        let more = calls.len() > limit;
        calls.truncate(limit);
        let next = if more { calls.last().map(Summary::cursor) } else { reach };
        Ok(Page { calls, next })
    }

    /// One more call than asked for, where there is one, and how far was looked; `None`: to the end.
    fn walk(
        &self,
        way: &Way,
        mut conditions: Conditions,
        order: Order,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Summary>, Option<Cursor>), ReadError> {
        let (before, direction) = order.sql();
        let by = format!("ORDER BY started_at {direction}, seq {direction}");
        let mut path = way.conditions.clone();
        if let Some(cursor) = cursor {
            for conditions in [&mut path, &mut conditions] {
                conditions.sql.push(format!("(started_at, seq) {before} (?, ?)"));
                conditions.values.extend(cursor.values());
            }
        }
        // What the index answers needs no bound: each call on the way is one that is asked for.
        let mut reach = None;
        if conditions.sql.len() > path.sql.len() {
            let sql = format!(
                "SELECT started_at, seq FROM calls INDEXED BY {}{} {by} LIMIT 1 OFFSET {}",
                way.index,
                path.clause(),
                self.in_reach
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let last =
                statement.query_row(params_from_iter(path.values), |row| Ok(Cursor::new(row.get(0)?, row.get(1)?)));
            reach = last.optional()?;
        }
        if let Some(reach) = reach {
            // Up to the last call in reach, itself included.
            let within = if order == Order::Newest { ">=" } else { "<=" };
            conditions.sql.push(format!("(started_at, seq) {within} (?, ?)"));
            conditions.values.extend(reach.values());
        }
        let sql = format!("SELECT {COLUMNS} FROM calls INDEXED BY {}{} {by} LIMIT ?", way.index, conditions.clause());
        conditions.values.push(limit_value(limit.saturating_add(1)));
        Ok((self.summaries(&sql, conditions.values)?, reach))
    }

    /// As [`Reader::walk`], among the calls with these words, in the order of storing.
    fn search(
        &self,
        way: &Way,
        conditions: Conditions,
        words: &str,
        order: Order,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Summary>, Option<Cursor>), ReadError> {
        let (_, direction) = order.sql();
        let by = format!("ORDER BY search.rowid {direction}");
        let (mut first, mut last) = self.stretch(way)?;
        match (order, cursor) {
            (Order::Newest, Some(cursor)) => last = last.min(cursor.seq.saturating_sub(1)),
            (Order::Oldest, Some(cursor)) => first = first.max(cursor.seq.saturating_add(1)),
            (_, None) => {}
        }
        // FTS5 begins and ends where one condition says: a second one would only be asked about each that is found.
        let between = |first, last| Conditions {
            sql: vec!["search MATCH ?".into(), "search.rowid BETWEEN ? AND ?".into()],
            values: vec![Value::Text(words.to_owned()), Value::Integer(first), Value::Integer(last)],
        };
        let found = between(first, last);
        let bound = format!("SELECT search.rowid FROM search{} {by} LIMIT 1 OFFSET {}", found.clause(), self.in_reach);
        let mut statement = self.connection.prepare_cached(&bound)?;
        let reach: Option<i64> = statement.query_row(params_from_iter(found.values), |row| row.get(0)).optional()?;
        match order {
            Order::Newest => first = reach.unwrap_or(first),
            Order::Oldest => last = reach.unwrap_or(last),
        }
        let mut found = between(first, last);
        found.sql.extend(conditions.sql);
        found.values.extend(conditions.values);
        let sql = format!(
            "SELECT {COLUMNS} FROM search CROSS JOIN calls ON calls.seq = search.rowid{} {by} LIMIT ?",
            found.clause()
        );
        found.values.push(limit_value(limit.saturating_add(1)));
        let calls = self.summaries(&sql, found.values)?;
        Ok((calls, reach.map(|seq| self.cursor_at(seq)).transpose()?))
    }

    /// The first and the last call on the way, in the order of storing: no other needs to be looked for.
    pub(super) fn stretch(&self, way: &Way) -> Result<(i64, i64), ReadError> {
        if way.conditions.sql.is_empty() {
            return Ok((1, self.last_seq()?));
        }
        let sql = format!(
            "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM calls INDEXED BY {}{}",
            way.index,
            way.conditions.clause()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let values = params_from_iter(&way.conditions.values);
        Ok(statement.query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// The cursor after the call with this position; where it is gone, its time is not needed any more.
    fn cursor_at(&self, seq: i64) -> Result<Cursor, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT started_at FROM calls WHERE seq = ?")?;
        let started_at: Option<i64> = statement.query_row([seq], |row| row.get(0)).optional()?;
        Ok(Cursor::new(started_at.unwrap_or(0), seq))
    }

    fn after(&self, seq: i64, filter: &Filter, limit: usize) -> Result<Vec<Summary>, ReadError> {
        let mut conditions = filter.conditions();
        conditions.add("seq > ?", Some(Value::Integer(seq)));
        match self.sought(filter)? {
            Sought::Anything => {}
            Sought::Nothing => return Ok(Vec::new()),
            Sought::Words(words) => {
                conditions.sql.push("seq IN (SELECT rowid FROM search WHERE search MATCH ? AND rowid > ?)".into());
                conditions.values.extend([Value::Text(words), Value::Integer(seq)]);
            }
        }
        conditions.values.push(limit_value(limit));
        let sql = format!("SELECT {COLUMNS} FROM calls NOT INDEXED{} ORDER BY seq LIMIT ?", conditions.clause());
        self.summaries(&sql, conditions.values)
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

    pub(super) fn summaries(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Summary>, ReadError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params_from_iter(values), Summary::read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(super) fn limit_value(limit: usize) -> Value {
    Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))
}
