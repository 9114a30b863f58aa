//! The Admin API's URLs: one table of what there is and which methods it takes.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::db::Kind;

/// What a URL names. Keys are ids or names, percent-decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Endpoint {
    /// `/`
    Node,
    /// `/status`
    Status,
    /// `/metrics`
    Metrics,
    /// `/endpoints`
    Endpoints,
    /// `/config`
    Config,
    /// `/tags` and `/tags/{tag}`
    Tags(Option<String>),
    /// `/plugins/enabled`
    EnabledPlugins,
    /// `/schemas/{entity}`
    Schema(String),
    /// `/schemas/plugins/{name}`
    PluginSchema(String),
    /// `/schemas/{entity}/validate`
    Validate(String),
    /// `/consumers` and other collections of Kong's that are always empty here: tools list them all.
    Empty,
    /// `/services`
    Collection(Kind),
    /// `/services/{service}`
    Item(Kind, String),
    /// `/services/{service}/routes`
    Children(Kind, String, Kind),
    /// `/services/{service}/routes/{route}`
    Child(Kind, String, Kind, String),
    /// `/routes/{route}/service`
    Parent(Kind, String, Kind),
}

/// As `GET /endpoints` lists them, in Kong's notation.
pub const ENDPOINTS: &[&str] = &[
    "/",
    "/ca_certificates",
    "/certificates",
    "/config",
    "/consumers",
    "/endpoints",
    "/key-sets",
    "/keys",
    "/metrics",
    "/plugins",
    "/plugins/enabled",
    "/plugins/{plugins}",
    "/plugins/{plugins}/route",
    "/plugins/{plugins}/service",
    "/routes",
    "/routes/{routes}",
    "/routes/{routes}/plugins",
    "/routes/{routes}/plugins/{plugins}",
    "/routes/{routes}/service",
    "/schemas/plugins/validate",
    "/schemas/plugins/{name}",
    "/schemas/{db_entity_name}/validate",
    "/schemas/{name}",
    "/services",
    "/services/{services}",
    "/services/{services}/plugins",
    "/services/{services}/plugins/{plugins}",
    "/services/{services}/routes",
    "/services/{services}/routes/{routes}",
    "/snis",
    "/status",
    "/tags",
    "/tags/{tags}",
    "/upstreams",
    "/vaults",
];

/// Collections of Kong's open-source edition that this gateway has nothing of.
const EMPTY: [&str; 8] =
    ["ca_certificates", "certificates", "consumers", "key-sets", "keys", "snis", "upstreams", "vaults"];

impl Endpoint {
    /// What `path` names; `None`: nothing. One slash at the end makes no difference.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Option<Vec<String>> =
            path.split('/').map(|part| percent_decode_str(part).decode_utf8().ok().map(Into::into)).collect();
        let segments = segments?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let key = |key: &str| Some(key.to_owned()).filter(|key| !key.is_empty());
        Some(match segments.as_slice() {
            [""] => Self::Node,
            ["status"] => Self::Status,
            ["metrics"] => Self::Metrics,
            ["endpoints"] => Self::Endpoints,
            ["config"] => Self::Config,
            ["tags"] => Self::Tags(None),
            ["tags", tag] => Self::Tags(Some(key(tag)?)),
            ["plugins", "enabled"] => Self::EnabledPlugins,
            ["schemas", entity] => Self::Schema(key(entity)?),
            ["schemas", entity, "validate"] => Self::Validate(key(entity)?),
            ["schemas", "plugins", name] => Self::PluginSchema(key(name)?),
            [name] if EMPTY.contains(name) => Self::Empty,
            [kind] => Self::Collection(Kind::of(kind)?),
            [kind, item] => Self::Item(Kind::of(kind)?, key(item)?),
            [kind, item, field] => {
                let kind = Kind::of(kind)?;
                match kind.parents().iter().find(|parent| parent.singular() == *field) {
                    Some(parent) => Self::Parent(kind, key(item)?, *parent),
                    None => Self::Children(kind, key(item)?, child(kind, field)?),
                }
            }
            [kind, item, children, child_key] => {
                let kind = Kind::of(kind)?;
                Self::Child(kind, key(item)?, child(kind, children)?, key(child_key)?)
            }
            _ => return None,
        })
    }

    /// The methods it takes, apart from OPTIONS, sorted.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Self::Node
            | Self::Status
            | Self::Metrics
            | Self::Endpoints
            | Self::Tags(_)
            | Self::Empty
            | Self::EnabledPlugins
            | Self::Schema(_)
            | Self::PluginSchema(_) => &[Method::GET, Method::HEAD],
            Self::Validate(_) => &[Method::POST],
            Self::Config | Self::Collection(_) | Self::Children(..) => &[Method::GET, Method::HEAD, Method::POST],
            Self::Item(..) | Self::Child(..) | Self::Parent(..) => {
                &[Method::DELETE, Method::GET, Method::HEAD, Method::PATCH, Method::PUT]
            }
        }
    }

    /// The methods as a header names them, OPTIONS included.
    pub fn allow(&self) -> String {
        let mut names: Vec<_> = self.methods().iter().chain([&Method::OPTIONS]).map(Method::as_str).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

fn child(of: Kind, name: &str) -> Option<Kind> {
    of.children().find(|child| child.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_what_kong_has_there() {
        let s = str::to_owned;
        let cases = [
            ("/", Some(Endpoint::Node)),
            ("/services/", Some(Endpoint::Collection(Kind::Services))),
            ("/services/a%20b", Some(Endpoint::Item(Kind::Services, s("a b")))),
            ("/services/ai/routes", Some(Endpoint::Children(Kind::Services, s("ai"), Kind::Routes))),
            ("/services/ai/plugins/p", Some(Endpoint::Child(Kind::Services, s("ai"), Kind::Plugins, s("p")))),
            ("/routes/r/service", Some(Endpoint::Parent(Kind::Routes, s("r"), Kind::Services))),
            ("/plugins/p/route", Some(Endpoint::Parent(Kind::Plugins, s("p"), Kind::Routes))),
            ("/plugins/enabled", Some(Endpoint::EnabledPlugins)),
            ("/schemas/plugins/validate", Some(Endpoint::Validate(s("plugins")))),
            ("/schemas/plugins/ai-tracing", Some(Endpoint::PluginSchema(s("ai-tracing")))),
            ("/routes/r/routes", None),
            ("/services/ai/service", None),
            ("/services//plugins", None),
            ("/consumers", Some(Endpoint::Empty)),
            ("/consumers/alice", None),
            ("/services/%ff", None),
            ("/services/a/routes/b/c", None),
        ];
        for (path, endpoint) in cases {
            assert_eq!(Endpoint::parse(path), endpoint, "{path}");
        }
    }

    #[test]
    fn every_listed_endpoint_exists() {
        for path in ENDPOINTS {
            assert!(Endpoint::parse(path).is_some(), "{path}");
        }
    }
}
