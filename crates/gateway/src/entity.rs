//! Kong's entities, typed: what a validated entity with all defaults filled deserializes into.
//!
//! Field names, units and defaults are Kong 3.9's (<https://developer.konghq.com/admin-api/>).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that decides what the proxy does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entities {
    /// Upstream services.
    pub services: Vec<Service>,
    /// Routes to them.
    pub routes: Vec<Route>,
    /// Plugins on them.
    pub plugins: Vec<Plugin>,
}

/// A reference to another entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ref {
    /// UUID of the entity.
    pub id: String,
}

/// An upstream service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Kong's own names
pub struct Service {
    pub id: String,
    pub name: Option<String>,
    /// `http` or `https`.
    pub protocol: String,
    pub host: String,
    pub port: u16,
    pub path: Option<String>,
    /// Milliseconds.
    pub connect_timeout: u64,
    /// Milliseconds between two writes.
    pub write_timeout: u64,
    /// Milliseconds between two reads.
    pub read_timeout: u64,
    /// Further attempts after a failed connect.
    pub retries: u32,
    pub tls_verify: Option<bool>,
    pub enabled: bool,
    pub tags: Option<Vec<String>>,
    /// Seconds since the epoch.
    pub created_at: u64,
    pub updated_at: u64,
}

/// What selects a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Kong's own names
pub struct Route {
    pub id: String,
    pub name: Option<String>,
    pub protocols: Vec<String>,
    pub methods: Option<Vec<String>>,
    pub hosts: Option<Vec<String>>,
    /// Prefixes; `~` begins a regular expression.
    pub paths: Option<Vec<String>>,
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    pub https_redirect_status_code: u16,
    pub regex_priority: i64,
    pub strip_path: bool,
    pub preserve_host: bool,
    /// `v0` or `v1`.
    pub path_handling: String,
    pub service: Option<Ref>,
    pub tags: Option<Vec<String>>,
    /// Seconds since the epoch; the older route wins a tie.
    pub created_at: u64,
    pub updated_at: u64,
}

/// A plugin on a route, a service, or everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Kong's own names
pub struct Plugin {
    pub id: String,
    pub name: String,
    pub instance_name: Option<String>,
    pub service: Option<Ref>,
    pub route: Option<Ref>,
    pub enabled: bool,
    /// Validated, all defaults filled; vault references not resolved.
    pub config: Value,
    pub tags: Option<Vec<String>>,
    pub created_at: u64,
    pub updated_at: Option<u64>,
}
