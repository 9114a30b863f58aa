//! The configuration as the proxy uses it: compiled as a whole, then swapped in at once.
//!
//! A configuration that cannot be compiled changes nothing. Calls under way keep the one they began with.

use std::collections::HashMap;
use std::sync::Arc;

use ai_tracing_config::ai_tracing::AiTracing;
use arc_swap::ArcSwap;
use http::StatusCode;

use crate::entity::{Entities, Plugin, Route};
use crate::plugin::{self, Tracing};
use crate::proxy::path::Joining;
use crate::proxy::router::{Key, RouteEntry, Router};
use crate::proxy::upstream::Profile;

/// Compiles a plugin's configuration. The error names the parameter, never its value.
pub type Compile = Box<dyn Fn(&AiTracing) -> Result<Arc<Tracing>, String> + Send + Sync>;

/// The configuration as it is now.
pub struct Live {
    compile: Compile,
    router: ArcSwap<Router>,
}

impl Live {
    /// No configuration yet: nothing is routed.
    pub fn new(compile: Compile) -> Self {
        Self { compile, router: ArcSwap::default() }
    }

    /// Puts a configuration into force.
    ///
    /// # Errors
    ///
    /// Names the entity and the attribute that cannot be used; the configuration before stays in force.
    pub fn apply(&self, entities: &Entities) -> Result<(), String> {
        self.router.store(Arc::new(self.router(entities)?));
        Ok(())
    }

    /// The route that a request belongs to, and how many bytes of the path its path matched.
    pub fn find(&self, key: Key<'_>) -> Option<(Arc<RouteEntry>, usize)> {
        let router = self.router.load();
        router.find(key).map(|found| (Arc::clone(found.route), found.matched))
    }

    fn router(&self, entities: &Entities) -> Result<Router, String> {
        let mut services = HashMap::new();
        for service in &entities.services {
            let profile = if service.enabled { Some(Arc::new(Profile::new(service)?)) } else { None };
            services.insert(service.id.as_str(), profile);
        }
        let plugins = self.plugins(entities)?;
        let mut routes = Vec::new();
        for route in &entities.routes {
            let service = match &route.service {
                None => None,
                Some(service) => match services.get(service.id.as_str()) {
                    Some(Some(profile)) => Some(Arc::clone(profile)),
                    // A disabled service takes its routes with it.
                    Some(None) => continue,
                    None => return Err(format!("route {}: service {} does not exist", name(route), service.id)),
                },
            };
            let speaks = |wanted: &[&str]| route.protocols.iter().any(|protocol| wanted.contains(&protocol.as_str()));
            if !speaks(&["http", "https", "ws", "wss"]) {
                continue;
            }
            let entry = RouteEntry {
                name: name(route).to_owned(),
                tracing: effective(&plugins, route),
                service,
                joining: Joining { strip: route.strip_path, v1: route.path_handling == "v1" },
                preserve_host: route.preserve_host,
                https_only: if speaks(&["http", "ws"]) { None } else { Some(status(route)?) },
            };
            routes.push((route, Arc::new(entry)));
        }
        Router::new(routes)
    }

    /// The enabled plugins, compiled.
    fn plugins<'a>(&self, entities: &'a Entities) -> Result<Vec<(&'a Plugin, Arc<Tracing>)>, String> {
        let enabled = entities.plugins.iter().filter(|plugin| plugin.enabled && plugin.name == plugin::NAME);
        enabled
            .map(|plugin| {
                let wrong = |why: &dyn std::fmt::Display| format!("plugin {}: config: {why}", plugin.id);
                let config: AiTracing = serde_json::from_value(plugin.config.clone()).map_err(|why| wrong(&why))?;
                Ok((plugin, (self.compile)(&config).map_err(|why| wrong(&why))?))
            })
            .collect()
    }
}

/// The plugin that is in force on a route: the one for route and service, else for the route, the service, everything.
fn effective(plugins: &[(&Plugin, Arc<Tracing>)], route: &Route) -> Option<Arc<Tracing>> {
    plugins
        .iter()
        .filter(|(plugin, _)| plugin.route.as_ref().is_none_or(|of| of.id == route.id))
        .filter(|(plugin, _)| plugin.service.is_none() || plugin.service == route.service)
        .max_by_key(|(plugin, _)| (plugin.route.is_some(), plugin.service.is_some()))
        .map(|(_, tracing)| Arc::clone(tracing))
}

fn name(route: &Route) -> &str {
    route.name.as_ref().unwrap_or(&route.id)
}

fn status(route: &Route) -> Result<StatusCode, String> {
    StatusCode::from_u16(route.https_redirect_status_code)
        .map_err(|why| format!("route {}: https_redirect_status_code: {why}", name(route)))
}
