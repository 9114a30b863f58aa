//! The plugins that can be configured.

use serde_json::{Value, json};

use crate::entities::plugin;
use crate::schema::Schema;
use crate::{ai_tracing, prometheus};

/// Their names.
pub const NAMES: &[&str] = &["ai-tracing", "prometheus"];

/// The schema of a plugin's `config`.
pub fn find(name: &str) -> Option<&'static Schema> {
    match name {
        "ai-tracing" => Some(ai_tracing::schema()),
        "prometheus" => Some(prometheus::schema()),
        _ => None,
    }
}

/// Kong's answer to `GET /schemas/plugins/{name}`: the plugin's schema with its `config` as one record.
pub fn to_kong_json(name: &str) -> Option<Value> {
    let schema = find(name)?;
    let mut config = json!({"type": "record", "required": true, "fields": schema.record.fields_json()});
    if let Some(config) = config.as_object_mut().filter(|_| !schema.record.checks.is_empty()) {
        config.insert("entity_checks".to_owned(), schema.record.checks_json());
    }
    let entity = &plugin::schema().record;
    let mut fields: Vec<Value> =
        entity.field("protocols").map(|field| field.named_json("protocols")).into_iter().collect();
    fields.push(json!({"config": config}));
    Some(json!({"fields": fields, "entity_checks": []}))
}
