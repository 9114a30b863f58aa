//! All entities in memory, as JSON documents by id, and the constraints between them.
//!
//! Pure: a change is made to a copy, and the copy is thrown away when anything about it is refused. Documents are
//! validated by their schema before they come here; what holds here is what no single entity can tell: ids and names
//! are unique, a plugin stands once on each service, route or pair of them, and every reference leads somewhere.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error::Refusal;
use super::kind::Kind;
use crate::entity::Entities;

/// The entities of one configuration. Iteration is in the order of ids, as in Kong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    services: BTreeMap<String, Value>,
    routes: BTreeMap<String, Value>,
    plugins: BTreeMap<String, Value>,
    /// Ids by what is unique.
    index: BTreeMap<Unique, String>,
}

/// What no two entities have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unique {
    /// The value of the kind's [`Kind::endpoint_key`].
    Name(Kind, String),
    /// A plugin's name, and the service and route it stands on.
    Scope(String, Option<String>, Option<String>),
}

/// Why an entity does not fit with the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Conflict {
    /// The id is taken.
    Id(String),
    /// The value of a unique field is taken.
    Name(&'static str, String),
    /// The plugin already stands on the same service and route.
    Scope(Value),
    /// The field refers to an entity that does not exist.
    Dangling(Kind, String),
    /// Others refer to the entity that is to go.
    Referenced(Kind, Kind),
}

impl From<Conflict> for Refusal {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Id(id) => Self::primary_key(&id),
            Conflict::Name(field, name) => Self::unique(json!({ field: name })),
            Conflict::Scope(scope) => Self::unique(scope),
            Conflict::Dangling(parent, id) => Self::dangling(parent.singular(), &id, parent.name()),
            Conflict::Referenced(parent, child) => Self::referenced(parent.name(), child.name()),
        }
    }
}

impl Tables {
    /// The documents of one kind by id.
    pub fn all(&self, kind: Kind) -> &BTreeMap<String, Value> {
        match kind {
            Kind::Services => &self.services,
            Kind::Routes => &self.routes,
            Kind::Plugins => &self.plugins,
        }
    }

    fn all_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Value> {
        match kind {
            Kind::Services => &mut self.services,
            Kind::Routes => &mut self.routes,
            Kind::Plugins => &mut self.plugins,
        }
    }

    /// The document with this id.
    pub fn get(&self, kind: Kind, id: &str) -> Option<&Value> {
        self.all(kind).get(id)
    }

    /// The document with this name (of plugins: this `instance_name`).
    pub fn by_name(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.get(kind, self.index.get(&Unique::Name(kind, name.to_owned()))?)
    }

    /// Adds an entity whose id must be new.
    pub fn insert(&mut self, kind: Kind, doc: Value) -> Result<(), Conflict> {
        match id_of(&doc) {
            id if self.all(kind).contains_key(id) => Err(Conflict::Id(id.to_owned())),
            _ => self.put(kind, doc),
        }
    }

    /// Adds or replaces an entity.
    pub fn put(&mut self, kind: Kind, doc: Value) -> Result<(), Conflict> {
        let id = id_of(&doc).to_owned();
        for parent in kind.parents() {
            if let Some(to) = reference(&doc, *parent)
                && !self.all(*parent).contains_key(to)
            {
                return Err(Conflict::Dangling(*parent, to.to_owned()));
            }
        }
        let uniques = uniques(kind, &doc);
        for unique in &uniques {
            if self.index.get(unique).is_some_and(|other| *other != id) {
                return Err(match unique {
                    Unique::Name(_, name) => Conflict::Name(kind.endpoint_key(), name.clone()),
                    Unique::Scope(..) => Conflict::Scope(scope_fields(&doc)),
                });
            }
        }
        self.take(kind, &id);
        self.index.extend(uniques.into_iter().map(|unique| (unique, id.clone())));
        self.all_mut(kind).insert(id, doc);
        Ok(())
    }

    /// Removes an entity: plugins on it go with it, while routes hold their service. `false`: there was none.
    pub fn remove(&mut self, kind: Kind, id: &str) -> Result<bool, Conflict> {
        let refers = |doc: &Value| reference(doc, kind) == Some(id);
        if let Some(child) = kind.children().filter(|c| *c != Kind::Plugins).find(|c| self.all(*c).values().any(refers))
        {
            return Err(Conflict::Referenced(kind, child));
        }
        if kind != Kind::Plugins {
            let plugins = self.plugins.iter().filter(|(_, plugin)| refers(plugin)).map(|(id, _)| id.clone());
            for plugin in plugins.collect::<Vec<_>>() {
                self.take(Kind::Plugins, &plugin);
            }
        }
        Ok(self.take(kind, id))
    }

    /// Takes an entity out, with what the index knows of it.
    fn take(&mut self, kind: Kind, id: &str) -> bool {
        let Some(doc) = self.all_mut(kind).remove(id) else { return false };
        for unique in uniques(kind, &doc) {
            self.index.remove(&unique);
        }
        true
    }

    /// The entities, typed.
    pub fn entities(&self) -> Result<Entities, serde_json::Error> {
        fn typed<T: serde::de::DeserializeOwned>(docs: &BTreeMap<String, Value>) -> Result<Vec<T>, serde_json::Error> {
            docs.values().map(T::deserialize).collect()
        }
        Ok(Entities { services: typed(&self.services)?, routes: typed(&self.routes)?, plugins: typed(&self.plugins)? })
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.all(kind).is_empty())
    }

    /// A digest of everything: equal configurations have equal digests, whatever process computes them.
    pub fn digest(&self) -> String {
        let all: Map<_, _> = Kind::ALL
            .into_iter()
            .map(|kind| (kind.name().to_owned(), self.all(kind).values().map(timeless).collect()))
            .collect();
        let text = Value::Object(all).to_string();
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
    }
}

/// A document without the times at which it came to be: a file that is loaded twice is the same configuration.
fn timeless(doc: &Value) -> Value {
    let mut doc = doc.clone();
    if let Some(fields) = doc.as_object_mut() {
        fields.shift_remove("created_at");
        fields.shift_remove("updated_at");
    }
    doc
}

/// The id of a validated document.
pub fn id_of(doc: &Value) -> &str {
    text(doc, "id").unwrap_or_default()
}

/// A field's text.
pub fn text<'a>(doc: &'a Value, field: &str) -> Option<&'a str> {
    doc.get(field).and_then(Value::as_str)
}

/// The id of the parent that a document refers to.
pub fn reference(doc: &Value, parent: Kind) -> Option<&str> {
    doc.get(parent.singular()).and_then(|to| text(to, "id"))
}

fn uniques(kind: Kind, doc: &Value) -> Vec<Unique> {
    let mut uniques = Vec::new();
    if let Some(name) = text(doc, kind.endpoint_key()) {
        uniques.push(Unique::Name(kind, name.to_owned()));
    }
    if kind == Kind::Plugins {
        let on = |parent| reference(doc, parent).map(str::to_owned);
        let name = text(doc, "name").unwrap_or_default().to_owned();
        uniques.push(Unique::Scope(name, on(Kind::Services), on(Kind::Routes)));
    }
    uniques
}

/// A plugin's scope in Kong's fields.
fn scope_fields(plugin: &Value) -> Value {
    let field = |name| plugin.get(name).cloned().unwrap_or(Value::Null);
    json!({ "consumer": null, "name": field("name"), "route": field("route"), "service": field("service") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let mut tables = Tables::default();
        tables.insert(Kind::Services, json!({ "id": "s1", "name": "ai" })).unwrap();
        tables.insert(Kind::Services, json!({ "id": "s2", "name": null })).unwrap();
        tables.insert(Kind::Routes, json!({ "id": "r1", "name": "chat", "service": { "id": "s1" } })).unwrap();
        tables
    }

    fn plugin(id: &str, service: Option<&str>, route: Option<&str>) -> Value {
        let to = |id: Option<&str>| id.map(|id| json!({ "id": id }));
        json!({ "id": id, "name": "ai-tracing", "service": to(service), "route": to(route) })
    }

    #[test]
    fn ids_names_and_scopes_are_unique() {
        let mut tables = tables();
        assert_eq!(tables.insert(Kind::Services, json!({ "id": "s1" })), Err(Conflict::Id("s1".into())));
        assert_eq!(
            tables.insert(Kind::Services, json!({ "id": "s3", "name": "ai" })),
            Err(Conflict::Name("name", "ai".into()))
        );
        for (id, service, route) in [("p1", None, None), ("p2", Some("s1"), None), ("p3", Some("s1"), Some("r1"))] {
            tables.insert(Kind::Plugins, plugin(id, service, route)).unwrap();
        }
        let again = tables.insert(Kind::Plugins, plugin("p4", Some("s1"), None));
        let scope = json!({ "consumer": null, "name": "ai-tracing", "route": null, "service": { "id": "s1" } });
        assert_eq!(again, Err(Conflict::Scope(scope)));
        assert_eq!(tables.put(Kind::Plugins, plugin("p2", Some("s1"), None)), Ok(()), "replacing itself");
    }

    #[test]
    fn a_name_that_is_given_up_is_free() {
        let mut tables = tables();
        tables.put(Kind::Services, json!({ "id": "s1", "name": "renamed" })).unwrap();
        assert_eq!(tables.by_name(Kind::Services, "ai"), None);
        tables.put(Kind::Services, json!({ "id": "s2", "name": "ai" })).unwrap();
        assert_eq!(tables.by_name(Kind::Services, "ai").map(id_of), Some("s2"));
        tables.remove(Kind::Services, "s2").unwrap();
        tables.insert(Kind::Services, json!({ "id": "s3", "name": "ai" })).unwrap();
        let (before, mut after) = (tables.clone(), tables);
        let taken = after.put(Kind::Services, json!({ "id": "s3", "name": "renamed" }));
        assert_eq!(taken, Err(Conflict::Name("name", "renamed".into())));
        assert_eq!(after, before, "a refused change is none");
    }

    #[test]
    fn references_lead_somewhere() {
        let mut tables = tables();
        let route = json!({ "id": "r2", "service": { "id": "s9" } });
        assert_eq!(tables.insert(Kind::Routes, route), Err(Conflict::Dangling(Kind::Services, "s9".into())));
        assert_eq!(
            tables.insert(Kind::Plugins, plugin("p1", None, Some("r9"))),
            Err(Conflict::Dangling(Kind::Routes, "r9".into()))
        );
    }

    #[test]
    fn routes_hold_their_service_and_plugins_go_with_it() {
        let mut tables = tables();
        tables.insert(Kind::Plugins, plugin("p1", Some("s1"), None)).unwrap();
        tables.insert(Kind::Plugins, plugin("p2", None, Some("r1"))).unwrap();
        tables.insert(Kind::Plugins, plugin("p3", None, None)).unwrap();
        assert_eq!(tables.remove(Kind::Services, "s1"), Err(Conflict::Referenced(Kind::Services, Kind::Routes)));
        assert_eq!(tables.remove(Kind::Routes, "r1"), Ok(true));
        assert_eq!(tables.all(Kind::Plugins).keys().collect::<Vec<_>>(), ["p1", "p3"]);
        assert_eq!(tables.remove(Kind::Services, "s1"), Ok(true));
        assert_eq!(tables.all(Kind::Plugins).keys().collect::<Vec<_>>(), ["p3"]);
        assert_eq!(tables.remove(Kind::Services, "s1"), Ok(false));
    }

    #[test]
    fn the_digest_knows_content_and_not_time() {
        let mut one = Tables::default();
        one.insert(Kind::Services, json!({ "id": "s", "host": "a", "created_at": 1 })).unwrap();
        let mut later = Tables::default();
        later.insert(Kind::Services, json!({ "id": "s", "host": "a", "created_at": 2 })).unwrap();
        assert_eq!(one.digest(), later.digest());
        later.put(Kind::Services, json!({ "id": "s", "host": "b", "created_at": 2 })).unwrap();
        assert_ne!(one.digest(), later.digest());
    }
}
