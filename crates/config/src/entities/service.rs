//! Services: where requests go.

use std::sync::OnceLock;

use serde_json::Value;

use super::{certificate, created_at, id, name, tags, updated_at};
use crate::rule::Rule;
use crate::schema::{Check, Field, Record, Schema, Shorthand, array, boolean, integer, string};
use crate::typedefs::Typedef;

/// The schema of a service.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::new("services", fields()))
}

fn fields() -> Record {
    Record::new([
        ("id", id()),
        ("created_at", created_at()),
        ("updated_at", updated_at()),
        ("name", name("What it is called.")),
        (
            "retries",
            integer().required().default(5).between(0, 32767).about("Further attempts after a failed connect."),
        ),
        (
            "protocol",
            string().required().default("http").one_of(&["http", "https"]).about("How to speak to the upstream."),
        ),
        ("host", string().required().is(Typedef::Host).about("Name or address of the upstream.")),
        ("port", integer().required().default(80).between(0, 65535).about("Port of the upstream.")),
        ("path", string().is(Typedef::Path).about("Put before the path of each request.")),
        ("connect_timeout", timeout("Milliseconds to connect.")),
        ("write_timeout", timeout("Milliseconds between two writes.")),
        ("read_timeout", timeout("Milliseconds between two reads.")),
        ("tags", tags()),
        (
            "client_certificate",
            certificate().rule(Rule::Null("client certificates are not supported")).about("Not supported: null only."),
        ),
        ("tls_verify", boolean().about("Whether the upstream's certificate is verified; null: it is.")),
        (
            "tls_verify_depth",
            integer()
                .rule(Rule::Null("a maximum depth of certificate chains is not supported"))
                .about("Not supported: null only."),
        ),
        (
            "ca_certificates",
            array(string().is(Typedef::Uuid))
                .rule(Rule::Null("CA certificates of a service are not supported: the system's are used"))
                .about("Not supported: null only."),
        ),
        ("enabled", boolean().required().default(true).about("Whether it takes part in routing.")),
    ])
    .check(Check::NullUnless { field: "tls_verify", when: "protocol", one_of: &["https"] })
    .shorthand(Shorthand { name: "url", expand: expand_url })
}

fn timeout(about: &'static str) -> Field {
    integer().required().default(60_000).between(1, 2_147_483_646).about(about)
}

/// `url` sets protocol, host, port and path at once. A query or credentials would be lost, so they are refused; messages
/// do not repeat the URL.
fn expand_url(url: &str) -> Result<Vec<(&'static str, Value)>, String> {
    let (scheme, rest) = url.split_once("://").ok_or("missing scheme in url")?;
    let protocol = scheme.to_ascii_lowercase();
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("must not contain credentials".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("must not contain a query or fragment".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err("missing host in url".to_owned());
    }
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let port = match port {
        // What is no number is told by the schema.
        Some(port) => port.parse::<i64>().map_or_else(|_| Value::from(port), Value::from),
        None if protocol == "https" => 443.into(),
        None => 80.into(),
    };
    let path = if path.is_empty() { Value::Null } else { path.into() };
    Ok(vec![("protocol", protocol.into()), ("host", host.into()), ("port", port), ("path", path)])
}
