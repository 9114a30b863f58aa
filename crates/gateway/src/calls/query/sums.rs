//! What many calls add up to.
//!
//! Sums read each call that they are made of, so their number is bounded: where more match, the newest are summed, and
//! the answer says from when on.

use ai_tracing_core::time::At;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};
use serde::Serialize;

use super::filter::Filter;
use super::histogram::Histogram;
use super::list::{at, limit_value};
use super::words::Sought;
use super::{ReadError, Reader};

/// Calls that one sum is made of at most.
const CALLS: usize = 2_000_000;

/// Sums over calls. Each of them leaves out the calls for which it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// How many.
    pub calls: u64,
    /// How many of them failed in any way.
    pub errors: u64,
    /// Prompt tokens, cached ones included.
    pub tokens_in: u64,
    /// Prompt tokens read from a cache.
    pub tokens_cached: u64,
    /// Completion tokens, reasoning included.
    pub tokens_out: u64,
    /// Reasoning tokens.
    pub tokens_reasoning: u64,
    /// US dollars; `None` when no call's cost is known.
    pub cost: Option<f64>,
    /// Calls whose cost is unknown.
    pub without_cost: u64,
}

/// The columns of [`Totals`], of [`Call`] for short.
const COLUMNS: &str =
    "started_at, is_error, duration_ms, ttft_ms, tokens_in, tokens_cached, tokens_out, tokens_reasoning, cost";

/// The first of the columns that come after those of a [`Call`].
pub(super) const EXTRA: usize = 9;

/// What is read of a call.
pub(super) struct Call {
    pub started_at: i64,
    is_error: bool,
    pub duration_ms: f64,
    ttft_ms: Option<f64>,
    tokens: [Option<i64>; 4],
    pub cost: Option<f64>,
}

impl Call {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            started_at: row.get(0)?,
            is_error: row.get(1)?,
            duration_ms: row.get(2)?,
            ttft_ms: row.get(3)?,
            tokens: [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?],
            cost: row.get(8)?,
        })
    }
}

impl Totals {
    pub(super) fn add(&mut self, call: &Call) {
        let tokens = call.tokens.map(|tokens| tokens.map_or(0, i64::unsigned_abs));
        let [input, cached, output, reasoning] = tokens;
        self.calls += 1;
        self.errors += u64::from(call.is_error);
        self.tokens_in = self.tokens_in.saturating_add(input);
        self.tokens_cached = self.tokens_cached.saturating_add(cached);
        self.tokens_out = self.tokens_out.saturating_add(output);
        self.tokens_reasoning = self.tokens_reasoning.saturating_add(reasoning);
        match call.cost {
            Some(cost) => *self.cost.get_or_insert(0.0) += cost,
            None => self.without_cost += 1,
        }
    }

    pub fn merge(&mut self, with: &Self) {
        self.calls += with.calls;
        self.errors += with.errors;
        self.tokens_in = self.tokens_in.saturating_add(with.tokens_in);
        self.tokens_cached = self.tokens_cached.saturating_add(with.tokens_cached);
        self.tokens_out = self.tokens_out.saturating_add(with.tokens_out);
        self.tokens_reasoning = self.tokens_reasoning.saturating_add(with.tokens_reasoning);
        self.without_cost += with.without_cost;
        if let Some(cost) = with.cost {
            *self.cost.get_or_insert(0.0) += cost;
        }
    }
}

/// Percentiles in milliseconds; `None` where no call says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // the percentiles' names
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl From<&Histogram> for Percentiles {
    fn from(histogram: &Histogram) -> Self {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| histogram.percentile(share));
        Self { p50, p95, p99 }
    }
}

/// Calls and how long they took.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    totals: Totals,
    duration: Histogram,
    ttft: Histogram,
}

impl Measured {
    pub(super) fn add(&mut self, call: &Call) {
        self.totals.add(call);
        self.duration.add(call.duration_ms);
        if let Some(ttft) = call.ttft_ms {
            self.ttft.add(ttft);
        }
    }

    pub fn sums(&self) -> Sums {
        Sums { totals: self.totals, duration: (&self.duration).into(), ttft: (&self.ttft).into() }
    }
}

/// Sums and percentiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sums {
    /// The sums.
    #[serde(flatten)]
    pub totals: Totals,
    /// How long the calls took, in milliseconds.
    pub duration: Percentiles,
    /// Time to the first token, in milliseconds.
    pub ttft: Percentiles,
}

/// A time, or null.
pub(super) fn maybe_time<S: serde::Serializer>(at: &Option<At>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&at.to_rfc3339()),
        None => serializer.serialize_none(),
    }
}

impl Reader {
    /// Calls `take` for each call that matches, the newest first, up to [`CALLS`]; where there were more, returns when
    /// the last one taken began.
    pub(super) fn each(
        &self,
        filter: &Filter,
        more_columns: &str,
        mut take: impl FnMut(&Call, &Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<Option<At>, ReadError> {
        let way = filter.way();
        let mut conditions = filter.conditions();
        match self.sought(filter)? {
            Sought::Anything => {}
            Sought::Nothing => return Ok(None),
            Sought::Words(words) => {
                let (first, last) = self.stretch(&way)?;
                let sql = "seq IN (SELECT rowid FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ?)";
                conditions.sql.push(sql.into());
                conditions.values.extend([Value::Text(words), Value::Integer(first), Value::Integer(last)]);
            }
        }
        conditions.values.push(limit_value(CALLS.saturating_add(1)));
        let sql = format!(
            "SELECT {COLUMNS}, {more_columns} FROM calls INDEXED BY {}{} ORDER BY started_at DESC LIMIT ?",
            way.index,
            conditions.clause()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(conditions.values))?;
        let (mut taken, mut last) = (0, None);
        while let Some(row) = rows.next()? {
            if taken == CALLS {
                return Ok(last);
            }
            let call = Call::read(row)?;
            take(&call, row)?;
            taken += 1;
            last = Some(at(call.started_at));
        }
        Ok(None)
    }
}
