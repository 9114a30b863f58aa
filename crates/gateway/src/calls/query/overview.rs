//! Sums over time, and by what calls have in common.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use ai_tracing_core::time::At;
use serde::Serialize;

use super::filter::Filter;
use super::sums::{Call, EXTRA, Measured, Sums, Totals, maybe_time};
use super::{ReadError, Reader, micros};

/// Groups that are told apart; the calls of what comes after are summed as one.
const GROUPS: usize = 10_000;
/// Groups that have a line of their own.
const LINES: usize = 8;

/// What calls are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The model, as requested, else as answered.
    Model,
    /// The provider.
    Provider,
    /// The project id.
    Project,
    /// The plugin's environment.
    Environment,
}

impl By {
    /// Reads a name: `model`, `provider`, `project` or `environment`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "model" => Self::Model,
            "provider" => Self::Provider,
            "project" => Self::Project,
            "environment" => Self::Environment,
            _ => return None,
        })
    }

    fn column(self) -> &'static str {
        match self {
            Self::Model => "coalesce(model, response_model)",
            Self::Provider => "provider",
            Self::Project => "project_id",
            Self::Environment => "environment",
        }
    }
}

/// Times from `since` to `until`, cut into equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The beginning.
    pub since: At,
    /// The end, not included.
    pub until: At,
    /// Number of parts, at least 1.
    pub parts: usize,
}

impl Span {
    /// Length of a part in microseconds, at least 1.
    fn step(&self) -> i64 {
        let length = micros(self.until.0.saturating_sub(self.since.0));
        (length / i64::try_from(self.parts).unwrap_or(i64::MAX).max(1)).max(1)
    }

    fn part(&self, started_at: i64) -> usize {
        let index = started_at.saturating_sub(micros(self.since.0)) / self.step();
        usize::try_from(index).unwrap_or(0).min(self.parts.saturating_sub(1))
    }
}

/// One line over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What its calls have in common; `None`: they have nothing there.
    pub name: Option<String>,
    /// True for the sum of all groups that have no line of their own.
    pub others: bool,
    /// All of the time.
    pub totals: Totals,
    /// Calls, a part of the time each.
    pub calls: Vec<u64>,
    /// Tokens in and out, a part of the time each.
    pub tokens: Vec<u64>,
    /// Cost in US dollars, a part of the time each.
    pub cost: Vec<f64>,
}

impl Line {
    fn new(name: Option<String>, parts: usize) -> Self {
        let (calls, tokens, cost) = (vec![0; parts], vec![0; parts], vec![0.0; parts]);
        Self { name, others: false, totals: Totals::default(), calls, tokens, cost }
    }

    fn add(&mut self, part: usize, call: &Call) {
        let before = self.totals;
        self.totals.add(call);
        let tokens = |totals: &Totals| totals.tokens_in.saturating_add(totals.tokens_out);
        if let Some(calls) = self.calls.get_mut(part) {
            *calls += 1;
        }
        if let Some(sum) = self.tokens.get_mut(part) {
            *sum = sum.saturating_add(tokens(&self.totals) - tokens(&before));
        }
        if let Some(sum) = self.cost.get_mut(part) {
            *sum += call.cost.unwrap_or(0.0);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        self.calls.iter_mut().zip(&other.calls).for_each(|(sum, with)| *sum += with);
        self.tokens.iter_mut().zip(&other.tokens).for_each(|(sum, with)| *sum = sum.saturating_add(*with));
        self.cost.iter_mut().zip(&other.cost).for_each(|(sum, with)| *sum += with);
    }
}

/// Everything about a span of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// All of the time.
    #[serde(flatten)]
    pub sums: Sums,
    /// Different users.
    pub users: usize,
    /// Different sessions.
    pub sessions: usize,
    /// The parts of the time, the oldest first.
    pub parts: Vec<Sums>,
    /// The groups with the most calls, the largest first, then the sum of the others where there are more.
    pub lines: Vec<Line>,
    /// Only calls from here on are in the sums: there were too many. `None`: all are.
    #[serde(serialize_with = "maybe_time")]
    pub summed_since: Option<At>,
}

impl Reader {
    /// Sums over a span of time; `filter` narrows it further.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn overview(&self, filter: &Filter, span: Span, by: By) -> Result<Overview, ReadError> {
        let filter = Filter { since: Some(span.since), until: Some(span.until), ..filter.clone() };
        let (mut all, mut parts) = (Measured::default(), vec![Measured::default(); span.parts]);
        let (mut users, mut sessions, hash) = (HashSet::new(), HashSet::new(), RandomState::new());
        let mut groups: HashMap<Option<String>, Line> = HashMap::new();
        let mut others = Line { others: true, ..Line::new(None, span.parts) };
        let summed_since = self.each(&filter, &format!("{}, user_id, session_id", by.column()), |call, row| {
            let part = span.part(call.started_at);
            all.add(call);
            if let Some(of_part) = parts.get_mut(part) {
                of_part.add(call);
            }
            // Their hashes: a million ids would take a hundred megabytes.
            for (set, column) in [(&mut users, EXTRA + 1), (&mut sessions, EXTRA + 2)] {
                if let Some(id) = row.get_ref(column)?.as_str_or_null()? {
                    set.insert(hash.hash_one(id));
                }
            }
            let name: Option<String> = row.get(EXTRA)?;
            let known = groups.len() < GROUPS || groups.contains_key(&name);
            match known {
                true => groups.entry(name.clone()).or_insert_with(|| Line::new(name, span.parts)).add(part, call),
                false => others.add(part, call),
            }
            Ok(())
        })?;
        let mut lines: Vec<Line> = groups.into_values().collect();
        lines.sort_by(|a, b| b.totals.calls.cmp(&a.totals.calls).then_with(|| a.name.cmp(&b.name)));
        lines.drain(LINES.min(lines.len())..).for_each(|line| others.merge(&line));
        if others.totals.calls > 0 {
            lines.push(others);
        }
        Ok(Overview {
            sums: all.sums(),
            users: users.len(),
            sessions: sessions.len(),
            parts: parts.iter().map(Measured::sums).collect(),
            lines,
            summed_since,
        })
    }
}
