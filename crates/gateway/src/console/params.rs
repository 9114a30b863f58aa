//! The parameters of the API's URLs: the filters of the command line, under the same names.

use ai_tracing_core::time::At;
use http::StatusCode;

use crate::admin::reply::Reply;
use crate::calls::query::{Cursor, Filter, Order};
use crate::cli::traces::parse;

/// Calls on a page, unless told otherwise and at most.
const LIMIT: (usize, usize) = (100, 500);

/// What a URL asks for. Parameters that an endpoint has no use for are ignored, but none that does not exist.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    pub filter: Filter,
    pub limit: Option<usize>,
    pub cursor: Option<Cursor>,
    pub order: Order,
    /// Position of a follower.
    pub after: Option<i64>,
    /// What sums are told apart by.
    pub by: Option<String>,
    /// What a list is sorted by.
    pub sort: Option<String>,
    /// Parts of a span of time.
    pub parts: Option<usize>,
}

impl Params {
    /// Reads a query; relative times such as `1h` are counted from `now`.
    pub fn parse(query: Option<&str>, now: At) -> Result<Self, Reply> {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            // The page leaves fields that nobody filled.
            if !value.is_empty() {
                params.set(&name, &value, now).map_err(|why| wrong(&name, &why))?;
            }
        }
        Ok(params)
    }

    fn set(&mut self, name: &str, value: &str, now: At) -> Result<(), String> {
        let filter = &mut self.filter;
        let text = || Some(value.to_owned());
        match name {
            "since" => filter.since = Some(parse::moment(value)?.at(now)),
            "until" => filter.until = Some(parse::moment(value)?.at(now)),
            "search" => filter.text = text(),
            "user" => filter.user = text(),
            "session" => filter.session = text(),
            "chat" => filter.chat = text(),
            "organization" => filter.organization = text(),
            "project" => filter.project = text(),
            "environment" => filter.environment = text(),
            "model" => filter.model = text(),
            "provider" => filter.provider = text(),
            "service" => filter.service = text(),
            "route" => filter.route = text(),
            "status" => filter.status = Some(parse::status(value)?),
            "errors" => filter.errors = flag(value)?,
            "delivery" => filter.undelivered = parse::undelivered(value)?,
            "slower_than" => filter.slower_than_ms = Some(parse::duration(value)?.as_secs_f64() * 1e3),
            "limit" => self.limit = Some(number(value)?),
            "cursor" => self.cursor = Some(Cursor::parse(value).ok_or("not a cursor of this API")?),
            "order" => {
                self.order = match value {
                    "newest" => Order::Newest,
                    "oldest" => Order::Oldest,
                    _ => return Err("neither newest nor oldest".to_owned()),
                }
            }
            "after" => self.after = Some(value.parse().map_err(|_| "not a number")?),
            "by" => self.by = text(),
            "sort" => self.sort = text(),
            "parts" => self.parts = Some(number(value)?),
            _ => return Err("no such parameter".to_owned()),
        }
        Ok(())
    }

    /// Entries on a page.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT.0).clamp(1, LIMIT.1)
    }
}

/// 400 that names the parameter.
pub(super) fn wrong(name: &str, why: &str) -> Reply {
    Reply::message(StatusCode::BAD_REQUEST, &format!("{name}: {why}"))
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

fn number(value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| "not a number".to_owned())
}
