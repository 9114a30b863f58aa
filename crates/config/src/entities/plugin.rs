//! Plugins: what happens on a route, on a service, or everywhere. `config` is described by the named plugin's schema.

use std::sync::OnceLock;

use serde_json::json;

use super::{created_at, id, name, tags, updated_at};
use crate::plugins;
use crate::rule::Rule;
use crate::schema::{Record, Schema, Subschema, any, boolean, foreign, set, string};

/// The schema of a plugin entity.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema {
        name: "plugins",
        record: fields(),
        subschema: Some(Subschema {
            key: "name",
            field: "config",
            find: plugins::find,
            unknown: "plugin '%s' not enabled; add it to the 'plugins' configuration property",
        }),
    })
}

fn fields() -> Record {
    Record::new([
        ("id", id()),
        ("created_at", created_at()),
        ("updated_at", updated_at()),
        ("name", string().required().about("Which plugin.")),
        ("instance_name", name("What this configuration of it is called.")),
        ("service", foreign("services").about("Only requests to this service.")),
        ("route", foreign("routes").about("Only requests on this route.")),
        (
            "consumer",
            foreign("consumers").rule(Rule::Null("consumers are not supported")).about("Not supported: null only."),
        ),
        ("config", any().about("The plugin's parameters.")),
        (
            "protocols",
            set(string().one_of(&["grpc", "grpcs", "http", "https"]))
                .required()
                .default(json!(["grpc", "grpcs", "http", "https"]))
                .rule(Rule::ContainsAll(
                    &["http", "https"],
                    "limiting a plugin to a protocol is not supported: list both http and https",
                ))
                .about("Schemes of the requests it runs on: always both."),
        ),
        ("enabled", boolean().required().default(true).about("Whether it runs.")),
        ("tags", tags()),
    ])
}
