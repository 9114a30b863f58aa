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
    /// A follower wants each call, however far behind it is.
    pub all: bool,
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
            "trace" => filter.trace = text(),
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
            "slower_than" => filter.slower_than_ms = Some(millis(value)?),
            "first_token_slower_than" => filter.first_token_slower_than_ms = Some(millis(value)?),
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
            "all" => self.all = flag(value)?,
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

/// A filter as [`Params::parse`] reads it.
pub fn query_of(filter: &Filter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("since", filter.since.map(|at| at.to_rfc3339())),
        ("until", filter.until.map(|at| at.to_rfc3339())),
        ("search", filter.text.clone()),
        ("trace", filter.trace.clone()),
        ("user", filter.user.clone()),
        ("session", filter.session.clone()),
        ("chat", filter.chat.clone()),
        ("organization", filter.organization.clone()),
        ("project", filter.project.clone()),
        ("environment", filter.environment.clone()),
        ("model", filter.model.clone()),
        ("provider", filter.provider.clone()),
        ("service", filter.service.clone()),
        ("route", filter.route.clone()),
        ("status", filter.status.map(|(from, to)| format!("{from}-{to}"))),
        ("errors", filter.errors.then(|| "true".to_owned())),
        ("delivery", filter.undelivered.then(|| "failed".to_owned())),
        ("slower_than", filter.slower_than_ms.map(|ms| format!("{ms}ms"))),
        ("first_token_slower_than", filter.first_token_slower_than_ms.map(|ms| format!("{ms}ms"))),
    ] {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
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

fn millis(value: &str) -> Result<f64, String> {
    Ok(parse::duration(value)?.as_secs_f64() * 1e3)
}

fn number(value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| "not a number".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_filter_is_read_as_it_was_written() {
        let some = |text: &str| Some(text.to_owned());
        let filter = Filter {
            since: Some(At(1_767_323_045_678_901_000)),
            until: Some(At(1_767_323_045_678_902_000)),
            text: some("\"a phrase\" begin* & more=1"),
            trace: some("4bf92f3577b34da6a3ce929d0e0e4736"),
            user: some("josé+1@example.com"),
            session: some("s/1?x#y"),
            chat: some("c"),
            organization: some("o"),
            project: some("p"),
            environment: some("staging"),
            model: some("gpt-4*"),
            provider: some("openai"),
            service: some("svc"),
            route: some("/v1/chat"),
            status: Some((400, 499)),
            errors: true,
            undelivered: true,
            slower_than_ms: Some(Duration::from_micros(1_234_567).as_secs_f64() * 1e3),
            first_token_slower_than_ms: Some(250.0),
        };
        for filter in [Filter::default(), filter] {
            assert_eq!(Params::parse(Some(&query_of(&filter)), At(0)).unwrap().filter, filter);
        }
    }
}
