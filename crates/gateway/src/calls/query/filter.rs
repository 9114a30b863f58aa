//! What a list shows, as SQL.

use ai_tracing_core::time::At;
use rusqlite::types::Value;

use super::micros;

/// What a list shows; every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Began at this time or later.
    pub since: Option<At>,
    /// Began before this time.
    pub until: Option<At>,
    /// Words in the content: all of them, in any order; `"a phrase"` stands together, `begin*` is the beginning of one.
    pub text: Option<String>,
    /// Trace id, whole.
    pub trace: Option<String>,
    /// User id.
    pub user: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Chat id.
    pub chat: Option<String>,
    /// Organization id.
    pub organization: Option<String>,
    /// Project id.
    pub project: Option<String>,
    /// The plugin's environment.
    pub environment: Option<String>,
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
    /// Only calls that a destination refused or gave up.
    pub undelivered: bool,
    /// Took longer than this many milliseconds.
    pub slower_than_ms: Option<f64>,
    /// Its first token came after more than this many milliseconds.
    pub first_token_slower_than_ms: Option<f64>,
}

impl Filter {
    /// The index that leads to the fewest calls, and the conditions that it answers: the column's, and the times.
    pub(super) fn way(&self) -> Way {
        let by_id = [
            ("calls_trace", "trace_id = ?", &self.trace),
            ("calls_chat", "chat_id = ?", &self.chat),
            ("calls_session", "session_id = ?", &self.session),
            ("calls_user", "user_id = ?", &self.user),
            ("calls_project", "project_id = ?", &self.project),
            ("calls_organization", "organization_id = ?", &self.organization),
        ];
        let mut conditions = Conditions::default();
        let index = if let Some((index, sql, value)) = by_id.into_iter().find(|(_, _, value)| value.is_some()) {
            conditions.add(sql, text(value));
            index
        } else if self.undelivered {
            conditions.sql.push("undelivered = 1".into());
            "calls_undelivered"
        } else if self.errors || self.status.is_some_and(|(from, _)| from >= 400) {
            // Each status from 400 on is an error. Spelled as in the partial index, or SQLite would not use it.
            conditions.sql.push("is_error = 1".into());
            "calls_errors"
        } else if self.provider.is_some() {
            conditions.add("provider = ?", text(&self.provider));
            "calls_provider"
        } else {
            "calls_started"
        };
        conditions.add("started_at >= ?", time(self.since));
        conditions.add("started_at < ?", time(self.until));
        Way { index, conditions }
    }

    /// All conditions but the text's.
    pub(super) fn conditions(&self) -> Conditions {
        let mut all = Conditions::default();
        all.add("started_at >= ?", time(self.since));
        all.add("started_at < ?", time(self.until));
        all.add("trace_id = ?", text(&self.trace));
        all.add("user_id = ?", text(&self.user));
        all.add("session_id = ?", text(&self.session));
        all.add("chat_id = ?", text(&self.chat));
        all.add("organization_id = ?", text(&self.organization));
        all.add("project_id = ?", text(&self.project));
        all.add("environment = ?", text(&self.environment));
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
        all.add("ttft_ms > ?", self.first_token_slower_than_ms.map(Value::Real));
        if self.errors || self.status.is_some_and(|(from, _)| from >= 400) {
            all.sql.push("is_error = 1".into());
        }
        if self.undelivered {
            all.sql.push("undelivered = 1".into());
        }
        all
    }
}

/// A way into the table of calls.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub index: &'static str,
    pub conditions: Conditions,
}

/// Conditions as SQL, and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub sql: Vec<String>,
    pub values: Vec<Value>,
}

impl Conditions {
    pub fn add(&mut self, sql: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.sql.push(sql.to_owned());
            self.values.push(value);
        }
    }

    /// ` WHERE ...`, or nothing.
    pub fn clause(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql.join(" AND ")) }
    }
}

fn text(value: &Option<String>) -> Option<Value> {
    value.clone().map(Value::Text)
}

fn time(at: Option<At>) -> Option<Value> {
    at.map(|at| Value::Integer(micros(at.0)))
}

/// GLOB has three special characters; of these only `*` is ours.
fn glob(model: &str) -> String {
    model.replace('[', "[[]").replace('?', "[?]")
}
