//! The configuration as the proxy uses it: compiled as a whole, then swapped in at once.
//!
//! A configuration that cannot be compiled changes nothing. Calls under way keep the one they began with.

use std::collections::HashMap;
use std::sync::Arc;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_config::prometheus::Prometheus;
use arc_swap::ArcSwap;
use http::StatusCode;

use crate::entity::{Entities, Plugin, Route};
use crate::metrics::http::HttpMetrics;
use crate::plugin::{self, Tracing};
use crate::proxy::path::Joining;
use crate::proxy::router::{Key, RouteEntry, Router};
use crate::proxy::upstream::Profile;

/// Compiles a plugin's configuration. The error names the parameter, never its value.
pub type Compile = Box<dyn Fn(&AiTracing) -> Result<Arc<Tracing>, String> + Send + Sync>;

/// The configuration as it is now.
pub struct Live {
    compile: Compile,
    metrics: Arc<HttpMetrics>,
    router: ArcSwap<Router>,
}

impl Live {
    /// No configuration yet: nothing is routed.
    pub fn new(compile: Compile, metrics: Arc<HttpMetrics>) -> Self {
        Self { compile, metrics, router: ArcSwap::default() }
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
        let tracing = plugins(entities, plugin::NAME, |config: AiTracing| (self.compile)(&config))?;
        let counting = plugins(entities, plugin::PROMETHEUS, |config: Prometheus| Ok(Arc::new(config)))?;
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
            let of_service = service.as_ref().map_or("", |service| &service.name);
            let entry = RouteEntry {
                name: name(route).to_owned(),
                tracing: effective(&tracing, route),
                meter: effective(&counting, route)
                    .and_then(|config| self.metrics.meter(of_service, name(route), &config)),
                service,
                joining: Joining { strip: route.strip_path, v1: route.path_handling == "v1" },
                preserve_host: route.preserve_host,
                https_only: if speaks(&["http", "ws"]) { None } else { Some(status(route)?) },
            };
            routes.push((route, Arc::new(entry)));
        }
        Router::new(routes)
    }
}

/// The enabled plugins of that name, compiled.
fn plugins<'a, C: serde::de::DeserializeOwned, T>(
    entities: &'a Entities,
    name: &str,
    compile: impl Fn(C) -> Result<Arc<T>, String>,
) -> Result<Vec<(&'a Plugin, Arc<T>)>, String> {
    enabled(entities, name)
        .map(|plugin| {
            let wrong = |why: &dyn std::fmt::Display| format!("plugin {}: config: {why}", plugin.id);
            let config = C::deserialize(&plugin.config).map_err(|why| wrong(&why))?;
            Ok((plugin, compile(config).map_err(|why| wrong(&why))?))
        })
        .collect()
}

fn enabled<'a>(entities: &'a Entities, name: &str) -> impl Iterator<Item = &'a Plugin> {
    entities.plugins.iter().filter(move |plugin| plugin.enabled && plugin.name == name)
}

/// The plugin that is in force on a route: the one for route and service, else for the route, the service, everything.
fn effective<T>(plugins: &[(&Plugin, Arc<T>)], route: &Route) -> Option<Arc<T>> {
    let found = plugins.iter().filter_map(|(plugin, compiled)| Some((rank(plugin, route)?, compiled)));
    found.max_by_key(|(rank, _)| *rank).map(|(_, compiled)| Arc::clone(compiled))
}

/// How specific a plugin is that applies to a route.
fn rank(plugin: &Plugin, route: &Route) -> Option<(bool, bool)> {
    let applies = plugin.route.as_ref().is_none_or(|of| of.id == route.id)
        && (plugin.service.is_none() || plugin.service == route.service);
    applies.then_some((plugin.route.is_some(), plugin.service.is_some()))
}

/// The plugin of that name in force on the route whose calls bear `route_name`.
pub fn plugin_on<'a>(entities: &'a Entities, name: &str, route_name: &str) -> Option<&'a Plugin> {
    let route = entities.routes.iter().find(|route| self::name(route) == route_name)?;
    let found = enabled(entities, name).filter_map(|plugin| Some((rank(plugin, route)?, plugin)));
    found.max_by_key(|(rank, _)| *rank).map(|(_, plugin)| plugin)
}

fn name(route: &Route) -> &str {
    route.name.as_ref().unwrap_or(&route.id)
}

fn status(route: &Route) -> Result<StatusCode, String> {
    StatusCode::from_u16(route.https_redirect_status_code)
        .map_err(|why| format!("route {}: https_redirect_status_code: {why}", name(route)))
}

#[cfg(test)]
mod tests {
    use ai_tracing_core::settings::Settings;
    use http::{HeaderMap, Method};
    use serde_json::{Value, json};

    use super::*;

    /// Compiles into settings that tell the configuration by its environment.
    fn live() -> Live {
        let compile: Compile = Box::new(|config| {
            if config.environment == "broken" {
                return Err("langfuse_endpoint: not an address".to_owned());
            }
            let settings = Settings { environment: config.environment.clone(), ..Settings::default() };
            Ok(Arc::new(Tracing::new(Arc::new(settings), |_| {})))
        });
        Live::new(compile, Arc::new(HttpMetrics::new(10)))
    }

    fn service(id: &str, enabled: bool) -> Value {
        json!({
            "id": id, "name": null, "protocol": "http", "host": "h", "port": 80, "path": null, "connect_timeout": 1,
            "write_timeout": 1, "read_timeout": 1, "retries": 0, "tls_verify": null, "enabled": enabled, "tags": null,
            "created_at": 1, "updated_at": 1,
        })
    }

    fn route(id: &str, service: Option<&str>) -> Value {
        json!({
            "id": id, "name": null, "protocols": ["http"], "methods": null, "hosts": null,
            "paths": [format!("/{id}")], "headers": null, "https_redirect_status_code": 426, "regex_priority": 0,
            "strip_path": true, "preserve_host": false, "path_handling": "v0",
            "service": service.map(|id| json!({"id": id})), "tags": null, "created_at": 1, "updated_at": 1,
        })
    }

    fn plugin(environment: &str, service: Option<&str>, route: Option<&str>, enabled: bool) -> Value {
        let config = ai_tracing_config::ai_tracing::schema().create(json!({ "environment": environment })).unwrap();
        let reference = |id: Option<&str>| id.map(|id| json!({ "id": id }));
        json!({
            "id": environment, "name": "ai-tracing", "instance_name": null, "service": reference(service),
            "route": reference(route), "enabled": enabled, "config": config, "tags": null, "created_at": 1,
            "updated_at": null,
        })
    }

    fn entities(services: Vec<Value>, routes: Vec<Value>, plugins: Vec<Value>) -> Entities {
        Entities {
            services: serde_json::from_value(services.into()).unwrap(),
            routes: serde_json::from_value(routes.into()).unwrap(),
            plugins: serde_json::from_value(plugins.into()).unwrap(),
        }
    }

    fn find(live: &Live, path: &str) -> Option<Arc<RouteEntry>> {
        let headers = HeaderMap::new();
        let key = Key { method: &Method::GET, host: "h", port: 80, path, headers: &headers };
        live.find(key).map(|(route, _)| route)
    }

    #[test]
    fn the_most_specific_plugin_is_in_force() {
        let all = [
            plugin("global", None, None, true),
            plugin("service", Some("s"), None, true),
            plugin("route", None, Some("r"), true),
            plugin("both", Some("s"), Some("r"), true),
            plugin("disabled", Some("s"), Some("r"), false),
            plugin("other-service", Some("t"), None, true),
            plugin("other-route", None, Some("q"), true),
            plugin("other-both", Some("t"), Some("r"), true),
        ];
        let services = vec![service("s", true), service("t", true)];
        let routes = vec![route("r", Some("s")), route("q", Some("s"))];
        // Without the first, second, ... of them, and in either order.
        for (left_out, expected) in [
            (&[][..], "both"),
            (&["both"], "route"),
            (&["both", "route"], "service"),
            (&["both", "route", "service"], "global"),
        ] {
            let mut plugins: Vec<_> =
                all.iter().filter(|plugin| !left_out.contains(&plugin["id"].as_str().unwrap())).cloned().collect();
            for _ in 0..2 {
                plugins.reverse();
                let live = live();
                live.apply(&entities(services.clone(), routes.clone(), plugins.clone())).unwrap();
                let tracing = find(&live, "/r").unwrap().tracing.clone().unwrap();
                assert_eq!(tracing.settings.environment, expected);
            }
        }
    }

    #[test]
    fn calls_are_counted_where_a_prometheus_plugin_wants_it() {
        let counting = |service, route, config| {
            let mut plugin = plugin("prometheus", service, route, true);
            plugin["name"] = json!("prometheus");
            plugin["config"] = ai_tracing_config::prometheus::schema().create(config).unwrap();
            plugin
        };
        let live = live();
        let services = vec![service("s", true)];
        let routes = vec![route("r", Some("s")), route("q", Some("s")), route("none", None)];
        let plugins = vec![
            counting(Some("s"), None, json!({ "status_code_metrics": true })),
            counting(None, Some("q"), json!({ "ai_metrics": true })),
        ];
        live.apply(&entities(services, routes, plugins)).unwrap();
        let metered = ["/r", "/q", "/none"].map(|path| find(&live, path).unwrap().meter.is_some());
        assert_eq!(metered, [true, false, false]);
    }

    #[test]
    fn a_disabled_service_takes_its_routes_with_it() {
        let live = live();
        live.apply(&entities(
            vec![service("s", true), service("t", false)],
            vec![route("on", Some("s")), route("off", Some("t")), route("none", None)],
            vec![],
        ))
        .unwrap();
        assert!(find(&live, "/on").unwrap().service.is_some());
        assert!(find(&live, "/off").is_none());
        assert!(find(&live, "/none").unwrap().service.is_none());
    }

    #[test]
    fn what_cannot_be_compiled_changes_nothing() {
        let live = live();
        live.apply(&entities(vec![service("s", true)], vec![route("r", Some("s"))], vec![])).unwrap();
        let mut bad_route = route("x", Some("s"));
        bad_route["paths"] = json!(["~/("]);
        let mut bad_service = service("x", true);
        bad_service["host"] = json!("not a host");
        for (candidate, why) in [
            (entities(vec![service("s", true)], vec![bad_route], vec![]), "route x: paths: "),
            (entities(vec![bad_service], vec![], vec![]), "service x: host: "),
            (entities(vec![], vec![route("x", Some("gone"))], vec![]), "route x: service gone does not exist"),
            (
                entities(vec![service("s", true)], vec![], vec![plugin("broken", None, None, true)]),
                "plugin broken: config: langfuse_endpoint: not an address",
            ),
        ] {
            let error = live.apply(&candidate).unwrap_err();
            assert!(error.starts_with(why), "{error}");
            assert!(find(&live, "/r").is_some());
        }
    }
}
