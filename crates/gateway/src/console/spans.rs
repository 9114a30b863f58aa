//! A call as its destinations get it under the configuration that is in force now.

use std::sync::Arc;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::record::CallRecord;
use ai_tracing_export::exporter::exported;
use serde::Deserialize;
use serde_json::json;

use super::api;
use crate::admin::reply::Reply;
use crate::calls::query::Reader;
use crate::live;
use crate::plugin;
use crate::status::Node;

/// The spans of a call, for each destination of the plugin that is in force on its route.
pub(super) fn of(node: &Node, reader: &Reader, id: &str) -> Result<Reply, Reply> {
    let stored = api::record(reader, &api::find(reader, id)?)?;
    let record: CallRecord = serde_json::from_str(&stored).map_err(|error| unusable(&error))?;
    let entities = node.db.tables().entities().map_err(|error| unusable(&error))?;
    let route = record.route.as_deref().unwrap_or_default();
    let Some(plugin) = live::plugin_on(&entities, plugin::NAME, route) else {
        return Ok(Reply::ok(json!({ "spans": [], "plugin": null })));
    };
    let config = AiTracing::deserialize(&plugin.config).map_err(|error| unusable(&error))?;
    let spans = exported(&config, &|name| std::env::var(name).ok(), &Arc::new(record));
    let spans = spans.map_err(|error| unusable(&error))?;
    Ok(Reply::ok(json!({ "spans": spans, "plugin": plugin.id })))
}

fn unusable(error: &dyn std::error::Error) -> Reply {
    Reply::message(http::StatusCode::INTERNAL_SERVER_ERROR, &format!("the spans cannot be made: {error}"))
}
