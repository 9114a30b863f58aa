//! Users and sessions, and what their calls add up to; the values that filters can have.

use std::collections::HashMap;

use ai_tracing_core::time::At;
use rusqlite::{OptionalExtension, params_from_iter};
use serde::Serialize;

use super::filter::Filter;
use super::list::{Cursor, at, limit_value};
use super::sums::{EXTRA, Totals, maybe_time};
use super::{ReadError, Reader};

/// Users that are told apart.
const USERS: usize = 10_000;

/// A user and what their calls add up to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct User {
    /// User id.
    pub id: String,
    /// The sums.
    #[serde(flatten)]
    pub totals: Totals,
    /// When the last of the calls began.
    #[serde(with = "ai_tracing_core::time::rfc3339")]
    pub last: At,
}

/// All users of a span of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Users {
    /// In no order.
    pub users: Vec<User>,
    /// Calls of users that are not told apart, because there are too many.
    pub others: u64,
    /// As in [`Overview::summed_since`].
    #[serde(serialize_with = "maybe_time")]
    pub summed_since: Option<At>,
}

/// A session and what its calls add up to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Session {
    /// Session id.
    pub id: String,
    /// The sums.
    #[serde(flatten)]
    pub totals: Totals,
    /// When the first call began.
    #[serde(with = "ai_tracing_core::time::rfc3339")]
    pub first: At,
    /// When the last call began.
    #[serde(with = "ai_tracing_core::time::rfc3339")]
    pub last: At,
    /// Time that its calls took, in milliseconds.
    pub busy_ms: f64,
    /// Its users, a few of them.
    pub users: Vec<String>,
    /// Its models, a few of them.
    pub models: Vec<String>,
}

/// One page of sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    /// Those with the newest call first.
    pub sessions: Vec<Session>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Cursor>,
}

/// What lists are often narrowed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the filter's own names
pub enum Facet {
    Model,
    Provider,
    Project,
    Organization,
}

impl Facet {
    fn column(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Project => "project_id",
            Self::Organization => "organization_id",
        }
    }
}

impl Reader {
    /// The users of all calls that match.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn users(&self, filter: &Filter) -> Result<Users, ReadError> {
        let mut users: HashMap<String, (Totals, i64)> = HashMap::new();
        let mut others = 0;
        let summed_since = self.each(filter, "user_id", |call, row| {
            let Some(id) = row.get_ref(EXTRA)?.as_str_or_null()? else { return Ok(()) };
            if users.len() >= USERS && !users.contains_key(id) {
                others += 1;
                return Ok(());
            }
            let (totals, last) = users.entry(id.to_owned()).or_default();
            totals.add(call);
            *last = call.started_at.max(*last);
            Ok(())
        })?;
        let users = users.into_iter().map(|(id, (totals, last))| User { id, totals, last: at(last) }).collect();
        Ok(Users { users, others, summed_since })
    }

    /// Sessions that have a call that matches, after `cursor` where one is given, those with the newest call first.
    /// There may be more on a later page even where this one is not full. The sums are those of the whole session.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sessions(&self, filter: &Filter, cursor: Option<Cursor>, limit: usize) -> Result<Sessions, ReadError> {
        let way = filter.way();
        let mut path = way.conditions;
        if let Some(cursor) = cursor {
            path.sql.push("(started_at, seq) < (?, ?)".into());
            path.values.extend(cursor.values());
        }
        let by = "ORDER BY started_at DESC, seq DESC";
        let bound = format!(
            "SELECT started_at, seq FROM calls INDEXED BY {}{} {by} LIMIT 1 OFFSET {}",
            way.index,
            path.clause(),
            self.in_reach
        );
        let mut statement = self.connection.prepare_cached(&bound)?;
        let reach = statement
            .query_row(params_from_iter(&path.values), |row| Ok(Cursor::new(row.get(0)?, row.get(1)?)))
            .optional()?;
        let mut conditions = filter.conditions();
        for (cursor, sql) in [(cursor, "(started_at, seq) < (?, ?)"), (reach, "(started_at, seq) >= (?, ?)")] {
            if let Some(cursor) = cursor {
                conditions.sql.push(sql.into());
                conditions.values.extend(cursor.values());
            }
        }
        conditions.sql.push("session_id IS NOT NULL".into());
        // A session stands where its newest call does, so that it comes once, whatever page it is on.
        conditions.sql.push(
            "NOT EXISTS (SELECT 1 FROM calls AS later WHERE later.session_id = calls.session_id
                AND (later.started_at, later.seq) > (calls.started_at, calls.seq))"
                .into(),
        );
        conditions.values.push(limit_value(limit.saturating_add(1)));
        let sql = format!(
            "SELECT session_id, started_at, seq FROM calls INDEXED BY {}{} {by} LIMIT ?",
            way.index,
            conditions.clause()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(conditions.values), |row| {
            Ok((row.get::<_, String>(0)?, Cursor::new(row.get(1)?, row.get(2)?)))
        })?;
        let mut found: Vec<(String, Cursor)> = rows.collect::<rusqlite::Result<_>>()?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|(_, cursor)| *cursor) } else { reach };
        let sessions = found.iter().map(|(id, _)| self.session(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(Sessions { sessions: sessions.into_iter().flatten().collect(), next })
    }

    /// One session; `None` when it has no calls (any more).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn session(&self, id: &str) -> Result<Option<Session>, ReadError> {
        const NAMES: usize = 5;
        let filter = Filter { session: Some(id.to_owned()), ..Filter::default() };
        let (mut totals, mut first, mut last, mut busy_ms) = (Totals::default(), i64::MAX, 0, 0.0);
        let (mut users, mut models) = (Vec::new(), Vec::new());
        self.each(&filter, "user_id, coalesce(model, response_model)", |call, row| {
            totals.add(call);
            first = first.min(call.started_at);
            last = last.max(call.started_at);
            busy_ms += call.duration_ms;
            for (names, column) in [(&mut users, EXTRA), (&mut models, EXTRA + 1)] {
                let name: Option<String> = row.get(column)?;
                if let Some(name) = name.filter(|name| names.len() < NAMES && !names.contains(name)) {
                    names.push(name);
                }
            }
            Ok(())
        })?;
        let session = Session { id: id.to_owned(), totals, first: at(first), last: at(last), busy_ms, users, models };
        Ok((totals.calls > 0).then_some(session))
    }

    /// The values that a column has, in alphabetical order, at most `limit`: it skips from one to the next in its index.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn values(&self, of: Facet, limit: usize) -> Result<Vec<String>, ReadError> {
        let column = of.column();
        let sql = format!(
            "WITH RECURSIVE found (value) AS (
                SELECT min({column}) FROM calls WHERE {column} IS NOT NULL
                UNION ALL SELECT (SELECT min({column}) FROM calls WHERE {column} > found.value) FROM found
                WHERE found.value IS NOT NULL)
            SELECT value FROM found WHERE value IS NOT NULL LIMIT ?"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([limit_value(limit)], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
