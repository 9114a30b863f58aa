//! Routes: which requests go to which service.

use std::sync::OnceLock;

use serde_json::json;

use super::{created_at, id, name, tags, updated_at};
use crate::rule::Rule;
use crate::schema::{Check, Field, Record, Schema, any, array, boolean, foreign, integer, map, set, string};
use crate::typedefs::Typedef;

/// The schema of a route.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::new("routes", fields()))
}

fn fields() -> Record {
    Record::new([
        ("id", id()),
        ("created_at", created_at()),
        ("updated_at", updated_at()),
        ("name", name("What it is called.")),
        (
            "protocols",
            set(string().one_of(&["http", "https"]))
                .required()
                .default(json!(["http", "https"]))
                .len_min(1)
                .about("Schemes it serves."),
        ),
        (
            "https_redirect_status_code",
            integer()
                .required()
                .default(426)
                .rule(Rule::OneOfNumbers(&[426, 301, 302, 307, 308]))
                .about("Status of the answer when all but the scheme matches."),
        ),
        ("strip_path", boolean().required().default(true).about("Whether the matched prefix is taken off the path.")),
        ("preserve_host", boolean().required().default(false).about("Whether the upstream sees the client's Host.")),
        (
            "request_buffering",
            boolean().required().default(true).about("No effect: request bodies are always streamed."),
        ),
        (
            "response_buffering",
            boolean().required().default(true).about("No effect: response bodies are always streamed."),
        ),
        ("tags", tags()),
        ("service", foreign("services").about("Where its requests go.")),
        ("snis", set(string()).rule(Rule::Null("matching by SNI is not supported")).about("Not supported: null only.")),
        ("sources", unsupported("cannot set 'sources' when 'protocols' is 'http' or 'https'")),
        ("destinations", unsupported("cannot set 'destinations' when 'protocols' is 'http' or 'https'")),
        ("methods", set(string().is(Typedef::HttpMethod)).about("Methods it matches.")),
        ("hosts", array(string().is(Typedef::RouteHost)).about("Hosts it matches; `*.example.com`, `example.*`.")),
        (
            "paths",
            array(string().is(Typedef::RoutePath)).about("Path prefixes it matches; `~` begins a regular expression."),
        ),
        (
            "headers",
            map(string().is(Typedef::RouteHeaderName), array(string()))
                .about("Headers it matches, with their possible values."),
        ),
        (
            "regex_priority",
            integer().required().default(0).about("Which regular expression is tried first: the highest."),
        ),
        (
            "path_handling",
            string()
                .required()
                .default("v0")
                .one_of(&["v0", "v1"])
                .about("How service path and request path are joined."),
        ),
    ])
    .check(Check::AtLeastOneOfIf {
        when: "protocols",
        cases: &[
            (
                "https",
                &["methods", "hosts", "headers", "paths", "snis"],
                "must set one of %s when 'protocols' is 'https'",
            ),
            ("http", &["methods", "hosts", "headers", "paths"], "must set one of %s when 'protocols' is 'http'"),
        ],
    })
}

fn unsupported(message: &'static str) -> Field {
    set(any()).rule(Rule::Null(message)).about("Not supported: null only.")
}
