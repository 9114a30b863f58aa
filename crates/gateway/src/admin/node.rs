//! What the node is, and what it offers.

use ai_tracing_config::plugins;
use serde_json::{Map, Value, json};

use super::endpoint::ENDPOINTS;
use super::reply::Reply;
use crate::db::plugin_names;
use crate::status::{KONG_VERSION, Node, VERSION};

/// Where a plugin stands among Kong's: `prometheus` at 13, as in Kong, and ours before it, because it reads what ours
/// leaves behind.
fn priority(name: &str) -> u32 {
    if name == crate::plugin::PROMETHEUS { 13 } else { 14 }
}

/// GET `/`
pub fn describe(node: &Node) -> Reply {
    let available: Map<String, Value> = plugins::NAMES
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "version": VERSION, "priority": priority(name) })))
        .collect();
    let mut configuration = node.configuration.clone();
    if let Some(configuration) = configuration.as_object_mut() {
        configuration.insert("database".to_owned(), json!(node.db.strategy()));
    }
    Reply::ok(json!({
        "tagline": "Welcome to AI Tracing",
        "version": KONG_VERSION,
        "edition": "community",
        "ai_tracing": { "version": VERSION },
        "hostname": node.hostname,
        "node_id": node.id.to_string(),
        "pids": { "master": std::process::id() },
        "plugins": {
            "available_on_server": available,
            "enabled_in_cluster": plugin_names(&node.db.tables()),
        },
        "configuration": configuration,
    }))
}

/// GET `/plugins/enabled`
pub fn enabled_plugins() -> Reply {
    Reply::ok(json!({ "enabled_plugins": plugins::NAMES }))
}

/// GET `/endpoints`
pub fn endpoints() -> Reply {
    Reply::ok(json!({ "data": ENDPOINTS }))
}
