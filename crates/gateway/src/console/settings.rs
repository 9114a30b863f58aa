//! The configuration as it is in force, to look at: what the schema calls a secret is not shown.

use std::collections::BTreeSet;

use ai_tracing_config::plugins;
use ai_tracing_config::schema::{Field, Kind as FieldKind, Record};
use ai_tracing_config::vault;
use serde_json::{Value, json};

use crate::db::Kind;
use crate::status::Node;

/// Stands for a secret.
const HIDDEN: &str = "(hidden)";

/// Services, routes, plugins, and the options of the process.
pub(super) fn describe(node: &Node) -> Value {
    let tables = node.db.tables();
    let all = |kind| tables.all(kind).values().cloned().collect::<Vec<Value>>();
    let mut plugins = all(Kind::Plugins);
    plugins.iter_mut().for_each(hide_secrets);
    json!({
        "version": crate::status::VERSION,
        "hostname": node.hostname,
        "declarative": node.db.is_declarative(),
        "options": node.configuration,
        "services": all(Kind::Services),
        "routes": all(Kind::Routes),
        "plugins": plugins,
    })
}

/// The address of Langfuse's pages, where all plugins that send there agree on one.
pub(super) fn langfuse(node: &Node) -> Option<String> {
    let tables = node.db.tables();
    let is_on = |plugin: &Value, pointer| plugin.pointer(pointer) == Some(&Value::Bool(true));
    let bases: BTreeSet<&str> = tables
        .all(Kind::Plugins)
        .values()
        .filter(|plugin| is_on(plugin, "/enabled") && is_on(plugin, "/config/langfuse_enabled"))
        .filter_map(|plugin| plugin.pointer("/config/langfuse_endpoint")?.as_str())
        .map(|endpoint| endpoint.split("/api/public").next().unwrap_or_default().trim_end_matches('/'))
        .filter(|base| base.starts_with("http://") || base.starts_with("https://"))
        .collect();
    if bases.len() == 1 { bases.first().map(|base| (*base).to_owned()) } else { None }
}

fn hide_secrets(plugin: &mut Value) {
    let schema = plugin.get("name").and_then(Value::as_str).and_then(plugins::find);
    match (schema, plugin.get_mut("config")) {
        (Some(schema), Some(config)) => hide_in_record(&schema.record, config),
        // Without a schema nobody knows what is secret.
        (None, Some(config)) => *config = HIDDEN.into(),
        (_, None) => {}
    }
}

fn hide_in_record(record: &Record, value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    for (name, value) in fields {
        match record.field(name) {
            Some(field) => hide(field, value),
            None => *value = HIDDEN.into(),
        }
    }
}

fn hide(field: &Field, value: &mut Value) {
    // A reference names where the secret is, which is no secret.
    let shown = value.is_null() || value.as_str().is_some_and(vault::is_reference);
    if field.encrypted && !shown {
        *value = HIDDEN.into();
        return;
    }
    match &field.kind {
        FieldKind::Record(record) => hide_in_record(record, value),
        FieldKind::Array(item) | FieldKind::Set(item) => {
            value.as_array_mut().into_iter().flatten().for_each(|value| hide(item, value));
        }
        FieldKind::Map { values, .. } => {
            value.as_object_mut().into_iter().flatten().for_each(|(_, value)| hide(values, value));
        }
        _ => {}
    }
}
