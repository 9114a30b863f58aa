//! The configuration as it is in force, to look at: what the schema calls a secret is not shown.

use ai_tracing_config::plugins;
use ai_tracing_config::schema::{Field, Kind as FieldKind, Record};
use ai_tracing_config::vault;
use serde_json::{Value, json};

use crate::db::Kind;
use crate::live;
use crate::plugin;
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

/// The address of Langfuse's pages, as the plugin that is in force on a route has it; none where it sends nothing there.
pub(super) fn langfuse(node: &Node, route: &str) -> Option<String> {
    let entities = node.db.tables().entities().ok()?;
    let config = &live::plugin_on(&entities, plugin::NAME, route)?.config;
    if config.get("langfuse_enabled") != Some(&Value::Bool(true)) {
        return None;
    }
    let base = config.get("langfuse_endpoint")?.as_str()?.split("/api/public").next()?.trim_end_matches('/');
    (base.starts_with("http://") || base.starts_with("https://")).then(|| base.to_owned())
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
